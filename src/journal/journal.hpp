// Redo journal: makes a set of small writes to the region atomic and durable.
//
// Order of one transaction (invariants 1 and 6):
//   fresh writes, if any  -> fence     (blocks nobody refers to yet)
//   log into a free lane  -> fence     (committed from here on)
//   apply to the place    -> flush, fence
//   retire the lane       -> fence
// commit() returns after the last fence. The caller keeps the locks of everything it changed until
// then, else recovery could replay this lane over a newer change.
//
// Media errors. Before the log is whole, a change that met one, or whose bytes go where they would
// be lost, is refused (EIO) and nothing is changed. Afterwards it is committed: when applying it or
// retiring its lane meets one, the journal stops. The lane stays in use, for the next mount to
// replay, and no newer change is made that it could be replayed over.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "journal/log_buffer.hpp"
#include "pmemfs/format.hpp"
#include "pmemfs/region.hpp"
#include "pmemfs/result.hpp"
#include "pmemfs/types.hpp"

namespace pmemfs::journal {

struct Geometry {
  BlockNo start;
  std::uint32_t lanes = 0;
  std::uint32_t lane_blocks = 0;
};

struct ReplayReport {
  std::uint32_t replayed = 0;  // committed transactions applied
  std::uint32_t torn = 0;      // lanes in use whose crc is wrong: never committed, dropped
  bool damaged = false;  // a lane that no crash explains, or a media error in what is replayed
};

// Applies the committed lanes in order of their sequence and retires all. Twice gives the same.
// EUCLEAN when a committed lane names bytes outside the region (nothing is applied then).
Result<ReplayReport> replay(Region& region, const Geometry& geometry);

// Zeroes and persists all lanes (mkfs).
void format_lanes(Region& region, const Geometry& geometry);

// Hands out lanes. Thread-safe; commits run in parallel, one for each lane. After replay() only.
class Journal {
 public:
  Journal(Region& region, const Geometry& geometry);

  [[nodiscard]] Region& region() { return region_; }
  // Bytes that the records of one transaction may take, headers included.
  [[nodiscard]] std::uint64_t capacity() const;

  // A media error ended it, or the region failed: every commit is EROFS.
  [[nodiscard]] bool stopped() const {
    return stopped_.load() || (region_.media_events() != 0 && region_.media_failed());
  }

 private:
  friend class Transaction;
  // On a cache line of its own: a busy lane must not slow its neighbours.
  struct alignas(kCacheLineSize) Lane {
    std::mutex mutex;
    ByteOff start;
  };

  // A lane for the calling thread alone, until its mutex is unlocked. A thread prefers one lane, so
  // that its lines stay in its cache, and takes any free one before it waits. None when each has a
  // lost page.
  Lane* take_lane();
  [[nodiscard]] bool usable(const Lane& lane) const;
  void stop();

  Region& region_;
  Geometry geometry_;
  std::vector<Lane> lanes_;
  std::atomic<std::uint64_t> sequence_{1};
  std::atomic<bool> stopped_{false};
};

// One transaction. Not thread-safe. Nothing is changed unless commit() is called and succeeds.
class Transaction {
 public:
  explicit Transaction(Journal& journal);
  ~Transaction();
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;

  // Logged: `n` bytes for `off`, applied at commit. Later writes win over earlier ones.
  void write(ByteOff off, const void* src, std::size_t n);
  // Not logged: stored at once into space that no committed structure refers to.
  void write_fresh(ByteOff off, const void* src, std::size_t n);
  // Tells that data was streamed by the caller and must be fenced before the log.
  void needs_fence() { fresh_ = true; }

  [[nodiscard]] bool empty() const { return count_ == 0; }
  [[nodiscard]] std::uint64_t log_bytes() const {
    return log_->size() - sizeof(format::LaneHeader);
  }

  // Durable and visible when it returns 0. E2BIG when the records exceed capacity(); EROFS on a
  // read-only region or when the journal has stopped; EIO for a media error that this thread met
  // since the construction, or that took bytes of this transaction. Nothing changed then, unless
  // this one stopped the journal: its bytes may be visible, and the next mount makes them whole.
  // Called at most once.
  Status commit();

 private:
  template <typename F>
  void for_each_record(F&& f) const;
  void apply() const;
  [[nodiscard]] bool intact() const;
  Status admit() const;
  void write_log(const Journal::Lane& lane);
  void retire(const Journal::Lane& lane) const;

  Journal& journal_;
  std::unique_ptr<LogBuffer> log_;  // header and records as they lie in the lane
  std::uint32_t count_ = 0;
  bool fresh_ = false;
  std::uint64_t errors_met_;    // base::media_errors_met() at the start
  std::uint64_t media_events_;  // the region's at the start
};

}  // namespace pmemfs::journal
