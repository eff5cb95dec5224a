// chmod, chown, umask, setgid directories, access(2).

#include "support/mount_fixture.hpp"

namespace pmemfs::test {
namespace {

const User kAliceWithGroup{2001, 2001, {3000}};

// A file of Alice's with this mode.
std::string alices_file(const Place& place, const std::string& name, mode_t mode,
                        gid_t gid = kAlice.gid) {
  make_file(place / name, "content");
  NEED_OK(sys::lchown(place / name, kAlice.uid, gid));
  NEED_OK(sys::chmod(place / name, mode));
  return place / name;
}

int with_umask(mode_t mask, const std::function<int()>& call) {
  const mode_t old = ::umask(mask);
  const int result = call();
  ::umask(old);
  return result;
}

int create(const std::string& path, mode_t mode) {
  const int fd = sys::open(path, O_CREAT | O_EXCL | O_WRONLY, mode);
  return fd < 0 ? -1 : ::close(fd);
}

}  // namespace

POSIX_CASE("chmod: all twelve bits, on files and directories") {
  make_file(place / "file");
  NEED_OK(sys::mkdir(place / "dir"));
  for (const mode_t mode : {0U, 0777U, 0640U, 04755U, 02755U, 01777U, 06777U, 07777U, 0400U}) {
    for (const char* name : {"file", "dir"}) {
      EXPECT_OK(sys::chmod(place / name, mode));
      CHECK(mode_of(place / name) == mode);
    }
  }
  CHECK(S_ISREG(stat_of(place / "file").st_mode));
  EXPECT_ERRNO(ENOENT, sys::chmod(place / "missing", 0644));
  EXPECT_ERRNO(ENOTDIR, sys::chmod(place / "file/x", 0644));
}

POSIX_CASE("chmod: the owner and root may") {
  const std::string file = alices_file(place, "file", 0644);
  EXPECT_OK_AS(kAlice, sys::chmod(file, 0600));
  EXPECT_ERRNO_AS(kBob, EPERM, sys::chmod(file, 0666));
  CHECK(mode_of(file) == 0600);
  EXPECT_OK(sys::chmod(file, 0644));
}

POSIX_CASE("chmod: setgid needs membership of the file's group") {
  const std::string file = alices_file(place, "file", 0755, 3000);
  EXPECT_OK_AS(kAlice, sys::chmod(file, 02755));
  CHECK(mode_of(file) == 0755);
  EXPECT_OK_AS(kAliceWithGroup, sys::chmod(file, 02755));
  CHECK(mode_of(file) == 02755);
}

POSIX_CASE("chown: who may what") {
  const std::string file = alices_file(place, "file", 0644);
  EXPECT_ERRNO_AS(kAlice, EPERM, sys::lchown(file, kBob.uid, static_cast<gid_t>(-1)));
  EXPECT_ERRNO_AS(kAlice, EPERM, sys::lchown(file, static_cast<uid_t>(-1), 3000));
  EXPECT_OK_AS(kAliceWithGroup, sys::lchown(file, static_cast<uid_t>(-1), 3000));
  CHECK(stat_of(file).st_gid == 3000);
  EXPECT_OK_AS(kAliceWithGroup, sys::lchown(file, kAlice.uid, kAlice.gid));
  EXPECT_ERRNO_AS(kBob, EPERM, sys::lchown(file, kBob.uid, kBob.gid));
  EXPECT_ERRNO_AS(kBob, EPERM, sys::lchown(file, kAlice.uid, kAlice.gid));
  EXPECT_OK(sys::lchown(file, 4'000'000'000U, 4'000'000'001U));
  CHECK(stat_of(file).st_uid == 4'000'000'000U);
  CHECK(stat_of(file).st_gid == 4'000'000'001U);
  EXPECT_OK(sys::lchown(file, static_cast<uid_t>(-1), 7));
  CHECK(stat_of(file).st_uid == 4'000'000'000U);
  CHECK(stat_of(file).st_gid == 7);
}

POSIX_CASE("chown: of a symlink is its own") {
  make_file(place / "file");
  NEED_OK(sys::symlink("file", place / "link"));
  EXPECT_OK(sys::lchown(place / "link", 5, 6));
  CHECK(stat_of(place / "link").st_uid == 5);
  CHECK(stat_of(place / "file").st_uid == 0);
}

POSIX_CASE("chown: clears suid and sgid of what is executable, also for root") {
  for (const bool by_root : {true, false}) {
    INFO("by root: " << by_root);
    const std::string name = by_root ? "root" : "alice";
    const std::string file = alices_file(place, name, 06755);
    const auto chown = [&](uid_t uid, gid_t gid) {
      return as_user(by_root ? User{} : kAliceWithGroup,
                     [&] { return error_of(sys::lchown(file, uid, gid)); });
    };
    CHECK(chown(static_cast<uid_t>(-1), 3000) == Errno{});
    CHECK(mode_of(file) == 0755);
    NEED_OK(sys::chmod(file, 06711));
    CHECK(chown(kAlice.uid, 3000) == Errno{});
    CHECK(mode_of(file) == 0711);
    NEED_OK(sys::chmod(file, 06777));
    CHECK(chown(static_cast<uid_t>(-1), static_cast<gid_t>(-1)) == Errno{});
    CHECK(mode_of(file) == 0777);
  }
  NEED_OK(sys::mkdir(place / "dir"));
  NEED_OK(sys::chmod(place / "dir", 06755));
  EXPECT_OK(sys::lchown(place / "dir", 5, 6));
  CHECK(mode_of(place / "dir") == 06755);
}

POSIX_CASE("umask: of all that makes inodes") {
  for (const mode_t mask : {0U, 022U, 027U, 0777U}) {
    INFO("umask " << std::oct << mask);
    const std::string suffix = std::to_string(mask);
    EXPECT_OK(with_umask(mask, [&] { return create(place / ("f" + suffix), 0666); }));
    EXPECT_OK(with_umask(mask, [&] { return sys::mkdir(place / ("d" + suffix), 0777); }));
    EXPECT_OK(
        with_umask(mask, [&] { return sys::mknod(place / ("p" + suffix), S_IFIFO | 0666U); }));
    EXPECT_OK(
        with_umask(mask, [&] { return sys::mknod(place / ("r" + suffix), S_IFREG | 04777U); }));
    CHECK(mode_of(place / ("f" + suffix)) == (0666U & ~mask));
    CHECK(mode_of(place / ("d" + suffix)) == (0777U & ~mask));
    CHECK(mode_of(place / ("p" + suffix)) == (0666U & ~mask));
    CHECK(mode_of(place / ("r" + suffix)) == (04777U & ~mask));
    UniqueFd tmp;
    with_umask(mask, [&] {
      tmp.reset(sys::open(place.path(), O_TMPFILE | O_RDWR, 0666));
      return 0;
    });
    REQUIRE(tmp);
    CHECK((stat_of(tmp.get()).st_mode & 07777U) == (0666U & ~mask));
    EXPECT_OK(with_umask(mask, [&] { return sys::symlink("x", place / ("s" + suffix)); }));
    CHECK(mode_of(place / ("s" + suffix)) == 0777);
  }
}

POSIX_CASE("new files belong to who makes them") {
  NEED_OK(sys::chmod(place.path(), 0777));
  EXPECT_OK_AS(kAlice, create(place / "f", 0644));
  EXPECT_OK_AS(kAlice, sys::mkdir(place / "d"));
  EXPECT_OK_AS(kAlice, sys::symlink("x", place / "s"));
  for (const char* name : {"f", "d", "s"}) {
    CHECK(stat_of(place / name).st_uid == kAlice.uid);
    CHECK(stat_of(place / name).st_gid == kAlice.gid);
  }
}

POSIX_CASE("a setgid directory gives its group, and itself to subdirectories") {
  NEED_OK(sys::mkdir(place / "g"));
  NEED_OK(sys::lchown(place / "g", 0, 3000));
  NEED_OK(sys::chmod(place / "g", 02777));
  EXPECT_OK_AS(kAlice, create(place / "g/f", 0644));
  EXPECT_OK_AS(kAlice, sys::mkdir(place / "g/d", 0755));
  EXPECT_OK_AS(kAlice, sys::symlink("x", place / "g/s"));
  EXPECT_OK_AS(kAlice, sys::mknod(place / "g/p", S_IFIFO | 0644U));
  for (const char* name : {"g/f", "g/d", "g/s", "g/p"}) {
    INFO(name);
    CHECK(stat_of(place / name).st_gid == 3000);
    CHECK(stat_of(place / name).st_uid == kAlice.uid);
  }
  CHECK(mode_of(place / "g/d") == 02755);
  CHECK(mode_of(place / "g/f") == 0644);
  // Asking for the bit on an executable in a group one is not in: dropped.
  EXPECT_OK_AS(kAlice, create(place / "g/x", 02755));
  CHECK(mode_of(place / "g/x") == 0755);
  EXPECT_OK_AS(kAliceWithGroup, create(place / "g/y", 02755));
  CHECK(mode_of(place / "g/y") == 02755);
  EXPECT_OK_AS(kAlice, sys::mknod(place / "g/z", S_IFREG | 02755U));
  CHECK(mode_of(place / "g/z") == 0755);
  const UniqueFd tmp = open_file(place / "g", O_TMPFILE | O_RDWR);
  CHECK(stat_of(tmp.get()).st_gid == 3000);
}

POSIX_CASE("access: by owner, group, supplementary group and others") {
  const std::string file = alices_file(place, "file", 0740, 3000);
  EXPECT_OK_AS(kAlice, sys::access(file, R_OK | W_OK | X_OK));
  EXPECT_OK_AS((User{2009, 3000}), sys::access(file, R_OK));
  EXPECT_OK_AS((User{2009, 2009, {1, 3000}}), sys::access(file, R_OK));
  EXPECT_ERRNO_AS((User{2009, 2009, {1, 3000}}), EACCES, sys::access(file, W_OK));
  EXPECT_ERRNO_AS(kBob, EACCES, sys::access(file, R_OK));
  EXPECT_OK_AS(kBob, sys::access(file, F_OK));
  EXPECT_ERRNO_AS(kBob, EACCES, sys::open(file, O_RDONLY));
  EXPECT_OK_AS((User{2009, 2009, {3000}}), sys::open(file, O_RDONLY));
  EXPECT_ERRNO_AS((User{2009, 2009, {3000}}), EACCES, sys::open(file, O_RDWR));
  // The owner's bits count for the owner, even where the group's would give more.
  NEED_OK(sys::chmod(file, 0070));
  EXPECT_ERRNO_AS(kAliceWithGroup, EACCES, sys::open(file, O_RDONLY));
  EXPECT_OK(sys::access(file, R_OK | W_OK));
  NEED_OK(sys::chmod(file, 0666));
  EXPECT_ERRNO(EACCES, sys::access(file, X_OK));
  EXPECT_ERRNO(ENOENT, sys::access(place / "missing", F_OK));
}

POSIX_CASE("access: a changed mode counts at once for another user") {
  const std::string file = alices_file(place, "file", 0644);
  EXPECT_OK_AS(kBob, sys::open(file, O_RDONLY));
  NEED_OK(sys::chmod(file, 0600));
  EXPECT_ERRNO_AS(kBob, EACCES, sys::open(file, O_RDONLY));
  NEED_OK(sys::lchown(file, kBob.uid, kBob.gid));
  EXPECT_OK_AS(kBob, sys::open(file, O_RDWR));
  EXPECT_ERRNO_AS(kAlice, EACCES, sys::open(file, O_RDWR));
}

POSIX_CASE("access: search permission on the way") {
  NEED_OK(sys::mkdir(place / "d", 0711));
  make_file(place / "d/file", "x", 0644);
  EXPECT_OK_AS(kBob, sys::open(place / "d/file", O_RDONLY));
  EXPECT_ERRNO_AS(kBob, EACCES, sys::open(place / "d", O_RDONLY | O_DIRECTORY));
  NEED_OK(sys::chmod(place / "d", 0744));
  EXPECT_ERRNO_AS(kBob, EACCES, sys::open(place / "d/file", O_RDONLY));
  EXPECT_OK_AS(kBob, sys::open(place / "d", O_RDONLY | O_DIRECTORY));
}

}  // namespace pmemfs::test
