// Many clients, many handles, and a daemon that has little of what it needs, or stands still.

#include <sys/resource.h>
#include <sys/wait.h>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <memory>
#include <set>
#include <thread>

#include "mount/durable_support.hpp"
#include "support/mount_tree.hpp"

namespace pmemfs::test {
namespace {

constexpr std::size_t kClients = 200;
constexpr std::size_t kFiles = 3000;
constexpr TreeDetail kLasting{false, true, true, true};

std::string numbered(const std::string& stem, std::size_t i) {
  return stem + std::to_string(i);
}

// What is there outlives an orderly unmount, and is sound.
void check_remount(Mount& mount) {
  const Tree before = tree_of(mount.root(), kLasting);
  mount.unmount();
  mount.require_sound();
  mount.mount();
  const std::string difference = tree_difference(before, tree_of(mount.root(), kLasting));
  INFO(difference);
  CHECK(difference.empty());
}

// One client with a folder of its own, a bit of everything.
Errno live(const std::string& dir) {
  if (sys::mkdir(dir) < 0) {
    return Errno{errno};
  }
  for (std::size_t i = 0; i < 5; ++i) {
    const std::string file = numbered(dir + "/f", i);
    const UniqueFd fd(sys::open(file, O_CREAT | O_RDWR));
    if (!fd || !pwrite_all(fd.get(), pattern(3000, i), 0) || ::fsync(fd.get()) < 0 ||
        sys::rename(file, file + "renamed") < 0 || sys::link(file + "renamed", file) < 0 ||
        pread_some(fd.get(), 3000, 0) != pattern(3000, i) || sys::unlink(file + "renamed") < 0) {
      return Errno{errno == 0 ? EIO : errno};
    }
  }
  return Errno{names_in(dir).size() == 5 ? 0 : EIO};
}

// One more than the highest in use.
rlim_t descriptors_of(pid_t pid) {
  int most = 0;
  for (const std::string& name : names_in("/proc/" + std::to_string(pid) + "/fd")) {
    most = std::max(most, std::stoi(name));
  }
  return static_cast<rlim_t>(most) + 1;
}

std::uint64_t address_space_of(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/statm");
  std::uint64_t pages = 0;
  file >> pages;
  return pages * kPage;
}

// The soft limit, so that it can be raised again.
void limit(pid_t pid, __rlimit_resource resource, rlim_t value) {
  rlimit limits{};
  NEED_OK(::prlimit(pid, resource, nullptr, &limits));
  limits.rlim_cur = value;
  NEED_OK(::prlimit(pid, resource, &limits, nullptr));
}

// What a read of so many bytes from the start gives, or its errno.
std::string read_or_error(int fd, std::size_t size) {
  std::string text(size, '\0');
  const ssize_t n = ::pread(fd, text.data(), size, 0);
  text.resize(n < 0 ? 0 : static_cast<std::size_t>(n));
  return n < 0 ? ::strerrorname_np(errno) : text;
}

}  // namespace

TEST_CASE("load: a full region refuses what needs space, does what does not, and keeps the rest") {
  on_each(pmemfs_kinds(), [](Kind kind) {
    Mount mount(kind == Kind::kFile ? MountSpec{kind, "allow_other", "32M"}
                                    : MountSpec{kind, "allow_other", "", "64M"});
    NEED_OK(sys::mkdir(mount / "dir"));
    for (std::size_t i = 0; i < 20; ++i) {
      make_file(numbered(mount / "dir/f", i), pattern(10'000, i));
    }
    durable_file(mount / "durable", pattern(3 * kPage, 1));
    make_file(mount / "holes");
    NEED_OK(sys::truncate(mount / "holes", kMiB));
    make_file(mount / "other-holes");
    NEED_OK(sys::truncate(mount / "other-holes", kMiB));
    CHECK(fill_up(mount / "junk") == Errno{ENOSPC});
    const Tree before = tree_of(mount.root(), kLasting);

    const UniqueFd durable = open_file(mount / "durable", O_RDWR);
    const UniqueFd holes = open_file(mount / "holes", O_RDWR);
    EXPECT_ERRNO(ENOSPC, ::pwrite(durable.get(), pattern(kMiB, 1).data(), kMiB, 3 * kPage));
    EXPECT_ERRNO(ENOSPC, ::ftruncate(durable.get(), kMiB));
    EXPECT_ERRNO(ENOSPC, ::fallocate(durable.get(), 0, 0, kMiB));
    EXPECT_ERRNO(ENOSPC, ::fallocate(holes.get(), 0, 0, kMiB));
    EXPECT_ERRNO(ENOSPC, set_durable(mount / "other-holes"));
    std::string difference = tree_difference(before, tree_of(mount.root(), kLasting));
    INFO(difference);
    CHECK(difference.empty());

    // In place, and names: neither needs any.
    CHECK(pwrite_all(durable.get(), pattern(3 * kPage, 1), 0));
    EXPECT_OK(sys::rename(mount / "dir/f0", mount / "dir/g0"));
    EXPECT_OK(sys::rename(mount / "dir/g0", mount / "dir/f0"));
    EXPECT_OK(::fsync(durable.get()));
    difference = tree_difference(before, tree_of(mount.root(), kLasting));
    INFO(difference);
    CHECK(difference.empty());

    EXPECT_OK(sys::unlink(mount / "junk"));
    CHECK(once_idle([&] { return set_durable(mount / "dir/f1"); }) == Errno{});
    EXPECT_OK(::ftruncate(durable.get(), kMiB));
    EXPECT_OK(::fallocate(holes.get(), 0, 0, kMiB));
  });
}

TEST_CASE("load: thousands of open files, half of them unlinked") {
  on_each(pmemfs_kinds(), [](Kind kind) {
    Mount mount(MountSpec{kind, "allow_other", "128M"});
    rlimit files{};
    NEED_OK(::getrlimit(RLIMIT_NOFILE, &files));
    if (files.rlim_max < kFiles + 200) {
      PMEMFS_SKIP("needs a limit of 3200 open files (ulimit -Hn)");
    }
    CHECK(in_child([&] {
            const rlimit raised{files.rlim_max, files.rlim_max};
            ::setrlimit(RLIMIT_NOFILE, &raised);
            std::vector<UniqueFd> open;
            for (std::size_t i = 0; i < kFiles; ++i) {
              open.emplace_back(sys::open(numbered(mount / "f", i), O_CREAT | O_RDWR));
              if (!open.back() || !pwrite_all(open.back().get(), std::to_string(i), 0) ||
                  (i % 2 == 0 && sys::unlink(numbered(mount / "f", i)) < 0)) {
                return Errno{errno};
              }
            }
            for (std::size_t i = 0; i < kFiles; ++i) {
              if (pread_some(open[i].get(), 10, 0) != std::to_string(i)) {
                return Errno{EIO};
              }
            }
            return Errno{};
          }) == Errno{});
    CHECK(names_in(mount.root()).size() == kFiles / 2);
    check_remount(mount);
  });
}

TEST_CASE("load: hundreds of clients at once") {
  on_each(pmemfs_kinds(), [](Kind kind) {
    Mount mount(MountSpec{kind});
    std::vector<std::unique_ptr<Child>> clients;
    for (std::size_t i = 0; i < kClients; ++i) {
      clients.push_back(
          std::make_unique<Child>([&, i] { return live(numbered(mount / "client", i)); }));
    }
    for (const auto& client : clients) {
      CHECK(client->wait() == Errno{});
    }
    CHECK(names_in(mount.root()).size() == kClients);
    check_remount(mount);
  });
}

TEST_CASE("load: clients that are killed in the middle leave no handle and no half-made name") {
  on_each(pmemfs_kinds(), [](Kind kind) {
    Mount mount(MountSpec{kind});
    {
      std::vector<std::unique_ptr<Child>> clients;
      for (std::size_t i = 0; i < 20; ++i) {
        clients.push_back(std::make_unique<Child>([&, i] {
          for (std::size_t round = 0;; ++round) {
            const Errno result =
                live(numbered(mount / ("client" + std::to_string(i) + "-"), round));
            if (result.code != 0) {
              return result;
            }
          }
        }));
      }
      while (!exists(mount / "client7-2")) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
      for (const auto& client : clients) {
        client->kill();
      }
    }
    check_remount(mount);  // not EBUSY: nobody has anything open
  });
}

TEST_CASE("load: signals amid the operations of a client do no harm") {
  on_each(pmemfs_kinds(), [](Kind kind) {
    Mount mount(MountSpec{kind});
    CHECK(in_child([&] {
            struct sigaction action {};
            action.sa_handler = [](int) {
            };  // without SA_RESTART
            ::sigaction(SIGALRM, &action, nullptr);
            const itimerval every{{0, 300}, {0, 300}};
            ::setitimer(ITIMER_REAL, &every, nullptr);
            for (std::size_t i = 0; i < 50; ++i) {
              const Errno result = live(numbered(mount / "round", i));
              if (result.code != 0) {
                return result;
              }
            }
            return Errno{};
          }) == Errno{});
    CHECK(names_in(mount.root()).size() == 50);
    check_remount(mount);
  });
}

TEST_CASE("load: a daemon that stands still lets its clients wait, and then go on") {
  on_each(pmemfs_kinds(), [](Kind kind) {
    Mount mount(MountSpec{kind});
    NEED_OK(::kill(mount.daemon(), SIGSTOP));
    std::vector<std::unique_ptr<Child>> clients;
    for (std::size_t i = 0; i < 20; ++i) {
      clients.push_back(
          std::make_unique<Child>([&, i] { return live(numbered(mount / "client", i)); }));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    for (const auto& client : clients) {
      CHECK(::waitpid(client->pid(), nullptr, WNOHANG) == 0);  // none can have come to an end
    }
    // One that waits for an answer, too; it may have to wait for it still.
    NEED_OK(::kill(clients.front()->pid(), SIGKILL));
    NEED_OK(::kill(mount.daemon(), SIGCONT));
    CHECK(clients.front()->wait() == Errno{Errno::kSignalled + SIGKILL});
    for (std::size_t i = 1; i < clients.size(); ++i) {
      CHECK(clients[i]->wait() == Errno{});
    }
    check_remount(mount);
  });
}

TEST_CASE("load: a daemon with few descriptors says so, loses nothing, and recovers") {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  // It looks at memory through a pipe, and takes one that it cannot make for an object that is
  // none.
  PMEMFS_SKIP("needs a build without a sanitizer that wants descriptors of its own");
#endif
  constexpr std::size_t kOpened = 200;
  need_kind(Kind::kDirectory);  // on a file region an open file costs no descriptor
  Mount mount(MountSpec{Kind::kDirectory});
  for (std::size_t i = 0; i < kOpened; ++i) {
    make_file(numbered(mount / "f", i), std::to_string(i));
  }
  mount.remount();
  limit(mount.daemon(), RLIMIT_NOFILE, descriptors_of(mount.daemon()) + 20);
  {
    std::vector<UniqueFd> open;
    std::size_t refused = 0;
    for (std::size_t i = 0; i < kOpened; ++i) {
      open.emplace_back(sys::open(numbered(mount / "f", i), O_RDWR));
      const std::string text =
          open.back() ? read_or_error(open.back().get(), 10) : ::strerrorname_np(errno);
      refused += text == "EMFILE" ? std::size_t{1} : 0;
      CHECK((text == "EMFILE" || text == std::to_string(i)));
    }
    CHECK(refused > 0);
    CHECK(refused < kOpened);
    CHECK_FALSE(UniqueFd(sys::open(mount / "new", O_CREAT | O_RDWR)));
    CHECK_FALSE(exists(mount / "new"));
    limit(mount.daemon(), RLIMIT_NOFILE, 1000);
    for (std::size_t i = 0; i < kOpened; ++i) {
      CHECK((!open[i] || read_or_error(open[i].get(), 10) == std::to_string(i)));
    }
  }
  for (std::size_t i = 0; i < kOpened; ++i) {
    REQUIRE(content_of(numbered(mount / "f", i)) == std::to_string(i));
  }
  check_remount(mount);
}

TEST_CASE("load: a daemon without memory refuses with ENOMEM, and recovers") {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  PMEMFS_SKIP("needs a build without a sanitizer that reserves address space");
#endif
  on_each(pmemfs_kinds(), [](Kind kind) {
    Mount mount(MountSpec{kind});
    for (std::size_t i = 0; i < 100; ++i) {
      make_file(numbered(mount / "f", i), std::to_string(i));
    }
    mount.remount();
    limit(mount.daemon(), RLIMIT_AS, address_space_of(mount.daemon()));
    std::set<int> refusals;
    for (std::size_t round = 0; round < 20; ++round) {
      const int rc = sys::setxattr(numbered(mount / "f", round), "user.large", pattern(60'000, 1));
      refusals.insert(rc == 0 ? 0 : errno);
      std::vector<UniqueFd> open;
      for (std::size_t i = 0; i < 100; ++i) {
        open.emplace_back(sys::open(numbered(mount / "f", i), O_RDWR));
        refusals.insert(open.back() ? 0 : errno);
      }
    }
    refusals.erase(0);
    CHECK((refusals.empty() || refusals == std::set<int>{ENOMEM}));
    limit(mount.daemon(), RLIMIT_AS, RLIM_INFINITY);
    for (std::size_t i = 0; i < 100; ++i) {
      REQUIRE(content_of(numbered(mount / "f", i)) == std::to_string(i));
    }
    check_remount(mount);
  });
}

TEST_CASE("load: what a child has mapped pins a durable file until it executes another program") {
  need_kind(Kind::kDirectory);
  Mount mount(MountSpec{Kind::kDirectory});
  durable_file(mount / "file", std::string(4 * kPage, '.'));
  const Turnstile stored;
  const Turnstile go;
  std::unique_ptr<Child> child;
  {
    const UniqueFd fd = open_file(mount / "file", O_RDWR);
    const Mapped map(fd.get(), 4 * kPage);
    REQUIRE(map.error() == Errno{});
    child = std::make_unique<Child>([&] {
      map.store(kPage, "by the child");
      stored.let_pass();
      if (!go.wait_for_turn()) {
        return Errno{ETIMEDOUT};
      }
      ::execlp("sleep", "sleep", "1000", nullptr);
      return Errno{errno};
    });
    REQUIRE(stored.wait_for_turn());
    CHECK(map.text(kPage, 12) == "by the child");
  }
  EXPECT_ERRNO(EBUSY, clear_durable(mount / "file"));
  EXPECT_ERRNO(ETXTBSY, sys::truncate(mount / "file", 1));
  go.let_pass();
  CHECK(once_idle([&] { return clear_durable(mount / "file"); }) == Errno{});
  CHECK(content_of(mount / "file").substr(kPage, 12) == "by the child");
  child->kill();
  check_remount(mount);
}

}  // namespace pmemfs::test
