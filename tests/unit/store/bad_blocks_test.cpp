// Bad memory that is remembered, and what has a second copy. Real SIGBUS, see MemoryRegion::lose,
// and known losses over simulated memory, whose power can be cut.
#include "store/bad_blocks.hpp"

#include <cstring>

#include "base/log.hpp"
#include "format/checks.hpp"
#include "harness/catch.hpp"
#include "small_fs.hpp"
#include "store/allocator.hpp"
#include "store/impl.hpp"
#include "support/memory_region.hpp"
#include "support/sim_region.hpp"

using namespace pmemfs;
using test::MemoryRegion;
using test::must;
using test::SimRegion;
using test::SmallFs;

namespace {

constexpr std::uint64_t kSize = 16U << 20U;
constexpr BlockNo kRoot(257);
constexpr BlockNo kRootCopy(format::kSuperblockCopyBlock - 1);
using Runs = std::vector<BlockRun>;

void quiet() {
  base::log::init_callback([](base::log::Level, const std::string&) {});
}

BlockRun run(std::uint64_t start, std::uint64_t count) {
  return {BlockNo(start), count};
}

ByteOff off(BlockNo block) {
  return format::byte_off(block);
}

void touch(const MemoryRegion& memory, BlockNo block) {
  CHECK(memory->data()[off(block).value] == std::byte{0});
}

// A free block in the middle of the largest run.
BlockNo some_free_block(SmallFs& fs) {
  return BlockNo(fs.store().blocks().largest().start.value + 100);
}

// Takes everything there is; how many blocks, and whether `bad` was among them.
std::uint64_t take_all(SmallFs& fs, BlockNo bad, bool* given) {
  std::uint64_t taken = 0;
  *given = false;
  store::Change change(fs.store());
  while (fs.store().blocks().free_blocks() > 0) {
    const BlockRun got = must(change.allocate(64));
    *given = *given || got.contains(bad);
    taken += got.count;
  }
  return taken;
}

}  // namespace

TEST_CASE("bad blocks: what a mount met is given to nobody in the next, scanned or not") {
  quiet();
  MemoryRegion memory(kSize);
  SmallFs::format(*memory, format::RegionKind::kFile);
  BlockNo bad;
  std::uint64_t free = 0;
  {
    SmallFs fs(*memory);
    bad = some_free_block(fs);
    memory.lose(off(bad));
    touch(memory, bad);
    fs.close();
  }
  for (const bool by_snapshot : {false, true, false}) {
    memory.map_again();  // the page is as good as ever: only the list knows
    SmallFs fs(*memory);
    CHECK(fs.report().used_snapshot == by_snapshot);
    CHECK(fs.report().damaged_structures == 0);
    CHECK(fs.store().bad_blocks().runs() == Runs{{bad, 1}});
    CHECK(memory->lost(off(bad), 1));
    CHECK(fs.store().blocks().bad_free() == Runs{{bad, 1}});
    free = free == 0 ? fs.store().blocks().free_blocks() : free;
    CHECK(fs.store().blocks().free_blocks() == free);
    bool given = true;
    CHECK(take_all(fs, bad, &given) == free);
    CHECK_FALSE(given);
    CHECK(memory->media_events() == 0);
    if (!by_snapshot) {
      fs.close();
    }
  }
}

TEST_CASE("control: a list that is lost is a block that is given out") {
  quiet();
  MemoryRegion memory(kSize);
  SmallFs::format(*memory, format::RegionKind::kFile);
  BlockNo bad;
  {
    SmallFs fs(*memory);
    bad = some_free_block(fs);
    memory.lose(off(bad));
    touch(memory, bad);
    fs.close();
  }
  memory.map_again();
  for (const BlockNo place : {BlockNo(0), BlockNo(format::kSuperblockCopyBlock)}) {
    format::Superblock s{};
    std::memcpy(&s, memory->data() + off(place).value, sizeof(s));
    CHECK(s.bad_runs.load() == 1);
    s.bad_runs.store(0);
    format::seal(s);
    memory->store(off(place), &s, sizeof(s));
  }
  SmallFs fs(*memory);
  bool given = false;
  take_all(fs, bad, &given);
  CHECK(given);
}

