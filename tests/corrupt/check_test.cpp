// The checker on the damaged images: it survives each, finds something where a mount meets damage,
// and what it has repaired is clean.
//
// The environment is that of corrupt_test.
#include "check/check.hpp"

#include <cstdlib>
#include <optional>

#include "base/log.hpp"
#include "exercise.hpp"
#include "harness/catch.hpp"
#include "images.hpp"
#include "recipes.hpp"
#include "shapes.hpp"

using namespace pmemfs;
using test::Sample;

namespace {

std::optional<check::Report> check_image(Region& region, BackingDir* host, bool repair) {
  check::Options options;
  options.repair = repair;
  auto report = check::check(region, host, options);
  return report ? std::optional(std::move(report).value()) : std::nullopt;
}

std::string text_of(const check::Report& report) {
  std::string text;
  for (const check::Finding& f : report.findings) {
    text += std::string(to_string(f.problem)) + " of inode " + std::to_string(f.ino.value) + ": " +
            f.what + "\n";
  }
  return text;
}

// How often what happened: the test would be worth nothing if all images were refused.
struct Tally {
  int images = 0;
  int met = 0;       // a mount meets damage
  int found = 0;     // the checker finds some
  int repaired = 0;  // and repairs all
};

bool mount_meets_damage(const Sample& sample, const test::DamageImage& damage) {
  test::GuardedRegion region(*sample.image);
  damage(region.bytes());
  region.set_read_only(true);
  const auto host = sample.host_copy();
  return !test::damage_met(region, host.get()).empty();
}

void check_and_repair(const Sample& sample, const test::DamageImage& damage, Tally& tally) {
  base::log::init_callback([](base::log::Level, const std::string&) {});
  const bool met = mount_meets_damage(sample, damage);
  test::GuardedRegion region(*sample.image);
  damage(region.bytes());
  const auto host = sample.host_copy();
  ++tally.images;
  tally.met += met ? 1 : 0;
  const auto first = check_image(region, host.get(), false);
  if (!first) {
    return;  // not a region any more, or one of a newer format
  }
  tally.found += first->clean() ? 0 : 1;
  CHECK((!met || !first->clean()));
  const auto repaired = check_image(region, host.get(), true);
  REQUIRE(repaired);
  if (repaired->stays_damaged()) {
    return;
  }
  tally.repaired += repaired->repaired > 0 ? 1 : 0;
  const auto again = check_image(region, host.get(), false);
  REQUIRE(again);
  INFO("found first:\n" << text_of(*first) << "after the repair:\n" << text_of(*again));
  CHECK(again->clean());
  const std::string left = test::damage_met(region, host.get());
  CAPTURE(left);
  CHECK(left.empty());
}

}  // namespace

TEST_CASE("the checker finds nothing in a sound sample") {
  for (const Sample& sample : test::samples()) {
    CAPTURE(sample.name);
    Tally tally;
    check_and_repair(
        sample, [](auto) {}, tally);
    CHECK(tally.found == 0);
    CHECK(tally.met == 0);
  }
}

TEST_CASE("what a mount meets the checker finds and repairs") {
  Tally tally;
  test::for_each_image([&](const Sample& sample, const test::Image& image) {
    CAPTURE(image.name);
    if (image.size == 0) {
      check_and_repair(sample, image.damage, tally);
    }
  });
  std::printf("%d images: a mount meets damage in %d, the checker in %d, all repaired in %d\n",
              tally.images, tally.met, tally.found, tally.repaired);
  CHECK((test::only() || (tally.found >= tally.met / 2 && tally.repaired > 0)));
}
