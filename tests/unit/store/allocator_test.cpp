#include "store/allocator.hpp"

#include <algorithm>
#include <random>
#include <set>
#include <vector>

#include "harness/catch.hpp"
#include "store/inode_numbers.hpp"

using namespace pmemfs;
using store::AllocationHint;
using store::Allocator;
using store::InodeNumbers;

namespace {

AllocationHint hint(std::uint64_t near, std::uint64_t alignment = 1, bool whole = false) {
  AllocationHint h;
  h.near = BlockNo(near);
  h.alignment = alignment;
  h.whole = whole;
  return h;
}

std::uint64_t sum(const std::vector<BlockRun>& runs) {
  std::uint64_t n = 0;
  for (const BlockRun& run : runs) {
    n += run.count;
  }
  return n;
}

}  // namespace

TEST_CASE("what spares frames comes from between them, piece by piece, or not at all") {
  store::Allocator blocks;
  store::AllocationHint hint;
  hint.spare_frames = true;
  REQUIRE(blocks.add({BlockNo(512), 1024}));
  CHECK_FALSE(blocks.take(1, hint));
  REQUIRE(blocks.add({BlockNo(2000), 100}));
  REQUIRE(blocks.add({BlockNo(3000), 20}));
  CHECK(blocks.take(10, hint) == BlockRun{BlockNo(3000), 10});  // the smallest that fits
  hint.near = BlockNo(2010);
  CHECK(blocks.take(5, hint) == BlockRun{BlockNo(2010), 5});
  hint.near = BlockNo(600);  // in a frame
  CHECK(blocks.take(500, hint) == BlockRun{BlockNo(2015), 85});
  hint.near = BlockNo();
  CHECK(blocks.take(500, hint) == BlockRun{BlockNo(2000), 10});
  CHECK(blocks.take(500, hint) == BlockRun{BlockNo(3010), 10});
  CHECK_FALSE(blocks.take(1, hint));
  CHECK(blocks.largest() == BlockRun{BlockNo(512), 1024});
}

TEST_CASE("what is free stays merged, and what is taken is not free") {
  Allocator allocator;
  REQUIRE(allocator.add({BlockNo(100), 50}));
  REQUIRE(allocator.add({BlockNo(200), 50}));
  REQUIRE(allocator.add({BlockNo(150), 50}));
  CHECK(allocator.runs() == std::vector<BlockRun>{{BlockNo(100), 150}});
  CHECK(allocator.take(150, hint(0, 1, true)) == BlockRun{BlockNo(100), 150});
  CHECK(allocator.free_blocks() == 0);
  CHECK_FALSE(allocator.take(1, {}));
  CHECK(allocator.largest().empty());
}

TEST_CASE("blocks freed twice are refused") {
  Allocator allocator;
  REQUIRE(allocator.add({BlockNo(100), 50}));
  CHECK_FALSE(allocator.add({BlockNo(120), 1}));
  CHECK_FALSE(allocator.add({BlockNo(90), 11}));
  CHECK_FALSE(allocator.add({BlockNo(149), 10}));
  CHECK_FALSE(allocator.add({BlockNo(90), 100}));
  CHECK(allocator.runs() == std::vector<BlockRun>{{BlockNo(100), 50}});
}

TEST_CASE("the run at the hint is preferred") {
  Allocator allocator;
  allocator.add({BlockNo(100), 10});
  allocator.add({BlockNo(200), 100});
  CHECK(allocator.take(5, hint(220)) == BlockRun{BlockNo(220), 5});
  CHECK(allocator.take(5, hint(225)) == BlockRun{BlockNo(225), 5});
  CHECK(allocator.take(20, hint(105)) == BlockRun{BlockNo(105), 5});
  CHECK(allocator.take(20, hint(102, 1, true)) == BlockRun{BlockNo(200), 20});
}