TEST_CASE("bad blocks: healed ones are free again, now and later") {
  quiet();
  MemoryRegion memory(kSize);
  SmallFs::format(*memory, format::RegionKind::kFile);
  {
    SmallFs fs(*memory);
    const std::uint64_t free = fs.store().blocks().free_blocks();
    const BlockNo bad = some_free_block(fs);
    memory.lose(off(bad));
    touch(memory, bad);
    fs.store().bad_blocks().note();
    CHECK(fs.store().blocks().free_blocks() == free - 1);
    CHECK(fs.store().bad_blocks().contains({bad, 1}));
    REQUIRE(fs.store().bad_blocks().heal({bad, 1}).ok());
    CHECK(fs.store().blocks().free_blocks() == free);
    CHECK(fs.store().bad_blocks().count() == 0);
    CHECK(memory->media_errors() == 0);
    fs.close();
  }
  memory.map_again();
  SmallFs fs(*memory);
  CHECK(fs.store().bad_blocks().runs().empty());
}

TEST_CASE(
    "bad blocks: inodes in a lost page are EIO in the next mount, too, and none is made there") {
  quiet();
  MemoryRegion memory(kSize);
  SmallFs::format(*memory, format::RegionKind::kFile);
  ByteOff page;
  {
    SmallFs fs(*memory);
    for (int i = 0; i < 20; ++i) {
      must(fs.create("file" + std::to_string(i)));
    }
    const ByteOff slot = must(fs.store().table().locate(InodeNo(17)));
    page = ByteOff(slot.value / format::kBlockSize * format::kBlockSize);
    memory.lose(page);
    CHECK(fs.store().inode(InodeNo(17)).code() == EIO);
    fs.close();
  }
  memory.map_again();
  SmallFs fs(*memory);
  CHECK(fs.store().inode(InodeNo(17)).code() == EIO);
  CHECK(fs.store().inode(InodeNo(31)).code() == EIO);  // a free one
  CHECK(fs.store().inode(InodeNo(2)).ok());
  for (int i = 0; i < 20; ++i) {
    const InodeNo made = must(fs.create("more" + std::to_string(i)));
    CHECK(must(fs.store().table().locate(made)).value / format::kBlockSize !=
          page.value / format::kBlockSize);
  }
  CHECK(memory->media_events() == 0);
  const auto with_lock = [](InodeNo, const std::function<void()>& work) {
    work();
  };
  CHECK(fs.store().table().move_chunk(fs.store(), InodeNo(0), with_lock).code() == EIO);
  CHECK(fs.store().inode(InodeNo(17)).code() == EIO);
}

TEST_CASE("bad blocks: the list is cut with the region, and ends where it is full") {
  quiet();
  SimRegion region(2 * kSize);
  SmallFs::format(region, format::RegionKind::kFile);
  SmallFs fs(region);
  store::BadBlocks& bad = fs.store().bad_blocks();
  bad.add(run(5000, 10));
  bad.add(run(4090 + 7, 3));
  bad.add(run(4100, 1));  // joins
  CHECK(bad.runs() == Runs{run(4097, 4), run(5000, 10)});
  REQUIRE(bad.resize(5005).ok());
  CHECK(bad.runs() == Runs{run(4097, 4), run(5000, 5)});
  CHECK(fs.store().superblock().region_blocks.load() == 5005);
  CHECK(fs.store().superblock().bad_runs.load() == 2);
  REQUIRE(bad.forget(run(4098, 1)).ok());
  CHECK(bad.runs() == Runs{run(4097, 1), run(4099, 2), run(5000, 5)});
  bad.add(run(5004, 3));  // some of it is beyond the end
  CHECK(format::well_formed(fs.store().superblock()));
  REQUIRE(bad.forget(run(5005, 2)).ok());
  REQUIRE(bad.resize(8192).ok());
  for (std::uint64_t i = 0; i < format::kBadRuns; ++i) {
    bad.add(run(1000 + 2 * i, 1));
  }
  CHECK(fs.store().superblock().bad_runs.load() == format::kBadRuns);
  CHECK(bad.runs().size() == format::kBadRuns + 3);
}

