// Whatever a region holds, the check ends and follows no wild pointer, and one repair is enough.
// Longer: PMEMFS_CHECK_ROUNDS=5000 PMEMFS_SEED=7. Run it under the sanitizers.
#include <fmt/format.h>

#include <cstdlib>
#include <cstring>
#include <random>

#include "check_rig.hpp"
#include "harness/catch.hpp"
#include "pmemfs/format.hpp"
#include "support/environment.hpp"

using namespace pmemfs;
using test::CheckRig;
using test::describe;
using Data = CheckRig::Data;
using Image = std::span<std::byte>;

namespace {

std::uint64_t wild(std::mt19937_64& rng, std::uint64_t blocks) {
  switch (rng() % 7) {
    case 0:
      return rng();
    case 1:
      return ~std::uint64_t{0} - rng() % 3;
    case 2:
      return 0;
    case 3:
      return blocks - rng() % 3;
    case 4:
      return 1ULL << (rng() % 64);
    case 5:
      return rng() % 300;
    default:
      return rng() % blocks;
  }
}

// Changes a field behind a crc that holds, or some bit.
void harm(Image image, const std::vector<test::Structure>& all, std::mt19937_64& rng) {
  const test::Structure& s = all[rng() % all.size()];
  if (s.kind == test::Kind::kSuperblock) {
    return;  // damage_test.cpp
  }
  if (rng() % 3 == 0) {
    image[s.at + rng() % test::size_of(s.kind)] ^= static_cast<std::byte>(1U << (rng() % 8));
    return;
  }
  const auto fields = test::fields_of(s.kind);
  const test::Field& field = fields[rng() % fields.size()];
  if (field.size <= 8) {
    test::store_number(image, s.at + field.offset, field.size,
                       wild(rng, image.size() / format::kBlockSize));
    test::reseal(image, s);
  }
}

// Copies a structure over another of its kind, as stale data would lie.
void mix(Image image, const std::vector<test::Structure>& all, std::mt19937_64& rng) {
  const test::Structure& to = all[rng() % all.size()];
  const test::Structure& from = all[rng() % all.size()];
  if (to.kind == from.kind && to.kind != test::Kind::kSuperblock) {
    std::memmove(&image[to.at], &image[from.at], test::size_of(to.kind));
    test::reseal(image, to);
  }
}

void round(Data data, std::uint64_t seed) {
  CAPTURE(seed);
  std::mt19937_64 rng(seed);
  CheckRig rig(data);
  rig.damage([&](Image image) {
    const auto all = test::survey(image);
    for (std::uint64_t i = 1 + rng() % (seed % 4 == 0 ? 200 : 6); i > 0; --i) {
      if (rng() % 5 == 0) {
        mix(image, all, rng);
      } else {
        harm(image, all, rng);
      }
    }
  });
  const auto found = rig.check_copy();
  const auto repaired = rig.check(true);
  const auto again = rig.check();
  if (!again.clean()) {
    FAIL("found:\n"
         << describe(found) << "repaired:\n"
         << describe(repaired) << "again:\n"
         << describe(again));
  }
  for (const check::Finding& f : repaired.findings) {
    INFO(describe(repaired));
    // A host file that its inode does not know any more cannot get another.
    CHECK((f.repaired || f.problem == check::Problem::kHostUnclaimed));
  }
  (void)rig.look();
  CHECK(rig.check().clean());
}

}  // namespace

TEST_CASE("random lies: one repair is enough") {
  const std::uint64_t first = test::number_from("PMEMFS_SEED", 1);
  const std::uint64_t rounds = test::number_from("PMEMFS_CHECK_ROUNDS", 60);
  for (std::uint64_t seed = first; seed < first + rounds; ++seed) {
    round(seed % 2 == 0 ? Data::kBacking : Data::kExtents, seed);
  }
}

TEST_CASE("random lies that one repair was not enough for once") {
  round(Data::kBacking, 20208);  // a directory block of a generation that was never given out
}

TEST_CASE("garbage everywhere ends") {
  std::mt19937_64 rng(3);
  for (int i = 0; i < 4; ++i) {
    CheckRig rig(Data::kExtents);
    rig.damage([&](Image image) {
      for (std::size_t at = 257 * 4096; at < 700 * 4096; at += 8) {
        if (at / 4096 != format::kSuperblockCopyBlock) {
          test::store_number(image, at, 8, rng());
        }
      }
    });
    CHECK(rig.check().stays_damaged());
    (void)rig.check(true);
    (void)rig.check();
  }
}
