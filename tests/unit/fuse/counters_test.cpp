#include "fuse/counters.hpp"

#include <linux/fuse.h>

#include "harness/catch.hpp"

namespace {

using pmemfs::fuse::Counters;
using pmemfs::fuse::opcode_name;

TEST_CASE("opcodes have the kernel's names") {
  CHECK(opcode_name(FUSE_LOOKUP) == "LOOKUP");
  CHECK(opcode_name(FUSE_MKNOD) == "MKNOD");
  CHECK(opcode_name(FUSE_RELEASE) == "RELEASE");
  CHECK(opcode_name(FUSE_FSYNC) == "FSYNC");
  CHECK(opcode_name(FUSE_INIT) == "INIT");
  CHECK(opcode_name(FUSE_CREATE) == "CREATE");
  CHECK(opcode_name(FUSE_BATCH_FORGET) == "BATCH_FORGET");
  CHECK(opcode_name(FUSE_READDIRPLUS) == "READDIRPLUS");
  CHECK(opcode_name(FUSE_RENAME2) == "RENAME2");
  CHECK(opcode_name(FUSE_LSEEK) == "LSEEK");
  CHECK(opcode_name(FUSE_SYNCFS) == "SYNCFS");
  CHECK(opcode_name(FUSE_TMPFILE) == "TMPFILE");
  CHECK(opcode_name(52) == "STATX");
  CHECK(opcode_name(53) == "COPY_FILE_RANGE_64");
  CHECK(opcode_name(7) == "opcode 7");
  CHECK(opcode_name(4096) == "opcode 4096");
}

TEST_CASE("a snapshot has what came, in order of opcode") {
  Counters counters;
  CHECK(counters.snapshot().empty());
  counters.count(FUSE_GETATTR);
  counters.count(FUSE_LOOKUP);
  counters.count(FUSE_GETATTR);
  counters.count(99);
  counters.count(1'000'000);
  const auto snapshot = counters.snapshot();
  REQUIRE(snapshot.size() == 3);
  CHECK(snapshot[0] == std::pair<std::string, std::uint64_t>("LOOKUP", 1));
  CHECK(snapshot[1] == std::pair<std::string, std::uint64_t>("GETATTR", 2));
  CHECK(snapshot[2] == std::pair<std::string, std::uint64_t>("other", 2));
}

}  // namespace
