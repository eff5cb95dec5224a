#include "journal/journal.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <set>
#include <thread>
#include <vector>

#include "base/unique_fd.hpp"
#include "format/checks.hpp"
#include "harness/catch.hpp"
#include "region/mapped_region.hpp"
#include "support/sim_region.hpp"

using namespace pmemfs;
using journal::Journal;
using journal::Transaction;
using test::SimRegion;

namespace {

constexpr journal::Geometry kGeometry{BlockNo(1), 4, 2};
constexpr std::uint64_t kRegionSize = 1U << 20U;
constexpr ByteOff kFirst{100 * 4096 + 40};  // crosses cache lines
constexpr ByteOff kSecond{150 * 4096 + 8};
constexpr std::size_t kSpot = 200;

std::vector<std::byte> filled(std::uint64_t value) {
  return std::vector<std::byte>(kSpot, static_cast<std::byte>(value));
}

// The value that fills the spot, or -1 when it holds more than one.
int value_at(const Region& region, ByteOff off) {
  const std::byte* at = region.data() + off.value;
  const bool uniform = std::all_of(at, at + kSpot, [&](std::byte b) { return b == *at; });
  return uniform ? static_cast<int>(*at) : -1;
}

ByteOff fresh_place(std::uint64_t value) {
  return ByteOff((200 + value % 50) * 4096);
}

ByteOff lane_off(std::uint32_t lane) {
  return ByteOff((1 + lane * 2) * 4096);
}

// A SimRegion whose user forgets fences: every `forget`-th of a commit (0: none).
class ForgetfulRegion final : public Region {
 public:
  ForgetfulRegion(SimRegion& sim, int forget) : sim_(sim), forget_(forget) {
    set_extent(const_cast<std::byte*>(sim.data()), sim.size());
  }
  [[nodiscard]] Granularity granularity() const override { return sim_.granularity(); }
  [[nodiscard]] bool read_only() const override { return sim_.read_only(); }
  void store(ByteOff off, const void* src, std::size_t n) override { sim_.store(off, src, n); }
  void store_u64(ByteOff off, std::uint64_t value) override { sim_.store_u64(off, value); }
  void stream(ByteOff off, const void* src, std::size_t n) override { sim_.stream(off, src, n); }
  void stream_zeros(ByteOff off, std::uint64_t n) override { sim_.stream_zeros(off, n); }
  void flush(ByteOff off, std::size_t n) override { sim_.flush(off, n); }
  void fence() override {
    ++fences_;
    before_fence();
    if (fences_ != forget_) {
      sim_.fence();
    }
  }
  Status grow(std::uint64_t size) override { return sim_.grow(size); }
  Status shrink(std::uint64_t size) override { return sim_.shrink(size); }

  void begin_commit() { fences_ = 0; }
  std::function<void()> before_fence = [] {
  };

