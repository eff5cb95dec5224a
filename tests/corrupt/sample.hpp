// The filesystems that are damaged: small ones, with at least one of everything.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "support/damage.hpp"
#include "support/guarded_region.hpp"
#include "support/sim_backing_dir.hpp"

namespace pmemfs::test {

enum class Ending : std::uint8_t {
  kClean,    // unmounted, with a snapshot
  kDirty,    // the daemon died while an unlinked file was open
  kCrashed,  // the same, with a transaction in a lane that is not applied
};

// An image, what it holds, and the host files that belong to it.
struct Sample {
  std::string name;
  std::unique_ptr<MediaImage> image;
  std::vector<Structure> structures;
  std::unique_ptr<SimBackingDir> host;  // null: data in extents

  // A copy to be spoilt; null with data in extents.
  [[nodiscard]] std::unique_ptr<SimBackingDir> host_copy() const;
};

// Files with inline and chained extents, holes, unwritten blocks; a durable file; xattrs in the
// list and in blobs, more than one block of them; ACLs; symlinks short and long; a directory of
// several blocks and deep ones; hard links; a device. The same bytes each time, but for times.
// Throws std::runtime_error.
[[nodiscard]] Sample make_sample(bool backing, Ending ending);

// All six, made once.
[[nodiscard]] const std::vector<Sample>& samples();

}  // namespace pmemfs::test
