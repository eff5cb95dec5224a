#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

// Decides what a simulated crash leaves of what was not durable yet.
namespace pmemfs::test {

class Chooser {
 public:
  Chooser() = default;
  Chooser(const Chooser&) = delete;
  Chooser& operator=(const Chooser&) = delete;
  virtual ~Chooser() = default;

  // One of n ≥ 1 states that something may be found in: 0 is the oldest (durable), n - 1 the
  // newest.
  virtual std::size_t pick(std::size_t n) = 0;
  // Whether a cache line is torn, that is each of its 8-byte words gets a pick of its own.
  virtual bool tear() { return false; }
};

// Loses everything that was not durable.
class KeepNone final : public Chooser {
 public:
  std::size_t pick(std::size_t /*n*/) override { return 0; }
};

// Loses nothing, as when only the process dies.
class KeepAll final : public Chooser {
 public:
  std::size_t pick(std::size_t n) override { return n - 1; }
};

// The same choices for the same seed. Some seeds lose much, some little, a quarter tears lines.
class RandomChooser final : public Chooser {
 public:
  explicit RandomChooser(std::uint64_t seed);
  std::size_t pick(std::size_t n) override;
  bool tear() override;

 private:
  std::mt19937_64 rng_;
  double newest_ = 0.5;  // probability of the newest state
};

// Goes through all combinations, for small cases, without tearing:
//   ExhaustiveChooser all;
//   do { check(region.crash(all)); } while (all.next());
class ExhaustiveChooser final : public Chooser {
 public:
  std::size_t pick(std::size_t n) override;
  // Prepares the next combination; false when all were seen.
  bool next();

 private:
  struct Digit {
    std::size_t value;
    std::size_t base;
  };
  std::vector<Digit> digits_;
  std::size_t used_ = 0;
};

}  // namespace pmemfs::test
