#include "support/chooser.hpp"

#include <array>

namespace pmemfs::test {

RandomChooser::RandomChooser(std::uint64_t seed) : rng_(seed) {
  constexpr std::array<double, 5> kBias = {0.05, 0.3, 0.5, 0.7, 0.95};
  newest_ = kBias[rng_() % kBias.size()];
}

std::size_t RandomChooser::pick(std::size_t n) {
  if (n == 1) {
    return 0;
  }
  if (std::bernoulli_distribution(newest_)(rng_)) {
    return n - 1;
  }
  return rng_() % (n - 1);
}

bool RandomChooser::tear() {
  return rng_() % 4 == 0;
}

std::size_t ExhaustiveChooser::pick(std::size_t n) {
  if (used_ == digits_.size()) {
    digits_.push_back({0, n});
  }
  return digits_[used_++].value;
}

bool ExhaustiveChooser::next() {
  digits_.resize(used_);
  used_ = 0;
  while (!digits_.empty() && digits_.back().value + 1 == digits_.back().base) {
    digits_.pop_back();
  }
  if (digits_.empty()) {
    return false;
  }
  ++digits_.back().value;
  return true;
}

}  // namespace pmemfs::test
