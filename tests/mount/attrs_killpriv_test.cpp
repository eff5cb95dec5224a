// suid, sgid and security.capability go away when another user changes the file: missing that is a
// privilege escalation.

#include <linux/capability.h>
#include <sys/mman.h>

#include "support/mount_fixture.hpp"

namespace pmemfs::test {
namespace {

struct Change {
  const char* what;
  int (*make)(const std::string& path);
};

UniqueFd writer(const std::string& path) {
  return UniqueFd(sys::open(path, O_RDWR));
}

const std::vector<Change>& changes() {
  static const std::vector<Change> kAll{
      {"write",
       [](const std::string& p) {
         return static_cast<int>(::write(writer(p).get(), "x", 1));
       }},
      {"append",
       [](const std::string& p) {
         return static_cast<int>(
             ::write(UniqueFd(sys::open(p, O_WRONLY | O_APPEND)).get(), "x", 1));
       }},
      {"pwrite past the end",
       [](const std::string& p) {
         return static_cast<int>(::pwrite(writer(p).get(), "x", 1, 9999));
       }},
      {"truncate",
       [](const std::string& p) {
         return sys::truncate(p, 3);
       }},
      {"truncate up",
       [](const std::string& p) {
         return sys::truncate(p, 300);
       }},
      {"ftruncate",
       [](const std::string& p) {
         return ::ftruncate(writer(p).get(), 3);
       }},
      {"open O_TRUNC",
       [](const std::string& p) {
         return UniqueFd(sys::open(p, O_WRONLY | O_TRUNC)).get();
       }},
      {"open O_CREAT|O_TRUNC",
       [](const std::string& p) {
         return UniqueFd(sys::open(p, O_CREAT | O_WRONLY | O_TRUNC)).get();
       }},
      {"fallocate",
       [](const std::string& p) {
         return ::fallocate(writer(p).get(), 0, 0, 9999);
       }},
      {"copy_file_range",
       [](const std::string& p) {
         off64_t from = 0;
         off64_t to = 4096;
         const UniqueFd fd = writer(p);
         return static_cast<int>(::copy_file_range(fd.get(), &from, fd.get(), &to, 4, 0));
       }},
  };
  return kAll;
}

// A file of root's that all may write, with this mode.
std::string open_to_all(const Place& place, mode_t mode) {
  static int count = 0;
  std::string path = place / ("file" + std::to_string(count++));
  make_file(path, "content");
  NEED_OK(sys::chmod(path, mode));
  return path;
}

// cap_net_raw+ep as the kernel stores it.
std::string capability() {
  vfs_cap_data data{};
  data.magic_etc = VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE;
  data.data[0].permitted = 1U << CAP_NET_RAW;
  return {reinterpret_cast<const char*>(&data), sizeof data};
}

}  // namespace

POSIX_CASE("killpriv: each change by another user clears suid and sgid") {
  for (const Change& change : changes()) {
    INFO(change.what);
    const std::string file = open_to_all(place, 06777);
    EXPECT_OK_AS(kAlice, change.make(file));
    CHECK(mode_of(file) == 0777);
    const std::string suid_only = open_to_all(place, 04666);
    EXPECT_OK_AS(kAlice, change.make(suid_only));
    CHECK(mode_of(suid_only) == 0666);
  }
}

POSIX_CASE("killpriv: the owner's own changes clear them too, root's do not") {
  for (const Change& change : changes()) {
    INFO(change.what);
    const std::string file = open_to_all(place, 0777);
    NEED_OK(sys::lchown(file, kAlice.uid, kAlice.gid));
    NEED_OK(sys::chmod(file, 06755));
    EXPECT_OK_AS(kAlice, change.make(file));
    CHECK(mode_of(file) == 0755);
    const std::string roots = open_to_all(place, 06755);
    EXPECT_OK(change.make(roots));
    CHECK(mode_of(roots) == 06755);
    const std::string not_run = open_to_all(place, 02644);
    EXPECT_OK(change.make(not_run));
    CHECK(mode_of(not_run) == 02644);
  }
}

// Until Linux 6.2 the kernel kept S_ISGID where the group may not execute; since then it stays for
// members of the group and root only. Where the kernel's flag comes with the change itself
// (O_TRUNC, writes through the daemon) pmemfs keeps it, as older kernels.
POSIX_CASE("killpriv: setgid that the group may not run goes for strangers, stays for members") {
  for (const Change& change : changes()) {
    INFO(change.what);
    const std::string own = open_to_all(place, 0666);
    NEED_OK(sys::lchown(own, kAlice.uid, kAlice.gid));
    NEED_OK(sys::chmod(own, 02666));
    EXPECT_OK_AS(kAlice, change.make(own));
    CHECK(mode_of(own) == 02666);
    const std::string_view what = change.what;
    if (what == "fallocate" || what == "copy_file_range" || what.starts_with("truncate")) {
      const std::string foreign = open_to_all(place, 06666);
      EXPECT_OK_AS(kAlice, change.make(foreign));
      CHECK(mode_of(foreign) == 0666);
    }
  }
}

POSIX_CASE(
    "killpriv: setgid of a foreign group goes by chown, whether or not the group may run it") {
  const std::string file = open_to_all(place, 02644);
  EXPECT_OK(sys::lchown(file, kAlice.uid, 3000));
  CHECK(mode_of(file) == 02644);
  EXPECT_OK_AS(kAlice, sys::lchown(file, static_cast<uid_t>(-1), kAlice.gid));
  CHECK(mode_of(file) == 0644);
}

POSIX_CASE("killpriv: the second and later files of one handle too") {
  const std::string file = open_to_all(place, 0777);
  const UniqueFd fd = open_file(file, O_RDWR);
  CHECK(pwrite_all(fd.get(), "first", 0));
  NEED_OK(sys::chmod(file, 06777));
  // The handle is root's, the writer is not.
  CHECK(as_user(kAlice, [&] { return error_of(::pwrite(fd.get(), "second", 6, 0)); }) == Errno{});
  CHECK(mode_of(file) == 0777);
  NEED_OK(sys::chmod(file, 06777));
  CHECK(as_user(kAlice, [&] { return error_of(::ftruncate(fd.get(), 1)); }) == Errno{});
  CHECK(mode_of(file) == 0777);
}

POSIX_CASE("killpriv: reading, chmod and times clear nothing") {
  const std::string file = open_to_all(place, 06777);
  NEED_OK(sys::lchown(file, kAlice.uid, kAlice.gid));
  NEED_OK(sys::chmod(file, 06777));
  EXPECT_OK_AS(kAlice, ::utimensat(AT_FDCWD, file.c_str(), nullptr, 0));
  EXPECT_OK_AS(kBob, sys::open(file, O_RDWR));
  char byte = 0;
  EXPECT_OK_AS(kBob, ::read(writer(file).get(), &byte, 1));
  CHECK(mode_of(file) == 06777);
}

// chown(-1, -1) asks for no change of owner, so that the kernel checks nothing by itself.
POSIX_CASE("killpriv: a chown of nothing by a stranger takes no set-id bit away") {
  const auto chown_nothing = [](const std::string& file) {
    return sys::lchown(file, static_cast<uid_t>(-1), static_cast<gid_t>(-1));
  };
  for (const mode_t mode : {04755U, 02755U, 06755U}) {
    const std::string file = open_to_all(place, mode);
    EXPECT_ERRNO_AS(kAlice, EPERM, chown_nothing(file));
    CHECK(mode_of(file) == mode);
    EXPECT_OK(chown_nothing(file));
    CHECK(mode_of(file) == 0755);
    NEED_OK(sys::lchown(file, kAlice.uid, kAlice.gid));
    NEED_OK(sys::chmod(file, mode));
    EXPECT_OK_AS(kAlice, chown_nothing(file));
    CHECK(mode_of(file) == 0755);
    EXPECT_OK_AS(kBob, chown_nothing(file));
  }
}

POSIX_CASE("killpriv: the mode is right for execution at once") {
  const std::string file = open_to_all(place, 06777);
  static_cast<void>(mode_of(file));  // cached
  EXPECT_OK_AS(kAlice, static_cast<int>(::write(writer(file).get(), "x", 1)));
  struct statx stx {};
  NEED_OK(::statx(AT_FDCWD, file.c_str(), AT_STATX_DONT_SYNC, STATX_MODE, &stx));
  CHECK((stx.stx_mode & 07777U) == 0777);
}

POSIX_CASE("killpriv: a write removes security.capability, whoever writes") {
  for (const User& user : {User{}, kAlice}) {
    for (const Change& change : changes()) {
      INFO(change.what << " by " << user.uid);
      const std::string file = open_to_all(place, 0777);
      NEED_OK(sys::setxattr(file, "security.capability", capability()));
      CHECK(sys::getxattr(file, "security.capability") ==
            static_cast<ssize_t>(capability().size()));
      EXPECT_OK_AS(user, change.make(file));
      EXPECT_ERRNO(ENODATA, sys::getxattr(file, "security.capability"));
    }
  }
}

POSIX_CASE("killpriv: chown removes security.capability") {
  const std::string file = open_to_all(place, 0777);
  NEED_OK(sys::setxattr(file, "security.capability", capability()));
  EXPECT_OK(sys::lchown(file, 5, 5));
  EXPECT_ERRNO(ENODATA, sys::getxattr(file, "security.capability"));
}

PMEMFS_CASE("killpriv: durable files too, whose writes go through the daemon") {
  for (const Change& change : changes()) {
    if (std::string_view(change.what).find("TRUNC") != std::string_view::npos ||
        std::string_view(change.what) == "truncate" ||
        std::string_view(change.what) == "ftruncate") {
      continue;  // shrinks, which a durable file refuses
    }
    INFO(change.what);
    const std::string file = open_to_all(place, 0777);
    NEED_OK(sys::setxattr(file, "user.pmemfs.mmap_durable", "1"));
    NEED_OK(sys::chmod(file, 06777));
    NEED_OK(sys::setxattr(file, "security.capability", capability()));
    EXPECT_OK_AS(kAlice, change.make(file));
    CHECK(mode_of(file) == 0777);
    EXPECT_ERRNO(ENODATA, sys::getxattr(file, "security.capability"));
  }
}

}  // namespace pmemfs::test
