// The allocator over several groups, which are small here: 512 blocks.
#include <algorithm>
#include <array>
#include <atomic>
#include <random>
#include <set>
#include <thread>
#include <vector>

#include "harness/catch.hpp"
#include "store/allocator.hpp"

using namespace pmemfs;
using store::AllocationHint;
using store::Allocator;

namespace {

constexpr unsigned kShift = 9;
constexpr std::uint64_t kGroup = 1ULL << kShift;

using Runs = std::vector<BlockRun>;

BlockRun run(std::uint64_t start, std::uint64_t count) {
  return {BlockNo(start), count};
}

AllocationHint whole(std::uint64_t alignment = 1) {
  return {.near = BlockNo(), .alignment = alignment, .whole = true};
}

AllocationHint near(std::uint64_t block) {
  return {.near = BlockNo(block), .alignment = 1, .whole = false};
}

// What the allocator should be: which blocks are free, block by block.
struct Plain {
  explicit Plain(std::uint64_t blocks) : free(blocks), held(blocks) {}

  void set(BlockRun r, bool to) {
    for (std::uint64_t b = r.start.value; b < r.end().value; ++b) {
      free[b] = to;
    }
  }
  [[nodiscard]] std::uint64_t count(BlockRun r) const {
    std::uint64_t n = 0;
    for (std::uint64_t b = r.start.value; b < r.end().value; ++b) {
      n += free[b] ? 1U : 0U;
    }
    return n;
  }
  [[nodiscard]] Runs runs() const {  // without what is held
    Runs all;
    for (std::uint64_t b = 0; b < free.size(); ++b) {
      if (!free[b] || held[b]) {
        continue;
      }
      if (all.empty() || all.back().end().value != b) {
        all.push_back(run(b, 0));
      }
      ++all.back().count;
    }
    return all;
  }
  [[nodiscard]] std::uint64_t longest(std::uint64_t alignment) const {
    std::uint64_t most = 0;
    for (const BlockRun& r : runs()) {
      most = std::max(most, store::aligned_part(r, alignment).count);
    }
    return most;
  }

  std::vector<bool> free;
  std::vector<bool> held;
};

// Random requests, each answer compared with Plain.
class Random {
 public:
  static constexpr std::uint64_t kBlocks = 6 * kGroup + 100;

  Random() {
    allocator_.add(run(1, kBlocks - 1));
    plain_.set(run(1, kBlocks - 1), true);
  }

  void take() {
    const AllocationHint hint{
        .near = BlockNo(rng_() % kBlocks), .alignment = pick({1, 1, 16}), .whole = rng_() % 2 == 0};
    const std::uint64_t wanted = 1 + rng_() % pick({8, 100, 1200});
    const auto got = allocator_.take(wanted, hint);
    const std::uint64_t longest = plain_.longest(hint.alignment);
    REQUIRE(got.has_value() == (longest >= (hint.whole ? wanted : 1)));
    if (!got) {
      return;
    }
    REQUIRE((got->count >= 1 && got->count <= wanted && got->start.value % hint.alignment == 0));
    REQUIRE((!hint.whole || got->count == wanted));
    REQUIRE(plain_.count(*got) == got->count);
    plain_.set(*got, false);
    taken_.push_back(*got);
  }

  void give_back() {
    if (taken_.empty()) {
      return;
    }
    std::swap(taken_[rng_() % taken_.size()], taken_.back());
    REQUIRE(allocator_.add(taken_.back()));
    plain_.set(taken_.back(), true);
    taken_.pop_back();
  }

  void hold() {
    const std::uint64_t start = 1 + rng_() % (kBlocks - 1);
    const BlockRun range = run(start, std::min(1 + rng_() % (2 * kGroup), kBlocks - start));
    bool apart = true;
    for (const BlockRun& other : holds_) {
      apart = apart && !other.overlaps(range);
    }
    REQUIRE(allocator_.hold(range) == apart);
    if (apart) {
      holds_.push_back(range);
      set_held(range, true);
    }
  }

  void end_hold() {
    if (holds_.empty()) {
      return;
    }
    const BlockRun range = holds_.back();
    holds_.pop_back();
    REQUIRE(allocator_.is_held(range));
    const bool all = plain_.count(range) == range.count;
    REQUIRE(allocator_.take_held(range) == all);
    if (all) {
      plain_.set(range, false);
      taken_.push_back(range);
    } else {
      allocator_.let_go(range);
    }
    set_held(range, false);
  }

