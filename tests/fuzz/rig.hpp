#pragma once

#include <memory>

#include "pmemfs/filesystem.hpp"
#include "support/sim_backing_dir.hpp"
#include "support/sim_region.hpp"

namespace pmemfs::fuzz {

inline constexpr Caller kRoot{.uid = 0, .gid = 0, .pid = 1, .umask = 022};

// A filesystem on simulated memory, whose power can be cut.
class Rig {
 public:
  explicit Rig(bool backing);

  [[nodiscard]] Filesystem& fs() { return *fs_; }
  [[nodiscard]] bool backing() const { return host_ != nullptr; }
  void remount();
  // What was not on media is kept or lost by `seed`.
  void crash(std::uint64_t seed);
  // What a checker finds on the media as they are, closed or not; nothing is changed.
  void check();

 private:
  void open();

  std::unique_ptr<test::SimRegion> region_;
  std::unique_ptr<test::SimBackingDir> host_;
  std::unique_ptr<Filesystem> fs_;
};

}  // namespace pmemfs::fuzz
