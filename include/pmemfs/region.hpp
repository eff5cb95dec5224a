// The first seam: byte-addressable memory that one filesystem owns.
//
// Loads go straight through data(). Stores go through the functions below, so that a simulator can
// record them by cache line. Nothing stored is durable until it was flushed (or streamed) and a
// later fence() returned. Functions named flush/stream do not order; fence does.
//
// Memory can have uncorrectable errors. From the first touch of a bad page on loads there give
// zeros and stores go nowhere; nobody is told but those who ask afterwards (lost). What is known to
// be bad (count_as_lost) is not replaced: who asks first need not touch it.
#pragma once

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <map>
#include <shared_mutex>
#include <string_view>
#include <vector>

#include "pmemfs/result.hpp"
#include "pmemfs/types.hpp"

namespace pmemfs {

inline constexpr std::size_t kCacheLineSize = 64;

// What makes a store durable.
enum class Granularity : std::uint8_t {
  kByte,       // eADR: a store is durable once globally visible
  kCacheLine,  // CLWB or a non-temporal store, then SFENCE
  kPage,       // msync
  kNone,       // volatile memory (--emulate only)
};

[[nodiscard]] std::string_view to_string(Granularity g);  // "byte", "cacheline", "page", "none"

struct ByteRange {
  ByteOff off;
  std::uint64_t n = 0;  // bytes
};

// All offsets are bytes from the start of the region and must lie inside it (asserted: callers
// check what they read from media before they use it). Thread-safe as memory is: concurrent calls
// on disjoint ranges are fine; the locks of the layers above order the others.
class Region {
 public:
  Region() = default;
  Region(const Region&) = delete;
  Region& operator=(const Region&) = delete;
  virtual ~Region() = default;

  // The first byte; unmoved for the life of the object, growth included.
  [[nodiscard]] const std::byte* data() const { return data_; }
  // Bytes; a multiple of 4096.
  [[nodiscard]] std::uint64_t size() const { return __atomic_load_n(&size_, __ATOMIC_ACQUIRE); }
  [[nodiscard]] bool contains(ByteOff off, std::uint64_t n) const {
    return off.value <= size() && n <= size() - off.value;
  }

  [[nodiscard]] virtual Granularity granularity() const = 0;
  [[nodiscard]] virtual bool read_only() const = 0;

  // Cached stores; durable after flush() of the range and fence().
  virtual void store(ByteOff off, const void* src, std::size_t n) = 0;
  // One atomic 8-byte store at an 8-aligned offset (not torn by a crash). Needs flush and fence.
  virtual void store_u64(ByteOff off, std::uint64_t value) = 0;
  // Non-temporal copy; durable after fence().
  virtual void stream(ByteOff off, const void* src, std::size_t n) = 0;
  // Non-temporal zeros; durable after fence().
  virtual void stream_zeros(ByteOff off, std::uint64_t n) = 0;
  virtual void flush(ByteOff off, std::size_t n) = 0;
  virtual void fence() = 0;

  // Before each store into a read-only region, which only recovery does: makes [off, off + n)
  // storable, in a copy that is this object's alone. ENOMEM. Nothing to do where all of it is.
  virtual Status make_private(ByteOff /*off*/, std::uint64_t /*n*/) { return {}; }

  // Moves before any page is lost; 0: none was. What was loaded or stored between two equal values
  // was not lost meanwhile.
  [[nodiscard]] std::uint64_t media_events() const {
    // The loads and stores that are asked about come before: the compiler must not move them.
    std::atomic_signal_fence(std::memory_order_seq_cst);
    return media_events_->load(std::memory_order_acquire);
  }
  // Something is lost, or was.
  [[nodiscard]] bool any_lost() const {
    return media_events() != 0 || some_known_.load(std::memory_order_acquire);
  }
  // Some of the bytes are lost. To be asked after loading what is handed out as data, or where
  // zeros would mean something, and after the fence of what was stored.
  [[nodiscard]] bool lost(ByteOff off, std::uint64_t n) const {
    return any_lost() && (touches_lost(off, n) || known_lost(off, n));
  }
  // Why the structure at [off, off + n) is not whole: EIO when it is lost, else EUCLEAN.
  [[nodiscard]] Error damage(ByteOff off, std::uint64_t n) const {
    return Error(lost(off, n) ? EIO : EUCLEAN);
  }
  // Pages, or larger pieces that only go as a whole, that are known to be lost.
  [[nodiscard]] virtual std::uint64_t media_errors() const { return 0; }
  // So much is lost at once that nothing may be changed any more.
  [[nodiscard]] virtual bool media_failed() const { return false; }

