// mount.fuse.pmemfs and umount.fuse.pmemfs on real mounts.
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "harness/catch.hpp"
#include "helper_stage.hpp"
#include "program_output.hpp"
#include "support/mount_fixture.hpp"
#include "tools/mount_table.hpp"

using namespace pmemfs::test;
namespace fs = std::filesystem;
namespace tools = pmemfs::tools;

namespace {

std::string shown_options(const HelperStage& stage) {
  const auto entry = tools::find_mount_point(stage.point);
  return entry ? "," + entry->options + "," : "(not mounted)";
}

bool shows(const HelperStage& stage, const std::string& option) {
  INFO(shown_options(stage));
  return shown_options(stage).find("," + option + ",") != std::string::npos;
}

}  // namespace

TEST_CASE("silent on success, ready on return, closed after umount") {
  HelperStage stage;
  for (int round = 0; round < 5; ++round) {
    stage.mount();
    const auto entry = tools::find_mount_point(stage.point);
    REQUIRE(entry);
    CHECK(entry->type == "fuse.pmemfs");
    CHECK(entry->source == stage.region);
    write_file(stage.point + "/f", "round " + std::to_string(round));
    CHECK(read_file(stage.point + "/f") == "round " + std::to_string(round));
    stage.unmount();
    CHECK_FALSE(tools::find_mount_point(stage.point));
    CHECK(stage.closed());
  }
}

TEST_CASE("dev and suid are honoured by default, other users are let in") {
  HelperStage stage;
  stage.mount();
  CHECK_FALSE(shows(stage, "nosuid"));
  CHECK_FALSE(shows(stage, "nodev"));
  CHECK(::mknod((stage.point + "/null").c_str(), S_IFCHR | 0666, ::makedev(1, 3)) == 0);
  write_file(stage.point + "/null", "gone");
  CHECK(read_file(stage.point + "/null").empty());
  fs::permissions(stage.dir.path(), fs::perms::owner_all | fs::perms::others_exec);
  const ProgramResult other = run_program(
      {"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "ls", stage.point});
  CHECK(other.status == 0);
}

TEST_CASE("flags of mount(8) reach the kernel") {
  HelperStage stage;
  stage.mount("nosuid,nodev,noexec,noatime,nodiratime,sync,x-systemd.automount,nofail,_netdev");
  for (const char* option : {"rw", "nosuid", "nodev", "noexec", "noatime", "nodiratime"}) {
    CHECK(shows(stage, option));
  }
  stage.unmount();
  stage.mount("ro");
  CHECK(shows(stage, "ro"));
  CHECK(::mkdir((stage.point + "/d").c_str(), 0755) != 0);
  CHECK(errno == EROFS);
}

TEST_CASE("-f does nothing, -s tolerates, -v speaks") {
  HelperStage stage;
  CHECK(stage.helper({"-f"}).status == 0);
  CHECK(stage.helper({"-f", "-o", "bogus"}).status == 1);
  CHECK_FALSE(tools::find_mount_point(stage.point));
  const ProgramResult loud = stage.helper({"-sv", "-o", "bogus,rw"});
  CHECK(loud.status == 0);
  CHECK(loud.output.find("emulated") != std::string::npos);
}

TEST_CASE("remount: the kernel's flags change, ours cannot") {
  HelperStage stage;
  stage.mount("rw,noatime,threads=2");
  const auto remount = [&](const std::string& options) {
    return stage.helper({"-o", "remount," + options});
  };
  CHECK(remount("ro").status == 0);
  CHECK(shows(stage, "ro"));
  CHECK(shows(stage, "noatime"));
  CHECK(::mkdir((stage.point + "/d").c_str(), 0755) != 0);
  CHECK(remount("rw,threads=2,nodev,user_id=0,group_id=0,allow_other").status == 0);
  CHECK(shows(stage, "rw"));
  CHECK(shows(stage, "nodev"));
  CHECK(::mkdir((stage.point + "/d").c_str(), 0755) == 0);
  const ProgramResult refused = remount("threads=3");
  CHECK(refused.status == 1);
  CHECK(refused.output.find("'threads=3'") != std::string::npos);
  stage.unmount();
  stage.mount("ro");
  CHECK(remount("rw").status == 32);
  CHECK(shows(stage, "ro"));
}

TEST_CASE("a busy filesystem is not unmounted, and -r makes it read-only") {
  HelperStage stage;
  stage.mount();
  write_file(stage.point + "/f", "x");
  const int fd = ::open((stage.point + "/f").c_str(), O_RDONLY | O_CLOEXEC);
  REQUIRE(fd >= 0);
  check_refused({program("umount.fuse.pmemfs"), stage.point}, 32, "busy");
  CHECK(run_program({program("umount.fuse.pmemfs"), "-r", stage.point}).status == 0);
  CHECK(shows(stage, "ro"));
  CHECK(run_program({program("umount.fuse.pmemfs"), "-l", stage.point}).status == 0);
  CHECK_FALSE(tools::find_mount_point(stage.point));
  ::close(fd);
  CHECK(stage.closed());
}

TEST_CASE("unmounting by the region's name, and what is not mounted") {
  HelperStage stage;
  stage.mount();
  CHECK(run_program({program("umount.fuse.pmemfs"), stage.region}).status == 0);
  CHECK(stage.closed());
  check_refused({program("umount.fuse.pmemfs"), stage.point}, 32, "no pmemfs");
  check_refused({program("umount.fuse.pmemfs"), "/proc"}, 32, "no pmemfs");
  check_refused({program("umount.fuse.pmemfs"), stage.dir / "missing"}, 32, "no pmemfs");
}

TEST_CASE("a filesystem that is bound elsewhere goes on without its first mount point") {
  HelperStage stage;
  stage.mount();
  const std::string second = stage.dir / "second";
  fs::create_directory(second);
  REQUIRE(::mount(stage.point.c_str(), second.c_str(), nullptr, MS_BIND, nullptr) == 0);
  CHECK(run_program({program("umount.fuse.pmemfs"), stage.point}).status == 0);
  CHECK(::mkdir((second + "/d").c_str(), 0755) == 0);
  CHECK(run_program({program("umount.fuse.pmemfs"), second}).status == 0);
  CHECK(stage.closed());
}

TEST_CASE("a dead mount is detached, and this is said: by umount and by the next mount") {
  HelperStage stage;
  stage.mount();
  stage.kill_daemon();
  const ProgramResult umounted = run_program({program("umount.fuse.pmemfs"), stage.point});
  CHECK(umounted.status == 0);
  CHECK(umounted.output.find("dead mount") != std::string::npos);
  stage.mount();
  stage.kill_daemon();
  const ProgramResult mounted = stage.helper({});
  CHECK(mounted.status == 0);
  CHECK(mounted.output.find("dead mount") != std::string::npos);
  CHECK(::mkdir((stage.point + "/d").c_str(), 0755) == 0);
  stage.unmount();
}
