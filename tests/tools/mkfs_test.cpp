// mkfs.pmemfs: what it makes, and what it refuses without a trace.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "harness/catch.hpp"
#include "program_output.hpp"
#include "region/region_handle.hpp"
#include "store/store.hpp"
#include "support/mount_fixture.hpp"
#include "support/temp_dir.hpp"
#include "tools/region_access.hpp"

using namespace pmemfs::test;
namespace fs = std::filesystem;
namespace tools = pmemfs::tools;

namespace {

std::string mkfs() {
  return program("mkfs.pmemfs");
}

// Refused with one line, and nothing below `watched` is different from before.
void check_unchanged(const std::string& watched, const std::vector<std::string>& words,
                     const std::string& mention) {
  const std::uint32_t before = fingerprint(watched);
  const std::string line = check_refused(words, 32, mention);
  INFO(line);
  CHECK(fingerprint(watched) == before);
}

}  // namespace

TEST_CASE("a directory region: made, its parts closed to others") {
  const TempDir dir(kTmpfs);
  const ProgramResult result = run_program({mkfs(), "--emulate", "-L", "data", dir / "r"});
  INFO(result.output);
  REQUIRE(result.status == 0);
  CHECK(result.output.find("Filesystem UUID: ") != std::string::npos);
  CHECK(result.output.find("Label: data") != std::string::npos);
  CHECK(result.output.find("not persistent") != std::string::npos);
  CHECK(fs::status(dir / "r").permissions() == fs::perms::owner_all);
  const auto superblock = tools::peek_superblock(dir / "r");
  REQUIRE(superblock);
  CHECK((superblock->flags.load() & pmemfs::format::kSbEmulated) != 0);
  CHECK(std::string(static_cast<const char*>(superblock->label)) == "data");
}

TEST_CASE("an existing empty directory, an existing file and a new file serve too") {
  const TempDir dir(kTmpfs);
  fs::create_directory(dir / "d");
  fs::permissions(dir / "d", fs::perms::owner_all);
  make_region(dir / "d");
  make_region(dir / "new", {"--size=20M"});
  CHECK(fs::file_size(dir / "new") == 20U << 20U);
  write_file(dir / "old", "");
  fs::permissions(dir / "old", fs::perms::owner_read | fs::perms::owner_write);
  fs::resize_file(dir / "old", 16U << 20U);
  make_region(dir / "old");
  for (const char* name : {"d", "new", "old"}) {
    CHECK(tools::peek_superblock(dir / name));
  }
}

TEST_CASE("owner, mode and UUID are as asked for, --quiet says nothing") {
  const TempDir dir(kTmpfs);
  const ProgramResult result =
      run_program({mkfs(), "--emulate", "-q", "-U", "01234567-89ab-cdef-0123-456789abcdef",
                   "--root-owner=1000:1001", "--root-mode=1770", dir / "r"});
  CHECK(result.status == 0);
  CHECK(result.output.empty());
  std::string why;
  auto handle = pmemfs::region::open(dir / "r", {true, 0}, why);
  REQUIRE(handle);
  pmemfs::store::OpenReport report;
  auto store = pmemfs::store::Store::open((*handle)->region(), &report);
  REQUIRE(store);
  const auto root = (*store)->inode(pmemfs::kRootInode);
  REQUIRE(root);
  CHECK(root->uid.load() == 1000);
  CHECK(root->gid.load() == 1001);
  CHECK(root->mode.load() == (S_IFDIR | 01770U));
}

TEST_CASE("bad input: nothing is changed") {
  const TempDir dir(kTmpfs);
  const auto refused = [&](const std::vector<std::string>& more, const std::string& path,
                           const std::string& mention) {
    std::vector<std::string> words = {mkfs()};
    words.insert(words.end(), more.begin(), more.end());
    words.push_back(path);
    check_unchanged(dir.path(), words, mention);
  };
  SECTION("memory that is not persistent, without --emulate") {
    refused({}, dir / "r", "--emulate");
  }
  SECTION("a directory that others can write") {
    fs::create_directory(dir / "open");
    fs::permissions(dir / "open", fs::perms::all);
    refused({"--emulate"}, dir / "open", dir / "open");
  }
  SECTION("a parent that others can write") {
    fs::create_directory(dir / "open");
    fs::permissions(dir / "open", fs::perms::all);
    refused({"--emulate"}, dir / "open/r", dir / "open");
    refused({"--emulate", "--size=16M"}, dir / "open/r", dir / "open");
  }
  SECTION("a directory that is not empty") {
    fs::create_directory(dir / "d");
    fs::permissions(dir / "d", fs::perms::owner_all);
    write_file(dir / "d/x", "precious");
    refused({"--emulate"}, dir / "d", "not empty");
  }
  SECTION("a region that holds a filesystem") {
    make_region(dir / "d");
    make_region(dir / "f", {"--size=16M"});
    refused({"--emulate"}, dir / "d", "--force");
    refused({"--emulate"}, dir / "f", "--force");
  }
  SECTION("a file that holds data") {
    write_file(dir / "f", std::string(16U << 20U, 'x'));
    fs::permissions(dir / "f", fs::perms::owner_read | fs::perms::owner_write);
    refused({"--emulate"}, dir / "f", "holds data");
  }
  SECTION("too small, too large, not of whole blocks") {
    refused({"--emulate", "--size=1M"}, dir / "f", "too small");
    refused({"--emulate", "--size=65T"}, dir / "f", "64 TiB");
    refused({"--emulate", "--size=16777217"}, dir / "f", "4096");
  }
  SECTION("no such folder, devices, other types") {
    refused({"--emulate"}, dir / "no/r", "no");
    refused({"--emulate"}, "/dev/null", "/dev/null");
    REQUIRE(::mkfifo((dir / "fifo").c_str(), 0600) == 0);
    refused({"--emulate"}, dir / "fifo", "neither");
  }
  SECTION("no room") {
    refused({"--emulate", "--size=60T"}, dir / "f", "no space");
  }
}

TEST_CASE("--force makes a new filesystem and leaves nothing of the old one") {
  const TempDir dir(kTmpfs);
  make_region(dir / "r");
  const auto first = tools::peek_superblock(dir / "r");
  write_file(dir / "r/data/02/2.1", "old");
  fs::permissions(dir / "r/data/02/2.1", fs::perms::owner_read | fs::perms::owner_write);
  make_region(dir / "r", {"--force"});
  const auto second = tools::peek_superblock(dir / "r");
  REQUIRE(first);
  REQUIRE(second);
  CHECK(first->uuid != second->uuid);
  CHECK_FALSE(fs::exists(dir / "r/data/02/2.1"));
}

TEST_CASE("a region in use is left alone, even with --force") {
  const TempDir dir(kTmpfs);
  make_region(dir / "r");
  std::string why;
  const auto owner = pmemfs::region::open(dir / "r", {}, why);
  REQUIRE(owner);
  check_unchanged(dir.path(), {mkfs(), "--emulate", "--force", dir / "r"}, "in use");
}