TEST_CASE("bad blocks: shrinking cuts off what is bad in the tail, and growth gives other memory") {
  quiet();
  SimRegion region(2 * kSize);
  SmallFs::format(region, format::RegionKind::kFile);
  SmallFs fs(region);
  fs.store().bad_blocks().add(run(6000, 2));
  store::Allocator& blocks = fs.store().blocks();
  CHECK(blocks.free_in(run(4096, 4096)) == 4096);
  const std::uint64_t free = blocks.free_blocks();
  REQUIRE(blocks.hold(run(4096, 4096)));
  REQUIRE(fs.store().shrink(2 * kSize, kSize).ok());
  CHECK(fs.store().bad_blocks().count() == 0);
  REQUIRE(fs.store().grow(2 * kSize));
  CHECK(blocks.free_blocks() == free + 2);
  CHECK_FALSE(region.lost(off(BlockNo(6000)), 2 * format::kBlockSize));
}

TEST_CASE("bad blocks: where the list cannot be written nothing is forgotten") {
  quiet();
  MemoryRegion memory(kSize);
  SmallFs::format(*memory, format::RegionKind::kFile);
  SmallFs fs(*memory);
  const BlockNo bad = some_free_block(fs);
  memory.lose(off(BlockNo(0)));
  memory.lose(off(BlockNo(format::kSuperblockCopyBlock)));
  memory.lose(off(bad));
  touch(memory, bad);
  fs.store().bad_blocks().note();
  CHECK(fs.store().bad_blocks().contains({bad, 1}));
  CHECK(fs.store().bad_blocks().heal({bad, 1}).code() == EIO);
  CHECK(fs.store().bad_blocks().contains({bad, 1}));
  CHECK(fs.store().blocks().bad_free() == Runs{{bad, 1}});
  CHECK_FALSE(fs.store().read_only());
}

TEST_CASE("superblock: a lost place is mended by the next mount that may write") {
  quiet();
  const BlockNo lost = GENERATE(BlockNo(0), BlockNo(format::kSuperblockCopyBlock));
  MemoryRegion memory(kSize);
  SmallFs::format(*memory);
  memory.lose(off(lost));
  {
    SmallFs fs(*memory);
    CHECK(memory->media_events() == 0);  // looked at, not touched
    CHECK(fs.store().check_superblocks().ok());
    CHECK(fs.store().bad_blocks().count() == 0);
    fs.close();
  }
  memory.map_again();
  SmallFs fs(*memory);
  CHECK(fs.report().was_clean);
  CHECK_FALSE(fs.report().used_second_superblock);
}

TEST_CASE("journal: lanes with lost pages are good again after the next mount") {
  quiet();
  MemoryRegion memory(kSize);
  SmallFs::format(*memory);
  memory.lose(off(BlockNo(20)));
  memory.lose(off(BlockNo(33)));  // the first block of a lane
  {
    SmallFs fs(*memory);
    CHECK_FALSE(memory->lost(off(BlockNo(1)), 256 * format::kBlockSize));
    must(fs.create("file"));
    CHECK(fs.store().bad_blocks().count() == 0);
  }
  memory.map_again();
  SmallFs fs(*memory);
  CHECK(fs.report().damaged_structures == 0);
  CHECK(fs.find("file"));
}

TEST_CASE("inode table: its root is served by a copy, in place of the first or of the second") {
  quiet();
  const BlockNo lost = GENERATE(kRoot, kRootCopy);
  const bool readable = GENERATE(false, true);  // and wrong
  MemoryRegion memory(kSize);
  SmallFs::format(*memory);
  {
    SmallFs fs(*memory);
    must(fs.create("file"));
    CHECK(fs.store().table().check_root().ok());
    fs.close();
  }
  memory.map_again();
  if (readable) {
    const std::uint64_t wrong = 77;
    memory->store(ByteOff(off(lost).value + 100), &wrong, sizeof(wrong));
  } else {
    memory.lose(off(lost));
  }
  SmallFs fs(*memory);
  CHECK(fs.report().damaged_structures == 0);
  CHECK(fs.find("file"));
  CHECK(fs.store().table().check_root().ok());  // mended
  for (int i = 0; i < 300; ++i) {               // a second chunk
    must(fs.create("file" + std::to_string(i)));
  }
  CHECK(fs.store().table().check_root().ok());
}

