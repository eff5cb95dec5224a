// The cap on pinned bytes (`durable_max=`).
#pragma once

#include "core/context.hpp"

namespace pmemfs::core {

// Sets `bytes` aside while a fill that will pin them is under way; the inode's durable_len counts
// from its commit on. Thread-safe.
class DurableReservation {
 public:
  DurableReservation(Context& c, std::uint64_t bytes)
      : c_(c), bytes_(bytes), granted_(reserve(c, bytes)) {}
  DurableReservation(const DurableReservation&) = delete;
  DurableReservation& operator=(const DurableReservation&) = delete;
  ~DurableReservation() { c_.pending_durable -= bytes_; }

  [[nodiscard]] bool granted() const { return granted_; }

 private:
  static bool reserve(Context& c, std::uint64_t bytes) {
    const std::uint64_t pending = c.pending_durable.fetch_add(bytes) + bytes;
    const std::uint64_t pinned = c.store->durable_bytes();
    return pinned <= c.options.durable.max_bytes && pending <= c.options.durable.max_bytes - pinned;
  }

  Context& c_;
  std::uint64_t bytes_;
  bool granted_;
};

}  // namespace pmemfs::core
