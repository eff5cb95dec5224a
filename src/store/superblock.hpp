// The superblock of an open region and its two copies on media.
#pragma once

#include <mutex>

#include "pmemfs/format.hpp"
#include "pmemfs/region.hpp"
#include "pmemfs/result.hpp"

namespace pmemfs::store {

// Thread-safe.
class SuperblockKeeper {
 public:
  SuperblockKeeper(Region& region, const format::Superblock& s) : region_(region), current_(s) {}

  [[nodiscard]] format::Superblock get() const {
    const std::lock_guard lock(mutex_);
    return current_;
  }

  // change(superblock) edits a copy, which is then written to both places, each persisted before
  // the next: one of them is whole at any time. Durable when it returns. EROFS; EIO when media
  // errors have taken both places, and nothing changed then.
  template <typename F>
  Status update(F&& change) {
    if (region_.read_only()) {
      return Error(EROFS);
    }
    const std::lock_guard lock(mutex_);
    format::Superblock changed = current_;
    change(changed);
    PMEMFS_CHECK(write(changed));
    current_ = changed;
    return {};
  }

  // Both places hold what is in force. EIO, EUCLEAN: one does not.
  [[nodiscard]] Status check() const;

 private:
  Status write(format::Superblock& s);

  Region& region_;
  mutable std::mutex mutex_;
  format::Superblock current_;
};

// Counts, seals and writes both copies of `s` in the order that update() promises. EIO when neither
// place takes it; one that does is enough.
Status write_superblock(Region& region, format::Superblock& s);

// The id of the running boot; zeros when the kernel does not tell.
[[nodiscard]] format::Uuid boot_id();

}  // namespace pmemfs::store
