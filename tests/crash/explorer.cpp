#include "crash/explorer.hpp"

#include <random>

namespace pmemfs::crash {

Explorer::Explorer(Placement placement, const Limits& limits, std::uint64_t seed)
    : limits_(limits), seed_(seed), all_(operations(placement)), start_(make_start(placement)) {}

Media Explorer::start() const {
  test::KeepAll all;
  return start_.crash(all);
}

void Explorer::explore(const Prefix& prefix, const Operation& operation) {
  Run run(start(), limits_, seed_, figures_, decorator_);
  for (const Operation* step : prefix) {
    if (run.step(*step) != 0) {
      return;
    }
  }
  ++figures_.workloads;
  run.step_with_cuts(operation);
}

void Explorer::walk(std::uint64_t seed, int steps) {
  ++figures_.workloads;
  std::mt19937_64 rng(seed);
  Run run(start(), limits_, seed, figures_, decorator_);
  for (int i = 0; i < steps; ++i) {
    const Operation by_chance = random_operation(rng);
    const Operation& operation = rng() % 2 == 0 ? all_[rng() % all_.size()] : by_chance;
    const std::uint64_t dice = rng() % 16;
    if (dice < 6) {
      run.step_with_cuts(operation);
    } else {
      run.step(operation);
    }
    if (dice == 15) {
      test::RandomChooser chooser(rng());
      run.cut_power(chooser);
    } else if (dice == 14) {
      run.remount();
    }
  }
}

}  // namespace pmemfs::crash
