// Sticky directories: only the owner of the file or of the directory may remove a name.

#include "support/mount_fixture.hpp"

namespace pmemfs::test {
namespace {

// A sticky directory of root with files and a directory of Alice in it.
std::string sticky_dir(const Place& place) {
  std::string dir = place / "sticky";
  NEED_OK(sys::mkdir(dir));
  NEED_OK(sys::chmod(dir, 01777));
  for (const char* name : {"/a", "/b", "/c"}) {
    make_file(dir + name, "alice's", 0666);
    NEED_OK(sys::lchown(dir + name, kAlice.uid, kAlice.gid));
  }
  NEED_OK(sys::mkdir(dir + "/d", 0777));
  NEED_OK(sys::lchown(dir + "/d", kAlice.uid, kAlice.gid));
  return dir;
}

}  // namespace

POSIX_CASE("sticky: another user removes and renames nothing") {
  const std::string dir = sticky_dir(place);
  make_file(dir + "/bobs", "", 0666);
  NEED_OK(sys::lchown(dir + "/bobs", kBob.uid, kBob.gid));
  EXPECT_ERRNO_AS(kBob, EPERM, sys::unlink(dir + "/a"));
  EXPECT_ERRNO_AS(kBob, EPERM, sys::rmdir(dir + "/d"));
  EXPECT_ERRNO_AS(kBob, EPERM, sys::rename(dir + "/a", dir + "/new"));
  EXPECT_ERRNO_AS(kBob, EPERM, sys::rename(dir + "/bobs", dir + "/a"));
  EXPECT_ERRNO_AS(kBob, EPERM, sys::rename(dir + "/bobs", dir + "/a", RENAME_EXCHANGE));
  CHECK(names_in(dir).size() == 5);
}

POSIX_CASE("sticky: the owner of the file, of the directory, and root may") {
  const std::string dir = sticky_dir(place);
  EXPECT_OK_AS(kAlice, sys::unlink(dir + "/a"));
  EXPECT_OK_AS(kAlice, sys::rename(dir + "/b", dir + "/e"));
  EXPECT_OK_AS(kAlice, sys::rmdir(dir + "/d"));
  EXPECT_OK(sys::unlink(dir + "/c"));
  NEED_OK(sys::lchown(dir, kBob.uid, kBob.gid));
  EXPECT_OK_AS(kBob, sys::unlink(dir + "/e"));
  CHECK(names_in(dir).empty());
}

POSIX_CASE("sticky: the bit counts at once when it is set or cleared") {
  const std::string dir = sticky_dir(place);
  EXPECT_ERRNO_AS(kBob, EPERM, sys::unlink(dir + "/a"));
  NEED_OK(sys::chmod(dir, 0777));
  EXPECT_OK_AS(kBob, sys::unlink(dir + "/a"));
  NEED_OK(sys::chmod(dir, 01777));
  EXPECT_ERRNO_AS(kBob, EPERM, sys::unlink(dir + "/b"));
}

}  // namespace pmemfs::test
