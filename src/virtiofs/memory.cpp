#include "virtiofs/memory.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>

#include "base/descriptor.hpp"
#include "pmemfs/filesystem.hpp"
#include "region/exports.hpp"

namespace pmemfs::virtiofs {
namespace {

bool wraps(std::uint64_t begin, std::uint64_t size) {
  return size > std::numeric_limits<std::uint64_t>::max() - begin;
}

bool overlap(std::uint64_t a, std::uint64_t a_size, std::uint64_t b, std::uint64_t b_size) {
  return a < b + b_size && b < a + a_size;
}

bool may_write(int fd) {
  const int flags = ::fcntl(fd, F_GETFL);
  return flags >= 0 && (flags & O_ACCMODE) == O_RDWR;
}

// Whether a file that cannot be memory may lie in the guest's address space all the same: a DAX
// device whose pages are too large, and what windows of another daemon show. What is on FUSE is not
// asked, its server may be anybody's.
bool may_be_a_hole(int fd, int why) {
  const auto st = base::known_of(fd, STATX_TYPE | STATX_SIZE);
  return st && ((why == EINVAL && S_ISCHR(st->stx_mode)) ||
                (why == EACCES && S_ISREG(st->stx_mode) && st->stx_size == kWindowFileSize));
}

}  // namespace

const GuestRegion* GuestMemory::find(std::uint64_t guest) const {
  auto after = std::upper_bound(regions_.begin(), regions_.end(), guest,
                                [](std::uint64_t g, const GuestRegion& r) { return g < r.guest; });
  if (after == regions_.begin()) {
    return nullptr;
  }
  const GuestRegion& region = *std::prev(after);
  return guest - region.guest < region.size ? &region : nullptr;
}

std::uint64_t GuestMemory::held(std::uint64_t guest, std::uint64_t len, bool write) const {
  std::uint64_t held = 0;
  // No region reaches the end of all addresses, so that the sum cannot wrap.
  while (held < len) {
    const GuestRegion* const region = find(guest + held);
    if (region == nullptr || !region->mapping || (write && !region->mapping->writable())) {
      break;
    }
    held += std::min(len - held, region->size - (guest + held - region->guest));
  }
  return held;
}

void GuestMemory::pieces(std::uint64_t guest, std::uint64_t len, Spans& out) const {
  while (len > 0) {
    const GuestRegion& region = *find(guest);
    const std::uint64_t off = guest - region.guest;
    const std::uint64_t n = std::min(len, region.size - off);
    out.emplace_back(region.mapping->first() + off, n);
    guest += n;
    len -= n;
  }
}

bool GuestMemory::read(std::uint64_t guest, std::span<std::byte> out) const {
  while (!out.empty()) {
    const GuestRegion* const region = find(guest);
    if (region == nullptr || !region->mapping) {
      return false;
    }
    const std::uint64_t off = guest - region->guest;
    const std::size_t n = std::min<std::uint64_t>(out.size(), region->size - off);
    std::memcpy(out.data(), region->mapping->first() + off, n);
    out = out.subspan(n);
    guest += n;
  }
  return true;
}

std::byte* GuestMemory::at_user(std::uint64_t user, std::uint64_t len, bool write) const {
  for (const GuestRegion& region : regions_) {
    if (user < region.user || user - region.user >= region.size) {
      continue;
    }
    const std::uint64_t off = user - region.user;
    const bool fits = len <= region.size - off && region.mapping != nullptr &&
                      (!write || region.mapping->writable());
    return fits ? region.mapping->first() + off : nullptr;
  }
  return nullptr;
}

Status GuestMemoryMap::set(std::span<const wire::MemoryRegion> regions,
                           std::span<base::UniqueFd> fds) {
  std::vector<GuestRegion> made;
  for (std::size_t i = 0; i < regions.size(); ++i) {
    PMEMFS_CHECK(insert(regions[i], fds[i].get(), made));
  }
  if (made != picture_->regions()) {
    publish(std::move(made));
  }
  return {};
}

Status GuestMemoryMap::add(const wire::MemoryRegion& region, int fd) {
  std::vector<GuestRegion> regions = picture_->regions();
  PMEMFS_CHECK(insert(region, fd, regions));
  publish(std::move(regions));
  return {};
}

Status GuestMemoryMap::remove(const wire::MemoryRegion& region) {
  std::vector<GuestRegion> regions = picture_->regions();
  const auto found = std::find_if(regions.begin(), regions.end(), [&](const GuestRegion& r) {
    return r.guest == region.guest && r.user == region.user && r.size == region.size;
  });
  if (found == regions.end()) {
    return Error(EINVAL);
  }
  regions.erase(found);
  publish(std::move(regions));
  return {};
}

Status GuestMemoryMap::insert(const wire::MemoryRegion& region, int fd,
                              std::vector<GuestRegion>& into) {
  if (region.size == 0 || wraps(region.guest, region.size) || wraps(region.user, region.size) ||
      wraps(region.offset, region.size)) {
    return Error(EINVAL);
  }
  if (into.size() >= kMostRegions) {
    return Error(ENOSPC);
  }
  for (const GuestRegion& other : into) {
    if (overlap(region.guest, region.size, other.guest, other.size) ||
        overlap(region.user, region.size, other.user, other.size)) {
      return Error(EEXIST);
    }
  }
  PMEMFS_TRY(const FileId file, FileId::of(fd));
  GuestRegion made{region.guest, region.user, region.size, region.offset, file, nullptr};
  PMEMFS_TRY(made.mapping, mapping_of(made, fd));
  const auto place =
      std::upper_bound(into.begin(), into.end(), made.guest,
                       [](std::uint64_t g, const GuestRegion& r) { return g < r.guest; });
  into.insert(place, std::move(made));
  return {};
}

// The one that is there when nothing has changed; what its file has lost since is seen when it is
// touched.
Result<std::shared_ptr<const Mapping>> GuestMemoryMap::mapping_of(const GuestRegion& region,
                                                                  int fd) {
  if (shown_.has(region.file)) {
    return std::shared_ptr<const Mapping>();
  }
  for (const GuestRegion& old : picture_->regions()) {
    if (old.guest == region.guest && old.user == region.user && old.size == region.size &&
        old.offset == region.offset && old.file == region.file && old.mapping != nullptr &&
        old.mapping->writable() == may_write(fd)) {
      return old.mapping;
    }
  }
  auto mapped = arenas_.map(fd, region.offset, region.size);
  if (mapped ? region::is_exported(fd) : may_be_a_hole(fd, mapped.code())) {
    return std::shared_ptr<const Mapping>();
  }
  return mapped;
}

void GuestMemoryMap::publish(std::vector<GuestRegion> regions) {
  picture_ = std::make_shared<GuestMemory>(std::move(regions), arenas_);
}

}  // namespace pmemfs::virtiofs
