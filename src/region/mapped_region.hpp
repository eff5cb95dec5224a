#pragma once

#include <cstdint>
#include <memory>
#include <set>

#include "base/media_faults.hpp"
#include "pmemfs/region.hpp"
#include "pmemfs/result.hpp"

namespace pmemfs::region {

struct MapOptions {
  bool map_sync = false;   // MAP_SYNC is known to be granted
  bool read_only = false;  // stores go to a private copy and never reach the file
  bool growable = false;   // address space for later growth is reserved
  // Of a DAX device, which is mapped in whole multiples of this many bytes only, and never
  // privately: a power of two, at least 4096. 0: a file.
  std::uint64_t device_alignment = 0;
  Granularity granularity = Granularity::kNone;
};

// A host file or DAX device mapped as a region, aligned to 2 MiB or more. The mapping lies at the
// start of a reserved address range, so that growth maps more behind it and nothing moves.
// Thread-safety: see Region.
class MappedRegion final : public Region {
 public:
  // Maps the first `size` bytes (a multiple of 4096) of `fd`, which stays the caller's, outlives
  // the region and is open for writing unless read_only. ENOMEM where the address space is limited
  // or too many regions are mapped.
  // A device must have the bytes to the next multiple of its alignment too.
  static Result<std::unique_ptr<MappedRegion>> map(int fd, std::uint64_t size,
                                                   const MapOptions& options);
  ~MappedRegion() override;

  [[nodiscard]] Granularity granularity() const override { return options_.granularity; }
  [[nodiscard]] bool read_only() const override { return options_.read_only; }

  void store(ByteOff off, const void* src, std::size_t n) override;
  void store_u64(ByteOff off, std::uint64_t value) override;
  void stream(ByteOff off, const void* src, std::size_t n) override;
  void stream_zeros(ByteOff off, std::uint64_t n) override;
  void flush(ByteOff off, std::size_t n) override;
  void fence() override;

  // On a device each stretch of its alignment that holds one of the bytes is copied: until then it
  // cannot be stored to. Not while another thread reads these bytes.
  Status make_private(ByteOff off, std::uint64_t n) override;

  [[nodiscard]] std::uint64_t media_errors() const override { return watch_.pieces(); }
  // Too many pages, or a whole stretch of a device, which may hold anything.
  [[nodiscard]] bool media_failed() const override;
  // Of a stretch of a device, the pages that cannot be read.
  [[nodiscard]] std::vector<ByteRange> met_lost() const override;
  [[nodiscard]] std::uint64_t readable(ByteOff off, std::uint64_t n) const override;

  // By locks of the region file (exports.hpp).
  Result<int> export_memory(std::uint64_t key) override;
  [[nodiscard]] bool exported(std::uint64_t key) const override;
  [[nodiscard]] bool any_exported() const override;
  [[nodiscard]] std::vector<std::uint64_t> exported_keys() const override;
  [[nodiscard]] std::uint64_t mapping_alignment() const override;

  // EROFS when read-only, EOPNOTSUPP when not growable, EFBIG beyond the reserved addresses. When
  // the process dies in the middle the file may be longer than it was, by bytes that read as zeros.
  Status grow(std::uint64_t new_size) override;

  // EROFS and EOPNOTSUPP as grow(). The addresses are inaccessible, and reserved for growth.
  Status shrink(std::uint64_t new_size) override;

 private:
  MappedRegion(int fd, const MapOptions& options) : fd_(fd), options_(options) {}

  [[nodiscard]] bool touches_lost(ByteOff off, std::uint64_t n) const override;
  // A file's pages are written through its filesystem, which clears what is bad below, and mapped
  // again. A device's are good when they can be read again.
  Status heal_medium(ByteOff off, std::uint64_t n) override;
  Status heal_page(ByteOff page);
  void note_if_lost(ByteOff off, std::uint64_t n) const;
  Status reserve(std::uint64_t size);
  Status map_range(std::uint64_t from, std::uint64_t to);
  // In the place of what is mapped there; false with errno.
  [[nodiscard]] bool map_at(std::uint64_t from, std::uint64_t to) const;
  [[nodiscard]] bool unmap_range(std::uint64_t from, std::uint64_t to) const;
  Status copy_stretch(std::uint64_t start);
  // What is replaced at once where the medium fails: no mapping is split finer.
  [[nodiscard]] std::uint64_t loss_unit() const;
  // Of addresses and, on a device, of what is mapped at once.
  [[nodiscard]] std::uint64_t address_alignment() const;
  [[nodiscard]] std::uint64_t whole_stretches(std::uint64_t size) const;

  int fd_;
  MapOptions options_;
  std::byte* reserved_ = nullptr;
  std::uint64_t reserved_bytes_ = 0;
  std::byte* base_ = nullptr;        // aligned, inside the reserved range
  std::uint64_t capacity_ = 0;       // bytes from base_ to the end of the reserved range
  std::set<std::uint64_t> private_;  // where the copied stretches start
  base::MediaWatch watch_;
};

}  // namespace pmemfs::region
