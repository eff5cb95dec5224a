// pmemfsctl defrag and evacuate on live mounts.
#include <nlohmann/json.hpp>

#include "harness/catch.hpp"
#include "pmemfs/durable.h"
#include "program_output.hpp"
#include "support/extent_text.hpp"
#include "support/mount_fixture.hpp"
#include "support/temp_dir.hpp"

using namespace pmemfs::test;
using Json = nlohmann::json;

namespace {

constexpr std::size_t kPieces = 100;

std::size_t pieces(const std::string& path) {
  return parse_extents(xattr_of(path, PMEMFS_XATTR_EXTENTS)).size();
}

bool lies_in_pieces(const std::string& path) {
  const std::string text = xattr_of(path, PMEMFS_XATTR_EXTENTS);
  return text.find(" at ") != std::string::npos && pieces(path) > 1;
}

// Files whose blocks alternate, also where the host allocates late.
void interleave(const Mount& mount, const std::vector<std::string>& names) {
  std::vector<UniqueFd> files;
  for (const std::string& name : names) {
    make_file(mount / name);
    files.push_back(open_file(mount / name, O_WRONLY | O_APPEND));
  }
  for (std::size_t i = 0; i < kPieces; ++i) {
    for (const UniqueFd& file : files) {
      REQUIRE(::write(file.get(), pattern(4096, i).data(), 4096) == 4096);
      REQUIRE(::fdatasync(file.get()) == 0);
    }
  }
}

Json run_json(std::vector<std::string> words) {
  words.insert(words.begin(), program("pmemfsctl"));
  words.emplace_back("--json");
  const ProgramResult result = run_program(words);
  INFO(result.output);
  REQUIRE(result.status == 0);
  return Json::parse(result.output);
}

}  // namespace

TEST_CASE("defrag: a file, a directory with a durable file in it, and everything") {
  need_mounting();
  const Mount mount(MountSpec{Kind::kFile});
  NEED_OK(sys::mkdir(mount / "dir"));
  interleave(mount, {"one", "dir/two", "dir/durable", "three"});
  NEED_OK(sys::setxattr(mount / "dir/durable", PMEMFS_XATTR_DURABLE, "1"));
  const std::string before = content_of(mount / "one");
  const std::string placed = xattr_of(mount / "dir/durable", PMEMFS_XATTR_EXTENTS);

  const Json one = run_json({"defrag", mount / "one"});
  CHECK(one["files_moved"] == 1);
  CHECK(one["bytes_moved"] == kPieces * 4096);
  CHECK(pieces(mount / "one") == 1);
  CHECK(content_of(mount / "one") == before);

  const Json dir = run_json({"defrag", mount / "dir"});
  CHECK(dir["files_moved"] == 1);
  REQUIRE(dir["left"].size() == 1);
  CHECK(dir["left"][0]["path"] == mount / "dir/durable");
  CHECK(dir["left"][0]["reason"] == "durable");
  CHECK(pieces(mount / "dir/two") == 1);
  CHECK(pieces(mount / "three") > 1);

  CHECK(run_json({"defrag", "--region", mount.root()})["files_moved"] == 1);
  CHECK(pieces(mount / "three") == 1);
  CHECK(xattr_of(mount / "dir/durable", PMEMFS_XATTR_EXTENTS) == placed);
}

TEST_CASE("defrag: a directory region on a filesystem that tells where data lie") {
  need_mounting();
  const TempDir below;
  const Mount mount(MountSpec{.kind = Kind::kDirectory, .region_below = below.path()});
  interleave(mount, {"one", "two", "durable"});
  NEED_OK(sys::setxattr(mount / "durable", PMEMFS_XATTR_DURABLE, "1"));
  if (!lies_in_pieces(mount / "one") || !lies_in_pieces(mount / "durable")) {
    PMEMFS_SKIP("needs a directory for temporary files that tells where blocks lie");
  }
  const std::string before = content_of(mount / "one");
  const struct stat was = stat_of(mount / "one");
  const std::string placed = xattr_of(mount / "durable", PMEMFS_XATTR_EXTENTS);
  const UniqueFd looks(::open((mount / "one").c_str(), O_PATH | O_CLOEXEC));

  const Json one = run_json({"defrag", mount / "one"});
  CHECK(one["files_moved"] == 1);
  CHECK(one["bytes_moved"] == kPieces * 4096);
  CHECK(pieces(mount / "one") == 1);
  CHECK(content_of(mount / "one") == before);
  struct stat now {};
  REQUIRE(::fstat(looks.get(), &now) == 0);  // who held the inode holds it still
  CHECK(now.st_ino == was.st_ino);
  CHECK(now.st_mtim.tv_nsec == was.st_mtim.tv_nsec);

  const UniqueFd two = open_file(mount / "two", O_RDWR);
  const std::string ctl = program("pmemfsctl");
  check_refused({ctl, "defrag", mount / "two"}, 32, "is open, mapped");
  check_refused({ctl, "defrag", mount / "durable"}, 32, "is durable");
  const Json all = run_json({"defrag", "--region", mount.root()});
  CHECK(all["files_moved"] == 0);
  REQUIRE(all["left"].size() == 2);
  CHECK(all["left"][0]["path"] == "/two");
  CHECK(all["left"][0]["reason"] == "in use");
  CHECK(all["left"][1]["path"] == "/durable");
  CHECK(all["left"][1]["reason"] == "durable");
  CHECK(xattr_of(mount / "durable", PMEMFS_XATTR_EXTENTS) == placed);
}

