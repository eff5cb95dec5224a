// pmemfsctl scrub and media.
#include <nlohmann/json.hpp>

#include "harness/catch.hpp"
#include "program_output.hpp"
#include "support/mount_fixture.hpp"
#include "tools/media_report.hpp"

using namespace pmemfs;
using namespace pmemfs::test;
using Json = nlohmann::json;

namespace {

Json run_json(const std::string& command, const std::string& path) {
  const ProgramResult result = run_program({program("pmemfsctl"), command, path, "--json"});
  INFO(result.output);
  REQUIRE(result.status == 0);
  return Json::parse(result.output);
}

}  // namespace

TEST_CASE("scrub and media: a mount of each kind in which all is well") {
  need_mounting();
  const Kind kind = GENERATE(Kind::kFile, Kind::kDirectory);
  Mount mount(MountSpec{kind});
  make_file(mount / "file", std::string(100'000, 'f'));
  NEED_OK(sys::symlink(std::string(1000, 's'), mount / "link"));
  const Json report = run_json("scrub", mount.root());
  CHECK(report["finished"] == true);
  CHECK(report["damage"].empty());
  CHECK(report["bad"].empty());
  CHECK(report["bytes_healed"] == 0);
  CHECK(report["structures"] > 8);
  CHECK(report["bytes_read"] >= (16U << 20U));
  CHECK(run_json("media", mount.root()) == Json({{"bad", Json::array()}, {"bad_bytes", 0}}));
  mount.remount("ro");
  CHECK(run_json("scrub", mount.root())["damage"].empty());
  mount.unmount();
  CHECK(run_json("media", mount.region())["bad_bytes"] == 0);
  check_refused({program("pmemfsctl"), "scrub", mount.region()}, 32, "is not mounted");
}

TEST_CASE("reports of bad memory: owners, sums, names that a terminal would obey") {
  std::vector<BadMemory> bad(3);
  bad[0] = {8192, 4096, BadMemory::Owner::kFree, {}, 0, ""};
  bad[1] = {16384, 8192, BadMemory::Owner::kFile, InodeNo(7), 12288, "/a\x1b[2J"};
  bad[2] = {65536, 4096, BadMemory::Owner::kMetadata, {}, 0, ""};
  const Json report = tools::media_report(bad);
  CHECK(report["bad_bytes"] == 16384);
  CHECK(report["bad"][0] == Json({{"offset", 8192}, {"bytes", 4096}, {"owner", "free"}}));
  CHECK(report["bad"][1]["path"] == "/a\x1b[2J");
  CHECK(report["bad"][1]["file_offset"] == 12288);
  const std::string text = tools::show_media(report);
  CHECK(text.find('\x1b') == std::string::npos);
  CHECK(text.find("/a?[2J at 12288") != std::string::npos);
  CHECK(text.find("16 KiB of memory is bad") != std::string::npos);
}

TEST_CASE("reports of a scrub: success only when all was read and nothing in use is wrong") {
  Scrubbed done;
  CHECK_FALSE(tools::what_is_wrong("/m", tools::scrub_report(done)));
  done.bad.push_back({8192, 4096, BadMemory::Owner::kFree, {}, 0, ""});
  CHECK_FALSE(tools::what_is_wrong("/m", tools::scrub_report(done)));
  SECTION("ended early") {
    done.finished = false;
    CHECK(tools::what_is_wrong("/m", tools::scrub_report(done))->find("ended before") !=
          std::string::npos);
  }
  SECTION("bad memory in use") {
    done.bad.push_back({16384, 4096, BadMemory::Owner::kFile, InodeNo(7), 0, "/f"});
    CHECK(tools::what_is_wrong("/m", tools::scrub_report(done))->find("4 KiB in use") !=
          std::string::npos);
  }
  SECTION("damage") {
    done.damage.push_back({InodeNo(9), "xattrs", EUCLEAN, "/f"});
    const Json report = tools::scrub_report(done);
    CHECK(tools::what_is_wrong("/m", report)->find("1 structures are damaged") !=
          std::string::npos);
    CHECK(tools::show_scrub(report).find("inode 9: xattrs damaged: /f") != std::string::npos);
  }
}