  void compare() {
    const Runs expected = plain_.runs();
    REQUIRE(allocator_.runs() == expected);
    REQUIRE(allocator_.largest().count == plain_.longest(1));
    std::uint64_t free = 0;
    std::uint64_t pieces = 0;
    for (const BlockRun& r : expected) {
      free += r.count;
      pieces += store::aligned_part(r, 16).count / 16;
    }
    REQUIRE(allocator_.free_blocks() == free);
    REQUIRE(allocator_.aligned_pieces(16) == pieces);
    const std::uint64_t start = rng_() % kBlocks;
    const BlockRun range = run(start, rng_() % (kBlocks - start) + 1);
    REQUIRE(allocator_.free_in(range) == plain_.count(range));
  }

  std::mt19937_64& rng() { return rng_; }

 private:
  std::uint64_t pick(std::array<std::uint64_t, 3> from) { return from[rng_() % from.size()]; }
  void set_held(BlockRun range, bool to) {
    for (std::uint64_t b = range.start.value; b < range.end().value; ++b) {
      plain_.held[b] = to;
    }
  }

  std::mt19937_64 rng_{11};
  Allocator allocator_{kShift};
  Plain plain_{kBlocks};
  Runs taken_;
  Runs holds_;
};

// Each block's owner count, for threads.
class Owned {
 public:
  explicit Owned(std::uint64_t blocks) : owners_(blocks) {}
  void take(BlockRun r) {
    for (std::uint64_t b = r.start.value; b < r.end().value; ++b) {
      twice_ += owners_[b].exchange(true) ? 1U : 0U;
    }
  }
  void give_back(BlockRun r) {
    for (std::uint64_t b = r.start.value; b < r.end().value; ++b) {
      owners_[b] = false;
    }
  }
  [[nodiscard]] std::uint64_t twice() const { return twice_; }

 private:
  std::vector<std::atomic<bool>> owners_;
  std::atomic<std::uint64_t> twice_{0};
};

template <typename F>
void in_threads(unsigned n, F&& f) {
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < n; ++i) {
    threads.emplace_back(f, i);
  }
  for (std::thread& t : threads) {
    t.join();
  }
}

}  // namespace

TEST_CASE("groups are of 64 MiB at least, and 32 at most at first") {
  CHECK(Allocator::shift_for(1) == 14);
  CHECK(Allocator::shift_for(32ULL << 14U) == 14);
  CHECK(Allocator::shift_for((32ULL << 14U) + 1) == 15);
  CHECK(Allocator::shift_for(1ULL << 34U) == 29);
}

TEST_CASE("an append goes on behind a border of groups") {
  Allocator allocator(kShift);
  REQUIRE(allocator.add(run(1, 3 * kGroup)));
  CHECK(allocator.runs() == Runs{run(1, 3 * kGroup)});
  CHECK(allocator.take(100, near(kGroup - 12)) == run(kGroup - 12, 12));
  CHECK(allocator.take(88, near(kGroup)) == run(kGroup, 88));
  CHECK(allocator.take(5, near(kGroup)) == run(kGroup + 88, 5));  // in its group at least
  CHECK(allocator.runs() == Runs{run(1, kGroup - 13), run(kGroup + 93, 2 * kGroup - 92)});
  CHECK(allocator.largest() == run(kGroup + 93, 2 * kGroup - 92));
}

TEST_CASE("a whole run is found across borders, when nothing else will do") {
  Allocator allocator(kShift);
  REQUIRE(allocator.add(run(kGroup - 10, 20)));
  REQUIRE(allocator.add(run(4 * kGroup - 30, kGroup + 60)));
  REQUIRE(allocator.add(run(2 * kGroup, 11)));
  CHECK(allocator.take(11, whole()) == run(2 * kGroup, 11));
  CHECK(allocator.take(20, whole(16)) == run(4 * kGroup, 20));
  REQUIRE(allocator.add(run(4 * kGroup, 20)));
  CHECK_FALSE(allocator.take(kGroup + 61, whole()));
  CHECK_FALSE(allocator.take(kGroup + 47, whole(16)));
  CHECK(allocator.take(kGroup + 46, whole(16)) == run(4 * kGroup - 16, kGroup + 46));
  CHECK_FALSE(allocator.take(21, whole()));
  CHECK(allocator.take(20, whole()) == run(kGroup - 10, 20));
  CHECK(allocator.take(30, {}) == run(4 * kGroup - 30, 14));
  CHECK(allocator.free_blocks() == 0);
}

TEST_CASE("a run that is free in part is refused by all groups") {
  Allocator allocator(kShift);
  REQUIRE(allocator.add(run(3 * kGroup + 5, 1)));
  CHECK_FALSE(allocator.add(run(kGroup, 3 * kGroup)));
  CHECK(allocator.runs() == Runs{run(3 * kGroup + 5, 1)});
  REQUIRE(allocator.hold(run(3 * kGroup, kGroup)));
  CHECK_FALSE(allocator.add(run(kGroup, 3 * kGroup)));
  CHECK(allocator.free_in(run(kGroup, 3 * kGroup)) == 1);
}

