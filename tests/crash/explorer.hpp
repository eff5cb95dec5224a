// Cuts the power at every step of an operation and looks at what the next mount finds.
//
// A cut is made before each fence and each call of the host, and after the operation has returned.
// At each, the states are those that the simulators allow: the region's lines that no fence has
// assured, and the host's changes that no fsync has covered, in product. All of them when there are
// few, else none of them, all of them and seeded samples; torn lines are always sampled. What lies
// between two fences needs no cuts of its own: it is among the states of the second.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "crash/operation.hpp"
#include "crash/promise.hpp"

namespace pmemfs::crash {

struct Limits {
  std::size_t all = 16;     // up to so many states of a cut are all looked at
  std::size_t samples = 4;  // of more, and torn ones of few: so many
  std::size_t second = 0;   // of the states of a cut, so many are cut again while they recover
};

struct Figures {
  std::uint64_t workloads = 0;
  std::uint64_t cuts = 0;
  std::uint64_t states = 0;         // recovered after a cut
  std::uint64_t second_states = 0;  // recovered after a cut of a recovery
  std::vector<std::string> violations;

  Figures& operator+=(const Figures& other);
};

using HostDecorator = std::function<std::unique_ptr<BackingDir>(BackingDir&)>;

// Not thread-safe.
class Explorer {
 public:
  Explorer(Placement placement, Limits limits, std::uint64_t seed);

  // A host that breaks a rule, while the workload runs.
  void decorate_host(HostDecorator decorator) { decorator_ = std::move(decorator); }

  // Runs `prefix` on the start, then `operation` with cuts.
  using Prefix = std::vector<const Operation*>;
  void explore(const Prefix& prefix, const Operation& operation);

  [[nodiscard]] const Figures& figures() const { return figures_; }

 private:
  Placement placement_;
  Limits limits_;
  std::uint64_t seed_;
  HostDecorator decorator_;
  Media start_;
  Tree start_tree_;
  Figures figures_;
};

}  // namespace pmemfs::crash
