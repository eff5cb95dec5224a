// pmemfsctl on live mounts and on regions at rest.
#include <sys/xattr.h>

#include <filesystem>

#include <nlohmann/json.hpp>

#include "harness/catch.hpp"
#include "helper_stage.hpp"
#include "pmemfs/durable.h"
#include "program_output.hpp"
#include "support/mount_fixture.hpp"

using namespace pmemfs::test;
namespace fs = std::filesystem;
using Json = nlohmann::json;

namespace {

Json ask(const std::vector<std::string>& more) {
  std::vector<std::string> words = {program("pmemfsctl")};
  words.insert(words.end(), more.begin(), more.end());
  words.emplace_back("--json");
  const ProgramResult result = run_program(words);
  INFO(result.output);
  REQUIRE(result.status == 0);
  return Json::parse(result.output);
}

void mark_durable(const std::string& path) {
  REQUIRE(::setxattr(path.c_str(), PMEMFS_XATTR_DURABLE, "1", 1, 0) == 0);
}

}  // namespace

TEST_CASE("status: by mount point, by a file in it, by the region, and at rest") {
  HelperStage stage;
  stage.mount("durable_all,threads=4");
  write_file(stage.point + "/f", "x");
  for (const std::string& path : {stage.point, stage.point + "/f", stage.region}) {
    const Json report = ask({"status", path});
    CHECK(report["mounted"] == true);
    CHECK(report["mount_point"] == stage.point);
    CHECK(report["region"] == stage.region);
    CHECK(report["pid"] == stage.daemon());
    CHECK(report["emulated"] == true);
    CHECK(report["placement"] == "backing");
    CHECK(report["options"] == Json::array({"durable_all", "threads=4"}));
    CHECK(report["inodes_used"] == 2);
  }
  stage.unmount();
  const std::uint32_t before = fingerprint(stage.region);
  const Json report = ask({"status", stage.region});
  CHECK(report["mounted"] == false);
  CHECK(report["clean"] == true);
  CHECK(report["inodes_used"] == 2);
  CHECK(fingerprint(stage.region) == before);
}

TEST_CASE("durable files: live and at rest, with odd names") {
  HelperStage stage;
  stage.mount();
  fs::create_directory(stage.point + "/d");
  const std::string odd = "/d/\xff\n\"name\"";
  write_file(stage.point + odd, std::string(5000, 'x'));
  write_file(stage.point + "/plain", "x");
  mark_durable(stage.point + odd);
  mark_durable(stage.point + "/d");
  const auto check = [](const Json& report) {
    REQUIRE(report["files"].size() == 2);
    CHECK(report["bytes"] == 5000);
  };
  check(ask({"durable", stage.point}));
  const ProgramResult text = run_program({program("pmemfsctl"), "durable", stage.point});
  CHECK(text.output.find("2 durable") != std::string::npos);
  stage.unmount();
  check(ask({"durable", stage.region}));
}

TEST_CASE("counters count, and start again after --reset") {
  HelperStage stage;
  stage.mount();
  for (int i = 0; i < 10; ++i) {
    fs::create_directory(stage.point + "/" + std::to_string(i));
  }
  CHECK(ask({"counters", stage.point})["requests"]["MKDIR"] == 10);
  CHECK(ask({"counters", "--reset", stage.point})["requests"]["MKDIR"] == 10);
  CHECK_FALSE(ask({"counters", stage.point})["requests"].contains("MKDIR"));
  fs::create_directory(stage.point + "/again");
  CHECK(ask({"counters", stage.point})["requests"]["MKDIR"] == 1);
}

TEST_CASE("asking for counters costs no request") {
  HelperStage stage;
  stage.mount();
  ask({"counters", stage.point});
  const Json before = ask({"counters", stage.point});
  CHECK(ask({"counters", stage.point}) == before);
}

TEST_CASE("a region that nobody closed is read without changing it") {
  HelperStage stage;
  stage.mount();
  write_file(stage.point + "/f", "x");
  stage.kill_daemon();
  check_refused({program("pmemfsctl"), "status", stage.point}, 32, "is gone");
  const std::uint32_t before = fingerprint(stage.region);
  const Json report = ask({"status", stage.region});
  CHECK(report["clean"] == false);
  CHECK(report["inodes_used"] == 2);
  CHECK(fingerprint(stage.region) == before);
}

TEST_CASE("what pmemfsctl refuses") {
  HelperStage stage;
  const std::string ctl = program("pmemfsctl");
  check_refused({ctl, "counters", stage.region}, 32, "not mounted");
  check_refused({ctl, "status", stage.point}, 32, stage.point);
  check_refused({ctl, "status", stage.dir / "missing"}, 32, "does not exist");
}
