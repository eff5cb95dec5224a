// Host files that windows map have no holes there: a store into one is SIGBUS in the monitor when
// the host is full.
#include <linux/falloc.h>

#include "windows_rig.hpp"

namespace pmemfs::test {
namespace {

constexpr int kPunch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
constexpr int kZero = FALLOC_FL_ZERO_RANGE;

struct Rig : CoreRig {
  Rig() : CoreRig(Data::kBacking) { backing().tell_extents(); }

  // An open file of this content, of which `machine` maps the first place.
  Created mapped(Machine& machine, std::string_view content) {
    const Created file = create("file");
    write(file.opened.handle, 0, content);
    REQUIRE(machine.map(file.attributes.ino, 0) == 0);
    return file;
  }
  int resize(std::uint64_t size) {
    AttributeChange change;
    change.size = size;
    return fs().setattr(kRoot, stat("file").ino, change).code();
  }
  int allocate(const Created& file, int mode, std::uint64_t off, std::uint64_t len) {
    return fs().fallocate(kRoot, file.opened.handle, mode, off, len).code();
  }
  // Bytes of [begin, end) of the host file, multiples of kBlock, that are holes.
  std::uint64_t holes(std::uint64_t begin, std::uint64_t end) {
    const InodeNo ino = stat("file").ino;
    const auto fd = backing().open(host_files(ino).at(0));
    REQUIRE(fd.ok());
    const auto runs = backing().extents(*fd, 100'000);
    ::close(*fd);
    REQUIRE(runs.ok());
    std::uint64_t there = 0;
    for (const HostExtent& run : *runs) {
      const std::uint64_t from = std::max(begin, run.off);
      const std::uint64_t to = std::min(end, run.off + run.len);
      there += from < to ? to - from : 0;
    }
    return end - begin - there;
  }
};

}  // namespace

TEST_CASE("a host file that grows has no holes where it is mapped") {
  Rig rig;
  Machine machine(rig);
  const Created file = rig.mapped(machine, "begin");
  rig.write(file.opened.handle, 100 * kBlock, "by a write");
  CHECK(rig.holes(0, 101 * kBlock) == 0);
  REQUIRE(rig.allocate(file, 0, 200 * kBlock, 10) == 0);
  CHECK(rig.holes(0, 201 * kBlock) == 0);
  REQUIRE(rig.resize(300 * kBlock) == 0);
  CHECK(rig.holes(0, 300 * kBlock) == 0);
  REQUIRE(rig.resize(10) == 0);
  CHECK(rig.holes(0, 300 * kBlock) == 299 * kBlock);
  REQUIRE(rig.resize(400 * kBlock) == 0);
  CHECK(rig.holes(0, 400 * kBlock) == 0);
  rig.write(file.opened.handle, 3 * kFrame, "in a place that is not mapped");
  CHECK(rig.holes(0, kFrame) == 0);
  CHECK(rig.holes(kFrame, 3 * kFrame) == 2 * kFrame);

  machine.unmapped(file.attributes.ino, 0);
  REQUIRE(rig.resize(10) == 0);
  REQUIRE(rig.resize(kFrame) == 0);
  rig.write(file.opened.handle, kFrame, "end");
  CHECK(rig.holes(0, kFrame) == kFrame - kBlock);
  rig.close(file);
}

TEST_CASE("copy_file_range, which may share blocks, goes through memory where a file is mapped") {
  Rig rig;
  Machine machine(rig);
  const Created file = rig.mapped(machine, "begin");
  const Created other = rig.create("other");
  rig.write(other.opened.handle, 0, "OTHER");
  const auto copy = [&](const Created& from, const Created& to) {
    rig.backing().forget_calls();
    const auto done = rig.fs().copy_range(from.opened.handle, 0, to.opened.handle, 50 * kBlock, 5);
    CHECK(done.ok());
    return rig.backing().count(HostOp::kCopy);
  };
  CHECK(copy(other, file) == 0);
  CHECK(rig.holes(0, 51 * kBlock) == 0);
  CHECK(rig.read_all(file.opened.handle, 50 * kBlock) == "OTHER");
  CHECK(copy(file, other) == 0);
  machine.unmapped(file.attributes.ino, 0);
  CHECK(copy(other, file) == 1);
  rig.close(other);
  rig.close(file);
}

TEST_CASE("growth for which the host has no room is refused, and the file is as it was") {
  Rig rig;
  Machine machine(rig);
  const Created file = rig.mapped(machine, "begin");
  const auto full = [&] {
    rig.backing().fail_nth(HostOp::kAllocate, 1, ENOSPC);
    rig.backing().fail_nth(HostOp::kAllocate, 2, ENOSPC);
  };
  full();
  CHECK(rig.resize(kFrame) == ENOSPC);
  full();
  CHECK(rig.fs().write(file.opened.handle, kFrame, bytes("far"), false, false).code() == ENOSPC);
  full();
  CHECK(rig.allocate(file, 0, 10 * kBlock, kBlock) == ENOSPC);
  CHECK(rig.stat("file").size == 5);
  CHECK(rig.get("file") == "begin");

  // What was filled for a write that failed does not count: another place may be mapped meanwhile.
  REQUIRE(rig.resize(kFrame + 10) == 0);
  rig.backing().fail_nth(HostOp::kWrite, 1, ENOSPC);
  rig.backing().fail_nth(HostOp::kWrite, 2, ENOSPC);
  CHECK(rig.fs().write(file.opened.handle, 3 * kFrame, bytes("far"), false, false).code() ==
        ENOSPC);
  REQUIRE(machine.map(file.attributes.ino, kFrame) == 0);
  REQUIRE(rig.resize(3 * kFrame) == 0);
  CHECK(rig.holes(0, 2 * kFrame) == 0);
  rig.close(file);
}

TEST_CASE("what is punched or zeroed where it is mapped keeps its blocks") {
  Rig rig;
  Machine machine(rig);
  const int mode = GENERATE(values({kPunch, kZero, kZero | FALLOC_FL_KEEP_SIZE}));
  const std::string content = content_of(3 * kFrame, 'a');
  const Created file = rig.mapped(machine, content);
  REQUIRE(machine.map(file.attributes.ino, 2 * kFrame) == 0);
  REQUIRE(rig.allocate(file, mode, 100, 3 * kFrame) == 0);
  CHECK(rig.holes(0, kFrame) == 0);
  CHECK((rig.holes(kFrame, 2 * kFrame) == kFrame) == (mode == kPunch));
  CHECK(rig.holes(2 * kFrame, 3 * kFrame) == 0);
  CHECK(rig.stat("file").size == 3 * kFrame + (mode == kZero ? 100 : 0));
  for (const std::uint64_t off : {std::uint64_t{0}, kFrame, 2 * kFrame, 3 * kFrame - kBlock}) {
    const std::string zeros(kBlock, '\0');
    const std::string seen = rig.read_all(file.opened.handle, off).substr(0, kBlock);
    CHECK(seen == (off == 0 ? content.substr(0, 100) + zeros.substr(100) : zeros));
  }
  machine.unmapped(file.attributes.ino, 0);
  machine.unmapped(file.attributes.ino, 2 * kFrame);
  REQUIRE(rig.allocate(file, kPunch, 0, kFrame) == 0);
  CHECK(rig.holes(0, kFrame) == kFrame);
  rig.close(file);
}

TEST_CASE("growth that nobody saw is covered before a guest is told of it") {
  Rig rig;
  Machine machine(rig);
  const bool durable = GENERATE(false, true);
  const Created file = rig.mapped(machine, "begin");
  if (durable) {
    REQUIRE(rig.set_durable("file") == 0);
  }
  const InodeNo ino = file.attributes.ino;
  const auto cover = [&] {
    const std::uint64_t size = rig.stat("file").size;
    rig.backing().forget_calls();
    return rig.fs().cover_window(ino, size).code();
  };
  const auto grow_behind = [&](std::uint64_t size) {
    rig.backing().resize_behind(rig.host_files(ino).at(0), size);
  };
  REQUIRE(rig.resize(50 * kBlock) == 0);
  CHECK(cover() == 0);
  CHECK(rig.backing().calls().empty());
  grow_behind(100 * kBlock);
  CHECK(rig.holes(0, 100 * kBlock) == (durable ? 0 : 50 * kBlock));  // 0: allocated ahead
  rig.backing().fail_nth(HostOp::kAllocate, 1, ENOSPC);
  rig.backing().fail_nth(HostOp::kAllocate, 2, ENOSPC);
  CHECK(cover() == ENOSPC);
  CHECK(cover() == 0);
  CHECK(rig.holes(0, 100 * kBlock) == 0);
  CHECK(cover() == 0);
  CHECK(rig.backing().calls().empty());

  // Zeros for a punched hole find room there, too.
  grow_behind(200 * kBlock);
  CHECK(rig.allocate(file, kPunch, 150 * kBlock, kBlock) == (durable ? EOPNOTSUPP : 0));
  CHECK(rig.holes(0, 200 * kBlock) == 0);

  // A place that is mapped later says nothing about the first one.
  grow_behind(2 * kFrame);
  REQUIRE(machine.map(ino, kFrame) == 0);
  CHECK(cover() == 0);
  CHECK(rig.holes(0, 2 * kFrame) == 0);
  rig.close(file);
}

TEST_CASE("the host is asked for blocks only where there are none") {
  Rig rig;
  Machine machine(rig);
  const Created file = rig.create("file");
  rig.write(file.opened.handle, 0, content_of(10 * kBlock, 'a'));
  rig.backing().forget_calls();
  REQUIRE(machine.map(file.attributes.ino, 0) == 0);
  for (std::uint64_t i = 0; i < 20; i++) {
    rig.write(file.opened.handle, 10 * kBlock + i * 1000, std::string(1000, 'x'));
  }
  CHECK(rig.backing().count(HostOp::kAllocate) == 0);
  rig.close(file);
}

}  // namespace pmemfs::test
