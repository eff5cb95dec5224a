// fsck.pmemfs as a program: modes, exit codes, undo, what it refuses.
#include <fcntl.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <filesystem>

#include <nlohmann/json.hpp>

#include "base/unique_fd.hpp"
#include "harness/catch.hpp"
#include "helper_stage.hpp"
#include "pmemfs/format.hpp"
#include "program_output.hpp"
#include "support/mount_fixture.hpp"
#include "support/temp_dir.hpp"

using namespace pmemfs::test;
namespace fs = std::filesystem;
namespace format = pmemfs::format;
using Json = nlohmann::json;

namespace {

ProgramResult fsck(const std::vector<std::string>& more) {
  std::vector<std::string> words = {program("fsck.pmemfs")};
  words.insert(words.end(), more.begin(), more.end());
  return run_program(words);
}

// The root directory says that it has more links, and its checksum says nothing: 257 to 259 are the
// index, then comes the first chunk.
constexpr off_t kRootNlink = 260 * 4096 + 256 + offsetof(format::Inode, nlink);

void poke(const std::string& file, off_t at) {
  const pmemfs::base::UniqueFd fd(::open(file.c_str(), O_RDWR | O_CLOEXEC));
  char byte = 0;
  REQUIRE(::pread(fd.get(), &byte, 1, at) == 1);
  byte = static_cast<char>(byte ^ 0x10);
  REQUIRE(::pwrite(fd.get(), &byte, 1, at) == 1);
}

}  // namespace

TEST_CASE("a sound region: 0, one line, unchanged; JSON, counts, preen") {
  const TempDir dir(kTmpfs);
  for (const bool file : {false, true}) {
    const std::string path = dir / (file ? "f" : "d");
    make_region(path, file ? std::vector<std::string>{"--size=16M"} : std::vector<std::string>{});
    const std::uint32_t before = fingerprint(path);
    for (const char* mode : {"-n", "-p", "-a", "-fp", "-y", "--repair"}) {
      CAPTURE(mode);
      const ProgramResult result = fsck({mode, path});
      INFO(result.output);
      CHECK(result.status == 0);
      CHECK(result.output.find(path + ": ") == 0);
    }
    const ProgramResult counted = fsck({"-v", path});
    CHECK(counted.output.find("1 inodes, 1 of them directories") == 0);
    const ProgramResult json = fsck({"--json", path});
    CHECK(json.status == 0);
    const Json report = Json::parse(json.output);
    CHECK(report["found"] == 0);
    CHECK(report["complete"] == true);
    CHECK(report["unmounted"] == true);
    CHECK(report["counts"]["inodes"] == 1);
    CHECK(fingerprint(path) == before);
  }
}

TEST_CASE("a damaged region: 4, repaired with an undo file: 1, undone: as before") {
  const TempDir dir(kTmpfs);
  const std::string path = dir / "r";
  const std::string undo = dir / "undo";
  make_region(path);
  poke(path + "/region", kRootNlink);
  const std::uint32_t before = fingerprint(path);
  CHECK(fsck({path}).status == 4);
  CHECK(fsck({"-p", path}).status == 0);  // was unmounted in order
  CHECK(fsck({"-fp", path}).status == 4);
  const Json report = Json::parse(fsck({"--json", path}).output);
  CHECK(report["findings"][0]["problem"] == "inode damaged");
  CHECK(report["findings"][0]["repaired"] == false);
  CHECK(fingerprint(path) == before);

  const ProgramResult repaired = fsck({"--repair", "--undo-file", undo, path});
  INFO(repaired.output);
  CHECK(repaired.status == 1);
  CHECK(repaired.output.find("(repaired)") != std::string::npos);
  CHECK(repaired.output.find("all repaired") != std::string::npos);
  CHECK(fsck({path}).status == 0);
  check_refused({program("fsck.pmemfs"), "-y", "--undo-file", undo, path}, 8, "undo");
  CHECK(fsck({"--apply-undo", undo, path}).status == 0);
  CHECK(fingerprint(path) == before);
  CHECK(fsck({"-y", path}).status == 1);
}