TEST_CASE("small requests leave large runs whole") {
  Allocator allocator;
  allocator.add({BlockNo(512), 1024});
  allocator.add({BlockNo(2000), 3});
  CHECK(allocator.take(1, {}) == BlockRun{BlockNo(2000), 1});
  CHECK(allocator.take(2, {}) == BlockRun{BlockNo(2001), 2});
  CHECK(allocator.take(512, hint(0, 512, true)) == BlockRun{BlockNo(512), 512});
}

TEST_CASE("whole means one run or nothing, otherwise the largest will do") {
  Allocator allocator;
  for (std::uint64_t i = 0; i < 20; ++i) {
    allocator.add({BlockNo(1000 + 10 * i), 4});
  }
  allocator.add({BlockNo(500), 7});
  CHECK_FALSE(allocator.take(8, hint(0, 1, true)));
  CHECK(allocator.take(7, hint(0, 1, true)) == BlockRun{BlockNo(500), 7});
  CHECK(allocator.take(100, {})->count == 4);
}

TEST_CASE("an aligned run is found behind many that are not") {
  Allocator allocator;
  for (std::uint64_t i = 0; i < 50; ++i) {
    allocator.add({BlockNo(10000 + 2048 * i + 1), 600});  // too short behind the boundary
  }
  CHECK_FALSE(allocator.take(512, hint(0, 512, true)));
  allocator.add({BlockNo(204800), 513});
  CHECK(allocator.take(512, hint(0, 512, true)) == BlockRun{BlockNo(204800), 512});
  const auto part = allocator.take(512, hint(0, 512));
  REQUIRE(part);
  CHECK(part->start.value % 512 == 0);
  CHECK(part->count < 512);
}

TEST_CASE("bad blocks are free and nobody's, until they are good") {
  using Runs = std::vector<BlockRun>;
  Allocator allocator;
  allocator.set_bad({BlockNo(110), 5});
  REQUIRE(allocator.add({BlockNo(100), 50}));
  allocator.set_bad({BlockNo(140), 20});  // of free ones and of others
  CHECK(allocator.runs() == Runs{{BlockNo(100), 10}, {BlockNo(115), 25}});
  CHECK(allocator.bad_free() == Runs{{BlockNo(110), 5}, {BlockNo(140), 10}});
  CHECK(allocator.free_blocks() == 35);
  CHECK(allocator.free_in({BlockNo(100), 100}) == 50);
  REQUIRE(allocator.add({BlockNo(150), 20}));  // freed by their owner
  CHECK(allocator.bad_free() == Runs{{BlockNo(110), 5}, {BlockNo(140), 20}});
  CHECK_FALSE(allocator.add({BlockNo(145), 1}));  // free already
  allocator.set_good({BlockNo(112), 40});
  CHECK(allocator.runs() == Runs{{BlockNo(100), 10}, {BlockNo(112), 40}, {BlockNo(160), 10}});
  CHECK(allocator.bad_free() == Runs{{BlockNo(110), 2}, {BlockNo(152), 8}});
  allocator.distrust({BlockNo(300), 5});
  allocator.set_bad({BlockNo(303), 5});
  REQUIRE(allocator.add({BlockNo(298), 12}));
  CHECK(allocator.free_in({BlockNo(298), 12}) == 7);
}

TEST_CASE("a held range with bad blocks is cut off, but given to nobody") {
  Allocator allocator;
  constexpr BlockRun kTail{BlockNo(1000), 200};
  REQUIRE(allocator.add({BlockNo(500), 700}));
  allocator.set_bad({BlockNo(1010), 2});
  REQUIRE(allocator.hold(kTail));
  allocator.set_bad({BlockNo(1100), 3});
  CHECK_FALSE(allocator.take_held(kTail));
  allocator.set_good({BlockNo(1010), 2});
  CHECK_FALSE(allocator.take_held(kTail));
  CHECK(allocator.free_blocks() == 500);
  REQUIRE(allocator.cut_off(kTail));
  CHECK(allocator.bad_free().empty());
  REQUIRE(allocator.add(kTail));
  CHECK(allocator.free_blocks() == 700);
}

