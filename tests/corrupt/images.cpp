#include "images.hpp"

#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <random>

#include "recipes.hpp"
#include "shapes.hpp"
#include "support/environment.hpp"

namespace pmemfs::test {
namespace {

constexpr unsigned kHang = 100;  // seconds for one image, which takes milliseconds
#ifdef PMEMFS_SLOW
constexpr std::uint64_t kEvery = 499;
constexpr std::uint64_t kRounds = 2;
#else
constexpr std::uint64_t kEvery = 97;
constexpr std::uint64_t kRounds = 8;
#endif

using test::number_from;

class Images {
 public:
  using Run = std::function<void(const Sample&, const Image&)>;

  explicit Images(const Run& run) : run_(run) {
    std::signal(SIGALRM, [](int) { std::abort(); });
  }
  Images(const Images&) = delete;
  Images& operator=(const Images&) = delete;
  ~Images() { ::alarm(0); }

  [[nodiscard]] int count() const { return count_; }

  void systematic(const Sample& sample) {
    const std::uint64_t every = only() ? 1 : number_from("PMEMFS_CORRUPT_EVERY", kEvery);
    for (const Recipe& recipe : recipes_for(sample)) {
      if (at_++ % every == 0) {
        take(sample, {recipe.name(), recipe.structure.owner,
                      [&recipe](std::span<std::byte> image) { recipe.apply(image); }, 0});
      }
    }
  }
  void shapes(const Sample& sample) {
    for (const ShapeDamage& shape : shapes_for(sample)) {
      take(sample, {shape.name, shape.focus, shape.apply, 0});
    }
  }
  void many_at_once(const Sample& sample) {
    const std::vector<Recipe> recipes = recipes_for(sample);
    const std::uint64_t first = number_from("PMEMFS_SEED", 1);
    const std::uint64_t rounds = number_from("PMEMFS_CORRUPT_ROUNDS", kRounds);
    for (std::uint64_t seed = first; seed < first + rounds; ++seed) {
      const auto damage = [&](std::span<std::byte> image) {
        std::mt19937_64 rng(seed);
        for (std::uint64_t i = 2 + rng() % 20; i > 0; --i) {
          recipes[rng() % recipes.size()].apply(image);
        }
      };
      const std::uint64_t focus = recipes[seed % recipes.size()].structure.owner;
      take(sample, {sample.name + "/many/" + std::to_string(seed), focus, damage, 0});
    }
  }
  void cut_off(const Sample& sample) {
    const std::uint64_t blocks = sample.image->bytes().size() / format::kBlockSize;
    for (const std::uint64_t left : {1ULL, 2ULL, 256ULL, 257ULL, 258ULL, 260ULL, 276ULL, 511ULL,
                                     512ULL, 513ULL, 600ULL, blocks - 1ULL}) {
      take(sample, {sample.name + "/cut to " + std::to_string(left), 1, [](auto) {},
                    left * format::kBlockSize});
    }
  }

 private:
  void take(const Sample& sample, const Image& image) {
    if (only() && image.name.find(*only()) == std::string::npos) {
      return;
    }
    ::alarm(kHang);
    run_(sample, image);
    ++count_;
  }

  const Run& run_;
  std::uint64_t at_ = number_from("PMEMFS_SEED", 0);
  int count_ = 0;
};

}  // namespace

std::optional<std::string> only() {
  const char* text = std::getenv("PMEMFS_CORRUPT_ONLY");
  return text != nullptr ? std::optional<std::string>(text) : std::nullopt;
}

int for_each_image(const std::function<void(const Sample&, const Image&)>& run) {
  Images images(run);
  for (const Sample& sample : samples()) {
    images.systematic(sample);
    images.shapes(sample);
    images.many_at_once(sample);
    images.cut_off(sample);
  }
  return images.count();
}

}  // namespace pmemfs::test