 private:
  SimRegion& sim_;
  int forget_;
  int fences_ = 0;
};

// One transaction: the value goes to two spots, and to a block of its own that nobody refers to
// before the first spot holds the value.
void commit_value(Journal& journal, std::uint64_t value) {
  const auto bytes = filled(value);
  Transaction tx(journal);
  tx.write_fresh(fresh_place(value), bytes.data(), bytes.size());
  tx.write(kFirst, bytes.data(), bytes.size());
  tx.write(kSecond, bytes.data(), bytes.size());
  REQUIRE(tx.commit());
}

// What recovery makes of a crash at this moment, in a commit of `value` over value - 1. Empty:
// fine.
std::string verdict(const SimRegion& crashed, int value) {
  const int first = value_at(crashed, kFirst);
  if (first != value && first != value - 1) {
    return "neither the old nor the new value";
  }
  if (value_at(crashed, kSecond) != first) {
    return "half a transaction";
  }
  if (first > 0 && value_at(crashed, fresh_place(static_cast<std::uint64_t>(first))) != first) {
    return "a committed reference to a block that was lost";
  }
  return "";
}

// Crashes at every fence of some commits that take turns on two lanes. Returns what went wrong.
std::set<std::string> crash_everywhere(int forget) {
  SimRegion sim(kRegionSize);
  ForgetfulRegion region(sim, forget);
  Journal journal(region, kGeometry);
  std::set<std::string> faults;
  int value = 0;
  std::uint64_t seed = 0;
  region.before_fence = [&] {
    for (int i = 0; i < 20; ++i) {
      test::RandomChooser chooser(++seed);
      const auto crashed = sim.crash(chooser);
      if (!journal::replay(*crashed, kGeometry)) {
        faults.insert("replay failed");
      }
      faults.insert(verdict(*crashed, value));
    }
  };
  for (value = 1; value <= 40; ++value) {
    region.begin_commit();
    std::thread([&] { commit_value(journal, static_cast<std::uint64_t>(value)); }).join();
    // Once commit() has returned, another may change the same bytes: no lane may replay over it.
    test::KeepNone chooser;
    const auto crashed = sim.crash(chooser);
    const auto report = journal::replay(*crashed, kGeometry);
    if (!report || report->replayed != 0) {
      faults.insert("a lane in use after its commit returned");
    }
  }
  faults.erase("");
  return faults;
}

struct Write {
  ByteOff off;
  std::uint64_t value;
};

// A lane as a commit would leave it before it retires.
void forge_lane(SimRegion& region, std::uint32_t lane, std::uint64_t sequence,
                const std::vector<Write>& writes) {
  std::vector<std::byte> records;
  for (const Write& w : writes) {
    format::LaneRecord record{};
    record.offset.store(w.off.value);
    record.length.store(sizeof(w.value));
    const auto* bytes = reinterpret_cast<const std::byte*>(&record);
    records.insert(records.end(), bytes, bytes + sizeof(record));
    bytes = reinterpret_cast<const std::byte*>(&w.value);
    records.insert(records.end(), bytes, bytes + sizeof(w.value));
  }
  format::LaneHeader header{};
  header.sequence.store(sequence);
  header.magic.store(format::kLaneMagic);
  header.count.store(static_cast<std::uint32_t>(writes.size()));
  header.bytes.store(records.size());
  format::seal(header, records.data(), records.size());
  region.poke(lane_off(lane), &header, sizeof(header));
  region.poke(ByteOff(lane_off(lane).value + sizeof(header)), records.data(), records.size());
}

std::uint64_t word_at(const Region& region, ByteOff off) {
  std::uint64_t word = 0;
  std::memcpy(&word, region.data() + off.value, sizeof(word));
  return word;
}

constexpr ByteOff kWord{120 * 4096};

}  // namespace

TEST_CASE("a commit takes three fences, four with fresh blocks") {
  SimRegion region(kRegionSize);
  Journal journal(region, kGeometry);
  const auto fences_of = [&](const std::function<void(Transaction&)>& fill) {
    Transaction tx(journal);
    fill(tx);
    const std::uint64_t before = region.counts().fences;
    REQUIRE(tx.commit());
    return region.counts().fences - before;
  };
  const auto bytes = filled(1);
  CHECK(fences_of([&](Transaction& tx) { tx.write(kFirst, bytes.data(), 8); }) == 3);
  CHECK(fences_of([&](Transaction& tx) {
          tx.write(kFirst, bytes.data(), 8);
          tx.write_fresh(kSecond, bytes.data(), 8);
        }) == 4);
  CHECK(fences_of([&](Transaction& tx) {
          tx.write(kFirst, bytes.data(), 8);
          tx.needs_fence();
        }) == 4);
  CHECK(fences_of([&](Transaction& tx) { tx.needs_fence(); }) == 1);
  CHECK(fences_of([](Transaction&) {}) == 0);
}

TEST_CASE("a crash at any fence leaves all of a transaction or nothing (invariant 1)") {
  CHECK(crash_everywhere(0).empty());
}

TEST_CASE("control: without any one of the four fences a crash breaks invariant 1") {
  for (int forget = 1; forget <= 4; ++forget) {
    CAPTURE(forget);
    CHECK_FALSE(crash_everywhere(forget).empty());
  }
}

TEST_CASE(
    "nothing is applied before the log is whole, and nothing is retired before it is applied") {
  SimRegion region(kRegionSize);
  Journal journal(region, kGeometry);
  int fence = 0;
  region.on_fence([&](SimRegion& r) {
    ++fence;
    if (fence == 2) {
      CHECK(value_at(r, kFirst) == 0);
    } else if (fence == 3) {
      CHECK(value_at(r, kFirst) == 7);
      bool in_use = false;
      for (std::uint32_t lane = 0; lane < kGeometry.lanes; ++lane) {
        in_use |= word_at(r, lane_off(lane)) != 0;
      }
      CHECK(in_use);
    }
  });
  commit_value(journal, 7);
  CHECK(fence == 4);
}

TEST_CASE("later writes of a transaction win") {
  SimRegion region(kRegionSize);
  Journal journal(region, kGeometry);
  Transaction tx(journal);
  for (std::uint64_t value = 1; value <= 3; ++value) {
    tx.write(kWord, &value, sizeof(value));
  }
  CHECK(tx.log_bytes() == 3 * 24);
  REQUIRE(tx.commit());
  CHECK(word_at(region, kWord) == 3);
}