TEST_CASE("blocks are distrusted across borders") {
  Allocator allocator(kShift);
  allocator.distrust(run(kGroup - 2, kGroup + 4));
  CHECK(allocator.add(run(1, 3 * kGroup - 1)));
  CHECK(allocator.runs() == Runs{run(1, kGroup - 3), run(2 * kGroup + 2, kGroup - 2)});
}

TEST_CASE("the longest run of all groups is taken when none fits") {
  Allocator allocator(kShift);
  for (std::uint64_t group = 0; group < 6; ++group) {
    allocator.add(run(group * kGroup + 10, group == 4 ? 40 : 3));
  }
  CHECK(allocator.take(100, near(10)) == run(10, 3));  // the run at the hint, however short
  CHECK(allocator.take(100, near(10)) == run(4 * kGroup + 10, 40));
  for (int i = 0; i < 4; ++i) {
    CHECK(allocator.take(100, {})->count == 3);
  }
  CHECK_FALSE(allocator.take(1, {}));
}

TEST_CASE("a hold across borders is one hold") {
  Allocator allocator(kShift);
  REQUIRE(allocator.add(run(1, 4 * kGroup - 1)));
  const BlockRun range = run(kGroup / 2, 2 * kGroup);
  const auto used = allocator.take(10, near(kGroup - 5));
  CHECK(used == run(kGroup - 5, 5));
  REQUIRE(allocator.hold(range));
  CHECK(allocator.is_held(range));
  CHECK_FALSE(allocator.is_held(run(kGroup / 2, kGroup / 2)));
  CHECK_FALSE(allocator.hold(run(2 * kGroup, kGroup)));
  CHECK(allocator.free_blocks() == 2 * kGroup - 1);
  CHECK(allocator.free_in(range) == 2 * kGroup - 5);
  CHECK(allocator.hold_rest(run(kGroup, 2 * kGroup)) ==
        Runs{run(2 * kGroup + kGroup / 2, kGroup / 2)});
  allocator.let_go(run(2 * kGroup + kGroup / 2, kGroup / 2));
  CHECK_FALSE(allocator.take_held(range));
  SECTION("let go") {
    allocator.let_go(range);
    CHECK(allocator.runs() == Runs{run(1, kGroup - 6), run(kGroup, 3 * kGroup)});
  }
  SECTION("taken") {
    REQUIRE(allocator.add(*used));
    CHECK(allocator.take_held(range));
    CHECK(allocator.free_in(range) == 0);
    CHECK(allocator.add(range));
    CHECK(allocator.runs() == Runs{run(1, 4 * kGroup - 1)});
  }
}

TEST_CASE("the tail is cut off across borders, and grows again") {
  Allocator allocator(kShift);
  const std::uint64_t end = 5 * kGroup + 7;
  REQUIRE(allocator.add(run(1, end - 1)));
  const BlockRun tail = run(2 * kGroup + 100, end - 2 * kGroup - 100);
  const BlockRun across = run(kGroup, 2 * kGroup);
  REQUIRE(allocator.hold(across));
  CHECK_FALSE(allocator.cut_off(tail));
  CHECK(allocator.hold_rest(tail) == Runs{run(3 * kGroup, end - 3 * kGroup)});
  REQUIRE(allocator.cut_off(tail));
  CHECK(allocator.free_in(run(1, end)) == 2 * kGroup + 99);
  CHECK(allocator.is_held(run(kGroup, kGroup + 100)));
  allocator.let_go(across);
  CHECK(allocator.runs() == Runs{run(1, 2 * kGroup + 99)});
  CHECK_FALSE(allocator.take(2 * kGroup + 100, whole()));
  CHECK(allocator.add(tail));
  CHECK(allocator.runs() == Runs{run(1, end - 1)});
  CHECK(allocator.take(end - 1, whole()) == run(1, end - 1));
}

TEST_CASE("the last group has all that is beyond") {
  Allocator allocator(kShift);
  const std::uint64_t last = (Allocator::kGroups - 1) * kGroup;
  const BlockRun most = run(last - 100, 100 * kGroup);
  REQUIRE(allocator.add(most));
  CHECK(allocator.take(90 * kGroup, whole()) == run(last, 90 * kGroup));
  CHECK(allocator.take(10 * kGroup - 50, near(last + 90 * kGroup))->count == 10 * kGroup - 100);
  REQUIRE(allocator.add(run(last, 100 * kGroup - 100)));
  CHECK(allocator.runs() == Runs{most});
  CHECK(allocator.largest() == most);
  CHECK(allocator.hold(most));
  CHECK(allocator.cut_off(run(last + kGroup, 99 * kGroup - 100)));
  allocator.let_go_all();
  CHECK(allocator.runs() == Runs{run(last - 100, kGroup + 100)});
}

