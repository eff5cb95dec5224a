// The workloads, and all that can be found after a power cut in each.
#pragma once

#include <cstdint>
#include <vector>

#include "crash/run.hpp"

namespace pmemfs::crash {

// Not thread-safe, one at a time.
class Explorer {
 public:
  Explorer(Placement placement, const Limits& limits, std::uint64_t seed);

  // While workloads run, the host breaks a rule.
  void decorate_host(HostDecorator decorator) { decorator_ = std::move(decorator); }

  // Runs `prefix` on the start, then `operation` with cuts; nothing when a step of the prefix
  // fails, which is a shorter workload.
  using Prefix = std::vector<const Operation*>;
  void explore(const Prefix& prefix, const Operation& operation);
  // `steps` operations by chance on the start, some with cuts, with power cuts and remounts
  // between.
  void walk(std::uint64_t seed, int steps);

  [[nodiscard]] const std::vector<Operation>& all() const { return all_; }
  [[nodiscard]] const Figures& figures() const { return figures_; }

 private:
  [[nodiscard]] Media start() const;

  test::SimRegion::Recycling recycling_;
  Limits limits_;
  std::uint64_t seed_;
  HostDecorator decorator_;
  std::vector<Operation> all_;
  Media start_;
  Figures figures_;
};

}  // namespace pmemfs::crash
