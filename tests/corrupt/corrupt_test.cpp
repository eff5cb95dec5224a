// No content of a region makes the filesystem crash, hang, or read outside of it (invariant 7).
//
//   PMEMFS_CORRUPT_ONLY=TEXT   all images whose name has this in it, and no others
//   PMEMFS_CORRUPT_ROUNDS=N    so many images of each sample with many damages
//   PMEMFS_CORRUPT_EVERY=N     every N-th of the systematic ones; 1: all. PMEMFS_SEED: which ones
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <random>

#include "exercise.hpp"
#include "harness/catch.hpp"
#include "recipes.hpp"
#include "shapes.hpp"

using namespace pmemfs;
using test::Recipe;
using test::Sample;

namespace {

constexpr unsigned kHang = 100;  // seconds for one image, which takes milliseconds
#ifdef PMEMFS_SLOW
constexpr std::uint64_t kEvery = 211;
constexpr std::uint64_t kRounds = 4;
#else
constexpr std::uint64_t kEvery = 41;
constexpr std::uint64_t kRounds = 20;
#endif

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

std::optional<std::string> only() {
  const char* text = std::getenv("PMEMFS_CORRUPT_ONLY");
  return text != nullptr ? std::optional<std::string>(text) : std::nullopt;
}

// Runs those that are asked for, and counts them.
class Images {
 public:
  Images() {
    // A hang ends in the test framework, which tells which image it was.
    std::signal(SIGALRM, [](int) { std::abort(); });
  }
  Images(const Images&) = delete;
  Images& operator=(const Images&) = delete;
  ~Images() {
    ::alarm(0);
    std::printf("%d images\n", images_);
  }

  void run(const Sample& sample, const std::string& name, std::uint64_t focus,
           const test::DamageImage& damage, std::uint64_t size = 0) {
    if (only() && name.find(*only()) == std::string::npos) {
      return;
    }
    INFO(name);
    ::alarm(kHang);
    const std::string complaint = test::exercise(sample, damage, focus, size);
    CAPTURE(complaint);
    CHECK(complaint.empty());
    ++images_;
  }

 private:
  int images_ = 0;
};

}  // namespace

TEST_CASE("a sound sample is exercised") {
  for (const Sample& sample : test::samples()) {
    CAPTURE(sample.name);
    const std::string complaint = test::exercise(
        sample, [](auto) {}, 1);
    CAPTURE(complaint);
    CHECK(complaint.empty());
  }
}

TEST_CASE("each field of each structure, with its crc wrong and right") {
  const std::uint64_t every = only() ? 1 : from_environment("PMEMFS_CORRUPT_EVERY", kEvery);
  std::uint64_t at = from_environment("PMEMFS_SEED", 0);
  Images images;
  for (const Sample& sample : test::samples()) {
    for (const Recipe& recipe : test::recipes_for(sample)) {
      if (at++ % every == 0) {
        images.run(sample, recipe.name(), recipe.structure.owner,
                   [&](std::span<std::byte> image) { recipe.apply(image); });
      }
    }
  }
}

TEST_CASE("loops, overlaps, cross-links, absurd numbers") {
  Images images;
  for (const Sample& sample : test::samples()) {
    for (const test::ShapeDamage& shape : test::shapes_for(sample)) {
      images.run(sample, shape.name, shape.focus, shape.apply);
    }
  }
}

TEST_CASE("many damages at once") {
  Images images;
  const std::uint64_t first = from_environment("PMEMFS_SEED", 1);
  for (const Sample& sample : test::samples()) {
    const std::vector<Recipe> recipes = test::recipes_for(sample);
    const std::uint64_t rounds = from_environment("PMEMFS_CORRUPT_ROUNDS", kRounds);
    for (std::uint64_t seed = first; seed < first + rounds; ++seed) {
      std::mt19937_64 rng(seed);
      const std::uint64_t focus = recipes[rng() % recipes.size()].structure.owner;
      const std::uint64_t n = 2 + rng() % 20;
      images.run(sample, sample.name + "/many/" + std::to_string(seed), focus,
                 [&](std::span<std::byte> image) {
                   std::mt19937_64 same = rng;  // each time
                   for (std::uint64_t i = 0; i < n; ++i) {
                     recipes[same() % recipes.size()].apply(image);
                   }
                 });
    }
  }
}

TEST_CASE("regions that were cut off") {
  Images images;
  for (const Sample& sample : test::samples()) {
    const std::uint64_t blocks = sample.image->bytes().size() / 4096;
    for (const std::uint64_t left : {1ULL, 2ULL, 256ULL, 257ULL, 258ULL, 260ULL, 276ULL, 511ULL,
                                     512ULL, 513ULL, 600ULL, blocks - 1ULL}) {
      images.run(
          sample, sample.name + "/cut to " + std::to_string(left), 1, [](auto) {}, left * 4096);
    }
  }
}