TEST_CASE("a transaction that is not committed changes nothing") {
  SimRegion region(kRegionSize);
  Journal journal(region, kGeometry);
  {
    Transaction tx(journal);
    tx.write(kFirst, filled(1).data(), kSpot);
  }
  CHECK(region.counts().stores == 0);
  CHECK(region.counts().streams == 0);
}

TEST_CASE("too many records are E2BIG, a read-only region is EROFS, and nothing changes") {
  SimRegion region(kRegionSize);
  Journal journal(region, kGeometry);
  const std::vector<std::byte> bytes(journal.capacity() - 16, std::byte{1});
  {
    Transaction tx(journal);
    tx.write(ByteOff(120 * 4096), bytes.data(), bytes.size());
    CHECK(tx.commit());
  }
  {
    Transaction tx(journal);
    tx.write(ByteOff(130 * 4096), bytes.data(), bytes.size());
    tx.write(kFirst, bytes.data(), 1);
    CHECK(tx.commit().code() == E2BIG);
  }
  region.set_read_only(true);
  Transaction tx(journal);
  tx.write(kFirst, bytes.data(), 1);
  CHECK(tx.commit().code() == EROFS);
  CHECK(value_at(region, kFirst) == 0);
  CHECK(value_at(region, ByteOff(130 * 4096)) == 0);
}

TEST_CASE("replay goes by sequence, and twice gives the same") {
  SimRegion region(kRegionSize);
  forge_lane(region, 0, 9, {{kWord, 90}});
  forge_lane(region, 1, 7, {{kWord, 70}, {ByteOff(kWord.value + 8), 71}});
  forge_lane(region, 2, 8, {{kWord, 80}});
  const auto first = journal::replay(region, kGeometry);
  REQUIRE(first);
  CHECK(first->replayed == 3);
  CHECK_FALSE(first->damaged);
  CHECK(word_at(region, kWord) == 90);
  CHECK(word_at(region, ByteOff(kWord.value + 8)) == 71);
  CHECK(region.pending_lines() == 0);
  const auto second = journal::replay(region, kGeometry);
  REQUIRE(second);
  CHECK(second->replayed == 0);
}

// The lanes lie apart from what they write to, so that each has to be made private by itself.
TEST_CASE("replay of a read-only device stores to private copies alone") {
  constexpr std::uint64_t kStretch = 64U << 10U;
  SimRegion made(kRegionSize);
  forge_lane(made, 0, 7, {{kWord, 70}, {ByteOff(kRegionSize - 8), 71}});
  forge_lane(made, 1, 8, {{kWord, 80}});
  const base::UniqueFd fd(::memfd_create("device", MFD_CLOEXEC));
  REQUIRE(::pwrite(fd.get(), made.data(), kRegionSize, 0) == kRegionSize);
  region::MapOptions options;
  options.read_only = true;
  options.device_alignment = kStretch;
  auto region = region::MappedRegion::map(fd.get(), kRegionSize, options);
  REQUIRE(region);
  const auto report = journal::replay(**region, kGeometry);
  REQUIRE(report);
  CHECK(report->replayed == 2);
  CHECK(word_at(**region, kWord) == 80);
  CHECK(word_at(**region, ByteOff(kRegionSize - 8)) == 71);
  CHECK(word_at(**region, lane_off(0)) == 0);
  std::vector<std::byte> media(kRegionSize);
  REQUIRE(::pread(fd.get(), media.data(), media.size(), 0) == kRegionSize);
  CHECK(std::memcmp(media.data(), made.data(), kRegionSize) == 0);
}

TEST_CASE("a crash in the middle of replay loses nothing") {
  SimRegion region(kRegionSize);
  forge_lane(region, 3, 7, {{kWord, 70}, {ByteOff(kWord.value + 8), 71}});
  forge_lane(region, 0, 8, {{kWord, 80}});
  std::uint64_t seed = 0;
  bool right = true;
  region.on_fence([&](SimRegion& r) {
    for (int i = 0; i < 50; ++i) {
      test::RandomChooser chooser(++seed);
      const auto crashed = r.crash(chooser);
      right &= journal::replay(*crashed, kGeometry).ok();
      right &= word_at(*crashed, kWord) == 80 && word_at(*crashed, ByteOff(kWord.value + 8)) == 71;
    }
  });
  REQUIRE(journal::replay(region, kGeometry));
  CHECK(right);
  CHECK(seed > 100);
}

