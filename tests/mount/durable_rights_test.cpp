// SEMANTICS row "set without the right …", and durable_max.

#include "mount/durable_support.hpp"

namespace pmemfs::test {
namespace {

Errno set_as(const User& user, const std::string& path) {
  return as_user(user, [&] { return error_of(set_durable(path)); });
}

Errno clear_as(const User& user, const std::string& path) {
  return as_user(user, [&] { return once_idle([&] { return clear_durable(path); }); });
}

std::string file_of(const Mount& mount, const std::string& name, const User& owner,
                    mode_t mode = 0644) {
  make_file(mount / name, "content");
  NEED_OK(sys::chmod(mount / name, mode));
  NEED_OK(sys::lchown(mount / name, owner.uid, owner.gid));
  return mount / name;
}

template <typename Test>
void with_mount(const std::string& options, Test test) {
  on_each(pmemfs_kinds(), [&](Kind kind) {
    const Mount mount(MountSpec{kind, "allow_other" + options});
    test(mount);
  });
}

}  // namespace

PMEMFS_CASE("set without the right: EPERM, and EACCES without write permission") {
  make_file(place / "own", "x");
  NEED_OK(sys::lchown(place / "own", kAlice.uid, kAlice.gid));
  make_file(place / "writable", "x", 0666);
  make_file(place / "readable", "x", 0644);
  durable_file(place / "durable");
  NEED_OK(sys::chmod(place / "durable", 0666));
  CHECK(set_as(kAlice, place / "own") == Errno{EPERM});
  CHECK(set_as(kAlice, place / "writable") == Errno{EPERM});
  CHECK(set_as(kAlice, place / "readable") == Errno{EACCES});
  CHECK(set_as(User{2001, 0}, place / "own") == Errno{EPERM});
  CHECK(set_as(User{2001, 2001, {0}}, place / "own") == Errno{EPERM});
  EXPECT_ERRNO_AS(kAlice, EPERM, sys::setxattr(place / "own", PMEMFS_XATTR_DURABLE_TRUSTED, "1"));
  EXPECT_ERRNO_AS(kAlice, EPERM, clear_durable(place / "durable"));
  EXPECT_ERRNO_AS(kAlice, EPERM, sys::removexattr(place / "durable", PMEMFS_XATTR_DURABLE));
  CHECK_FALSE(is_durable(place / "own"));
  CHECK(is_durable(place / "durable"));
  // Anyone may look.
  EXPECT_OK_AS(kAlice, sys::getxattr(place / "durable", PMEMFS_XATTR_DURABLE));
  EXPECT_OK_AS(kAlice, sys::getxattr(place / "durable", PMEMFS_XATTR_MAPPING));
}

TEST_CASE("set with the right: durable_uid") {
  with_mount(",durable_uid=2001", [](const Mount& mount) {
    const std::string file = file_of(mount, "file", kAlice);
    CHECK(set_as(kAlice, file) == Errno{});
    CHECK(clear_as(kAlice, file) == Errno{});
    CHECK(set_as(kAlice, file_of(mount, "roots", User{})) == Errno{EACCES});
    CHECK(set_as(kBob, file_of(mount, "bobs", kBob)) == Errno{EPERM});
    CHECK(set_as(User{2001, 0}, file_of(mount, "open", kBob, 0666)) == Errno{});
    EXPECT_OK(set_durable(mount / "bobs"));
    EXPECT_ERRNO_AS(kAlice, EPERM,
                    sys::setxattr(mount / "file", PMEMFS_XATTR_DURABLE_TRUSTED, "1"));
  });
}

TEST_CASE("set with the right: several users") {
  with_mount(",durable_uid=2001:2002", [](const Mount& mount) {
    CHECK(set_as(kAlice, file_of(mount, "alices", kAlice)) == Errno{});
    CHECK(set_as(kBob, file_of(mount, "bobs", kBob)) == Errno{});
    CHECK(set_as(User{2003, 2003}, file_of(mount, "others", User{2003, 2003})) == Errno{EPERM});
  });
}

TEST_CASE("set with the right: durable_gid, as the group or a supplementary one") {
  with_mount(",durable_gid=3000", [](const Mount& mount) {
    const std::string file = file_of(mount, "file", kAlice, 0666);
    CHECK(set_as(kAlice, file) == Errno{EPERM});
    CHECK(set_as(User{2001, 3000}, file) == Errno{});
    CHECK(clear_as(User{2001, 2001, {7, 3000, 9}}, file) == Errno{});
    CHECK(set_as(User{2001, 2001, {7, 3000, 9}}, file) == Errno{});
    CHECK(clear_as(User{2001, 2001, {3001}}, file) == Errno{EPERM});
    CHECK(set_as(User{3000, 2001}, file_of(mount, "uid", User{3000, 1})) == Errno{EPERM});
  });
}

TEST_CASE("set with the right: durable_all, still for files one may write") {
  with_mount(",durable_all", [](const Mount& mount) {
    CHECK(set_as(kAlice, file_of(mount, "alices", kAlice)) == Errno{});
    CHECK(set_as(kAlice, file_of(mount, "bobs", kBob)) == Errno{EACCES});
    CHECK(clear_as(kBob, mount / "alices") == Errno{EACCES});
    CHECK(clear_as(kAlice, mount / "alices") == Errno{});
  });
}

TEST_CASE("set on a read-only mount: EROFS") {
  on_each(pmemfs_kinds(), [&](Kind kind) {
    Mount mount(MountSpec{kind});
    durable_file(mount / "durable");
    make_file(mount / "file", "x");
    mount.remount("allow_other,ro");
    EXPECT_ERRNO(EROFS, set_durable(mount / "file"));
    EXPECT_ERRNO(EROFS, clear_durable(mount / "durable"));
    EXPECT_ERRNO(EROFS, sys::removexattr(mount / "durable", PMEMFS_XATTR_DURABLE));
    CHECK(is_durable(mount / "durable"));
    CHECK((content_of(mount / "durable") == pattern(64 * 1024, 1)));
  });
}

TEST_CASE("durable_max: what would pin more is EDQUOT and changes nothing") {
  with_mount(",durable_max=1M", [](const Mount& mount) {
    durable_file(mount / "a", pattern(600 * 1024, 1));
    make_file(mount / "b", pattern(600 * 1024, 2));
    CHECK(once_idle([&] { return set_durable(mount / "b"); }) == Errno{EDQUOT});
    CHECK_FALSE(is_durable(mount / "b"));
    make_file(mount / "sparse");
    NEED_OK(sys::truncate(mount / "sparse", 600 * 1024));
    CHECK(once_idle([&] { return set_durable(mount / "sparse"); }) == Errno{EDQUOT});
    CHECK(stat_of(mount / "sparse").st_blocks == 0);
    {
      const UniqueFd fd = open_file(mount / "a", O_RDWR);
      EXPECT_ERRNO(EDQUOT, ::ftruncate(fd.get(), 2 * kMiB));
      EXPECT_ERRNO(EDQUOT, ::fallocate(fd.get(), 0, 0, 2 * kMiB));
      EXPECT_ERRNO(EDQUOT, ::pwrite(fd.get(), "x", 1, 2 * kMiB));
      CHECK(stat_of(fd.get()).st_size == 600 * 1024);
      CHECK(pwrite_all(fd.get(), "inside is free", 0));
      EXPECT_OK(::ftruncate(fd.get(), 700 * 1024));
    }
    CHECK(once_idle([&] { return clear_durable(mount / "a"); }) == Errno{});
    EXPECT_OK(set_durable(mount / "b"));
    CHECK(once_idle([&] { return set_durable(mount / "a"); }) == Errno{EDQUOT});
    NEED_OK(sys::unlink(mount / "b"));
    Errno result{EDQUOT};
    for (int i = 0; i < 100 && result == Errno{EDQUOT}; ++i) {
      result = error_of(set_durable(mount / "a"));
      tick();
    }
    CHECK(result == Errno{});
  });
}

TEST_CASE("durable_max: by percent of the region, and files made in durable directories count") {
  on_each(only(Kind::kFile), [](Kind kind) {
    const Mount mount(MountSpec{kind, "allow_other,durable_max=10%", "256M"});  // about 25 MiB
    NEED_OK(sys::mkdir(mount / "dir"));
    NEED_OK(set_durable(mount / "dir"));
    const UniqueFd fd = open_file(mount / "dir/file", O_CREAT | O_RDWR);
    EXPECT_OK(::fallocate(fd.get(), 0, 0, 20 * kMiB));
    EXPECT_ERRNO(EDQUOT, ::fallocate(fd.get(), 0, 0, 30 * kMiB));
    CHECK(stat_of(fd.get()).st_size == 20 * kMiB);
  });
}

}  // namespace pmemfs::test
