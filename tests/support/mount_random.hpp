#pragma once

// Reproducible random choices: the seed is printed with every failure, and can be given.

#include <cstdint>
#include <random>

#include "support/environment.hpp"

namespace pmemfs::test {

class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}
  // PMEMFS_SEED, or a fresh one.
  static std::uint64_t any_seed() { return number_from("PMEMFS_SEED", std::random_device{}()); }

  std::uint64_t below(std::uint64_t limit) { return limit == 0 ? 0 : engine_() % limit; }
  std::uint64_t between(std::uint64_t low, std::uint64_t high) {
    return low + below(high - low + 1);
  }
  bool one_in(std::uint64_t n) { return below(n) == 0; }
  template <typename Container>
  const auto& pick(const Container& from) {
    auto at = from.begin();
    std::advance(at, static_cast<std::ptrdiff_t>(below(from.size())));
    return *at;
  }

 private:
  std::mt19937_64 engine_;
};

}  // namespace pmemfs::test
