// Files that are open and have no name, and a working directory that is gone.

#include "support/mount_fixture.hpp"

namespace pmemfs::test {
namespace {

std::string proc_path(const UniqueFd& fd) {
  return "/proc/self/fd/" + std::to_string(fd.get());
}

int link_by_fd(const UniqueFd& fd, const std::string& to) {
  return ::linkat(AT_FDCWD, proc_path(fd).c_str(), AT_FDCWD, to.c_str(), AT_SYMLINK_FOLLOW);
}

}  // namespace

POSIX_CASE("unlinked: an open file works on until it is closed") {
  make_file(place / "file", "before");
  const UniqueFd fd = open_file(place / "file", O_RDWR);
  EXPECT_OK(sys::unlink(place / "file"));
  CHECK(stat_of(fd.get()).st_nlink == 0);
  CHECK(pread_some(fd.get(), 100, 0) == "before");
  CHECK(pwrite_all(fd.get(), pattern(100'000, 1), 0));
  CHECK((pread_some(fd.get(), 100'000, 0) == pattern(100'000, 1)));
  EXPECT_OK(::ftruncate(fd.get(), 10));
  EXPECT_OK(::fchmod(fd.get(), 0600));
  EXPECT_OK(::fsync(fd.get()));
  EXPECT_OK(::fsetxattr(fd.get(), "user.late", "v", 1, 0));
  CHECK(stat_of(fd.get()).st_size == 10);
  CHECK((stat_of(fd.get()).st_mode & 07777U) == 0600);
  EXPECT_ERRNO(ENOENT, link_by_fd(fd, place / "back"));
  make_file(place / "file", "another");
  CHECK(inode_of(place / "file") != stat_of(fd.get()).st_ino);
  CHECK(stat_of(fd.get()).st_size == 10);
}

POSIX_CASE("unlinked: the data stays under rename over, opened once more by /proc") {
  make_file(place / "old", "old data");
  make_file(place / "new", "new data");
  const UniqueFd fd = open_file(place / "old", O_RDONLY);
  EXPECT_OK(sys::rename(place / "new", place / "old"));
  const UniqueFd again = open_file(proc_path(fd), O_RDWR);
  CHECK(pwrite_all(again.get(), "OLD", 0));
  CHECK(pread_some(fd.get(), 100, 0) == "OLD data");
  CHECK(content_of(place / "old") == "new data");
}

POSIX_CASE("unlinked: renamed while open, the handle follows") {
  make_file(place / "a", "x");
  NEED_OK(sys::mkdir(place / "d"));
  const UniqueFd fd = open_file(place / "a", O_RDWR);
  EXPECT_OK(sys::rename(place / "a", place / "d/b"));
  CHECK(pwrite_all(fd.get(), "through the handle", 0));
  CHECK(content_of(place / "d/b") == "through the handle");
}

POSIX_CASE("unlinked: a directory that is open") {
  NEED_OK(sys::mkdir(place / "d"));
  const UniqueFd fd = open_file(place / "d", O_RDONLY | O_DIRECTORY);
  EXPECT_OK(sys::rmdir(place / "d"));
  CHECK(stat_of(fd.get()).st_nlink == 0);
  EXPECT_ERRNO(ENOENT, ::mkdirat(fd.get(), "x", 0755));
  EXPECT_ERRNO(ENOENT, ::openat(fd.get(), "x", O_CREAT | O_RDWR, 0644));
}

POSIX_CASE("unlinked: the working directory is removed") {
  NEED_OK(sys::mkdir(place / "cwd"));
  const std::string cwd = place / "cwd";
  const auto in_removed = [&](auto call) {
    return in_child([&] {
      sys::mkdir(cwd);
      return sys::chdir(cwd) < 0 || sys::rmdir(cwd) < 0 ? Errno{254} : error_of(call());
    });
  };
  CHECK(in_removed([] { return sys::open("new", O_CREAT | O_RDWR); }) == Errno{ENOENT});
  CHECK(in_removed([] { return sys::mkdir("new"); }) == Errno{ENOENT});
  CHECK(in_removed([] { return sys::symlink("x", "new"); }) == Errno{ENOENT});
  CHECK(in_removed([] { return sys::open("old", O_RDONLY); }) == Errno{ENOENT});
  CHECK(in_removed([] { return ::getcwd(nullptr, 0) == nullptr ? -1 : 0; }) == Errno{ENOENT});
  CHECK(in_removed([] { return sys::open(".", O_RDONLY); }) == Errno{});
  CHECK(in_removed([] { return ::closedir(::opendir("..")); }) == Errno{});
  CHECK(in_removed([&] { return sys::rename(place.path(), "new"); }) != Errno{});
}

POSIX_CASE("tmpfile: nameless until linked") {
  const UniqueFd fd = open_file(place.path(), O_TMPFILE | O_RDWR, 0640);
  CHECK(names_in(place.path()).empty());
  CHECK(stat_of(fd.get()).st_nlink == 0);
  CHECK((stat_of(fd.get()).st_mode & 07777U) == 0640);
  CHECK(write_all(fd.get(), "content"));
  make_file(place / "taken");
  EXPECT_ERRNO(EEXIST, link_by_fd(fd, place / "taken"));
  EXPECT_OK(link_by_fd(fd, place / "name"));
  CHECK(stat_of(fd.get()).st_nlink == 1);
  CHECK(inode_of(place / "name") == stat_of(fd.get()).st_ino);
  CHECK(content_of(place / "name") == "content");
  EXPECT_OK(link_by_fd(fd, place / "second"));
  CHECK(links_of(place / "name") == 2);
}

POSIX_CASE("tmpfile: O_EXCL forbids linking, and the other refusals") {
  const UniqueFd fd = open_file(place.path(), O_TMPFILE | O_RDWR | O_EXCL, 0600);
  EXPECT_ERRNO(ENOENT, link_by_fd(fd, place / "name"));
  EXPECT_ERRNO(EINVAL, sys::open(place.path(), O_TMPFILE | O_RDONLY));
  make_file(place / "file");
  EXPECT_ERRNO(ENOTDIR, sys::open(place / "file", O_TMPFILE | O_RDWR));
  EXPECT_ERRNO(ENOENT, sys::open(place / "missing", O_TMPFILE | O_RDWR));
  EXPECT_ERRNO_AS(kAlice, EACCES, sys::open(place.path(), O_TMPFILE | O_RDWR));
}

POSIX_CASE("tmpfile: many at once, all separate") {
  std::vector<UniqueFd> files;
  for (std::uint64_t i = 0; i < 50; ++i) {
    files.push_back(open_file(place.path(), O_TMPFILE | O_RDWR, 0600));
    CHECK(write_all(files.back().get(), pattern(1000, i)));
  }
  for (std::uint64_t i = 0; i < 50; ++i) {
    CHECK((pread_some(files[i].get(), 2000, 0) == pattern(1000, i)));
  }
}

}  // namespace pmemfs::test