TEST_CASE("inode table: a root that is lost while it is changed costs nothing; the copy is newer") {
  quiet();
  constexpr std::uint64_t kSpan = std::uint64_t{256} * 504 * 504;  // of a pointer in the root
  MemoryRegion memory(64U << 20U);
  SmallFs::format(*memory);
  {
    SmallFs fs(*memory);
    memory.lose(off(kRoot));
    fs.store().table().set_limit(kSpan);  // the next chunk changes the root
    REQUIRE(fs.store().table().extend(fs.store(), fs.store().impl().numbers, kSpan).ok());
    CHECK(fs.store().inode(InodeNo(kSpan)).code() == ENOENT);
    CHECK(fs.store().table().check_root().code() == EIO);
  }
  memory.map_again();  // the root reads well again, and is old
  SmallFs fs(*memory);
  CHECK(fs.store().table().check_root().ok());
  CHECK(fs.store().table().limit() == kSpan + 256);
  CHECK(fs.store().inode(InodeNo(kSpan)).code() == ENOENT);
}

TEST_CASE("inode table: root and copy change in one, whenever the power goes") {
  quiet();
  constexpr std::uint64_t kSpan = std::uint64_t{256} * 504 * 504;
  SimRegion start(kSize);
  SmallFs::format(start);
  test::KeepAll all;
  for (int nth = 0;; ++nth) {
    auto region = start.crash(all);
    std::unique_ptr<SimRegion> left;
    {
      SmallFs fs(*region);
      fs.store().table().set_limit(kSpan);
      int countdown = nth;
      region->on_fence([&](SimRegion& r) {
        if (countdown-- == 0) {
          test::RandomChooser chooser(static_cast<std::uint64_t>(nth) + 1);
          left = r.crash(chooser);
        }
      });
      REQUIRE(fs.store().table().extend(fs.store(), fs.store().impl().numbers, kSpan).ok());
      region->on_fence({});
    }
    const bool cut = left != nullptr;
    SimRegion& found = cut ? *left : *region;
    found.set_read_only(true);  // else the mount would mend what differs
    SmallFs fs(found);
    CHECK(fs.report().damaged_structures == 0);
    CHECK(fs.store().table().check_root().ok());
    const std::uint64_t limit = fs.store().table().limit();
    CHECK((limit == kSpan + 256 || (cut && limit == 256)));
    if (!cut) {
      CHECK(nth > 3);
      break;
    }
  }
}

TEST_CASE("bad blocks: whenever the power goes, the list is the old or the new one") {
  quiet();
  SimRegion start(kSize);
  SmallFs::format(start, format::RegionKind::kFile);
  test::KeepAll all;
  const Runs before{run(1000, 2)};
  const Runs after{run(1000, 2), run(2000, 1)};
  for (int nth = 0;; ++nth) {
    auto region = start.crash(all);
    std::unique_ptr<SimRegion> left;
    bool cut = false;
    {
      SmallFs fs(*region);
      fs.store().bad_blocks().add(run(1000, 2));
      int countdown = nth;
      region->on_fence([&](SimRegion& r) {
        if (countdown-- == 0) {
          test::RandomChooser chooser(static_cast<std::uint64_t>(nth) + 1);
          left = r.crash(chooser);
        }
      });
      fs.store().bad_blocks().add(run(2000, 1));
      REQUIRE(fs.store().bad_blocks().heal(run(2000, 1)).ok());
      region->on_fence({});
      cut = left != nullptr;
    }
    SimRegion& found = cut ? *left : *region;
    SmallFs fs(found);
    const Runs now = fs.store().bad_blocks().runs();
    CHECK((now == before || (cut && now == after)));
    CHECK(fs.report().damaged_structures == 0);
    const std::uint64_t bad = now == before ? 2 : 3;
    CHECK(fs.store().blocks().free_in(run(1000, 2000)) == 2000);
    store::Allocator& blocks = fs.store().blocks();
    const Runs bad_free = blocks.bad_free();
    CHECK(bad_free == now);
    CHECK(fs.store().bad_blocks().count() == bad);
    if (!cut) {
      CHECK(nth > 3);
      break;
    }
  }
}
