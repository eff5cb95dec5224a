#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <vector>

#include "pmemfs/region.hpp"
#include "support/chooser.hpp"

namespace pmemfs::test {

// Persistent memory that forgets what was not flushed and fenced.
//
// Model. data() is what the CPU sees. Behind it the media holds, for each 8-byte word, the newest
// value that is assured; newer values may have reached it or not, since the cache may evict a line
// at any time:
//   store, store_u64   a new value, not assured
//   flush              the values of its lines are assured by the next fence
//   stream             a new value that is assured by the next fence
//   fence              what was flushed or streamed before is assured
// A crash leaves each line as it was after one of its stores, but never older than assured. A torn
// line is mixed from such states word by word; 8-byte words are never torn. (Hardware keeps more
// order than that for cached stores; the layers above must not count on it.)
//
// Growth and shrinking are durable when they return. Thread-safe; on_fence and crash() may be used
// by one thread at a time.
class SimRegion final : public Region {
 public:
  struct Counts {
    std::uint64_t stores = 0;   // calls of store and store_u64
    std::uint64_t streams = 0;  // calls of stream and stream_zeros
    std::uint64_t flushes = 0;
    std::uint64_t fences = 0;
  };

  // Zeros, all durable. `limit` bytes is how far it can grow.
  explicit SimRegion(std::uint64_t size, std::uint64_t limit = kDefaultLimit);
  // A media image, of a multiple of 4096 bytes.
  explicit SimRegion(const std::vector<std::byte>& image, std::uint64_t limit = kDefaultLimit);
  ~SimRegion() override;

  [[nodiscard]] Granularity granularity() const override { return granularity_; }
  [[nodiscard]] bool read_only() const override { return read_only_; }
  void store(ByteOff off, const void* src, std::size_t n) override;
  void store_u64(ByteOff off, std::uint64_t value) override;
  void stream(ByteOff off, const void* src, std::size_t n) override;
  void stream_zeros(ByteOff off, std::uint64_t n) override;
  void flush(ByteOff off, std::size_t n) override;
  void fence() override;
  // ENOSPC beyond the limit, or what fail_grow() said.
  Status grow(std::uint64_t new_size) override;
  // An empty memfd. Lives until end_export(), power failures included: a test's VMM decides.
  Result<int> export_memory(std::uint64_t key) override;
  [[nodiscard]] bool exported(std::uint64_t key) const override;
  [[nodiscard]] bool any_exported() const override;
  [[nodiscard]] std::vector<std::uint64_t> exported_keys() const override;
  // Exporting fails until this is called with 0.
  void fail_exports(int code) { export_error_ = code; }
  void end_export(std::uint64_t key);
  [[nodiscard]] std::uint64_t mapping_alignment() const override { return mapping_alignment_; }
  void set_mapping_alignment(std::uint64_t bytes) { mapping_alignment_ = bytes; }
  // What is given up becomes inaccessible.
  Status shrink(std::uint64_t new_size) override;

  // While one lives, the memory of regions of up to 64 MiB that end is kept for those that begin:
  // half of the time of tests that recover many thousand times. What is stored past the functions
  // above would be found in another region. One at a time, in one thread.
  class Recycling {
   public:
    Recycling();
    ~Recycling();
    Recycling(const Recycling&) = delete;
    Recycling& operator=(const Recycling&) = delete;
  };

  // What is found after a power failure at this moment.
  [[nodiscard]] std::unique_ptr<SimRegion> crash(Chooser& chooser) const;
  // The same as bytes; slower.
  [[nodiscard]] std::vector<std::byte> crash_image(Chooser& chooser) const;

  // Called by fence() before it takes effect; stores that it makes are its own fault.
  void on_fence(std::function<void(SimRegion&)> hook) { on_fence_ = std::move(hook); }
  // Lines with a value that is not assured yet.
  [[nodiscard]] std::size_t pending_lines() const;
  [[nodiscard]] Counts counts() const;
  // The next grow() fails, or every one until this is called with 0.
  void fail_grow(int code) { grow_error_ = code; }
  void fail_every_grow(int code) {
    fail_every_grow_ = code != 0;
    grow_error_ = code;
  }
  void set_granularity(Granularity g) { granularity_ = g; }
  // As a read-only open: stores still work, on a private copy.
  void set_read_only(bool read_only) { read_only_ = read_only; }
  // Damages media as it is now: cache and media alike.
  void poke(ByteOff off, const void* src, std::size_t n);

  static constexpr std::uint64_t kDefaultLimit = 16ULL << 30U;  // address space, not memory

 private:
  static constexpr std::size_t kWords = kCacheLineSize / 8;
  using Line = std::array<std::uint64_t, kWords>;

  // A line with values beyond what is assured. versions[0] is the oldest state that counts, back()
  // what the CPU sees.
  struct Pending {
    std::vector<Line> versions;
    std::array<std::size_t, kWords> floor{};    // oldest version that a word may be found in
    std::array<std::size_t, kWords> assured{};  // the same after the next fence
  };

  void reserve(std::uint64_t size, std::uint64_t limit);
  void give_back();
  [[nodiscard]] Line read_line(std::uint64_t line) const;
  template <typename Change>
  void change(ByteOff off, std::uint64_t n, bool streamed, Change apply);
  static bool settle(Pending& pending);
  void mark_used(std::uint64_t off, std::uint64_t n);
  void protect(std::uint64_t from, std::uint64_t to, int protection) const;
  [[nodiscard]] static Line pick_line(const Pending& pending, Chooser& chooser);

  mutable std::mutex mutex_;
  std::map<std::uint64_t, Pending> pending_;  // by line number
  std::vector<bool> used_;                    // by page: may hold something other than zeros
  Counts counts_;
  std::function<void(SimRegion&)> on_fence_;
  std::uint64_t limit_ = 0;
  std::atomic<int> grow_error_{0};
  std::atomic<bool> fail_every_grow_{false};
  Granularity granularity_ = Granularity::kCacheLine;
  std::multiset<std::uint64_t> exports_;  // keys
  std::atomic<int> export_error_{0};
  std::uint64_t mapping_alignment_ = 4096;
  bool read_only_ = false;
  bool resized_ = false;  // not all of the memory is accessible, or was
};

}  // namespace pmemfs::test