TEST_CASE("distrusted blocks never become free") {
  Allocator allocator;
  allocator.distrust({BlockNo(110), 5});
  allocator.distrust({BlockNo(112), 10});
  allocator.distrust({BlockNo(140), 1});
  CHECK(allocator.add({BlockNo(100), 50}));
  const std::vector<BlockRun> expected{{BlockNo(100), 10}, {BlockNo(122), 18}, {BlockNo(141), 9}};
  CHECK(allocator.runs() == expected);
  CHECK(allocator.add({BlockNo(111), 3}));
  CHECK(allocator.runs() == expected);
}

TEST_CASE("random allocations never overlap and nothing is lost") {
  constexpr std::uint64_t kBlocks = 5000;
  std::mt19937_64 rng(7);
  Allocator allocator;
  allocator.add({BlockNo(1), kBlocks});
  std::vector<BlockRun> held;
  std::vector<bool> taken(kBlocks + 1);
  for (int i = 0; i < 30000; ++i) {
    if (rng() % 2 == 0) {
      const std::uint64_t alignment = rng() % 4 == 0 ? 16 : 1;
      const bool whole = rng() % 3 == 0;
      const std::uint64_t wanted = 1 + rng() % 60;
      const auto run = allocator.take(wanted, hint(rng() % kBlocks, alignment, whole));
      if (!run) {
        continue;
      }
      REQUIRE((run->count >= 1 && run->count <= wanted && run->start.value % alignment == 0));
      REQUIRE((!whole || run->count == wanted));
      for (std::uint64_t b = run->start.value; b < run->end().value; ++b) {
        REQUIRE_FALSE(taken[b]);
        taken[b] = true;
      }
      held.push_back(*run);
    } else if (!held.empty()) {
      std::swap(held[rng() % held.size()], held.back());
      for (std::uint64_t b = held.back().start.value; b < held.back().end().value; ++b) {
        taken[b] = false;
      }
      REQUIRE(allocator.add(held.back()));
      held.pop_back();
    }
    REQUIRE(allocator.free_blocks() + sum(held) == kBlocks);
  }
  for (const BlockRun& run : held) {
    REQUIRE(allocator.add(run));
  }
  CHECK(allocator.runs() == std::vector<BlockRun>{{BlockNo(1), kBlocks}});
}

TEST_CASE("a held range takes nobody's requests and collects what is freed in it") {
  Allocator allocator;
  allocator.add({BlockNo(1000), 100});
  allocator.add({BlockNo(1200), 100});
  const BlockRun range{BlockNo(1050), 200};
  allocator.hold(range);
  CHECK(allocator.free_blocks() == 100);
  CHECK(allocator.free_in(range) == 100);
  CHECK(allocator.runs() == std::vector<BlockRun>{{BlockNo(1000), 50}, {BlockNo(1250), 50}});
  CHECK_FALSE(allocator.take(51, hint(0, 1, true)));
  CHECK_FALSE(allocator.take_held(range));
  CHECK(allocator.add({BlockNo(1100), 100}));
  CHECK_FALSE(allocator.add({BlockNo(1100), 1}));
  CHECK(allocator.free_blocks() == 100);
  CHECK(allocator.take_held(range));
  CHECK(allocator.free_blocks() == 100);
  CHECK(allocator.add(range));  // it was the caller's
  CHECK(allocator.runs() == std::vector<BlockRun>{{BlockNo(1000), 300}});
}

TEST_CASE("a hold that ends gives back what was free and what became free") {
  Allocator allocator;
  allocator.add({BlockNo(1000), 100});
  allocator.hold({BlockNo(1000), 50});
  allocator.hold({BlockNo(1050), 100});
  CHECK(allocator.free_blocks() == 0);
  allocator.let_go({BlockNo(1000), 50});
  CHECK(allocator.runs() == std::vector<BlockRun>{{BlockNo(1000), 50}});
  CHECK(allocator.add({BlockNo(1100), 100}));  // half of it in the other hold
  CHECK(allocator.free_blocks() == 100);
  allocator.let_go({BlockNo(1050), 100});
  CHECK(allocator.runs() == std::vector<BlockRun>{{BlockNo(1000), 200}});
  allocator.let_go({BlockNo(1050), 100});  // no hold: nothing to do
  CHECK(allocator.free_blocks() == 200);
}