TEST_CASE("evacuate: ordinary files leave, durable ones are listed with their paths") {
  need_mounting();
  const Mount mount(MountSpec{Kind::kFile});
  interleave(mount, {"moves", "stays"});
  NEED_OK(sys::setxattr(mount / "stays", PMEMFS_XATTR_DURABLE, "1"));
  const std::string placed = xattr_of(mount / "stays", PMEMFS_XATTR_EXTENTS);
  const std::uint64_t first = parse_extents(xattr_of(mount / "moves", PMEMFS_XATTR_EXTENTS))[0].at;
  const std::vector<std::string> words = {program("pmemfsctl"), "evacuate",
                                          "--offset=" + std::to_string(first / 4096 * 4096),
                                          "--length=800K", mount.root()};
  std::vector<std::string> json = words;
  json.emplace_back("--json");
  const ProgramResult machine = run_program(json, false);
  CHECK(machine.status == 32);
  const Json report = Json::parse(machine.output);
  CHECK(report["finished"] == true);
  CHECK(report["bytes_moved"] > 0);
  REQUIRE(report["left"].size() == 1);
  CHECK(report["left"][0]["path"] == "/stays");
  for (const ExtentLine& line : parse_extents(xattr_of(mount / "moves", PMEMFS_XATTR_EXTENTS))) {
    CHECK((line.at + line.length <= first || line.at >= first + 800 * 1024));
  }
  CHECK(xattr_of(mount / "stays", PMEMFS_XATTR_EXTENTS) == placed);
  const ProgramResult again =
      run_program({program("pmemfsctl"), "evacuate", "--offset=" + std::to_string(first),
                   "--length=4K", mount.root()});
  CHECK(again.status == 32);
  CHECK(again.output.find("evacuated already") != std::string::npos);
  const ProgramResult text = run_program(words);  // the same range goes on
  CHECK(text.status == 32);
  CHECK(text.output.find("left in place: /stays (") != std::string::npos);
  CHECK(text.output.find("(ETXTBSY): 1 durable files are there") != std::string::npos);
}

TEST_CASE("compact: frames that ordinary files hold in part become free") {
  need_mounting();
  const Mount mount(MountSpec{Kind::kFile});  // of 64 MiB: 32 frames
  for (int i = 0; i < 110; ++i) {
    make_file(mount / std::to_string(i), pattern(512U << 10U, static_cast<unsigned>(i)));
  }
  for (int i = 0; i < 110; i += 4) {  // a quarter of each frame
    NEED_OK(sys::unlink(mount / std::to_string(i)));
  }
  const std::uint64_t before = run_json({"status", mount.root()})["region_frames_free"];
  const Json done = run_json({"compact", "--size=10M", mount.root()});
  CHECK(before < 5);
  CHECK(done["frames_wanted"] == 5);
  CHECK(done["frames_free"] >= 5);
  CHECK(done["bytes_moved"] > 0);
  for (int i = 1; i < 110; i += 4) {
    CHECK(content_of(mount / std::to_string(i)) == pattern(512U << 10U, static_cast<unsigned>(i)));
  }
  const std::string ctl = program("pmemfsctl");
  const ProgramResult all = run_program({ctl, "compact", "--size=64M", mount.root()});
  CHECK(all.status == 32);
  CHECK(all.output.find("of 32 frames of 2 MiB are free") != std::string::npos);
  check_refused({ctl, "compact", mount.root()}, 1, "wants --size");
  const Mount directory(MountSpec{Kind::kDirectory});
  check_refused({ctl, "compact", "--size=2M", directory.root()}, 32, "no frames");
}

TEST_CASE("what defrag and evacuate refuse, with one line each") {
  need_mounting();
  const Mount mount(MountSpec{Kind::kFile});
  make_file(mount / "durable", "x");
  NEED_OK(sys::setxattr(mount / "durable", PMEMFS_XATTR_DURABLE, "1"));
  const std::string ctl = program("pmemfsctl");
  check_refused({ctl, "defrag", mount / "durable"}, 32, "is durable");
  check_refused({ctl, "defrag", mount / "missing"}, 32, "No such file");
  check_refused({ctl, "evacuate", mount.root()}, 1, "--offset and --length");
  check_refused({ctl, "evacuate", "--offset=x", "--length=1", mount.root()}, 1, "must be a size");
  check_refused({ctl, "evacuate", "--offset=1T", "--length=1", mount.root()}, 32, "beyond");
  check_refused({ctl, "status", "--region", mount.root()}, 1, "goes with the command defrag");
  check_refused({ctl, "status", mount.root(), mount.root()}, 1, "too many");
  const Mount directory(MountSpec{Kind::kDirectory});
  check_refused({ctl, "evacuate", "--offset=0", "--length=1", directory.root()}, 32,
                "not in extents");
  make_file(directory / "file", "x");
  check_refused({ctl, "defrag", directory / "file"}, 32, "does not tell where data lie");
  check_refused({ctl, "defrag", "--region", directory.root()}, 32, "does not tell where data lie");
}
