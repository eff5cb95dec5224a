// Windows when others do what they should not, or at the wrong moment.
#include "windows_rig.hpp"

namespace pmemfs::test {
namespace {

AttributeChange to_size(std::uint64_t size) {
  AttributeChange change;
  change.size = size;
  return change;
}

}  // namespace

TEST_CASE("what is being cut off is not mapped any more, what stays is") {
  CoreRig rig(CoreRig::Data::kBacking);
  rig.put("file", content_of(3 * kFrame, 'a'));
  const InodeNo ino = rig.stat("file").ino;
  Machine machine(rig);
  REQUIRE(machine.map(ino, 0) == 0);
  int during = 0;
  rig.fs().set_window_hooks({[&](InodeNo, std::uint64_t) {
    ++during;
    CHECK(machine.map(ino, 2 * kFrame) == EAGAIN);
    CHECK(machine.map(ino, kFrame) == 0);
  }});
  REQUIRE(rig.fs().setattr(kRoot, ino, to_size(kFrame + 10)).ok());
  CHECK(during == 1);
  rig.fs().set_window_hooks({});
  REQUIRE(rig.fs().setattr(kRoot, ino, to_size(3 * kFrame)).ok());
  CHECK(machine.map(ino, 2 * kFrame) == 0);
}

TEST_CASE("the number of a host file that a window maps is no other file's") {
  CoreRig rig(CoreRig::Data::kBacking);
  const bool mapped = GENERATE(true, false);
  rig.put("file", content_of(300'000, 'a'));
  const InodeNo ino = rig.stat("file").ino;
  Machine machine(rig);
  if (mapped) {
    REQUIRE(machine.map(ino, 0) == 0);
  }
  REQUIRE(rig.fs().unlink(kRootInode, "file").ok());
  rig.put("next", "another file");
  CHECK((rig.stat("next").ino == ino) == !mapped);
  if (mapped) {
    CHECK_FALSE(rig.host_files(ino).empty());
    machine.unmapped(ino, 0);
    REQUIRE(rig.fs().sync().ok());
    CHECK(rig.host_files(ino).empty());
    rig.put("third", "the number is free again");
    CHECK(rig.stat("third").ino == ino);
  }
}

TEST_CASE("what a guest unlinks and has forgotten is its own as long as it maps it") {
  CoreRig rig(CoreRig::Data::kExtents);
  rig.put("file", content_of(2 * kFrame, 'a'));
  const InodeNo ino = rig.stat("file").ino;
  const std::uint64_t free = rig.fs().status().region_bytes_free;
  Machine machine(rig);
  REQUIRE(machine.map(ino, 0) == 0);
  const bool replaced = GENERATE(false, true);
  if (GENERATE(false, true)) {
    rig.kill();
  }
  if (replaced) {
    rig.put("other", "other");
    REQUIRE(rig.fs().rename(kRoot, kRootInode, "other", kRootInode, "file", 0).ok());
  } else {
    REQUIRE(rig.fs().unlink(kRootInode, "file").ok());
  }
  CHECK(rig.fs().status().region_bytes_free <= free);
  rig.fs().unmapped_window(ino, 0, kFrame);
  REQUIRE(rig.fs().sync().ok());
  CHECK(rig.fs().status().region_bytes_free <= free);
  machine.let_go(ino);
  REQUIRE(rig.fs().sync().ok());
  CHECK(rig.fs().status().region_bytes_free > free + kFrame);
}

TEST_CASE("an export that fails leaves nothing beyond the end and no mark") {
  CoreRig rig(CoreRig::Data::kExtents);
  rig.put("file", content_of(5000, 'a'));
  const InodeNo ino = rig.stat("file").ino;
  const std::uint64_t blocks = rig.stat("file").blocks;
  Machine machine(rig);
  rig.region().fail_exports(EMFILE);
  CHECK(machine.map(ino, 0) == EMFILE);
  rig.region().fail_exports(0);
  CHECK(rig.fs().status().window_bytes == 0);
  REQUIRE(rig.fs().sync().ok());
  CHECK(rig.stat("file").blocks == blocks);
  CHECK(rig.get("file") == content_of(5000, 'a'));
}

TEST_CASE("what a file kept beyond its end goes when its machine ends between two daemons") {
  CoreRig rig(CoreRig::Data::kExtents);
  rig.put("file", content_of(5000, 'a'));
  const InodeNo ino = rig.stat("file").ino;
  const std::uint64_t blocks = rig.stat("file").blocks;
  Machine machine(rig);
  REQUIRE(machine.map(ino, 0) == 0);
  REQUIRE(rig.stat("file").blocks > blocks);
  const bool killed = GENERATE(true, false);
  const bool meanwhile = GENERATE(true, false);
  if (!killed) {
    REQUIRE(rig.fs().close().ok());
  }
  if (meanwhile) {
    machine.let_go(ino);  // else while the next one serves
  }
  rig.kill();
  REQUIRE(rig.fs().sync().ok());
  CHECK((rig.stat("file").blocks > blocks) == !meanwhile);
  machine.let_go(ino);
  REQUIRE(rig.fs().sync().ok());
  CHECK(rig.stat("file").blocks == blocks);
  rig.remount();
  CHECK(rig.stat("file").blocks == blocks);
}

TEST_CASE("what is given to a machine and was not recorded is kept by the next daemon") {
  CoreRig rig(CoreRig::Data::kExtents);
  rig.put("file", content_of(kFrame, 'a'));
  const InodeNo ino = rig.stat("file").ino;
  const std::uint64_t place = places(rig, ino).at(0);
  const auto given = rig.region().export_memory(ino.value);
  REQUIRE(given.ok());
  ::close(*given);
  rig.kill();
  const auto moved = rig.fs().evacuate(place, kFrame, {});
  REQUIRE(moved.ok());
  CHECK(moved->left.size() == 1);
  REQUIRE(rig.fs().unlink(kRootInode, "file").ok());
  REQUIRE(rig.fs().sync().ok());
  std::uint64_t written = 0;
  for (int i = 0;; ++i) {
    auto made = rig.fs().create(kRoot, kRootInode, "fill" + std::to_string(i), 0644, O_RDWR);
    if (!made ||
        !rig.fs().write(made->opened.handle, 0, bytes(std::string(1U << 20U, 'F')), false, false)) {
      break;
    }
    written += 1U << 20U;
    rig.close(*made);
  }
  CHECK(written > 8 * kFrame);
  const auto* seen = reinterpret_cast<const char*>(rig.region().data() + place);
  CHECK(std::string_view(seen, kFrame) == content_of(kFrame, 'a'));
}

TEST_CASE("fsync flushes a range once, by how many machines it is mapped ever") {
  CoreRig rig(CoreRig::Data::kExtents);
  rig.put("file", content_of(kFrame, 'a'));
  const InodeNo ino = rig.stat("file").ino;
  Machine machine(rig);
  const auto opened = rig.fs().open_file(ino, O_RDONLY, false);
  REQUIRE(opened.ok());
  const auto flushes = [&] {
    const std::uint64_t before = rig.region().counts().flushes;
    REQUIRE(rig.fs().fsync(opened->handle, false).ok());
    return rig.region().counts().flushes - before;
  };
  REQUIRE(flushes() == 0);
  constexpr int kMappings = 50;
  for (int i = 0; i < kMappings; ++i) {
    REQUIRE(machine.map(ino, 0) == 0);
  }
  const std::uint64_t all = flushes();  // with those of the time stamp, when it moves
  CHECK(all > 0);
  CHECK(all < kMappings / 2);
  rig.fs().release(opened->handle);
}

}  // namespace pmemfs::test
