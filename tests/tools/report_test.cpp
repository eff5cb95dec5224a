#include "tools/report.hpp"

#include <nlohmann/json.hpp>

#include "harness/catch.hpp"

using namespace pmemfs;
using namespace pmemfs::tools;

namespace {

RegionFacts facts() {
  RegionFacts f;
  f.path = "/r";
  f.kind = "directory";
  f.filesystem = "tmpfs";
  f.superblock.state.store(1);
  std::copy_n("data", 4, static_cast<char*>(f.superblock.label));
  return f;
}

}  // namespace

TEST_CASE("status of a region: keys and text") {
  FilesystemStatus status;
  status.emulated = true;
  status.placement = "backing";
  status.region_bytes = 16U << 20U;
  status.region_bytes_free = 8U << 20U;
  status.inodes_used = 3;
  Json report = status_report(facts(), status, FilesystemSpace{});
  CHECK(report["label"] == "data");
  CHECK(report["clean"] == true);
  CHECK(report["region_bytes"] == 16U << 20U);
  const std::string text = show_status(report);
  CHECK(text.find("/r (directory on tmpfs)") != std::string::npos);
  CHECK(text.find("emulated: not persistent") != std::string::npos);
  CHECK(text.find("Open handles") == std::string::npos);
  report["mounted"] = true;
  report["options"] = {"threads=1", "durable_all"};
  CHECK(show_status(report).find("threads=1,durable_all") != std::string::npos);
}

TEST_CASE("the list of durable files: sums, unlinked ones, names that a terminal would obey") {
  const Json report = durable_report({{InodeNo(7), 4096, false, "/a\x1b[2J\n"},
                                      {InodeNo(8), 0, true, "/d"},
                                      {InodeNo(9), 1, false, ""}});
  CHECK(report["bytes"] == 4097);
  CHECK(report["files"].size() == 3);
  const std::string text = show_durable(report);
  CHECK(text.find('\x1b') == std::string::npos);
  CHECK(text.find("(unlinked)") != std::string::npos);
  CHECK(text.find("/d/") != std::string::npos);
  CHECK(text.find("3 durable, 4 KiB") != std::string::npos);
}

TEST_CASE("counters are sorted by count and summed") {
  const std::string text = show_counters({{"requests", {{"GETATTR", 2}, {"WRITE", 5}}}});
  CHECK(text.find("WRITE") < text.find("GETATTR"));
  CHECK(text.find('7') != std::string::npos);
}

TEST_CASE("a report from another version, with keys missing, is shown all the same") {
  CHECK_FALSE(show_status(Json::object()).empty());
  CHECK_FALSE(show_durable(Json::object()).empty());
  CHECK_FALSE(show_counters(Json::object()).empty());
}