  // Ranges below are multiples of 4096.

  // Known to be bad, since an earlier mount met it, or by looking: it counts as lost from now on.
  void count_as_lost(ByteOff off, std::uint64_t n);
  // The opposite, of what is used no more.
  void count_as_good(ByteOff off, std::uint64_t n);
  // What was met by touching it, as far as it can be told page by page; not what is only counted.
  [[nodiscard]] virtual std::vector<ByteRange> met_lost() const { return {}; }
  // How many bytes from `off` on, at most `n`, the medium gives before the first page that it does
  // not. Nothing is lost by looking, beside shrink() neither. What was met already is not looked
  // at: it counts as given.
  [[nodiscard]] virtual std::uint64_t readable(ByteOff /*off*/, std::uint64_t n) const { return n; }
  // Makes lost bytes good, with zeros in them, durable when it returns; nobody else touches them
  // meanwhile. EROFS; EIO: the medium does not take them; EOPNOTSUPP: no means on this medium but
  // its own tools (ndctl clear-errors). They stay lost then.
  Status heal(ByteOff off, std::uint64_t n);

  // A descriptor for a mapping of this memory in another process, a virtual machine's monitor: an
  // open file description of its own with a lock in the name of `key`, which lives as long as any
  // duplicate of the descriptor or mapping made by it, in whatever process. The caller closes it.
  // EOPNOTSUPP where there is nothing to map; EROFS; EINVAL: a key of 2^61 or more.
  virtual Result<int> export_memory(std::uint64_t /*key*/) { return Error(EOPNOTSUPP); }
  // Whether such a lock lives, taken by this process or an earlier one.
  [[nodiscard]] virtual bool exported(std::uint64_t /*key*/) const { return false; }
  // The same for any key.
  [[nodiscard]] virtual bool any_exported() const { return false; }
  // The keys of all that live, in no order.
  [[nodiscard]] virtual std::vector<std::uint64_t> exported_keys() const { return {}; }
  // What offsets and lengths of such mappings are multiples of: a power of two.
  [[nodiscard]] virtual std::uint64_t mapping_alignment() const { return 4096; }

  // Online growth to `new_size` bytes (a multiple of 4096, larger than size()). The new bytes read
  // as zeros and are persistent when it returns. EOPNOTSUPP where the region cannot grow, ENOSPC
  // where the host has no room; nothing changed then. One caller at a time.
  virtual Status grow(std::uint64_t new_size) = 0;

  // Gives up what lies from `new_size` (a multiple of 4096, smaller than size()) on; nobody uses it
  // any more, and touching it is a crash. EOPNOTSUPP where the region has the size it has; else
  // what the host said: it may keep the bytes then, and this object has given them up all the same.
  // grow() may follow. Not while grow() runs.
  virtual Status shrink(std::uint64_t new_size) = 0;

 protected:
  // Of a region that knows of media errors: what counts them, and which bytes they took.
  void count_media_events(const std::atomic<std::uint64_t>& events) { media_events_ = &events; }
  // Of a region over another one: what the other knows.
  void share_media_events(const Region& other) { media_events_ = other.media_events_; }
  [[nodiscard]] virtual bool touches_lost(ByteOff /*off*/, std::uint64_t /*n*/) const {
    return false;
  }
  // The medium's side of heal(): zeros, durable.
  virtual Status heal_medium(ByteOff off, std::uint64_t n) {
    stream_zeros(off, n);
    fence();
    return {};
  }

  // size_ is read by other threads while grow() runs: grow publishes it last.
  void set_extent(std::byte* data, std::uint64_t size) {
    data_ = data;
    __atomic_store_n(&size_, size, __ATOMIC_RELEASE);
  }
  [[nodiscard]] std::byte* mutable_data() const { return data_; }

 private:
  static constexpr std::atomic<std::uint64_t> kNoEvents{0};

  [[nodiscard]] bool known_lost(ByteOff off, std::uint64_t n) const;

  mutable std::shared_mutex known_mutex_;
  std::map<std::uint64_t, std::uint64_t> known_;  // lost bytes: start → end, apart
  std::atomic<bool> some_known_{false};           // some are or were

  const std::atomic<std::uint64_t>* media_events_ = &kNoEvents;
  std::byte* data_ = nullptr;
  std::uint64_t size_ = 0;
};

}  // namespace pmemfs
