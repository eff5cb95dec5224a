#include "store/superblock.hpp"

#include <unistd.h>

#include <cstring>
#include <functional>

#include "format/checks.hpp"
#include "harness/catch.hpp"
#include "small_fs.hpp"
#include "support/sim_region.hpp"

using namespace pmemfs;
using format::Superblock;
using store::SuperblockFault;
using test::SimRegion;
using test::SmallFs;

namespace {

constexpr std::uint64_t kSize = 16U << 20U;
constexpr ByteOff kCopy{format::kSuperblockCopyBlock * format::kBlockSize};

struct Outcome {
  int code;
  SuperblockFault fault;
  bool second;
};

Outcome read(const Region& region) {
  Outcome o{0, SuperblockFault::kNone, false};
  o.code = store::read_superblock(region, &o.fault, &o.second).code();
  return o;
}

void edit(SimRegion& region, const std::function<void(Superblock&)>& change) {
  for (const ByteOff place : {ByteOff(0), kCopy}) {
    Superblock s{};
    std::memcpy(&s, region.data() + place.value, sizeof(s));
    change(s);
    format::seal(s);
    region.poke(place, &s, sizeof(s));
  }
}

void damage(SimRegion& region, ByteOff place, std::uint64_t inside = 60) {
  const std::byte other = region.data()[place.value + inside] ^ std::byte{1};
  region.poke(ByteOff(place.value + inside), &other, 1);
}

}  // namespace

TEST_CASE("mkfs leaves two copies that open") {
  SimRegion region(kSize);
  SmallFs::format(region);
  CHECK(region.pending_lines() == 0);
  CHECK(std::memcmp(region.data(), region.data() + kCopy.value, format::kBlockSize) == 0);
  const auto s = store::read_superblock(region, nullptr, nullptr);
  REQUIRE(s);
  CHECK(s->region_blocks.load() == kSize / format::kBlockSize);
  CHECK(std::string(s->label) == "test");
}

TEST_CASE("mkfs refuses regions that are too small or too large") {
  SimRegion small(kSize - format::kBlockSize);
  CHECK(store::Store::format(small, {}).code() == EINVAL);
}

TEST_CASE("either copy serves when the other is damaged") {
  SimRegion region(kSize);
  SmallFs::format(region);
  SECTION("the first") {
    damage(region, ByteOff(0));
    const Outcome o = read(region);
    CHECK(o.code == 0);
    CHECK(o.second);
    SmallFs fs(region);
    CHECK(fs.report().used_second_superblock);
    CHECK_FALSE(read(region).second);  // opening has written it anew
  }
  SECTION("the first, its magic too") {
    damage(region, ByteOff(0), 0);
    CHECK(read(region).second);
  }
  SECTION("the second") {
    damage(region, kCopy);
    const Outcome o = read(region);
    CHECK(o.code == 0);
    CHECK_FALSE(o.second);
  }
}

TEST_CASE("faults are told apart") {
  SimRegion region(kSize);
  const auto check = [&](int code, SuperblockFault fault) {
    const Outcome o = read(region);
    CHECK(o.code == code);
    CHECK(o.fault == fault);
    CHECK_FALSE(store::Store::open(region, nullptr));
  };
  SECTION("nothing there") {
    check(EINVAL, SuperblockFault::kNotPmemfs);
  }
  SmallFs::format(region);
  SECTION("both damaged") {
    damage(region, ByteOff(0));
    damage(region, kCopy);
    check(EUCLEAN, SuperblockFault::kDamaged);
  }
  SECTION("a newer version") {
    edit(region, [](Superblock& s) { s.version.store(format::kFormatVersion + 1); });
    check(EOPNOTSUPP, SuperblockFault::kNewer);
  }
  SECTION("an older version") {
    edit(region, [](Superblock& s) { s.version.store(format::kFormatVersion - 1); });
    check(EOPNOTSUPP, SuperblockFault::kOlder);
  }
  SECTION("an unknown incompat feature") {
    edit(region, [](Superblock& s) { s.incompat.store(1ULL << 63U); });
    check(EOPNOTSUPP, SuperblockFault::kNewer);
  }
  SECTION("a region that was cut") {
    edit(region, [](Superblock& s) { s.region_blocks.store(kSize / format::kBlockSize + 1); });
    check(EUCLEAN, SuperblockFault::kSize);
  }
  SECTION("lanes over the copy") {
    edit(region, [](Superblock& s) { s.lane_count.store(300); });
    check(EUCLEAN, SuperblockFault::kDamaged);
  }
  SECTION("an inode table outside") {
    edit(region, [](Superblock& s) { s.inode_root.store(~std::uint64_t{0}); });
    check(EUCLEAN, SuperblockFault::kDamaged);
  }
  SECTION("a copy of the inode table's root outside") {
    edit(region, [](Superblock& s) { s.inode_root_copy.store(~std::uint64_t{0}); });
    check(EUCLEAN, SuperblockFault::kDamaged);
  }
}

TEST_CASE("unknown compat bits are ignored, ro-compat ones allow reading only") {
  SimRegion region(kSize);
  SmallFs::format(region);
  edit(region, [](Superblock& s) { s.compat.store(1); });
  { SmallFs fs(region); }
  edit(region, [](Superblock& s) { s.ro_compat.store(1); });
  CHECK(store::Store::open(region, nullptr).code() == EROFS);
  region.set_read_only(true);
  CHECK(store::Store::open(region, nullptr));
}

