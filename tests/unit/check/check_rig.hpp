// A filesystem with something of everything, to be damaged, checked, repaired and looked at again.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "check/check.hpp"
#include "support/damage.hpp"
#include "support/sim_backing_dir.hpp"
#include "support/sim_region.hpp"

namespace pmemfs::test {

// What a user finds: paths, each with type, links, content or target, xattrs. What cannot be read
// says so.
using Tree = std::map<std::string, std::string>;

class CheckRig {
 public:
  enum class Data : std::uint8_t { kBacking, kExtents };

  // The sample below, unmounted in order.
  // `on_fence` is called before each fence on the way there.
  using Hook = std::function<void(SimRegion& region, SimBackingDir* host)>;
  explicit CheckRig(Data data, const Hook& on_fence = {});

  [[nodiscard]] SimRegion& region() const { return *region_; }
  [[nodiscard]] SimBackingDir* host() { return host_.get(); }
  // The inode of a path of the sample.
  [[nodiscard]] std::uint64_t ino(const std::string& path) const { return inodes_.at(path); }
  [[nodiscard]] const Tree& tree() const { return tree_; }

  // change(image) damages the region as it lies on media.
  void damage(const std::function<void(std::span<std::byte>)>& change);
  // Goes on with this region.
  void take(std::unique_ptr<SimRegion> region) { region_ = std::move(region); }

  check::Report check(bool repair = false);
  // Of a copy: the journal is not replayed for good.
  check::Report check_copy();
  // Mounts, looks at everything and unmounts in order.
  Tree look();

 private:
  void fill();

  Data data_;
  std::unique_ptr<SimRegion> region_;
  std::unique_ptr<SimBackingDir> host_;
  std::map<std::string, std::uint64_t> inodes_;
  Tree tree_;
};

// The problems of a report, in words, sorted, repetitions once.
[[nodiscard]] std::set<std::string> problems(const check::Report& report);
// One line for each finding and note.
[[nodiscard]] std::string describe(const check::Report& report);

}  // namespace pmemfs::test