TEST_CASE("a hold may take what others left of a range, and all of it can be cut off") {
  Allocator allocator;
  allocator.add({BlockNo(1000), 100});
  const BlockRun across{BlockNo(1040), 20};
  const BlockRun inside{BlockNo(1070), 5};
  const BlockRun tail{BlockNo(1050), 50};
  CHECK(allocator.hold(across));
  CHECK(allocator.hold(inside));
  CHECK(allocator.is_held(across));
  CHECK_FALSE(allocator.is_held({BlockNo(1040), 10}));
  CHECK_FALSE(allocator.cut_off(tail));
  const std::vector<BlockRun> rest{{BlockNo(1060), 10}, {BlockNo(1075), 25}};
  CHECK(allocator.hold_rest(tail) == rest);
  CHECK(allocator.hold_rest(tail).empty());
  CHECK(allocator.free_in(tail) == 50);
  SECTION("given back") {
    for (const BlockRun& run : rest) {
      allocator.let_go(run);
    }
    CHECK(allocator.free_blocks() == 75);
    CHECK_FALSE(allocator.cut_off(tail));
  }
  SECTION("cut off") {
    CHECK(allocator.cut_off(tail));
    CHECK(allocator.free_in({BlockNo(1000), 1000}) == 50);
    CHECK(allocator.free_blocks() == 40);
    CHECK(allocator.is_held({BlockNo(1040), 10}));
    allocator.let_go_all();
    CHECK(allocator.runs() == std::vector<BlockRun>{{BlockNo(1000), 50}});
    CHECK(allocator.add({BlockNo(1050), 10}));  // as growth does
    CHECK(allocator.runs() == std::vector<BlockRun>{{BlockNo(1000), 60}});
  }
  SECTION("not while a block of it is in use") {
    allocator.let_go({BlockNo(1075), 25});
    CHECK(allocator.take(1, hint(1080)));
    CHECK(allocator.hold_rest(tail).size() == 1);
    CHECK_FALSE(allocator.cut_off(tail));
    CHECK(allocator.add({BlockNo(1080), 1}));
    CHECK(allocator.cut_off(tail));
  }
}

TEST_CASE("what is freed in a held range in any order is merged") {
  Allocator allocator;
  CHECK(allocator.hold({BlockNo(1000), 100}));
  for (const std::uint64_t at : {1020U, 1000U, 1040U, 1030U, 1010U}) {
    CHECK(allocator.add({BlockNo(at), 10}));
    CHECK_FALSE(allocator.add({BlockNo(at + 9), 1}));
  }
  CHECK_FALSE(allocator.add({BlockNo(999), 200}));
}

TEST_CASE("inode numbers come lowest first, the last freed before them") {
  InodeNumbers numbers;
  numbers.add({10, 1000});
  CHECK(numbers.take() == 10U);
  CHECK(numbers.take() == 11U);
  numbers.put(10);
  CHECK(numbers.take() == 10U);
  CHECK(numbers.runs() == std::vector<store::InodeRun>{{12, 998}});
}

TEST_CASE("no inode number is given out twice or lost") {
  InodeNumbers numbers;
  numbers.add({1, 3000});
  std::set<std::uint64_t> held;
  std::mt19937_64 rng(3);
  for (int i = 0; i < 50000; ++i) {
    if (rng() % 5 < (i % 10000 < 5000 ? 4U : 1U)) {
      if (const auto number = numbers.take()) {
        REQUIRE(held.insert(*number).second);
      } else {
        REQUIRE(held.size() == 3000);
      }
    } else if (!held.empty()) {
      auto victim = held.lower_bound(rng() % 3000);
      victim = victim == held.end() ? held.begin() : victim;
      numbers.put(*victim);
      held.erase(victim);
    }
  }
  for (const std::uint64_t number : held) {
    numbers.put(number);
  }
  CHECK(numbers.runs() == std::vector<store::InodeRun>{{1, 3000}});
}
