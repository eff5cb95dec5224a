// What survives unmounting and crashes, and how mounts begin and end.

#include <sys/mount.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <thread>

#include "mount/durable_support.hpp"
#include "pmemfs/format.hpp"
#include "support/acl_text.hpp"
#include "support/mount_tree.hpp"

namespace pmemfs::test {
namespace {

// A bit of everything.
void populate(const Mount& mount) {
  NEED_OK(sys::mkdir(mount / "dir"));
  make_file(mount / "dir/file", pattern(300'000, 1), 0640);
  make_file(mount / "empty", "", 06711);
  NEED_OK(sys::link(mount / "dir/file", mount / "linked"));
  NEED_OK(sys::symlink("dir/file", mount / "symlink"));
  NEED_OK(sys::mknod(mount / "fifo", S_IFIFO | 0600U));
  NEED_OK(sys::mknod(mount / "device", S_IFBLK | 0600U, 0x1234));
  make_file(mount / "sparse");
  NEED_OK(sys::truncate(mount / "sparse", 5'000'000));
  CHECK(pwrite_all(open_file(mount / "sparse", O_RDWR).get(), "island", 3'000'000));
  NEED_OK(sys::setxattr(mount / "dir/file", "user.small", "value"));
  NEED_OK(sys::setxattr(mount / "dir", "trusted.large", pattern(60'000, 2)));
  NEED_OK(sys::setxattr(mount / "dir", kDefaultAcl, acl("u::rwx u:2001:rwx g::r-x m::rwx o::---")));
  make_file(mount / "dir/inherits", "x", 0664);
  NEED_OK(sys::lchown(mount / "dir/file", 4'000'000'000U, 12));
  const timespec times[2] = {{-5, 5}, {6'000'000'000, 999'999'999}};
  NEED_OK(::utimensat(AT_FDCWD, (mount / "dir/file").c_str(), times, 0));
  NEED_OK(::utimensat(AT_FDCWD, (mount / "dir").c_str(), times, 0));
  for (int i = 0; i < 300; ++i) {
    make_file(mount / ("dir/inherits" + std::to_string(i)),
              pattern(static_cast<std::size_t>(i), 1));
  }
}

std::uint64_t free_bytes(const Mount& mount) {
  struct statfs fs {};
  NEED_OK(::statfs(mount.root().c_str(), &fs));
  return static_cast<std::uint64_t>(fs.f_bfree) * static_cast<std::uint64_t>(fs.f_bsize);
}

// How many host files hold data in a directory region.
std::size_t backing_files(const Mount& mount) {
  std::size_t count = 0;
  for (const auto& [path, description] : tree_of(mount.region(), {false, false, false, false})) {
    if (path.rfind("data/", 0) == 0 && description.rfind("100", 0) == 0) {
      ++count;
    }
  }
  return count;
}

template <typename Condition>
bool soon(Condition condition) {
  for (int i = 0; i < 1000; ++i) {
    if (condition()) {
      return true;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

// What name_to_handle_at gives: a header and bytes behind it.
class Handle {
 public:
  Handle() { get()->handle_bytes = MAX_HANDLE_SZ; }
  [[nodiscard]] file_handle* get() { return reinterpret_cast<file_handle*>(bytes_.data()); }

 private:
  alignas(file_handle) std::array<unsigned char, sizeof(file_handle) + MAX_HANDLE_SZ> bytes_{};
};

int handle_of(const std::string& path, Handle& handle) {
  int mount_id = 0;
  return ::name_to_handle_at(AT_FDCWD, path.c_str(), handle.get(), &mount_id, 0);
}

UniqueFd open_handle(const Mount& mount, Handle& handle, int flags) {
  const UniqueFd root = open_file(mount.root(), O_RDONLY | O_DIRECTORY);
  return UniqueFd(::open_by_handle_at(root.get(), handle.get(), flags | O_CLOEXEC));
}

// Whether the region of an unmounted directory region says that mappings may have outlived it.
bool suspects_mappings(const Mount& mount) {
  format::Superblock superblock{};
  const UniqueFd file = open_file(mount.region() + "/region", O_RDONLY);
  REQUIRE(::pread(file.get(), &superblock, sizeof(superblock), 0) == sizeof(superblock));
  return superblock.suspect_boot != format::Uuid{};
}

}  // namespace

TEST_CASE("lifecycle: an orderly unmount leaves no doubt about mappings, one with users does") {
  Mount mount(MountSpec{Kind::kDirectory});
  make_file(mount / "file", pattern(10'000, 1));
  mount.unmount();
  CHECK_FALSE(suspects_mappings(mount));
  mount.mount();
  CHECK(pwrite_all(open_file(mount / "file", O_RDWR).get(), "again", 0));
  mount.end_daemon();
  CHECK_FALSE(suspects_mappings(mount));
  mount.mount();
  {
    UniqueFd fd = open_file(mount / "file", O_RDWR);
    const Mapped mapping(fd.get(), 10'000);
    fd.reset();
    mount.end_daemon();
    CHECK(suspects_mappings(mount));
  }
}

TEST_CASE("lifecycle: a remount keeps everything") {
  on_each(pmemfs_kinds(), [](Kind kind) {
    Mount mount(MountSpec{kind});
    populate(mount);
    const Tree before = tree_of(mount.root());
    REQUIRE(before.size() > 300);
    for (int round = 0; round < 2; ++round) {
      mount.remount();
      const std::string difference = tree_difference(before, tree_of(mount.root()));
      INFO(difference);
      CHECK(difference.empty());
    }
    // Reading it for the comparison moved its atime, as relatime has it.
    const timespec times[2] = {{-5, 0}, {0, UTIME_OMIT}};
    NEED_OK(::utimensat(AT_FDCWD, (mount / "dir/file").c_str(), times, 0));
    mount.remount();
    CHECK(stat_of(mount / "dir/file").st_atim.tv_sec == -5);
    CHECK(decode_acl(xattr_of(mount / "dir/inherits7", kAccessAcl)).find("u:2001") !=
          std::string::npos);
  });
}

TEST_CASE("lifecycle: a killed daemon loses nothing") {
  on_each(pmemfs_kinds(), [](Kind kind) {
    Mount mount(MountSpec{kind});
    populate(mount);
    const Tree before = tree_of(mount.root());
    for (int round = 0; round < 2; ++round) {
      mount.kill_and_remount();
      const std::string difference = tree_difference(before, tree_of(mount.root()));
      INFO(difference);
      CHECK(difference.empty());
    }
    NEED_OK(sys::unlink(mount / "linked"));
    mount.kill_and_remount();
    CHECK_FALSE(exists(mount / "linked"));
  });
}

TEST_CASE("lifecycle: killed in the middle of namespace operations, the tree is sound") {
  on_each(pmemfs_kinds(), [](Kind kind) {
    Mount mount(MountSpec{kind});
    for (int round = 0; round < 4; ++round) {
      const std::string dir = mount / ("round" + std::to_string(round));
      NEED_OK(sys::mkdir(dir));
      const auto churn = [&](int who) {
        for (int i = 0;; ++i) {
          const std::string name = dir + "/" + std::to_string(who) + "-" + std::to_string(i % 50);
          const UniqueFd fd(sys::open(name, O_CREAT | O_RDWR));
          if (!fd && errno == ENOTCONN) {
            return Errno{};
          }
          sys::rename(name, name + "renamed");
          sys::link(name + "renamed", name + "link");
          sys::unlink(name + "link");
          if (i % 3 == 0) {
            sys::unlink(name + "renamed");
          }
        }
      };
      // How far a child came with names that nobody else touches: what it was told is done must
      // stay done.
      const UniqueFd progress_file = open_file(scratch() + "/progress", O_CREAT | O_RDWR | O_TRUNC);
      NEED_OK(::ftruncate(progress_file.get(), kPage));
      const Mapped progress(progress_file.get(), kPage);
      auto* done = reinterpret_cast<volatile int*>(progress.data());
      const auto keep = [&] {
        for (int i = 0;
             sys::mknod(dir + "/keep" + std::to_string(i), S_IFREG | 0644U) == 0 &&
             sys::rename(dir + "/keep" + std::to_string(i), dir + "/kept" + std::to_string(i)) == 0;
             ++i) {
          *done = i + 1;
        }
        return Errno{errno};
      };
      {
        Child one([&] { return churn(1); });
        Child two([&] { return churn(2); });
        Child keeper(keep);
        REQUIRE(soon([&] { return *done > 20 * (round + 1); }));
        mount.kill_daemon();
        const Errno end = keeper.wait();  // cut off in the middle of a request, or before the next
        CHECK((end == Errno{ENOTCONN} || end == Errno{ECONNABORTED}));
      }
      mount.detach();
      mount.mount();
      const int kept = *done;
      for (int i = 0; i < kept; ++i) {
        REQUIRE(exists(dir + "/kept" + std::to_string(i)));
        REQUIRE_FALSE(exists(dir + "/keep" + std::to_string(i)));
      }
      const Tree tree = tree_of(mount.root());  // everything can be read
      const Tree again = tree_of(mount.root());
      CHECK(tree == again);
      for (const auto& [path, description] : tree) {
        if (description.rfind("100", 0) == 0) {
          const std::string stem = path.substr(0, path.find_first_of("rl", path.find('/')));
          const bool pair = tree.contains(stem + "renamed") && tree.contains(stem + "link");
          INFO(path << ": " << description);
          CHECK(description.find(pair ? "links=2 " : "links=1 ") != std::string::npos);
        }
      }
    }
  });
}

TEST_CASE("lifecycle: killed while a program stores through a mapping") {
  need_kind(Kind::kDirectory);
  constexpr std::uint64_t kSlots = 16 * kMiB / 8;
  Mount mount(MountSpec{Kind::kDirectory});
  durable_file(mount / "file", std::string(16 * kMiB, '\0'));
  const UniqueFd progress_file = open_file(scratch() + "/progress", O_CREAT | O_RDWR);
  NEED_OK(::ftruncate(progress_file.get(), kPage));
  const Mapped progress(progress_file.get(), kPage);
  auto* done = reinterpret_cast<volatile std::uint64_t*>(progress.data());
  Child child([&] {
    const UniqueFd fd = open_file(mount / "file", O_RDWR);
    const Mapped map(fd.get(), 16 * kMiB);
    if (map.data() == nullptr) {
      return map.error();
    }
    auto* slots = reinterpret_cast<volatile std::uint64_t*>(map.data());
    for (std::uint64_t i = 0; i < kSlots; ++i) {
      slots[i] = i + 1;
      *done = i + 1;
      if (i % 4096 == 0) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
    }
    return Errno{};
  });
  REQUIRE(soon([&] { return *done > 10'000; }));
  const std::uint64_t at_kill = *done;
  mount.kill_daemon();
  CHECK(child.wait() == Errno{});
  CHECK(at_kill < kSlots);
  mount.detach();
  mount.mount();
  const std::string content = content_of(mount / "file");
  REQUIRE(content.size() == 16 * kMiB);
  std::uint64_t wrong = 0;
  for (std::uint64_t i = 0; i < kSlots; ++i) {
    std::uint64_t slot = 0;
    std::memcpy(&slot, content.data() + i * 8, 8);
    wrong += slot == i + 1 ? 0 : 1;
  }
  CHECK(wrong == 0);
}

TEST_CASE("lifecycle: an unlinked open file leaves no orphan, after unmount or crash") {
  on_each(pmemfs_kinds(), [](Kind kind) {
    Mount mount(MountSpec{kind});
    make_file(mount / "stays", "x");
    const std::uint64_t before = free_bytes(mount);
    const std::size_t files = kind == Kind::kDirectory ? backing_files(mount) : 0;
    for (const bool crash : {false, true}) {
      INFO("crash: " << crash);
      {
        make_file(mount / "gone", pattern(8 * kMiB, 1));
        const UniqueFd fd = open_file(mount / "gone", O_RDWR);
        const UniqueFd tmp = open_file(mount.root(), O_TMPFILE | O_RDWR);
        CHECK(write_all(tmp.get(), pattern(kMiB, 1)));
        NEED_OK(sys::unlink(mount / "gone"));
        if (crash) {
          mount.kill_daemon();
          mount.detach();
        }
      }
      crash ? mount.mount() : mount.remount();
      CHECK(names_in(mount.root()) == std::vector<std::string>{"stays"});
      if (kind == Kind::kFile) {
        CHECK(soon([&] { return free_bytes(mount) + kMiB > before; }));
      } else {
        CHECK(soon([&] { return backing_files(mount) == files; }));
      }
    }
  });
}

TEST_CASE("lifecycle: file handles, as an NFS server keeps them, survive a remount") {
  on_each(pmemfs_kinds(), [](Kind kind) {
    Mount mount(MountSpec{kind});
    NEED_OK(sys::mkdir(mount / "dir"));
    make_file(mount / "dir/file", "content");
    make_file(mount / "dir/doomed", "x");
    Handle file;
    Handle dir;
    Handle doomed;
    NEED_OK(handle_of(mount / "dir/file", file));
    NEED_OK(handle_of(mount / "dir", dir));
    NEED_OK(handle_of(mount / "dir/doomed", doomed));
    NEED_OK(sys::rename(mount / "dir/file", mount / "moved"));
    NEED_OK(sys::unlink(mount / "dir/doomed"));
    make_file(mount / "dir/doomed", "another");  // perhaps in the same inode
    for (int round = 0; round < 2; ++round) {
      UniqueFd fd = open_handle(mount, file, O_RDWR);
      REQUIRE(fd);
      CHECK(pread_some(fd.get(), 100, 0) == "content");
      CHECK(stat_of(fd.get()).st_ino == inode_of(mount / "moved"));
      UniqueFd dir_fd = open_handle(mount, dir, O_RDONLY | O_DIRECTORY);
      REQUIRE(dir_fd);
      CHECK(stat_of(dir_fd.get()).st_ino == inode_of(mount / "dir"));
      CHECK_FALSE(open_handle(mount, doomed, O_RDONLY));
      CHECK(errno == ESTALE);
      if (round == 0) {
        fd.reset();
        dir_fd.reset();
        mount.remount();
      }
    }
  });
}

TEST_CASE("lifecycle: inode numbers are stable, and the root is 1") {
  on_each(pmemfs_kinds(), [](Kind kind) {
    Mount mount(MountSpec{kind});
    for (int i = 0; i < 100; ++i) {
      make_file(mount / ("f" + std::to_string(i)));
    }
    const Tree before = tree_of(mount.root());
    mount.remount();
    CHECK(tree_difference(before, tree_of(mount.root())).empty());
    CHECK(inode_of(mount.root()) == 1);
  });
}

TEST_CASE("lifecycle: a full region: ENOSPC, nothing lost, deleting works") {
  on_each(pmemfs_kinds(), [](Kind kind) {
    Mount mount(kind == Kind::kFile ? MountSpec{kind, "allow_other", "32M"}
                                    : MountSpec{kind, "allow_other", "", "64M"});
    make_file(mount / "keeps", pattern(100'000, 1));
    NEED_OK(sys::mkdir(mount / "dir"));
    CHECK(fill_up(mount / "junk") == Errno{ENOSPC});
    // Names too, until nothing more goes.
    int made = 0;
    Errno result;
    while (made < 200'000 && result == Errno{}) {
      result = error_of(
          sys::symlink(std::string(1000, 't'), mount / ("dir/name" + std::to_string(made++))));
    }
    CHECK(result == Errno{ENOSPC});
    note_progress();
    EXPECT_ERRNO(ENOSPC, sys::symlink(std::string(1000, 't'), mount / "dir/last"));
    CHECK((content_of(mount / "keeps") == pattern(100'000, 1)));
    const Tree before = tree_of(mount.root(), {false, true, true, true});
    mount.remount();
    CHECK(tree_difference(before, tree_of(mount.root(), {false, true, true, true})).empty());
    mount.kill_and_remount();
    CHECK(tree_difference(before, tree_of(mount.root(), {false, true, true, true})).empty());
    for (const std::string& name : names_in(mount / "dir")) {
      REQUIRE(error_of(sys::unlink(mount / ("dir/" + name))) == Errno{});
    }
    EXPECT_OK(sys::rmdir(mount / "dir"));
    EXPECT_OK(sys::unlink(mount / "junk"));
    CHECK((content_of(mount / "keeps") == pattern(100'000, 1)));
    const UniqueFd fd = open_file(mount / "again", O_CREAT | O_RDWR);
    CHECK(soon([&] { return pwrite_all(fd.get(), pattern(8 * kMiB, 1), 0); }));
    CHECK((content_of(mount / "again") == pattern(8 * kMiB, 1)));
  });
}

TEST_CASE("lifecycle: a region is mounted once, and mkfs keeps off it") {
  on_each(pmemfs_kinds(), [](Kind kind) {
    Mount mount(MountSpec{kind});
    make_file(mount / "file", "content");
    const std::string second = scratch() + "/second" + std::to_string(static_cast<int>(kind));
    NEED_OK(sys::mkdir(second));
    const ProgramResult mounted =
        run_program({program("pmemfs"), mount.region(), second, "-o", "allow_other"});
    CHECK(mounted.status != 0);
    CHECK(std::count(mounted.output.begin(), mounted.output.end(), '\n') == 1);
    struct stat st {};
    NEED_OK(sys::lstat(second, st));
    CHECK(st.st_dev != stat_of(mount.root()).st_dev);
    const ProgramResult made =
        run_program({program("mkfs.pmemfs"), "--emulate", "--force", mount.region()});
    CHECK(made.status != 0);
    CHECK(std::count(made.output.begin(), made.output.end(), '\n') == 1);
    mount.remount();
    CHECK(content_of(mount / "file") == "content");
  });
}

TEST_CASE(
    "lifecycle: without -f the command returns when the mount is ready, and umount ends the "
    "daemon") {
  on_each(pmemfs_kinds(), [](Kind kind) {
    Mount mount(MountSpec{kind});
    make_file(mount / "file", "content");
    mount.unmount();
    const ProgramResult started =
        run_program({program("pmemfs"), mount.region(), mount.root(), "-o", "allow_other"});
    INFO(started.output);
    REQUIRE(started.status == 0);
    CHECK(content_of(mount / "file") == "content");
    NEED_OK(::umount2(mount.root().c_str(), 0));
    CHECK_FALSE(exists(mount / "file"));
    mount.mount();  // waits for the other daemon's lock
    CHECK(content_of(mount / "file") == "content");
  });
}

TEST_CASE("lifecycle: a busy mount is not unmounted") {
  on_each(pmemfs_kinds(), [](Kind kind) {
    Mount mount(MountSpec{kind});
    make_file(mount / "file", "content");
    const UniqueFd fd = open_file(mount / "file", O_RDONLY);
    EXPECT_ERRNO(EBUSY, ::umount2(mount.root().c_str(), 0));
    CHECK(content_of(mount / "file") == "content");
  });
}

TEST_CASE("lifecycle: SIGTERM ends the daemon in order") {
  on_each(pmemfs_kinds(), [](Kind kind) {
    Mount mount(MountSpec{kind});
    populate(mount);
    const Tree before = tree_of(mount.root());
    mount.end_daemon();
    CHECK_FALSE(exists(mount / "dir"));  // and the mount is gone with it
    mount.mount();
    CHECK(tree_difference(before, tree_of(mount.root())).empty());
  });
}

TEST_CASE("lifecycle: a read-only mount reads everything and changes nothing") {
  on_each(pmemfs_kinds(), [](Kind kind) {
    Mount mount(MountSpec{kind});
    populate(mount);
    const Tree before = tree_of(mount.root());
    mount.remount("allow_other,ro");
    CHECK(tree_difference(before, tree_of(mount.root())).empty());
    EXPECT_ERRNO(EROFS, sys::open(mount / "new", O_CREAT | O_RDWR));
    EXPECT_ERRNO(EROFS, sys::open(mount / "empty", O_RDWR));
    EXPECT_ERRNO(EROFS, sys::mkdir(mount / "new"));
    EXPECT_ERRNO(EROFS, sys::symlink("x", mount / "new"));
    EXPECT_ERRNO(EROFS, sys::mknod(mount / "new", S_IFIFO | 0644U));
    EXPECT_ERRNO(EROFS, sys::link(mount / "empty", mount / "new"));
    EXPECT_ERRNO(EROFS, sys::unlink(mount / "empty"));
    EXPECT_ERRNO(EROFS, sys::rmdir(mount / "dir"));
    EXPECT_ERRNO(EROFS, sys::rename(mount / "empty", mount / "new"));
    EXPECT_ERRNO(EROFS, sys::chmod(mount / "empty", 0600));
    EXPECT_ERRNO(EROFS, sys::lchown(mount / "empty", 1, 1));
    EXPECT_ERRNO(EROFS, sys::truncate(mount / "empty", 1));
    EXPECT_ERRNO(EROFS, ::utimensat(AT_FDCWD, (mount / "empty").c_str(), nullptr, 0));
    EXPECT_ERRNO(EROFS, sys::setxattr(mount / "empty", "user.a", "v"));
    EXPECT_ERRNO(EROFS, sys::removexattr(mount / "dir/file", "user.small"));
    EXPECT_ERRNO(EROFS, sys::access(mount / "empty", W_OK));
    EXPECT_OK(sys::access(mount / "empty", R_OK));
    mount.remount();
    CHECK(tree_difference(before, tree_of(mount.root())).empty());
  });
}

TEST_CASE("lifecycle: a crash is recovered by a read-only mount too") {
  on_each(pmemfs_kinds(), [](Kind kind) {
    Mount mount(MountSpec{kind});
    populate(mount);
    const Tree before = tree_of(mount.root());
    mount.kill_daemon();
    mount.detach();
    mount.mount("allow_other,ro");
    CHECK(tree_difference(before, tree_of(mount.root())).empty());
    mount.remount("allow_other");
    CHECK(tree_difference(before, tree_of(mount.root())).empty());
  });
}

}  // namespace pmemfs::test
