// What a clean unmount leaves must be what a scan would find.
#include "store/snapshot.hpp"

#include <sys/stat.h>

#include <cstring>
#include <random>
#include <string>

#include "harness/catch.hpp"
#include "sample.hpp"
#include "small_fs.hpp"
#include "store/impl.hpp"
#include "store/scan.hpp"
#include "support/sim_region.hpp"

using namespace pmemfs;
using test::must;
using test::SimRegion;
using test::SmallFs;

namespace {

constexpr std::uint64_t kSize = 32U << 20U;

}  // namespace

TEST_CASE("a scan finds what the running store knew, and a snapshot the same") {
  SimRegion region(kSize);
  test::make_sample(region, GENERATE(1U, 2U));
  std::string known;
  {
    SmallFs fs(region);
    CHECK(fs.report().used_snapshot);
    known = test::free_state(fs.store());
    CHECK(test::walk_everything(fs.store()) == 0);
  }  // as a crash
  {
    SmallFs fs(region);
    CHECK_FALSE(fs.report().used_snapshot);
    CHECK(fs.report().damaged_structures == 0);
    CHECK(test::free_state(fs.store()) == known);
    must(fs.create("another"));
    must(fs.unlink("another"));
    known = test::free_state(fs.store());
    fs.close();
  }
  SmallFs fs(region);
  CHECK(fs.report().used_snapshot);
  CHECK(test::free_state(fs.store()) == known);
}

TEST_CASE("opening makes the snapshot void before the first change") {
  SimRegion region(kSize);
  test::make_sample(region, 1);
  { SmallFs fs(region); }
  test::KeepNone chooser;
  const auto crashed = region.crash(chooser);
  const auto s = store::read_superblock(*crashed, nullptr, nullptr);
  REQUIRE(s);
  CHECK(s->snapshot.load() == 0);
  CHECK(s->state.load() == static_cast<std::uint32_t>(format::RegionState::kDirty));
}

TEST_CASE("a crash at any fence of close() leaves a snapshot that is right, or none") {
  SimRegion region(kSize);
  test::make_sample(region, 3);
  SmallFs fs(region);
  const std::string known = test::free_state(fs.store());
  std::uint64_t seed = 0;
  bool right = true;
  region.on_fence([&](SimRegion& r) {
    for (int i = 0; i < 20; ++i) {
      test::RandomChooser chooser(++seed);
      const auto crashed = r.crash(chooser);
      SmallFs again(*crashed);
      right &= test::free_state(again.store()) == known;
    }
  });
  must(fs.store().close(false));
  CHECK(right);
  CHECK(seed >= 3 * 20);
}

TEST_CASE("a damaged or stale snapshot is not used") {
  SimRegion region(kSize);
  test::make_sample(region, 1);
  const auto s = store::read_superblock(region, nullptr, nullptr);
  REQUIRE(s);
  REQUIRE(s->snapshot.load() != 0);
  const ByteOff at = format::byte_off(BlockNo(s->snapshot.load()));
  SECTION("a run") {
    region.poke(ByteOff(at.value + sizeof(format::SnapshotHeader) + 3), "x", 1);
  }
  SECTION("counts") {
    const std::uint64_t huge = ~std::uint64_t{0};
    region.poke(ByteOff(at.value + offsetof(format::SnapshotHeader, free_runs)), &huge, 8);
  }
  SECTION("another update") {
    const std::uint64_t update = s->update.load() + 1;
    region.poke(ByteOff(at.value + offsetof(format::SnapshotHeader, update)), &update, 8);
  }
  SmallFs fs(region);
  CHECK(fs.report().was_clean);
  CHECK_FALSE(fs.report().used_snapshot);
  CHECK(fs.report().damaged_structures == 0);
}

TEST_CASE("orphans are found by a scan, never lost to a snapshot") {
  SimRegion region(kSize);
  SmallFs::format(region);
  InodeNo ino;
  {
    SmallFs fs(region);
    store::Change change(fs.store());
    ino = must(change.allocate_inode());
    format::Inode inode = test::new_inode(ino, must(fs.store().next_generation()), S_IFREG);
    inode.nlink.store(0);
    change.put_inode(inode);
    must(change.commit());
    if (GENERATE(false, true)) {
      fs.close();
    }
  }
  {
    SmallFs fs(region);
    CHECK(fs.store().take_orphans() == std::vector<InodeNo>{ino});
    CHECK(fs.store().take_orphans().empty());
    store::Change change(fs.store());
    change.free_inode(fs.inode(ino));
    must(change.commit());
    fs.close();
  }
  SmallFs fs(region);
  CHECK(fs.report().used_snapshot);
  CHECK(fs.store().take_orphans().empty());
}

TEST_CASE("a region without a free run for the snapshot closes all the same") {
  SimRegion region(16U << 20U);
  SmallFs::format(region, format::RegionKind::kFile);
  {
    SmallFs fs(region);
    const InodeNo ino = must(fs.create("full"));
    format::Inode inode = fs.inode(ino);
    const auto map = must(store::ExtentMap::load(fs.store(), inode));
    store::Change change(fs.store());
    for (std::uint64_t at = 0; fs.store().space().blocks_free > 0;) {
      const BlockRun run = must(change.allocate(fs.store().space().blocks_free));
      must(map->insert(change, inode, {at, run.start, run.count, false}));
      at += run.count;
    }
    change.put_inode(inode);
    must(change.commit());
    fs.close();
  }
  SmallFs fs(region);
  CHECK(fs.report().was_clean);
  CHECK_FALSE(fs.report().used_snapshot);
  CHECK(fs.store().space().blocks_free == 0);
}

TEST_CASE("durable bytes survive, by scan and by snapshot") {
  SimRegion region(kSize);
  SmallFs::format(region);
  {
    SmallFs fs(region);
    const InodeNo ino = must(fs.create("a"));
    format::Inode inode = fs.inode(ino);
    inode.durable_len.store(77777);
    store::Change change(fs.store());
    change.put_inode(inode);
    must(change.commit());
    if (GENERATE(false, true)) {
      fs.close();
    }
  }
  SmallFs fs(region);
  CHECK(fs.store().durable_bytes() == 77777);
}
