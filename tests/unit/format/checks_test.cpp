#include "format/checks.hpp"

#include <cstring>
#include <memory>
#include <string>

#include "format/layout.hpp"
#include "harness/catch.hpp"

using namespace pmemfs;
using namespace pmemfs::format;

namespace {

// seal() makes it valid, and a flip of any byte in [0, covered) undoes that.
template <typename T, typename Valid>
void check_covered(T& t, std::size_t covered, Valid valid) {
  seal(t);
  CHECK(valid(t));
  auto* bytes = reinterpret_cast<unsigned char*>(&t);
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    bytes[i] ^= 0x10U;
    CAPTURE(i);
    if (valid(t) != (i >= covered)) {
      FAIL("byte " << i);
    }
    bytes[i] ^= 0x10U;
  }
  CHECK(valid(t));
}

template <typename T>
void check_all_covered() {
  auto t = std::make_unique<T>();
  check_covered(*t, sizeof(T), [](const T& x) { return valid(x); });
}

Superblock good() {
  Superblock s{};
  s.magic.store(kSuperblockMagic);
  s.version.store(kFormatVersion);
  s.block_size.store(kBlockSize);
  s.kind.store(1);
  s.state.store(1);
  s.region_blocks.store(kMinRegionSize / kBlockSize);
  s.lane_start.store(kLaneStart);
  s.lane_count.store(kLaneCount);
  s.lane_blocks.store(kLaneBlocks);
  s.inode_root.store(257);
  s.inode_root_copy.store(4094);
  return s;
}

}  // namespace

TEST_CASE("a crc covers what the header says") {
  check_all_covered<Superblock>();
  check_all_covered<Inode>();
  check_all_covered<IndexBlock>();
  check_all_covered<ExtentSlot>();
  check_all_covered<DirHeader>();
  auto chain = std::make_unique<ExtentBlock>();
  check_covered(*chain, offsetof(ExtentBlock, slots), [](const auto& b) { return valid(b); });
  auto blob = std::make_unique<BlobBlock>();
  blob->length.store(100);
  check_covered(*blob, offsetof(BlobBlock, data) + 100, [](const auto& b) { return valid(b); });
}

TEST_CASE("a blob longer than its block is never valid") {
  auto blob = std::make_unique<BlobBlock>();
  seal(*blob);
  blob->length.store(kBlobPayload + 1);
  CHECK_FALSE(valid(*blob));
  blob->length.store(~0U);
  CHECK_FALSE(valid(*blob));
}

TEST_CASE("the crc of an entry covers its name, that of a lane its records") {
  Dentry d{};
  d.name_len = 4;
  seal(d, "name");
  CHECK(valid(d, "name"));
  CHECK_FALSE(valid(d, "nane"));
  d.type = 3;
  CHECK_FALSE(valid(d, "name"));
  LaneHeader lane{};
  seal(lane, "records", 7);
  CHECK(valid(lane, "records", 7));
  CHECK_FALSE(valid(lane, "recordz", 7));
  lane.sequence.store(1);
  CHECK_FALSE(valid(lane, "records", 7));
  SnapshotHeader snapshot{};
  seal(snapshot, "runs", 4);
  CHECK(valid(snapshot, "runs", 4));
  CHECK_FALSE(valid(snapshot, "ruins", 5));
}

TEST_CASE("names take 1 to 5 slots") {
  CHECK(dentry_slots(1) == 1);
  CHECK(dentry_slots(40) == 1);
  CHECK(dentry_slots(41) == 2);
  CHECK(dentry_slots(232) == 4);
  CHECK(dentry_slots(233) == 5);
  CHECK(dentry_slots(255) == 5);
}

TEST_CASE("the layout lets nothing near the superblocks, the lanes or the end") {
  Superblock s = good();
  s.region_blocks.store(8192);
  REQUIRE(well_formed(s));
  Layout layout(s);
  const std::uint64_t blocks = s.region_blocks.load();
  CHECK(layout.first() == 257);
  CHECK(layout.usable(BlockNo(257)));
  CHECK(layout.usable({BlockNo(257), 4095 - 257}));
  CHECK_FALSE(layout.usable({BlockNo(257), 4095 - 257 + 1}));
  CHECK_FALSE(layout.usable(BlockNo(4095)));
  CHECK(layout.usable(BlockNo(4096)));
  CHECK(layout.usable({BlockNo(4096), blocks - 4096}));
  CHECK_FALSE(layout.usable({BlockNo(4096), blocks - 4095}));
  for (const std::uint64_t start : {0ULL, 1ULL, 256ULL, 8192ULL, ~0ULL}) {
    CHECK_FALSE(layout.usable(BlockNo(start)));
  }
  CHECK_FALSE(layout.usable({BlockNo(512), 0}));
  CHECK_FALSE(layout.usable({BlockNo(512), ~std::uint64_t{0}}));
  layout.resized(9000);
  CHECK(layout.usable(BlockNo(8192)));
}

TEST_CASE("superblocks that make no sense are told") {
  const auto bad = [](auto change) {
    Superblock s = good();
    change(s);
    return !well_formed(s);
  };
  CHECK(bad([](auto& s) { s.block_size.store(512); }));
  CHECK(bad([](auto& s) { s.region_blocks.store(10); }));
  CHECK(bad([](auto& s) { s.region_blocks.store(~0ULL); }));
  CHECK(bad([](auto& s) { s.lane_start.store(0); }));
  CHECK(bad([](auto& s) { s.lane_start.store(~0ULL); }));
  CHECK(bad([](auto& s) { s.lane_count.store(0); }));
  CHECK(bad([](auto& s) { s.lane_blocks.store(~0U); }));
  CHECK(bad([](auto& s) { s.lane_count.store(32); }));
  CHECK(bad([](auto& s) { s.kind.store(9); }));
  CHECK(bad([](auto& s) { s.state.store(0); }));
  CHECK(bad([](auto& s) { s.inode_root.store(256); }));
  CHECK(bad([](auto& s) { s.inode_root_copy.store(256); }));
  CHECK(bad([](auto& s) { s.inode_root_copy.store(257); }));  // the root itself
  CHECK(bad([](auto& s) { s.inode_root_copy.store(kSuperblockCopyBlock); }));
  CHECK(bad([](auto& s) { s.bad_runs.store(1); }));  // of 0 blocks
  CHECK(bad([](auto& s) { s.bad_runs.store(~0U); }));
  const auto runs = [](std::uint64_t first, std::uint64_t n, std::uint64_t second) {
    Superblock s = good();
    s.bad_runs.store(2);
    s.bad[0].start.store(first);
    s.bad[0].count.store(n);
    s.bad[1].start.store(second);
    s.bad[1].count.store(1);
    return well_formed(s);
  };
  CHECK(runs(0, 10, 10));
  CHECK(runs(0, 10, 4095));
  CHECK_FALSE(runs(0, 10, 9));
  CHECK_FALSE(runs(0, 10, 4096));
  CHECK_FALSE(runs(0, ~0ULL, 10));
  Superblock s = good();
  CHECK(understood(s));
  s.compat.store(~0ULL);
  s.ro_compat.store(~0ULL);
  CHECK(understood(s));
  s.incompat.store(kKnownIncompat + 1);
  CHECK_FALSE(understood(s));
  s = good();
  s.version.store(kFormatVersion + 1);
  CHECK_FALSE(understood(s));
}
