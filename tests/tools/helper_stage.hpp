#pragma once

#include <fcntl.h>
#include <sys/mount.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "harness/catch.hpp"
#include "program_output.hpp"
#include "region/region_handle.hpp"
#include "support/mount_fixture.hpp"
#include "support/temp_dir.hpp"
#include "tools/live_daemon.hpp"

namespace pmemfs::test {

// A region and a mount point, used through the helpers as mount(8) does. They lie in the scratch
// folder, so that a test that is killed leaves nothing mounted.
struct HelperStage {
  TempDir dir{scratch()};
  std::string region = dir / "region";
  std::string point = dir / "mnt";

  explicit HelperStage(const std::vector<std::string>& mkfs_words = {}) {
    need_mounting();
    std::filesystem::create_directory(point);
    make_region(region, mkfs_words);
  }
  HelperStage(const HelperStage&) = delete;
  HelperStage& operator=(const HelperStage&) = delete;
  ~HelperStage() {
    const auto client = tools::connect_daemon(region);
    ::umount2(point.c_str(), MNT_DETACH);
    if (client) {
      ::kill(client->pid(), SIGTERM);
    }
    static_cast<void>(closed());
  }

  [[nodiscard]] ProgramResult helper(const std::vector<std::string>& more) const {
    std::vector<std::string> words = {program("mount.fuse.pmemfs"), region, point};
    words.insert(words.end(), more.begin(), more.end());
    return run_program(words);
  }

  void mount(const std::string& options = "rw") const {
    const ProgramResult result = helper({"-o", options});
    REQUIRE(result.output.empty());
    REQUIRE(result.status == 0);
  }

  void unmount() const {
    const ProgramResult result = run_program({program("umount.fuse.pmemfs"), point});
    REQUIRE(result.output.empty());
    REQUIRE(result.status == 0);
    std::string why;
    CHECK(region::open(region, {}, why));  // at once
  }

  [[nodiscard]] int daemon() const {
    const auto client = tools::connect_daemon(region);
    return client ? client->pid() : 0;
  }

  void kill_daemon() const {
    const int pid = daemon();
    REQUIRE(pid > 0);
    ::kill(pid, SIGKILL);
    CHECK(closed());
  }

  // True once nobody has the region open; waits for a while.
  [[nodiscard]] bool closed() const {
    region::OpenOptions options;
    options.wait_seconds = 10;
    std::string why;
    return static_cast<bool>(region::open(region, options, why));
  }
};

}  // namespace pmemfs::test