TEST_CASE("an undo file that is not needed is not left") {
  const TempDir dir(kTmpfs);
  make_region(dir / "r");
  CHECK(fsck({"-y", "--undo-file", dir / "undo", dir / "r"}).status == 0);
  CHECK_FALSE(fs::exists(dir / "undo"));
}

TEST_CASE("what cannot be checked: 8; both superblocks gone: 4; wrong usage: 16") {
  const TempDir dir(kTmpfs);
  const std::string name = program("fsck.pmemfs");
  check_refused({name, dir / "none"}, 8, "does not exist");
  write_file(dir / "file", std::string(16U << 20U, 'x'));
  fs::permissions(dir / "file", fs::perms::owner_read | fs::perms::owner_write);
  check_refused({name, dir / "file"}, 8, "is not a pmemfs region");
  check_refused({name, "--undo-file", dir / "u", dir / "file"}, 16, "--repair");
  check_refused({name, "-n", "-y", dir / "file"}, 16, "only one");
  check_refused({name, "-C", "x", dir / "file"}, 16, "file descriptor");
  make_region(dir / "r");
  poke(dir / "r" + "/region", 60);
  poke(dir / "r" + "/region", 4095 * 4096 + 60);
  const ProgramResult lost = fsck({"-n", dir / "r"});
  CHECK(lost.status == 4);
  CHECK(lost.output.find("both superblocks are damaged") == 0);
  const std::string damaged = read_file(dir / "r" + "/region");
  CHECK(fsck({"-y", "--undo-file", dir / "saved", dir / "r"}).status == 1);
  CHECK(fsck({dir / "r"}).status == 0);
  CHECK(fsck({"--apply-undo", dir / "saved", dir / "r"}).status == 0);
  CHECK((read_file(dir / "r" + "/region") == damaged));
  CHECK(fsck({"-y", dir / "r"}).status == 1);
  make_region(dir / "u");
  write_file(dir / "no undo", "text");
  check_refused({name, "--apply-undo", dir / "no undo", dir / "u"}, 8, "not an undo file");
}

TEST_CASE("progress goes to a descriptor") {
  const TempDir dir(kTmpfs);
  make_region(dir / "r");
  const ProgramResult result = fsck({"-C", "1", dir / "r"});
  CHECK(result.status == 0);
  CHECK(result.output.find("1 0 1 " + (dir / "r")) == 0);
}

TEST_CASE("a mounted region is refused, unmounted it is checked; fsck -t finds the program") {
  HelperStage stage;
  stage.mount("durable_all");
  write_file(stage.point + "/f", "x");
  for (const char* mode : {"-n", "-p", "-y"}) {
    check_refused({program("fsck.pmemfs"), mode, stage.region}, 8, "mounted on " + stage.point);
  }
  // What a daemon that died leaves is sound, and is looked at without a trace.
  stage.kill_daemon();
  const std::uint32_t before = fingerprint(stage.region);
  for (const char* mode : {"-n", "-p"}) {
    const ProgramResult crashed = fsck({mode, stage.region});
    INFO(crashed.output);
    CHECK(crashed.status == 0);
    CHECK(crashed.output.find(stage.region + ": no problems") != std::string::npos);
  }
  CHECK(fingerprint(stage.region) == before);
  CHECK(stage.helper({}).status == 0);
  stage.unmount();
  const ProgramResult result = fsck({"-v", stage.region});
  CHECK(result.status == 0);
  CHECK(result.output.find("1 host files") != std::string::npos);
  const std::string path = fs::path(program("fsck.pmemfs")).parent_path();
  if (::access("/sbin/fsck", X_OK) != 0) {
    PMEMFS_SKIP("needs fsck(8)");
  }
  const ProgramResult wrapped =
      run_program({"/usr/bin/env", "PATH=" + path + ":/usr/bin:/bin", "/sbin/fsck", "-t",
                   "fuse.pmemfs", stage.region, "-f", "-a"});
  INFO(wrapped.output);
  CHECK(wrapped.status == 0);
  CHECK(wrapped.output.find(stage.region + ": no problems") != std::string::npos);
}