TEST_CASE("threads begin in groups of their own, and wait for nobody there") {
  Allocator allocator(kShift);
  REQUIRE(allocator.add(run(1, 8 * kGroup - 1)));
  const auto groups_of_threads = [&] {
    std::array<std::set<std::uint64_t>, 4> seen;
    in_threads(4, [&](unsigned me) {
      for (std::uint64_t i = 0; i < 20000; ++i) {
        const auto got = allocator.take(1 + i % 16, {});
        seen[me].insert(got->start.value / kGroup);
        allocator.add(*got);
      }
    });
    std::set<std::uint64_t> all;
    for (const auto& groups : seen) {
      CHECK(groups.size() == 1);
      all.insert(groups.begin(), groups.end());
    }
    return all;
  };
  CHECK(groups_of_threads() == std::set<std::uint64_t>{0, 1, 2, 3});  // the others stay whole
  CHECK(allocator.waits() == 0);
  const BlockRun tail = run(4 * kGroup, 4 * kGroup);
  REQUIRE(allocator.hold(tail));
  REQUIRE(allocator.cut_off(tail));
  CHECK(groups_of_threads() == std::set<std::uint64_t>{0, 1});
}

TEST_CASE("random requests are answered as by a map of all blocks") {
  Random random;
  for (int i = 0; i < 8000; ++i) {
    const auto what = random.rng()() % 20;
    if (what < 9) {
      random.take();
    } else if (what < 17) {
      random.give_back();
    } else if (what == 17) {
      random.hold();
    } else {
      random.end_hold();
    }
    if (i % 8 == 0) {
      random.compare();
    }
  }
}

TEST_CASE("threads never get the same block, and nothing is lost") {
  constexpr std::uint64_t kBlocks = 5 * kGroup + 77;
  Allocator allocator(kShift);
  Owned owned(kBlocks);
  REQUIRE(allocator.add(run(1, kBlocks - 1)));
  std::atomic<std::uint64_t> refused{0};
  in_threads(4, [&](unsigned me) {
    std::mt19937_64 rng(me);
    Runs mine;
    const auto give_back = [&] {
      owned.give_back(mine.back());
      refused += allocator.add(mine.back()) ? 0U : 1U;
      mine.pop_back();
    };
    for (int i = 0; i < 5000; ++i) {
      const AllocationHint hint{.near = BlockNo(rng() % 2 * rng() % kBlocks),
                                .alignment = rng() % 4 == 0 ? 16U : 1U,
                                .whole = rng() % 2 == 0};
      if (const auto got = allocator.take(1 + rng() % (i % 50 == 0 ? 1500 : 40), hint)) {
        owned.take(*got);
        mine.push_back(*got);
      }
      if (me == 0 && i % 10 == 0) {
        const BlockRun range = run(1 + rng() % kGroup, 4 * kGroup);
        REQUIRE(allocator.hold(range));
        allocator.let_go(range);
      }
      while (!mine.empty() && (mine.size() > 20 || rng() % 3 == 0)) {
        std::swap(mine[rng() % mine.size()], mine.back());
        give_back();
      }
    }
    while (!mine.empty()) {
      give_back();
    }
  });
  CHECK(owned.twice() == 0);
  CHECK(refused == 0);
  CHECK(allocator.runs() == Runs{run(1, kBlocks - 1)});
}

TEST_CASE("whoever may have a block gets one, whichever groups the others empty meanwhile") {
  Allocator allocator(kShift);
  const std::array blocks{BlockNo(10), BlockNo(40 * kGroup)};  // one for each thread
  REQUIRE(allocator.add({blocks[1], 1}));
  std::atomic<std::uint64_t> refused{0};
  std::atomic<bool> moving{true};
  in_threads(2, [&](unsigned me) {
    BlockRun mine{blocks[0], 1};
    for (std::uint64_t i = 0; me == 0 && i < 50000; ++i) {  // there is always one that is free
      const BlockNo other = blocks[mine.start == blocks[0] ? 1 : 0];
      allocator.add(mine);
      const auto got = allocator.take(1, near(other.value));
      refused += got ? 0U : 1U;
      mine = got.value_or(mine);
    }
    while (me == 1 && moving) {
      const auto got = allocator.take(1, refused % 2 == 0 ? AllocationHint{} : whole());
      refused += got ? 0U : 1U;
      if (got) {
        allocator.add(*got);
      }
    }
    moving = false;
  });
  CHECK(refused == 0);
}