TEST_CASE("a torn lane is dropped and retired") {
  SimRegion region(kRegionSize);
  forge_lane(region, 1, 7, {{kWord, 70}});
  const std::uint64_t other = 71;
  region.poke(ByteOff(lane_off(1).value + sizeof(format::LaneHeader) + 16), &other, sizeof(other));
  const auto report = journal::replay(region, kGeometry);
  REQUIRE(report);
  CHECK(report->torn == 1);
  CHECK(report->replayed == 0);
  CHECK_FALSE(report->damaged);
  CHECK(word_at(region, kWord) == 0);
  CHECK(word_at(region, lane_off(1)) == 0);
}

TEST_CASE("what no crash explains is told") {
  SimRegion region(kRegionSize);
  SECTION("a magic that was never written") {
    forge_lane(region, 1, 7, {{kWord, 70}});
    const std::uint32_t magic = 0x12345678;
    region.poke(ByteOff(lane_off(1).value + offsetof(format::LaneHeader, magic)), &magic,
                sizeof(magic));
  }
  SECTION("one sequence twice") {
    forge_lane(region, 1, 7, {{kWord, 70}});
    forge_lane(region, 2, 7, {{kWord, 71}});
  }
  const auto report = journal::replay(region, kGeometry);
  REQUIRE(report);
  CHECK(report->damaged);
}

TEST_CASE("a whole lane that names forbidden bytes is EUCLEAN, and no lane is applied") {
  SimRegion region(8U << 20U);
  const std::uint64_t size = region.size();
  for (const std::uint64_t off :
       {size - 4, size, ~std::uint64_t{0} - 3, std::uint64_t{0}, lane_off(2).value,
        format::kSuperblockCopyBlock * format::kBlockSize + 4000}) {
    CAPTURE(off);
    forge_lane(region, 0, 5, {{kWord, 50}});
    forge_lane(region, 1, 7, {{ByteOff(off), 70}});
    const auto report = journal::replay(region, kGeometry);
    REQUIRE_FALSE(report);
    CHECK(report.code() == EUCLEAN);
    CHECK(word_at(region, kWord) == 0);
  }
}

TEST_CASE("records that do not fill their lane are EUCLEAN") {
  SimRegion region(kRegionSize);
  forge_lane(region, 0, 5, {{kWord, 50}, {kWord, 51}});
  format::LaneHeader header{};
  const std::byte* lane = region.data() + lane_off(0).value;
  std::memcpy(&header, lane, sizeof(header));
  const auto count = GENERATE(0U, 1U, 3U, 0xFFFFFFFFU);
  header.count.store(count);
  format::seal(header, lane + sizeof(header), header.bytes.load());
  region.poke(lane_off(0), &header, sizeof(header));
  CHECK(journal::replay(region, kGeometry).code() == EUCLEAN);
}

TEST_CASE("lanes outside the region are EUCLEAN") {
  SimRegion region(kRegionSize);
  CHECK(journal::replay(region, {BlockNo(250), 4, 2}).code() == EUCLEAN);
  CHECK(journal::replay(region, {BlockNo(~std::uint64_t{0}), 4, 2}).code() == EUCLEAN);
  CHECK(journal::replay(region, {BlockNo(1), 0xFFFFFFFF, 0xFFFFFFFF}).code() == EUCLEAN);
  CHECK(journal::replay(region, {BlockNo(1), 0, 2}).code() == EUCLEAN);
}

TEST_CASE("more threads than lanes commit side by side") {
  SimRegion region(kRegionSize);
  Journal journal(region, kGeometry);
  constexpr std::uint64_t kThreads = 8;
  constexpr std::uint64_t kRounds = 200;
  std::vector<std::thread> threads;
  for (std::uint64_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&journal, t] {
      for (std::uint64_t i = 1; i <= kRounds; ++i) {
        Transaction tx(journal);
        tx.write(ByteOff((100 + t) * 4096), &i, sizeof(i));
        if (!tx.commit()) {
          return;
        }
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  for (std::uint64_t t = 0; t < kThreads; ++t) {
    CHECK(word_at(region, ByteOff((100 + t) * 4096)) == kRounds);
  }
  for (std::uint32_t lane = 0; lane < kGeometry.lanes; ++lane) {
    CHECK(word_at(region, lane_off(lane)) == 0);
  }
}

TEST_CASE("format_lanes leaves lanes that replay nothing") {
  SimRegion region(kRegionSize);
  forge_lane(region, 1, 7, {{kWord, 70}});
  journal::format_lanes(region, kGeometry);
  CHECK(region.pending_lines() == 0);
  const auto report = journal::replay(region, kGeometry);
  REQUIRE(report);
  CHECK(report->replayed + report->torn == 0);
}
