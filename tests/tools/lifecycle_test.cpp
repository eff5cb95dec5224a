// The daemon from its start to its end.
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <thread>

#include "harness/catch.hpp"
#include "helper_stage.hpp"
#include "program_output.hpp"
#include "support/mount_fixture.hpp"
#include "tools/mount_table.hpp"
#include "tools/region_access.hpp"

using namespace pmemfs::test;
namespace fs = std::filesystem;
namespace tools = pmemfs::tools;
using namespace std::chrono_literals;

namespace {

bool is_clean(const std::string& region) {
  const auto superblock = tools::peek_superblock(region);
  return superblock && superblock->state.load() ==
                           static_cast<std::uint32_t>(pmemfs::format::RegionState::kClean);
}

}  // namespace

TEST_CASE("both kinds of region keep what was written") {
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{}, std::vector<std::string>{"--size=32M"}}) {
    HelperStage stage(words);
    stage.mount();
    fs::create_directories(stage.point + "/a/b");
    write_file(stage.point + "/a/b/f", "kept");
    stage.unmount();
    CHECK(is_clean(stage.region));
    stage.mount("ro");
    CHECK(read_file(stage.point + "/a/b/f") == "kept");
    stage.unmount();
  }
}

TEST_CASE("SIGTERM and SIGINT unmount and close in order") {
  HelperStage stage;
  for (const int number : {SIGTERM, SIGINT}) {
    stage.mount();
    write_file(stage.point + "/f", "x");
    CHECK_FALSE(is_clean(stage.region));
    REQUIRE(::kill(stage.daemon(), number) == 0);
    REQUIRE(stage.closed());
    CHECK(is_clean(stage.region));
    CHECK_FALSE(tools::find_mount_point(stage.point));
  }
}

TEST_CASE("SIGHUP, SIGPIPE, SIGIO and SIGUSR1 do nothing") {
  HelperStage stage;
  stage.mount();
  for (const int number : {SIGHUP, SIGPIPE, SIGIO, SIGUSR1}) {
    ::kill(stage.daemon(), number);
  }
  write_file(stage.point + "/f", "x");
  CHECK(read_file(stage.point + "/f") == "x");
  stage.unmount();
}

TEST_CASE("the daemon holds neither terminal, folder nor pipe of its starter") {
  HelperStage stage;
  // run_program returns at the end of the pipe, so a daemon that held it would hang the test.
  stage.mount();
  const std::string proc = "/proc/" + std::to_string(stage.daemon());
  for (const char* fd : {"0", "1", "2"}) {
    CHECK(fs::read_symlink(proc + "/fd/" + fd) == "/dev/null");
  }
  CHECK(fs::read_symlink(proc + "/cwd") == "/");
  stage.unmount();
}

TEST_CASE("an owner that shuts down is waited for") {
  HelperStage stage;
  std::string why;
  auto owner = pmemfs::region::open(stage.region, {}, why);
  REQUIRE(owner);
  std::thread end([&] {
    std::this_thread::sleep_for(2s);
    owner = pmemfs::Error(EBUSY);
  });
  const auto start = std::chrono::steady_clock::now();
  const ProgramResult result = stage.helper({});
  end.join();
  CHECK(result.output.empty());
  CHECK(result.status == 0);
  CHECK(std::chrono::steady_clock::now() - start > 1s);
  stage.unmount();
}

TEST_CASE("umount(2) alone: the next mount waits for the last daemon") {
  HelperStage stage;
  for (int round = 0; round < 5; ++round) {
    stage.mount();
    write_file(stage.point + "/f", std::string(1U << 20U, 'x'));
    REQUIRE(::umount2(stage.point.c_str(), 0) == 0);
  }
  CHECK(stage.closed());
  CHECK(is_clean(stage.region));
}

TEST_CASE("in the foreground it logs to stderr and ends with the unmount") {
  const Mount mount({});
  const auto says = [&mount](const char* words) {
    for (int i = 0; i < 500 && mount.log().find(words) == std::string::npos; i++) {
      ::usleep(10'000);  // the mount point answers before the line is written
    }
    return mount.log().find(words) != std::string::npos;
  };
  CHECK(says("emulated region"));
  CHECK(says("is mounted on"));
}

TEST_CASE("the region and the mount point may be given relative to the working folder") {
  HelperStage stage;
  const ProgramResult result = run_program(
      {"sh", "-c",
       "cd " + stage.dir.path() + " && " + program("mount.fuse.pmemfs") + " region ./mnt"});
  INFO(result.output);
  CHECK(result.status == 0);
  CHECK(tools::find_mount_point(stage.point));
  stage.unmount();
}

TEST_CASE("names with spaces, commas and backslashes") {
  HelperStage stage;
  const std::string odd = stage.dir / "a b,c\\d";
  make_region(odd);
  const ProgramResult result = run_program({program("mount.fuse.pmemfs"), odd, stage.point});
  INFO(result.output);
  CHECK(result.status == 0);
  const auto entry = tools::find_mount_point(stage.point);
  REQUIRE(entry);
  CHECK(entry->source == odd);
  CHECK(run_program({program("umount.fuse.pmemfs"), stage.point}).status == 0);
}
