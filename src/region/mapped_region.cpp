#include "region/mapped_region.hpp"

#include <libpmem.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <cstring>

#include "pmemfs/format.hpp"
#include "region/exports.hpp"
#include "region/host_file.hpp"
#include "region/readable.hpp"

namespace pmemfs::region {
namespace {

constexpr unsigned kStreamFlags = PMEM_F_MEM_NONTEMPORAL | PMEM_F_MEM_NODRAIN;
// Room to grow: metadata of 2^32 inodes. Address space only, no memory.
constexpr std::uint64_t kGrowthReserve = 1ULL << 40U;

std::byte* align_up(std::byte* p, std::uint64_t alignment) {
  const auto address =
      reinterpret_cast<std::uintptr_t>(p);  // NOLINT(*-reinterpret-cast): only the address counts
  const std::uint64_t rest = address % alignment;
  return rest == 0 ? p : p + (alignment - rest);
}

}  // namespace

Result<std::unique_ptr<MappedRegion>> MappedRegion::map(int fd, std::uint64_t size,
                                                        const MapOptions& options) {
  assert(size > 0 && size % format::kBlockSize == 0);
  std::unique_ptr<MappedRegion> region(new MappedRegion(fd, options));
  PMEMFS_CHECK(region->reserve(size));
  const std::uint64_t mapped = region->whole_stretches(size);
  PMEMFS_CHECK(region->map_range(0, mapped));
  PMEMFS_CHECK(region->watch_.start(region->base_, mapped, region->loss_unit()));
  region->count_media_events(region->watch_.events());
  region->set_extent(region->base_, size);
  return region;
}

MappedRegion::~MappedRegion() {
  watch_.stop();
  if (reserved_ != nullptr) {
    ::munmap(reserved_, reserved_bytes_);
  }
}

// Takes as much as the process may have, but at least `size`.
Status MappedRegion::reserve(std::uint64_t size) {
  const std::uint64_t least = whole_stretches(size);
  std::uint64_t want = options_.growable ? std::max(size * 2, kGrowthReserve) : least;
  while (true) {
    reserved_bytes_ = want + address_alignment();
    void* p = ::mmap(nullptr, reserved_bytes_, PROT_NONE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p != MAP_FAILED) {
      reserved_ = static_cast<std::byte*>(p);
      base_ = align_up(reserved_, address_alignment());
      capacity_ = reserved_bytes_ - static_cast<std::uint64_t>(base_ - reserved_);
      return {};
    }
    if (want == least) {
      return Error(errno);
    }
    want = std::max(least, want / 2);
  }
}

bool MappedRegion::map_at(std::uint64_t from, std::uint64_t to) const {
  int flags = MAP_FIXED;
  int protection = PROT_READ | PROT_WRITE;
  if (options_.device_alignment != 0) {
    // A device refuses private mappings, and to it every mapping is synchronous.
    flags |= MAP_SHARED;
    protection = options_.read_only ? PROT_READ : protection;
  } else if (options_.read_only) {
    flags |= MAP_PRIVATE | MAP_NORESERVE;
  } else {
    flags |= options_.map_sync ? MAP_SHARED_VALIDATE | MAP_SYNC : MAP_SHARED;
  }
  return ::mmap(base_ + from, to - from, protection, flags, fd_, static_cast<off_t>(from)) !=
         MAP_FAILED;
}

Status MappedRegion::map_range(std::uint64_t from, std::uint64_t to) {
  if (map_at(from, to)) {
    return {};
  }
  const int code = errno;
  // The kernel may have dropped the reservation before it failed: without it others could be mapped
  // here.
  (void)unmap_range(from, to);
  return Error(code);
}

// The addresses stay reserved.
bool MappedRegion::unmap_range(std::uint64_t from, std::uint64_t to) const {
  return ::mmap(base_ + from, to - from, PROT_NONE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) != MAP_FAILED;
}

std::uint64_t MappedRegion::address_alignment() const {
  return std::max(format::kFrameSize, options_.device_alignment);
}

std::uint64_t MappedRegion::whole_stretches(std::uint64_t size) const {
  const std::uint64_t unit = std::max<std::uint64_t>(options_.device_alignment, 1);
  return (size + unit - 1) / unit * unit;
}

std::uint64_t MappedRegion::loss_unit() const {
  return std::max<std::uint64_t>(format::kBlockSize, options_.device_alignment);
}

bool MappedRegion::touches_lost(ByteOff off, std::uint64_t n) const {
  return watch_.lost(off.value, n);
}

bool MappedRegion::media_failed() const {
  return watch_.failed() || (loss_unit() > format::kBlockSize && watch_.pieces() != 0);
}

// --- Looking and healing -------------------------------------------------------------------------

std::uint64_t MappedRegion::readable(ByteOff off, std::uint64_t n) const {
  return readable_bytes(base_ + off.value, n);
}

std::vector<ByteRange> MappedRegion::met_lost() const {
  std::vector<ByteRange> met;
  for (const std::uint64_t piece : watch_.listed()) {
    if (loss_unit() == format::kBlockSize) {
      met.push_back({ByteOff(piece), loss_unit()});
      continue;
    }
    const std::uint64_t n = std::min(loss_unit(), whole_stretches(size()) - piece);
    void* aside = ::mmap(nullptr, n, PROT_READ, MAP_SHARED, fd_, static_cast<off_t>(piece));
    if (aside == MAP_FAILED) {
      continue;
    }
    for (std::uint64_t at = 0; at < n && piece + at < size(); at += format::kBlockSize) {
      at += readable_bytes(static_cast<const std::byte*>(aside) + at, n - at);
      if (at < n && piece + at < size()) {
        met.push_back({ByteOff(piece + at), format::kBlockSize});
      }
    }
    ::munmap(aside, n);
  }
  return met;
}

Status MappedRegion::heal_medium(ByteOff off, std::uint64_t n) {
  assert(contains(off, n));
  if (options_.device_alignment == 0) {
    for (std::uint64_t at = 0; at < n; at += format::kBlockSize) {
      PMEMFS_CHECK(heal_page(ByteOff(off.value + at)));
    }
    return {};
  }
  if (touches_lost(off, n) || readable(off, n) < n) {
    return Error(EOPNOTSUPP);
  }
  pmem_memset(mutable_data() + off.value, 0, n, kStreamFlags);
  fence();
  return {};
}

// Listed as lost until the medium is seen to give the page.
Status MappedRegion::heal_page(ByteOff page) {
  static constexpr std::array<std::byte, format::kBlockSize> kZeros{};
  const auto at = static_cast<off_t>(page.value);
  if (watch_.failed() ||
      ::pwrite(fd_, kZeros.data(), kZeros.size(), at) != ssize_t{kZeros.size()} ||
      ::fdatasync(fd_) != 0) {
    return Error(EIO);
  }
  if (!map_at(page.value, page.value + kZeros.size())) {
    return Error(errno);
  }
  if (readable(page, kZeros.size()) < kZeros.size()) {
    return Error(EIO);
  }
  const std::uint64_t events = media_events();
  watch_.forget(page.value, kZeros.size());
  return media_events() == events ? Status() : Status(Error(EIO));
}

// Where a page is lost already a store does not fault any more.
void MappedRegion::note_if_lost(ByteOff off, std::uint64_t n) const {
  if (lost(off, n)) {
    base::note_media_error();
  }
}

Status MappedRegion::make_private(ByteOff off, std::uint64_t n) {
  assert(contains(off, n));
  if (options_.device_alignment == 0 || !options_.read_only || n == 0) {
    return {};
  }
  const std::uint64_t unit = options_.device_alignment;
  for (std::uint64_t at = off.value / unit * unit; at < off.value + n; at += unit) {
    if (!private_.contains(at)) {
      PMEMFS_CHECK(copy_stretch(at));
      private_.insert(at);
    }
  }
  return {};
}

// The copy is made beside the mapping and then moved over it: a device splits its mappings at
// multiples of its alignment only, so a whole stretch at once.
Status MappedRegion::copy_stretch(std::uint64_t start) {
  const std::uint64_t n = options_.device_alignment;
  void* copy = ::mmap(nullptr, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (copy == MAP_FAILED) {
    return Error(errno);
  }
  std::memcpy(copy, base_ + start, n);
  if (::mremap(copy, n, n, MREMAP_MAYMOVE | MREMAP_FIXED, base_ + start) == MAP_FAILED) {
    const int code = errno;
    ::munmap(copy, n);
    return Error(code);
  }
  return {};
}

void MappedRegion::store(ByteOff off, const void* src, std::size_t n) {
  assert(contains(off, n));
  std::memcpy(mutable_data() + off.value, src, n);
  note_if_lost(off, n);
}

void MappedRegion::store_u64(ByteOff off, std::uint64_t value) {
  assert(off.value % sizeof value == 0 && contains(off, sizeof value));
  void* to = mutable_data() + off.value;
  __atomic_store_n(static_cast<std::uint64_t*>(to), value, __ATOMIC_RELEASE);
  note_if_lost(off, sizeof value);
}

void MappedRegion::stream(ByteOff off, const void* src, std::size_t n) {
  assert(contains(off, n));
  pmem_memcpy(mutable_data() + off.value, src, n, kStreamFlags);
  note_if_lost(off, n);
}

void MappedRegion::stream_zeros(ByteOff off, std::uint64_t n) {
  assert(contains(off, n));
  pmem_memset(mutable_data() + off.value, 0, n, kStreamFlags);
  note_if_lost(off, n);
}

void MappedRegion::flush(ByteOff off, std::size_t n) {
  assert(contains(off, n));
  if (options_.granularity != Granularity::kByte && !options_.read_only) {
    pmem_flush(data() + off.value, n);
  }
}

void MappedRegion::fence() {
  pmem_drain();
}

Result<int> MappedRegion::export_memory(std::uint64_t key) {
  if (options_.read_only) {
    return Error(EROFS);
  }
  PMEMFS_TRY(base::UniqueFd own, export_description(fd_, key));
  return own.release();
}

bool MappedRegion::exported(std::uint64_t key) const {
  return export_lives(fd_, key);
}

bool MappedRegion::any_exported() const {
  return export_lives(fd_, 0, kExportKeys);
}

std::vector<std::uint64_t> MappedRegion::exported_keys() const {
  return live_exports(fd_);
}

std::uint64_t MappedRegion::mapping_alignment() const {
  return options_.device_alignment != 0 ? options_.device_alignment : format::kBlockSize;
}

Status MappedRegion::grow(std::uint64_t new_size) {
  assert(new_size > size() && new_size % format::kBlockSize == 0);
  if (options_.read_only) {
    return Error(EROFS);
  }
  if (!options_.growable) {
    return Error(EOPNOTSUPP);
  }
  const std::uint64_t old_size = size();
  if (new_size > capacity_) {
    return Error(EFBIG);
  }
  Status done = fill_with_zeros(fd_, old_size, new_size - old_size);
  if (done.ok()) {
    done = map_range(old_size, new_size);
  }
  if (!done.ok()) {
    // Nothing maps the new bytes yet, so they can go.
    (void)!::ftruncate(fd_, static_cast<off_t>(old_size));
    return done;
  }
  watch_.grow(new_size);
  set_extent(base_, new_size);
  return {};
}

Status MappedRegion::shrink(std::uint64_t new_size) {
  assert(new_size > 0 && new_size < size() && new_size % format::kBlockSize == 0);
  if (options_.read_only) {
    return Error(EROFS);
  }
  if (!options_.growable) {
    return Error(EOPNOTSUPP);
  }
  const std::uint64_t old_size = size();
  set_extent(base_, new_size);
  watch_.forget(new_size, old_size - new_size);
  if (!unmap_range(new_size, old_size) || ::ftruncate(fd_, static_cast<off_t>(new_size)) != 0 ||
      ::fsync(fd_) != 0) {
    return Error(errno);
  }
  return {};
}

}  // namespace pmemfs::region
