// tests/support/damage.hpp finds what is there, and reseals what it changed.
#include "support/damage.hpp"

#include <map>
#include <set>

#include "format/checks.hpp"
#include "harness/catch.hpp"
#include "sample.hpp"
#include "small_fs.hpp"
#include "store/scan.hpp"
#include "support/sim_region.hpp"

using namespace pmemfs;
using test::Kind;
using test::Structure;

namespace {

using Image = std::vector<std::byte>;

Image closed_sample() {
  test::SimRegion region(32U << 20U);
  test::make_sample(region, 3);
  return {region.data(), region.data() + region.size()};
}

// With a committed lane: the power goes when the log is whole and nothing is applied.
Image crashed_sample() {
  test::SimRegion region(closed_sample());
  test::SmallFs fs(region);
  Image left;
  region.on_fence([&](test::SimRegion& r) {
    test::KeepAll all;
    if (left.empty() && !test::structures_of({r.data(), r.size()}, Kind::kLaneHeader).empty()) {
      left = r.crash_image(all);
    }
  });
  test::must(fs.create("while the power goes"));
  region.on_fence({});
  return left;
}

std::map<Kind, std::size_t> count(const Image& image) {
  std::map<Kind, std::size_t> n;
  for (const Structure& s : test::survey(image)) {
    ++n[s.kind];
  }
  return n;
}

}  // namespace

TEST_CASE("a survey finds every kind of structure, each once") {
  const Image closed = closed_sample();
  const Image crashed = crashed_sample();
  auto n = count(closed);
  for (const auto& [kind, more] : count(crashed)) {
    n[kind] = std::max(n[kind], more);
  }
  for (int i = 0; i <= static_cast<int>(Kind::kSnapshotRun); ++i) {
    CAPTURE(test::to_string(static_cast<Kind>(i)));
    CHECK(n[static_cast<Kind>(i)] > 0);
  }
  CHECK(n[Kind::kSuperblock] == 2);
  CHECK(n[Kind::kIndexBlock] == 4);  // the root twice
  std::set<std::pair<std::uint64_t, Kind>> places;
  for (const Structure& s : test::survey(closed)) {
    CHECK(places.emplace(s.at, s.kind).second);
  }
}

TEST_CASE("a survey agrees with what the store finds") {
  const Image image = closed_sample();
  test::SimRegion region(image);
  test::SmallFs fs(region);
  std::set<std::uint64_t> inodes;
  for (const Structure& s : test::structures_of(image, Kind::kInode)) {
    inodes.insert(s.owner);
  }
  CHECK(inodes.size() == fs.store().space().inodes_used);
  CHECK(test::structures_of(image, Kind::kDentry).size() == fs.root_inode().entries.load());
  const InodeNo many = fs.find("many extents");
  const auto map = test::must(store::ExtentMap::load(fs.store(), fs.inode(many)));
  CHECK(test::structures_of(image, Kind::kExtentSlot, many.value).size() + 3 == map->size());
  CHECK(test::find_dentry(image, 1, "xattrs").owner == 1);
  CHECK_THROWS_AS(test::find_dentry(image, 1, "no such name"), std::out_of_range);
}

TEST_CASE("fields lie inside their structure, apart from the crc") {
  for (int i = 0; i <= static_cast<int>(Kind::kSnapshotRun); ++i) {
    const Kind kind = static_cast<Kind>(i);
    CAPTURE(test::to_string(kind));
    for (const test::Field& field : test::fields_of(kind)) {
      CAPTURE(field.name);
      CHECK(field.size > 0);
      if (field.name != "name[0]") {
        CHECK(field.offset + field.size <= test::size_of(kind));
      }
    }
  }
}

TEST_CASE("resealing an intact structure changes nothing, a changed one its crc") {
  for (Image image : {closed_sample(), crashed_sample()}) {
    for (const Structure& s : test::survey(image)) {
      CAPTURE(test::to_string(s.kind), s.at);
      const std::uint64_t crc_at = s.sealed_at + test::crc_offset(s.sealed_kind);
      const std::uint64_t crc = test::load_number(image, crc_at, 4);
      test::reseal(image, s);
      REQUIRE(test::load_number(image, crc_at, 4) == crc);
      const std::uint64_t field_at = s.at + test::fields_of(s.kind).front().offset;
      const std::uint64_t number = test::load_number(image, field_at, 4);
      test::store_number(image, field_at, 4, number ^ 1U);
      test::reseal(image, s);
      REQUIRE(test::load_number(image, crc_at, 4) != crc);
      test::store_number(image, field_at, 4, number);
      test::reseal(image, s);
      REQUIRE(test::load_number(image, crc_at, 4) == crc);
    }
  }
}

TEST_CASE("altered superblocks are believed") {
  Image image = closed_sample();
  test::alter_superblocks(image, [](format::Superblock& s) { s.next_generation.store(77777); });
  test::SimRegion region(image);
  const auto s = store::read_superblock(region, nullptr, nullptr);
  REQUIRE(s.ok());
  CHECK(s->next_generation.load() == 77777);
}
