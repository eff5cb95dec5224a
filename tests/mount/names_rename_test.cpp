// rename2 with all its flags.

#include <sys/sysmacros.h>

#include "support/mount_fixture.hpp"

namespace pmemfs::test {

POSIX_CASE("rename: to a new name, in and across directories") {
  make_file(place / "a", "content");
  NEED_OK(sys::mkdir(place / "d"));
  const ino_t inode = inode_of(place / "a");
  EXPECT_OK(sys::rename(place / "a", place / "b"));
  CHECK_FALSE(exists(place / "a"));
  EXPECT_OK(sys::rename(place / "b", place / "d/c"));
  CHECK(inode_of(place / "d/c") == inode);
  CHECK(content_of(place / "d/c") == "content");
  CHECK(links_of(place / "d/c") == 1);
  CHECK(names_in(place.path()) == std::vector<std::string>{"d"});
}

POSIX_CASE("rename: over a file frees the old one") {
  make_file(place / "new", "new");
  make_file(place / "old", "old");
  const UniqueFd held = open_file(place / "old", O_RDWR);
  EXPECT_OK(sys::rename(place / "new", place / "old"));
  CHECK(content_of(place / "old") == "new");
  CHECK(stat_of(held.get()).st_nlink == 0);
  CHECK(pread_some(held.get(), 10, 0) == "old");
  CHECK(names_in(place.path()) == std::vector<std::string>{"old"});
}

POSIX_CASE("rename: over one of several links leaves the others") {
  make_file(place / "target", "t");
  NEED_OK(sys::link(place / "target", place / "other"));
  make_file(place / "source", "s");
  EXPECT_OK(sys::rename(place / "source", place / "target"));
  CHECK(links_of(place / "other") == 1);
  CHECK(content_of(place / "other") == "t");
  CHECK(content_of(place / "target") == "s");
}

POSIX_CASE("rename: two names of one inode stay both") {
  make_file(place / "a");
  NEED_OK(sys::mkdir(place / "d"));
  NEED_OK(sys::link(place / "a", place / "d/b"));
  EXPECT_OK(sys::rename(place / "a", place / "d/b"));
  EXPECT_OK(sys::rename(place / "a", place / "a"));
  CHECK(exists(place / "a"));
  CHECK(links_of(place / "d/b") == 2);
  EXPECT_ERRNO(EEXIST, sys::rename(place / "a", place / "d/b", RENAME_NOREPLACE));
}

POSIX_CASE("rename: directories over directories") {
  NEED_OK(sys::mkdir(place / "src"));
  make_file(place / "src/file");
  NEED_OK(sys::mkdir(place / "empty"));
  NEED_OK(sys::mkdir(place / "full"));
  make_file(place / "full/file");
  EXPECT_ERRNO(ENOTEMPTY, sys::rename(place / "src", place / "full"));
  EXPECT_OK(sys::rename(place / "src", place / "empty"));
  CHECK(names_in(place / "empty") == std::vector<std::string>{"file"});
  CHECK_FALSE(exists(place / "src"));
  CHECK(links_of(place.path()) == 4);
}

POSIX_CASE("rename: files and directories do not replace each other") {
  make_file(place / "file");
  NEED_OK(sys::mkdir(place / "dir"));
  NEED_OK(sys::symlink("dir", place / "link"));
  EXPECT_ERRNO(EISDIR, sys::rename(place / "file", place / "dir"));
  EXPECT_ERRNO(ENOTDIR, sys::rename(place / "dir", place / "file"));
  EXPECT_ERRNO(ENOTDIR, sys::rename(place / "dir", place / "link"));
  EXPECT_ERRNO(ENOTDIR, sys::rename(place / "file", place / "new/"));
  EXPECT_OK(sys::rename(place / "dir", place / "new/"));
  EXPECT_OK(sys::rename(place / "file", place / "link"));
  CHECK(S_ISREG(stat_of(place / "link").st_mode));
}

POSIX_CASE("rename: into its own subtree, of dot, and other nonsense") {
  NEED_OK(sys::mkdir(place / "a"));
  NEED_OK(sys::mkdir(place / "a/b"));
  NEED_OK(sys::mkdir(place / "a/b/c"));
  EXPECT_ERRNO(EINVAL, sys::rename(place / "a", place / "a/b/new"));
  EXPECT_ERRNO(EINVAL, sys::rename(place / "a", place / "a/b"));
  EXPECT_ERRNO(EINVAL, sys::rename(place / "a", place / "a/b/c", RENAME_EXCHANGE));
  EXPECT_ERRNO(EINVAL, sys::rename(place / "a/b/c", place / "a", RENAME_EXCHANGE));
  EXPECT_ERRNO(ENOTEMPTY, sys::rename(place / "a/b/c", place / "a"));
  EXPECT_ERRNO(EBUSY, sys::rename(place / "a/.", place / "new"));
  EXPECT_ERRNO(EBUSY, sys::rename(place / "a/b/..", place / "new"));
  EXPECT_ERRNO(EBUSY, sys::rename(place / "a", place / "a/b/.."));
  EXPECT_ERRNO(ENOENT, sys::rename(place / "missing", place / "new"));
  EXPECT_ERRNO(ENOENT, sys::rename(place / "a", place / "missing/new"));
  EXPECT_ERRNO(ENAMETOOLONG, sys::rename(place / "a", place / std::string(256, 'n')));
  EXPECT_ERRNO(ENAMETOOLONG, sys::rename(place / std::string(256, 'n'), place / "n"));
  CHECK(exists(place / "a/b/c"));
}

POSIX_CASE("rename: a directory moved elsewhere has a new parent") {
  NEED_OK(sys::mkdir(place / "p"));
  NEED_OK(sys::mkdir(place / "q"));
  NEED_OK(sys::mkdir(place / "q/empty"));
  NEED_OK(sys::mkdir(place / "p/d"));
  make_file(place / "p/d/file");
  EXPECT_OK(sys::rename(place / "p/d", place / "q/empty"));
  CHECK(links_of(place / "p") == 2);
  CHECK(links_of(place / "q") == 3);
  CHECK(inode_of(place / "q/empty/..") == inode_of(place / "q"));
  CHECK(exists(place / "q/empty/file"));
  // A directory of another user needs write permission itself: its ".." changes.
  NEED_OK(sys::mkdir(place / "theirs"));
  NEED_OK(sys::mkdir(place / "theirs/locked", 0555));
  for (const char* name : {"theirs", "theirs/locked", "q"}) {
    NEED_OK(sys::lchown(place / name, kAlice.uid, kAlice.gid));
  }
  EXPECT_ERRNO_AS(kAlice, EACCES, sys::rename(place / "theirs/locked", place / "q/locked"));
  EXPECT_OK_AS(kAlice, sys::rename(place / "theirs/locked", place / "theirs/still"));
}

POSIX_CASE("rename NOREPLACE") {
  make_file(place / "a", "a");
  make_file(place / "b", "b");
  NEED_OK(sys::mkdir(place / "dir"));
  EXPECT_ERRNO(EEXIST, sys::rename(place / "a", place / "b", RENAME_NOREPLACE));
  EXPECT_ERRNO(EEXIST, sys::rename(place / "a", place / "dir", RENAME_NOREPLACE));
  EXPECT_ERRNO(EEXIST, sys::rename(place / "a", place / "a", RENAME_NOREPLACE));
  EXPECT_OK(sys::rename(place / "a", place / "c", RENAME_NOREPLACE));
  CHECK(content_of(place / "c") == "a");
  CHECK(content_of(place / "b") == "b");
}

POSIX_CASE("rename EXCHANGE swaps two names of any types") {
  make_file(place / "a", "a");
  make_file(place / "b", "b");
  NEED_OK(sys::mkdir(place / "p"));
  NEED_OK(sys::mkdir(place / "q"));
  NEED_OK(sys::mkdir(place / "p/dir"));
  make_file(place / "p/dir/inner");
  make_file(place / "q/file", "file");
  EXPECT_OK(sys::rename(place / "a", place / "b", RENAME_EXCHANGE));
  CHECK(content_of(place / "a") == "b");
  CHECK(content_of(place / "b") == "a");
  EXPECT_OK(sys::rename(place / "p/dir", place / "q/file", RENAME_EXCHANGE));
  CHECK(content_of(place / "p/dir") == "file");
  CHECK(exists(place / "q/file/inner"));
  CHECK(links_of(place / "p") == 2);
  CHECK(links_of(place / "q") == 3);
  CHECK(inode_of(place / "q/file/..") == inode_of(place / "q"));
  EXPECT_ERRNO(ENOENT, sys::rename(place / "a", place / "missing", RENAME_EXCHANGE));
  EXPECT_ERRNO(ENOENT, sys::rename(place / "missing", place / "a", RENAME_EXCHANGE));
  EXPECT_OK(sys::rename(place / "a", place / "a", RENAME_EXCHANGE));
  // Two directories of different parents.
  NEED_OK(sys::mkdir(place / "p/one"));
  NEED_OK(sys::mkdir(place / "q/two"));
  NEED_OK(sys::mkdir(place / "q/two/deep"));
  EXPECT_OK(sys::rename(place / "p/one", place / "q/two", RENAME_EXCHANGE));
  CHECK(exists(place / "p/one/deep"));
  CHECK(inode_of(place / "p/one/..") == inode_of(place / "p"));
  CHECK(links_of(place / "p") == 3);
  CHECK(links_of(place / "q") == 4);
}

POSIX_CASE("rename WHITEOUT leaves a 0:0 character device behind") {
  make_file(place / "a", "a");
  make_file(place / "b", "b");
  EXPECT_OK(sys::rename(place / "a", place / "c", RENAME_WHITEOUT));
  CHECK(content_of(place / "c") == "a");
  CHECK(S_ISCHR(stat_of(place / "a").st_mode));
  CHECK(stat_of(place / "a").st_rdev == makedev(0, 0));
  EXPECT_OK(sys::rename(place / "b", place / "c", RENAME_WHITEOUT));
  CHECK(content_of(place / "c") == "b");
  CHECK(S_ISCHR(stat_of(place / "b").st_mode));
  NEED_OK(sys::mkdir(place / "d"));
  EXPECT_OK(sys::rename(place / "d", place / "e", RENAME_WHITEOUT));
  CHECK(S_ISCHR(stat_of(place / "d").st_mode));
  CHECK(links_of(place.path()) == 3);
}

POSIX_CASE("rename: flags that do not go together are EINVAL") {
  make_file(place / "a");
  make_file(place / "b");
  EXPECT_ERRNO(EINVAL, sys::rename(place / "a", place / "b", RENAME_NOREPLACE | RENAME_EXCHANGE));
  EXPECT_ERRNO(EINVAL, sys::rename(place / "a", place / "b", RENAME_WHITEOUT | RENAME_EXCHANGE));
  EXPECT_ERRNO(EINVAL, sys::rename(place / "a", place / "b", 1U << 10U));
  EXPECT_ERRNO(EEXIST, sys::rename(place / "a", place / "b", RENAME_NOREPLACE | RENAME_WHITEOUT));
  EXPECT_OK(sys::rename(place / "a", place / "c", RENAME_NOREPLACE | RENAME_WHITEOUT));
}

POSIX_CASE("rename: write a temporary, rename it over, many times") {
  make_file(place / "current", "0");
  for (int i = 1; i <= 200; ++i) {
    const std::string content = pattern(static_cast<std::size_t>(i), 7);
    make_file(place / "temporary", content);
    NEED_OK(sys::rename(place / "temporary", place / "current"));
    REQUIRE((content_of(place / "current") == content));
  }
  CHECK(names_in(place.path()).size() == 1);
}

}  // namespace pmemfs::test
