#include <sys/mount.h>

#include "fuse/kernel_mount.hpp"
#include "harness/catch.hpp"

namespace {

using pmemfs::fuse::KernelMount;
using pmemfs::fuse::mount_arguments;

TEST_CASE("permission checks are always the kernel's, dev and suid are honoured by default") {
  const auto arguments = mount_arguments({}, false);
  CHECK(arguments.flags == 0);
  CHECK(arguments.data == ",default_permissions");
  CHECK(mount_arguments({"default_permissions"}, false).data == ",default_permissions");
}

TEST_CASE("later words win over earlier ones") {
  CHECK(mount_arguments({"nosuid", "suid"}, false).flags == 0);
  CHECK(mount_arguments({"suid", "nosuid", "nodev"}, false).flags == (MS_NOSUID | MS_NODEV));
  CHECK(mount_arguments({"noatime", "relatime"}, false).flags == MS_RELATIME);
  CHECK(mount_arguments({"ro", "rw"}, false).flags == 0);
}

TEST_CASE("a read-only region is mounted read-only whatever the words say") {
  CHECK(mount_arguments({"rw"}, true).flags == MS_RDONLY);
}

TEST_CASE("words of mount(8) stay away from the kernel, others reach it") {
  const auto arguments = mount_arguments({"defaults", "_netdev", "nofail", "x-systemd.automount",
                                          "user=me", "allow_other", "context=a:b:c"},
                                         false);
  CHECK(arguments.flags == 0);
  CHECK(arguments.data == ",default_permissions,allow_other,context=a:b:c");
}

TEST_CASE("a mount point that is missing or not a directory is told apart") {
  KernelMount mount;
  std::string why;
  CHECK(mount.mount(-1, "source", "/nowhere/at/all", {}, &why).code() == ENOENT);
  CHECK(why == "the mount point /nowhere/at/all does not exist");
  CHECK(mount.mount(-1, "source", "/proc/self/status", {}, &why).code() == ENOTDIR);
  CHECK(why == "the mount point /proc/self/status is not a directory");
  CHECK_FALSE(mount.unmount(-1));
}

}  // namespace
