// Hard links, link counts and what the parents show.

#include <set>

#include "support/mount_fixture.hpp"

namespace pmemfs::test {
namespace {

constexpr long kExt4Magic = 0xef53;
constexpr nlink_t kMaxLinks = 65'000;

bool is_later(const timespec& later, const timespec& earlier) {
  return later.tv_sec > earlier.tv_sec ||
         (later.tv_sec == earlier.tv_sec && later.tv_nsec > earlier.tv_nsec);
}

// Both times of `dir` move by `change`, and not without it.
template <typename Change>
void check_moves_times(const std::string& dir, Change change) {
  const struct stat before = stat_of(dir);
  tick();
  change();
  const struct stat after = stat_of(dir);
  CHECK(is_later(after.st_mtim, before.st_mtim));
  CHECK(is_later(after.st_ctim, before.st_ctim));
}

}  // namespace

POSIX_CASE("link: one inode under several names") {
  make_file(place / "a", "one");
  NEED_OK(sys::mkdir(place / "d"));
  EXPECT_OK(sys::link(place / "a", place / "b"));
  EXPECT_OK(sys::link(place / "a", place / "d/c"));
  CHECK(links_of(place / "a") == 3);
  CHECK(inode_of(place / "b") == inode_of(place / "d/c"));
  const UniqueFd fd = open_file(place / "d/c", O_WRONLY | O_APPEND);
  CHECK(write_all(fd.get(), " more"));
  CHECK(content_of(place / "b") == "one more");
  EXPECT_OK(sys::chmod(place / "b", 0600));
  CHECK(mode_of(place / "a") == 0600);
  EXPECT_OK(sys::unlink(place / "a"));
  CHECK(links_of(place / "b") == 2);
  EXPECT_OK(sys::unlink(place / "b"));
  CHECK(links_of(place / "d/c") == 1);
  CHECK(content_of(place / "d/c") == "one more");
}

POSIX_CASE("link: of every type but a directory") {
  NEED_OK(sys::mknod(place / "fifo", S_IFIFO | 0644U));
  NEED_OK(sys::symlink("nowhere", place / "sym"));
  NEED_OK(sys::mkdir(place / "dir"));
  EXPECT_OK(sys::link(place / "fifo", place / "fifo2"));
  EXPECT_OK(sys::link(place / "sym", place / "sym2"));
  CHECK(S_ISLNK(stat_of(place / "sym2").st_mode));
  CHECK(links_of(place / "sym") == 2);
  EXPECT_ERRNO(EPERM, sys::link(place / "dir", place / "dir2"));
  EXPECT_ERRNO(ENOENT, ::linkat(AT_FDCWD, (place / "sym").c_str(), AT_FDCWD, (place / "x").c_str(),
                                AT_SYMLINK_FOLLOW));
  CHECK(links_of(place / "dir") == 2);
}

POSIX_CASE("link: its refusals") {
  make_file(place / "a");
  make_file(place / "b");
  NEED_OK(sys::mkdir(place / "dir"));
  EXPECT_ERRNO(EEXIST, sys::link(place / "a", place / "b"));
  EXPECT_ERRNO(EEXIST, sys::link(place / "a", place / "a"));
  EXPECT_ERRNO(EEXIST, sys::link(place / "a", place / "dir"));
  EXPECT_ERRNO(ENOENT, sys::link(place / "missing", place / "c"));
  EXPECT_ERRNO(ENOENT, sys::link(place / "a", place / "missing/c"));
  EXPECT_ERRNO(ENOTDIR, sys::link(place / "a/", place / "c"));
  EXPECT_ERRNO(ENOTDIR, sys::link(place / "a", place / "b/c"));
  EXPECT_ERRNO(ENAMETOOLONG, sys::link(place / "a", place / std::string(256, 'c')));
  EXPECT_ERRNO(EXDEV, sys::link("/proc/self/status", place / "c"));
  EXPECT_ERRNO(EXDEV, sys::rename(place / "a", "/proc/c"));
  CHECK(links_of(place / "a") == 1);
  NEED_OK(sys::mkdir(place / "closed"));
  NEED_OK(sys::lchown(place / "a", kAlice.uid, kAlice.gid));  // protected_hardlinks has no say
  EXPECT_ERRNO_AS(kAlice, EACCES, sys::link(place / "a", place / "closed/c"));
}

POSIX_CASE("link: 65 000 links, one more is EMLINK") {
  if (place.kind() == Kind::kDirectory || (!place.is_pmemfs() && !place.is_plain(kExt4Magic))) {
    return;  // names are the same on both kinds of region; tmpfs knows no limit
  }
  make_file(place / "one");
  const std::string base = place / "l";
  Errno result;
  nlink_t links = 1;
  for (; links <= kMaxLinks && result == Errno{}; ++links) {
    result = error_of(sys::link(place / "one", base + std::to_string(links)));
    if (links % 1000 == 0) {
      note_progress();
    }
  }
  CHECK(result == Errno{EMLINK});
  CHECK(links_of(place / "one") == kMaxLinks);
  EXPECT_OK(sys::unlink(base + "1"));
  EXPECT_OK(sys::link(place / "one", place / "again"));
  EXPECT_ERRNO(EMLINK, sys::link(place / "one", place / "over"));
}

POSIX_CASE("link counts: directories count their subdirectories") {
  NEED_OK(sys::mkdir(place / "p"));
  CHECK(links_of(place / "p") == 2);
  NEED_OK(sys::mkdir(place / "p/a"));
  NEED_OK(sys::mkdir(place / "p/b"));
  make_file(place / "p/file");
  CHECK(links_of(place / "p") == 4);
  NEED_OK(sys::rmdir(place / "p/a"));
  CHECK(links_of(place / "p") == 3);
  NEED_OK(sys::mkdir(place / "q"));
  NEED_OK(sys::rename(place / "p/b", place / "q/b"));
  CHECK(links_of(place / "p") == 2);
  CHECK(links_of(place / "q") == 3);
  NEED_OK(sys::rename(place / "q/b", place / "q/c"));
  CHECK(links_of(place / "q") == 3);
}

POSIX_CASE("parents: every making and removing moves mtime and ctime") {
  NEED_OK(sys::mkdir(place / "p"));
  make_file(place / "elsewhere");
  const std::string dir = place / "p";
  check_moves_times(dir, [&] { make_file(dir + "/file"); });
  check_moves_times(dir, [&] { NEED_OK(sys::mkdir(dir + "/dir")); });
  check_moves_times(dir, [&] { NEED_OK(sys::symlink("x", dir + "/sym")); });
  check_moves_times(dir, [&] { NEED_OK(sys::mknod(dir + "/fifo", S_IFIFO | 0644U)); });
  check_moves_times(dir, [&] { NEED_OK(sys::link(place / "elsewhere", dir + "/link")); });
  check_moves_times(dir, [&] { NEED_OK(sys::rename(dir + "/link", dir + "/link2")); });
  check_moves_times(dir, [&] { NEED_OK(sys::rename(dir + "/link2", place / "out")); });
  check_moves_times(dir, [&] { NEED_OK(sys::rename(place / "elsewhere", dir + "/in")); });
  check_moves_times(dir, [&] { NEED_OK(sys::unlink(dir + "/file")); });
  check_moves_times(dir, [&] { NEED_OK(sys::rmdir(dir + "/dir")); });
  check_moves_times(dir, [&] { NEED_OK(sys::rename(dir + "/in", dir + "/sym", RENAME_EXCHANGE)); });
}

POSIX_CASE("parents: what fails or only reads moves nothing") {
  make_file(place / "file");
  const struct stat before = stat_of(place.path());
  tick();
  EXPECT_ERRNO(EEXIST, sys::mkdir(place / "file"));
  EXPECT_ERRNO(ENOENT, sys::unlink(place / "missing"));
  static_cast<void>(open_file(place / "file", O_CREAT | O_RDWR | O_TRUNC));
  EXPECT_OK(sys::chmod(place / "file", 0600));
  static_cast<void>(names_in(place.path()));
  const struct stat after = stat_of(place.path());
  CHECK_FALSE(is_later(after.st_mtim, before.st_mtim));
  CHECK_FALSE(is_later(after.st_ctim, before.st_ctim));
}

POSIX_CASE("link and unlink move the ctime of the file, not its mtime") {
  make_file(place / "a");
  const auto check_ctime_only = [&](const std::string& path, auto change) {
    const struct stat before = stat_of(path);
    tick();
    change();
    const struct stat after = stat_of(path);
    CHECK(is_later(after.st_ctim, before.st_ctim));
    CHECK_FALSE(is_later(after.st_mtim, before.st_mtim));
  };
  check_ctime_only(place / "a", [&] { NEED_OK(sys::link(place / "a", place / "b")); });
  check_ctime_only(place / "a", [&] { NEED_OK(sys::rename(place / "b", place / "c")); });
  check_ctime_only(place / "a", [&] { NEED_OK(sys::unlink(place / "c")); });
}

POSIX_CASE("readdir: dot and dot-dot carry the right inodes") {
  NEED_OK(sys::mkdir(place / "p"));
  NEED_OK(sys::mkdir(place / "q"));
  NEED_OK(sys::mkdir(place / "p/d"));
  NEED_OK(sys::rename(place / "p/d", place / "q/d"));
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(::opendir((place / "q/d").c_str()), &::closedir);
  REQUIRE(stream);
  std::set<std::string> seen;
  while (const dirent* entry = ::readdir(stream.get())) {
    seen.insert(entry->d_name);
    CHECK(entry->d_type == DT_DIR);
    CHECK(entry->d_ino ==
          inode_of(std::string_view(entry->d_name) == "." ? place / "q/d" : place / "q"));
  }
  CHECK(seen == std::set<std::string>{".", ".."});
  CHECK(inode_of(place / "q/d/..") == inode_of(place / "q"));
}

}  // namespace pmemfs::test
