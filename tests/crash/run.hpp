// One filesystem on its way through a workload, with what has been promised so far.
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
  std::size_t samples = 4;  // of more, and torn ones of few: so many beside the one without any,
                            // or (0) in turns that one and one sample
  std::size_t second = 0;   // of the states of a cut, so many are cut again while they recover
};

struct Figures {
  std::uint64_t workloads = 0;
  std::uint64_t cuts = 0;
  std::uint64_t states = 0;         // recovered after a cut
  std::uint64_t second_states = 0;  // recovered after a cut of a recovery
  std::vector<std::string> violations;
};

using HostDecorator = std::function<std::unique_ptr<BackingDir>(BackingDir&)>;

// Not thread-safe.
class Run {
 public:
  // Mounts `media`; all of it counts as promised. `decorator`, if there is one, gives a host that
  // breaks a rule. Violations go to `figures`, with `seed` and what was done before.
  Run(Media media, const Limits& limits, std::uint64_t seed, Figures& figures,
      HostDecorator decorator = {});

  // Its errno value.
  int step(const Operation& operation);
  // With cuts at each fence, each call of the host, and after it returned.
  void step_with_cuts(const Operation& operation);
  // The power goes, and this goes on with what the next mount finds.
  void cut_power(test::Chooser& chooser);
  void remount();

 private:
  void mount(Media media);
  void advance(const Operation& operation, int code, Tree after);
  void violated(const std::string& what);

  Limits limits_;
  std::uint64_t seed_;
  Figures& figures_;
  HostDecorator decorator_;
  std::unique_ptr<World> world_;
  Tree tree_;
  Promises promises_;
  std::string done_;  // the operations so far, "create n; write n; "
};

}  // namespace pmemfs::crash
