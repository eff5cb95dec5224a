// The simulator that the crash tests of all layers above stand on.
#include "support/sim_region.hpp"

#include <algorithm>
#include <cstring>
#include <set>

#include "harness/catch.hpp"

namespace {

using namespace pmemfs;
using test::ExhaustiveChooser;
using test::KeepAll;
using test::KeepNone;
using test::RandomChooser;
using test::SimRegion;

constexpr std::uint64_t kSize = 16ULL << 20U;

std::uint64_t word(const Region& region, std::uint64_t off) {
  std::uint64_t value = 0;
  std::memcpy(&value, region.data() + off, sizeof value);
  return value;
}

void store(Region& region, std::uint64_t off, std::uint64_t value) {
  region.store_u64(ByteOff(off), value);
}

}  // namespace

TEST_CASE("sim region: only what was flushed and then fenced is sure") {
  SimRegion region(kSize);
  KeepNone none;
  KeepAll all;
  store(region, 0, 1);
  CHECK(word(region, 0) == 1);
  CHECK(word(*region.crash(none), 0) == 0);
  CHECK(word(*region.crash(all), 0) == 1);
  region.fence();  // not flushed: no use
  CHECK(word(*region.crash(none), 0) == 0);
  region.flush(ByteOff(0), 8);
  CHECK(word(*region.crash(none), 0) == 0);
  CHECK(region.pending_lines() == 1);
  region.fence();
  CHECK(word(*region.crash(none), 0) == 1);
  CHECK(region.pending_lines() == 0);
}

TEST_CASE("sim region: streams need a fence and no flush") {
  SimRegion region(kSize);
  KeepNone none;
  const std::uint64_t value = 9;
  region.stream(ByteOff(128), &value, sizeof value);
  CHECK(word(*region.crash(none), 128) == 0);
  region.fence();
  CHECK(word(*region.crash(none), 128) == 9);
  region.stream_zeros(ByteOff(128), 64);
  CHECK(word(*region.crash(none), 128) == 9);
  region.fence();
  CHECK(word(*region.crash(none), 128) == 0);
}

TEST_CASE("sim region: a store after the flush is not covered by it") {
  SimRegion region(kSize);
  KeepNone none;
  store(region, 0, 1);
  region.flush(ByteOff(0), 8);
  store(region, 0, 2);
  region.fence();
  CHECK(word(*region.crash(none), 0) == 1);
  std::set<std::uint64_t> seen;
  ExhaustiveChooser choices;
  do {
    seen.insert(word(*region.crash(choices), 0));
  } while (choices.next());
  CHECK(seen == std::set<std::uint64_t>{1, 2});
}

TEST_CASE("sim region: a stream does not flush stored neighbours in its line") {
  SimRegion region(kSize);
  KeepNone none;
  store(region, 0, 1);
  const std::uint64_t value = 2;
  region.stream(ByteOff(8), &value, sizeof value);
  region.fence();
  CHECK(word(*region.crash(none), 0) == 0);
  CHECK(word(*region.crash(none), 8) == 2);
  CHECK(region.pending_lines() == 1);
}

TEST_CASE("sim region: any subset of lines, any state that a line had") {
  SimRegion region(kSize);
  store(region, 0, 1);
  store(region, 0, 2);
  store(region, 64, 3);
  std::set<std::pair<std::uint64_t, std::uint64_t>> seen;
  ExhaustiveChooser choices;
  do {
    const auto after = region.crash(choices);
    seen.insert({word(*after, 0), word(*after, 64)});
  } while (choices.next());
  CHECK(seen.size() == 6);
  CHECK(seen.contains({1, 0}));
  CHECK(seen.contains({2, 3}));
}

TEST_CASE("sim region: lines tear between words, words never") {
  SimRegion region(kSize);
  std::array<std::uint64_t, 8> line{};
  line.fill(0x1111111111111111);
  region.store(ByteOff(0), line.data(), sizeof line);
  bool torn = false;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    RandomChooser chooser(seed);
    const auto after = region.crash(chooser);
    const auto kept = static_cast<std::size_t>(
        std::count_if(line.begin(), line.end(), [&](const std::uint64_t& w) {
          const std::uint64_t value =
              word(*after, static_cast<std::uint64_t>(&w - line.data()) * 8);
          CHECK((value == 0 || value == w));
          return value != 0;
        }));
    torn = torn || (kept > 0 && kept < 8);
  }
  CHECK(torn);
}

TEST_CASE("sim region: the same seed gives the same crash") {
  SimRegion region(kSize);
  for (std::uint64_t i = 0; i < 100; ++i) {
    store(region, i * 72, i + 1);
  }
  RandomChooser one(7);
  RandomChooser two(7);
  RandomChooser other(8);
  const auto image = region.crash_image(one);
  CHECK(image == region.crash_image(two));
  CHECK(image != region.crash_image(other));
  CHECK(word(SimRegion(image), 0) == word(*std::make_unique<SimRegion>(image), 0));
}

TEST_CASE("sim region: the hook sees the state before each fence") {
  SimRegion region(kSize);
  std::vector<std::uint64_t> durable;
  region.on_fence([&](SimRegion& r) {
    KeepNone none;
    durable.push_back(word(*r.crash(none), 0));
  });
  for (std::uint64_t i = 1; i <= 3; ++i) {
    store(region, 0, i);
    region.flush(ByteOff(0), 8);
    region.fence();
  }
  CHECK(durable == std::vector<std::uint64_t>{0, 1, 2});
  CHECK(region.counts().stores == 3);
  CHECK(region.counts().flushes == 3);
  CHECK(region.counts().fences == 3);
}

TEST_CASE("sim region: growth moves nothing, is durable, and can fail") {
  SimRegion region(kSize, 2 * kSize);
  const std::byte* const before = region.data();
  store(region, 0, 1);
  region.fail_grow(EIO);
  CHECK(region.grow(2 * kSize).code() == EIO);
  CHECK(region.grow(4 * kSize).code() == ENOSPC);
  REQUIRE(region.grow(2 * kSize).ok());
  CHECK(region.data() == before);
  KeepNone none;
  const auto after = region.crash(none);
  CHECK(after->size() == 2 * kSize);
  CHECK(word(*after, 2 * kSize - 8) == 0);
  CHECK(word(*after, 0) == 0);
}

TEST_CASE("sim region: shrinking forgets, and growth after it brings zeros") {
  SimRegion region(8 * 4096);
  const std::uint64_t value = 7;
  region.store(ByteOff(5 * 4096), &value, sizeof value);
  region.store(ByteOff(0), &value, sizeof value);
  REQUIRE(region.shrink(4 * 4096).ok());
  CHECK(region.size() == 4 * 4096);
  CHECK(region.pending_lines() == 1);
  KeepAll all;
  CHECK(region.crash(all)->size() == 4 * 4096);
  REQUIRE(region.grow(8 * 4096).ok());
  CHECK(region.data()[5 * 4096] == std::byte{0});
  region.set_read_only(true);
  CHECK(region.shrink(4096).code() == EROFS);
}

TEST_CASE("sim region: poke damages cache and media alike") {
  SimRegion region(kSize);
  const std::uint64_t junk = 0xDEAD;
  region.poke(ByteOff(4096), &junk, sizeof junk);
  KeepNone none;
  CHECK(word(region, 4096) == junk);
  CHECK(word(*region.crash(none), 4096) == junk);
  CHECK(region.counts().streams == 0);
}
