// POSIX ACLs, in the form the kernel takes them.

#include "support/acl_text.hpp"
#include "support/mount_fixture.hpp"

namespace pmemfs::test {
namespace {

const char* const kNamed = "u::rw- u:2001:rw- g::r-- m::rw- o::---";

int set_acl(const std::string& path, const std::string& text, const char* which = kAccessAcl) {
  return sys::setxattr(path, which, acl(text));
}

std::string acl_of(const std::string& path, const char* which = kAccessAcl) {
  return decode_acl(xattr_of(path, which));
}

int create(const std::string& path, mode_t mode) {
  const int fd = sys::open(path, O_CREAT | O_EXCL | O_WRONLY, mode);
  return fd < 0 ? -1 : ::close(fd);
}

}  // namespace

TEST_CASE("the test's own ACL encoder agrees with setfacl's bytes") {
  // What `setfacl -m u:2001:rw file` stores.
  const std::string bytes(
      "\2\0\0\0\1\0\6\0\xff\xff\xff\xff\2\0\6\0\xd1\7\0\0\4\0\4\0\xff\xff\xff\xff\x10\0\6\0"
      "\xff\xff\xff\xff\x20\0\0\0\xff\xff\xff\xff",
      44);
  CHECK((acl(kNamed) == bytes));
  CHECK((encode_acl({{AclTag::kUserObj, 6},
                     {AclTag::kUser, 6, 2001},
                     {AclTag::kGroupObj, 4},
                     {AclTag::kMask, 6},
                     {AclTag::kOther, 0}}) == bytes));
  CHECK(decode_acl(bytes) == kNamed);
}

POSIX_CASE("acl: what is set is what is found, and the mode shows the mask") {
  make_file(place / "file", "x", 0640);
  EXPECT_ERRNO(ENODATA, sys::getxattr(place / "file", kAccessAcl));
  EXPECT_OK(set_acl(place / "file", kNamed));
  CHECK(acl_of(place / "file") == kNamed);
  CHECK(mode_of(place / "file") == 0660);
  EXPECT_OK(
      set_acl(place / "file", "u::rwx u:2001:r-- u:2002:--- g::r-- g:3000:rwx m::rwx o::r--"));
  CHECK(acl_of(place / "file") == "u::rwx u:2001:r-- u:2002:--- g::r-- g:3000:rwx m::rwx o::r--");
  CHECK(mode_of(place / "file") == 0774);
  CHECK(xattr_names_of(place / "file") == std::vector<std::string>{kAccessAcl});
}

POSIX_CASE("acl: chmod changes the mask, and owner and other entries") {
  make_file(place / "file", "x", 0640);
  NEED_OK(set_acl(place / "file", kNamed));
  EXPECT_OK(sys::chmod(place / "file", 0715));
  CHECK(acl_of(place / "file") == "u::rwx u:2001:rw- g::r-- m::--x o::r-x");
  CHECK(mode_of(place / "file") == 0715);
  EXPECT_ERRNO_AS(kAlice, EACCES, sys::open(place / "file", O_RDONLY));
  EXPECT_OK(sys::chmod(place / "file", 0640));
  EXPECT_OK_AS(kAlice, sys::open(place / "file", O_RDONLY));
  EXPECT_ERRNO_AS(kAlice, EACCES, sys::open(place / "file", O_RDWR));
}

POSIX_CASE("acl: a minimal one is only the mode") {
  make_file(place / "file", "x", 0640);
  NEED_OK(set_acl(place / "file", kNamed));
  EXPECT_OK(set_acl(place / "file", "u::rwx g::r-x o::--x"));
  EXPECT_ERRNO(ENODATA, sys::getxattr(place / "file", kAccessAcl));
  CHECK(xattr_names_of(place / "file").empty());
  CHECK(mode_of(place / "file") == 0751);
  EXPECT_OK(sys::chmod(place / "file", 0644));
  CHECK(mode_of(place / "file") == 0644);
}

POSIX_CASE("acl: removal") {
  make_file(place / "file", "x", 0640);
  NEED_OK(set_acl(place / "file", kNamed));
  EXPECT_OK(sys::removexattr(place / "file", kAccessAcl));
  EXPECT_ERRNO(ENODATA, sys::getxattr(place / "file", kAccessAcl));
  CHECK(mode_of(place / "file") == 0660);
  EXPECT_ERRNO_AS(kAlice, EACCES, sys::open(place / "file", O_RDONLY));
  NEED_OK(sys::mkdir(place / "dir"));
  NEED_OK(set_acl(place / "dir", kNamed, kDefaultAcl));
  EXPECT_OK(sys::removexattr(place / "dir", kDefaultAcl));
  EXPECT_ERRNO(ENODATA, sys::getxattr(place / "dir", kDefaultAcl));
}

POSIX_CASE("acl: named users and groups are let in and kept out") {
  make_file(place / "file", "x", 0600);
  NEED_OK(set_acl(place / "file", "u::--- u:2001:rw- u:2002:--- g::--- g:3000:r-- m::rw- o::r--"));
  EXPECT_OK_AS(kAlice, sys::open(place / "file", O_RDWR));
  EXPECT_ERRNO_AS(kBob, EACCES, sys::open(place / "file", O_RDONLY));
  EXPECT_OK_AS((User{2003, 3000}), sys::open(place / "file", O_RDONLY));
  EXPECT_OK_AS((User{2003, 2003, {3000}}), sys::open(place / "file", O_RDONLY));
  EXPECT_ERRNO_AS((User{2003, 3000}), EACCES, sys::open(place / "file", O_RDWR));
  EXPECT_OK_AS((User{2004, 2004}), sys::open(place / "file", O_RDONLY));
  EXPECT_ERRNO_AS((User{2004, 2004}), EACCES, sys::open(place / "file", O_RDWR));
  EXPECT_ERRNO_AS((User{2004, 0}), EACCES, sys::open(place / "file", O_RDONLY));
  // The mask cuts the named, not the owner.
  NEED_OK(set_acl(place / "file", "u::rw- u:2001:rw- g::rw- m::r-- o::---"));
  EXPECT_ERRNO_AS(kAlice, EACCES, sys::open(place / "file", O_RDWR));
  EXPECT_OK_AS(kAlice, sys::open(place / "file", O_RDONLY));
  NEED_OK(sys::lchown(place / "file", kBob.uid, kBob.gid));
  EXPECT_OK_AS(kBob, sys::open(place / "file", O_RDWR));
}

POSIX_CASE("acl: directories: search, create and delete by it") {
  NEED_OK(sys::mkdir(place / "dir", 0700));
  NEED_OK(set_acl(place / "dir", "u::rwx u:2001:rwx g::--- m::rwx o::---"));
  EXPECT_OK_AS(kAlice, create(place / "dir/file", 0644));
  EXPECT_ERRNO_AS(kBob, EACCES, sys::access(place / "dir/file", F_OK));
  EXPECT_OK_AS(kAlice, sys::unlink(place / "dir/file"));
}

POSIX_CASE("acl: a default one is inherited by files, directories and the rest") {
  const char* const defaults = "u::rwx u:2001:rwx g::r-x m::rwx o::r-x";
  NEED_OK(sys::mkdir(place / "dir"));
  EXPECT_OK(set_acl(place / "dir", defaults, kDefaultAcl));
  CHECK(mode_of(place / "dir") == 0755);
  CHECK(acl_of(place / "dir", kDefaultAcl) == defaults);
  EXPECT_ERRNO(ENODATA, sys::getxattr(place / "dir", kAccessAcl));
  const mode_t old = ::umask(077);  // must not count
  EXPECT_OK(create(place / "dir/file", 0664));
  EXPECT_OK(create(place / "dir/plain", 0600));
  EXPECT_OK(sys::mkdir(place / "dir/sub", 0777));
  EXPECT_OK(sys::mknod(place / "dir/fifo", S_IFIFO | 0664U));
  EXPECT_OK(sys::mknod(place / "dir/node", S_IFREG | 0664U));
  EXPECT_OK(sys::symlink("x", place / "dir/link"));
  const UniqueFd tmp(sys::open(place / "dir", O_TMPFILE | O_RDWR, 0664));
  ::umask(old);
  for (const char* name : {"dir/file", "dir/fifo", "dir/node"}) {
    INFO(name);
    CHECK(acl_of(place / name) == "u::rw- u:2001:rwx g::r-x m::rw- o::r--");
    CHECK(mode_of(place / name) == 0664);
    EXPECT_ERRNO(ENODATA, sys::getxattr(place / name, kDefaultAcl));
  }
  CHECK(acl_of(place / "dir/plain") == "u::rw- u:2001:rwx g::r-x m::--- o::---");
  CHECK(mode_of(place / "dir/plain") == 0600);
  CHECK(acl_of(place / "dir/sub") == defaults);
  CHECK(acl_of(place / "dir/sub", kDefaultAcl) == defaults);
  CHECK(mode_of(place / "dir/sub") == 0775);
  CHECK(mode_of(place / "dir/link") == 0777);
  CHECK(xattr_names_of(place / "dir/link").empty());
  REQUIRE(tmp);
  CHECK((stat_of(tmp.get()).st_mode & 07777U) == 0664);
  EXPECT_OK_AS(kAlice, sys::open(place / "dir/file", O_RDWR));
  EXPECT_ERRNO_AS(kBob, EACCES, sys::open(place / "dir/file", O_RDWR));
}

POSIX_CASE("acl: a minimal default one is inherited too, and replaces the umask") {
  NEED_OK(sys::mkdir(place / "dir"));
  NEED_OK(set_acl(place / "dir", "u::rwx g::rwx o::---", kDefaultAcl));
  const mode_t old = ::umask(027);
  EXPECT_OK(create(place / "dir/file", 0666));
  EXPECT_OK(sys::mkdir(place / "dir/sub", 0777));
  ::umask(old);
  CHECK(mode_of(place / "dir/file") == 0660);
  EXPECT_ERRNO(ENODATA, sys::getxattr(place / "dir/file", kAccessAcl));
  CHECK(mode_of(place / "dir/sub") == 0770);
  CHECK(acl_of(place / "dir/sub", kDefaultAcl) == "u::rwx g::rwx o::---");
}

POSIX_CASE("acl: what is malformed or misplaced is refused and changes nothing") {
  make_file(place / "file", "x", 0640);
  NEED_OK(sys::mkdir(place / "dir"));
  NEED_OK(sys::symlink("file", place / "link"));
  EXPECT_ERRNO(EINVAL, set_acl(place / "file", "u::rw- u:2001:rw- g::r-- o::---"));  // no mask
  EXPECT_ERRNO(EINVAL, set_acl(place / "file", "u::rw- g::r--"));
  EXPECT_ERRNO(EINVAL, set_acl(place / "file", "u::rw- g::r-- u:5:r-- m::r-- o::---"));
  EXPECT_ERRNO(EOPNOTSUPP,
               sys::setxattr(place / "file", kAccessAcl, "garbage, a version nobody knows"));
  EXPECT_ERRNO(EINVAL, sys::setxattr(place / "file", kAccessAcl, "x"));
  EXPECT_ERRNO(EOPNOTSUPP, sys::setxattr(place / "file", kAccessAcl, std::string("\1\0\0\0", 4)));
  EXPECT_ERRNO(EACCES, set_acl(place / "file", kNamed, kDefaultAcl));
  EXPECT_ERRNO(EOPNOTSUPP, set_acl(place / "link", kNamed));
  CHECK(mode_of(place / "file") == 0640);
  EXPECT_ERRNO(ENODATA, sys::getxattr(place / "file", kAccessAcl));
}

POSIX_CASE("acl: only the owner sets one, and sgid goes with a foreign group") {
  make_file(place / "file", "x", 0666);
  EXPECT_ERRNO_AS(kAlice, EPERM, set_acl(place / "file", kNamed));
  NEED_OK(sys::lchown(place / "file", kAlice.uid, 3000));
  NEED_OK(sys::chmod(place / "file", 02775));
  EXPECT_OK_AS((User{2001, 2001, {3000}}),
               set_acl(place / "file", "u::rwx u:2002:r-- g::r-x m::rwx o::r-x"));
  CHECK(mode_of(place / "file") == 02775);
  EXPECT_OK_AS(kAlice, set_acl(place / "file", "u::rwx u:2002:r-- g::r-x m::rwx o::r-x"));
  CHECK(mode_of(place / "file") == 0775);
}

POSIX_CASE("acl: many entries") {
  make_file(place / "file", "x", 0600);
  std::string text = "u::rw-";
  for (int uid = 5000; uid < 5100; ++uid) {
    text += " u:" + std::to_string(uid) + ":r--";
  }
  text += " g::---";
  for (int gid = 6000; gid < 6100; ++gid) {
    text += " g:" + std::to_string(gid) + ":-w-";
  }
  text += " m::rw- o::---";
  EXPECT_OK(set_acl(place / "file", text));
  CHECK(acl_of(place / "file") == text);
  EXPECT_OK_AS((User{5099, 1}), sys::open(place / "file", O_RDONLY));
  EXPECT_OK_AS((User{1, 6099}), sys::open(place / "file", O_WRONLY));
  EXPECT_ERRNO_AS((User{5100, 6100}), EACCES, sys::open(place / "file", O_RDONLY));
}

POSIX_CASE("acl: setting one moves ctime; chown keeps it") {
  make_file(place / "file", "x", 0640);
  const struct stat before = stat_of(place / "file");
  tick();
  NEED_OK(set_acl(place / "file", kNamed));
  const struct stat after = stat_of(place / "file");
  CHECK((after.st_ctim.tv_sec > before.st_ctim.tv_sec ||
         after.st_ctim.tv_nsec > before.st_ctim.tv_nsec));
  CHECK(after.st_mtim.tv_nsec == before.st_mtim.tv_nsec);
  EXPECT_OK(sys::lchown(place / "file", 9, 9));
  CHECK(acl_of(place / "file") == kNamed);
}

}  // namespace pmemfs::test