TEST_CASE("a crash at any fence of an update leaves a whole superblock, old or new") {
  SimRegion region(kSize);
  SmallFs::format(region);
  const auto before = store::read_superblock(region, nullptr, nullptr);
  REQUIRE(before);
  store::SuperblockKeeper keeper(region, *before);
  std::uint64_t value = 0;
  std::uint64_t seed = 0;
  bool right = true;
  region.on_fence([&](SimRegion& r) {
    for (int i = 0; i < 20; ++i) {
      test::RandomChooser chooser(++seed);
      const auto crashed = r.crash(chooser);
      const auto s = store::read_superblock(*crashed, nullptr, nullptr);
      right &= s && (s->made_at.load() == value || s->made_at.load() == value - 1 ||
                     s->made_at.load() == before->made_at.load());
    }
  });
  for (value = 1; value <= 10; ++value) {
    REQUIRE(keeper.update([&](Superblock& s) { s.made_at.store(value); }));
    CHECK(keeper.get().made_at.load() == value);
  }
  CHECK(right);
  CHECK(seed == 10U * 2 * 20);
}

TEST_CASE("a second crash, in the update after one that was cut, leaves a whole superblock") {
  SimRegion region(kSize);
  SmallFs::format(region);
  SECTION("the second copy was being written") {
    damage(region, kCopy);
  }
  SECTION("the first copy was being written") {
    damage(region, ByteOff(0));
  }
  SECTION("the second copy was not reached") {
    Superblock s = *store::read_superblock(region, nullptr, nullptr);
    s.update.store(s.update.load() + 1);
    format::seal(s);
    region.poke(ByteOff(0), &s, sizeof(s));
  }
  int fences = 0;
  region.on_fence([&](SimRegion& now) {
    ++fences;
    for (std::uint64_t seed = 1; seed <= 50; ++seed) {
      test::RandomChooser chooser(seed);
      CHECK(read(*now.crash(chooser)).code == 0);
    }
  });
  Superblock s = *store::read_superblock(region, nullptr, nullptr);
  REQUIRE(store::write_superblock(region, s));
  CHECK(fences == 2);
  CHECK(std::memcmp(region.data(), region.data() + kCopy.value, format::kBlockSize) == 0);
}

TEST_CASE("owner, state and counters follow open and close") {
  SimRegion region(kSize);
  SmallFs::format(region);
  const format::Uuid boot = store::boot_id();
  {
    SmallFs fs(region);
    CHECK(fs.report().was_clean);
    const Superblock s = fs.store().superblock();
    CHECK(s.state.load() == static_cast<std::uint32_t>(format::RegionState::kDirty));
    CHECK(s.owner_pid.load() == static_cast<std::uint32_t>(::getpid()));
    CHECK(s.owner_boot == boot);
    CHECK(s.mount_count.load() == 1);
    CHECK_FALSE(fs.store().mappings_suspected());
    fs.close();
  }
  {
    SmallFs fs(region);
    CHECK(fs.report().was_clean);
    CHECK(fs.report().used_snapshot);
    CHECK_FALSE(fs.store().mappings_suspected());
  }  // as a crash
  {
    SmallFs fs(region);
    CHECK_FALSE(fs.report().was_clean);
    CHECK(fs.store().mappings_suspected());
    CHECK(fs.store().superblock().mount_count.load() == 3);
    fs.close();
  }
  SmallFs again(region);
  CHECK(again.store().mappings_suspected());  // still the same boot
}

TEST_CASE("close() can say that mappings live on") {
  SimRegion region(kSize);
  SmallFs::format(region);
  {
    SmallFs fs(region);
    test::must(fs.store().close(true));
  }
  SmallFs fs(region);
  CHECK(fs.report().was_clean);
  CHECK(fs.store().mappings_suspected());
}

TEST_CASE("a feature bit is set in both copies, once") {
  SimRegion region(kSize);
  SmallFs::format(region);
  SmallFs fs(region);
  CHECK(fs.store().superblock().incompat.load() == 0);
  REQUIRE(fs.store().use_feature(format::kIncompatHostPlace).ok());
  const std::uint64_t update = fs.store().superblock().update.load();
  REQUIRE(fs.store().use_feature(format::kIncompatHostPlace).ok());
  CHECK(fs.store().superblock().update.load() == update);
  for (const ByteOff place : {ByteOff(0), kCopy}) {
    Superblock copy{};
    std::memcpy(&copy, region.data() + place.value, sizeof(copy));
    CHECK(format::valid(copy));
    CHECK(copy.incompat.load() == format::kIncompatHostPlace);
  }
  CHECK(read(region).code == 0);
}

TEST_CASE("no generation is given out twice, whatever crashes") {
  SimRegion region(kSize);
  SmallFs::format(region);
  std::uint64_t last = 1;  // the root directory's
  for (int round = 0; round < 6; ++round) {
    SmallFs fs(region);
    for (int i = 0; i < (round % 2 == 0 ? 5000 : 3); ++i) {
      const std::uint64_t generation = test::must(fs.store().next_generation());
      REQUIRE(generation > last);
      last = generation;
    }
    if (round % 3 == 0) {
      fs.close();
    }
  }
}
