// The guest's memory, as its VMM describes it: which guest-physical and which VMM addresses are
// which bytes of ours.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/unique_fd.hpp"
#include "pmemfs/result.hpp"
#include "virtiofs/arena.hpp"
#include "virtiofs/file_id.hpp"
#include "virtiofs/protocol.hpp"
#include "virtiofs/shown_files.hpp"

namespace pmemfs::virtiofs {

struct GuestRegion {
  std::uint64_t guest;   // first guest-physical address
  std::uint64_t user;    // first address in the VMM
  std::uint64_t size;    // bytes
  std::uint64_t offset;  // in its file
  FileId file;
  // Null: what a window shows, or memory of a device that cannot be mapped here; no bytes.
  std::shared_ptr<const Mapping> mapping;

  friend bool operator==(const GuestRegion&, const GuestRegion&) = default;
};

using Spans = std::vector<std::span<std::byte>>;

// A picture of the memory at one moment; what it maps lives as long as it does. Immutable,
// thread-safe. The guest stores into it at any time: what counts is copied before it is checked.
class GuestMemory {
 public:
  // Regions sorted by guest address, none of which overlap.
  GuestMemory(std::vector<GuestRegion> regions, Arenas arenas)
      : regions_(std::move(regions)), arenas_(std::move(arenas)) {}

  // How many bytes from `guest` on are memory, to be written if `write` is set; `len` at most.
  [[nodiscard]] std::uint64_t held(std::uint64_t guest, std::uint64_t len, bool write) const;

  // Appends the pieces of [guest, guest + len), which is held, to `out`: more than one where
  // regions meet.
  void pieces(std::uint64_t guest, std::uint64_t len, Spans& out) const;

  // Copies [guest, guest + out.size()). False: not all of it is memory; then a part may be copied.
  [[nodiscard]] bool read(std::uint64_t guest, std::span<std::byte> out) const;

  // The bytes at [user, user + len) of the VMM, in one region. Null: they are not.
  [[nodiscard]] std::byte* at_user(std::uint64_t user, std::uint64_t len, bool write) const;

  // Something of it was lost: zeros are in its place.
  [[nodiscard]] bool faulted() const { return arenas_.faulted(); }

  [[nodiscard]] const std::vector<GuestRegion>& regions() const { return regions_; }

 private:
  [[nodiscard]] const GuestRegion* find(std::uint64_t guest) const;

  std::vector<GuestRegion> regions_;
  Arenas arenas_;
};

// The regions of one VMM while it tells them. Not thread-safe; the pictures are.
class GuestMemoryMap {
 public:
  // As many as QEMU knows.
  static constexpr std::size_t kMostRegions = 512;

  // Regions of files that `shown` has are taken, but are no memory: all of them lie outside of it.
  // It outlives this.
  explicit GuestMemoryMap(const ShownFiles& shown)
      : shown_(shown),
        picture_(std::make_shared<GuestMemory>(std::vector<GuestRegion>(), Arenas())) {}

  // Regions with their descriptors, in place of all that were. On an error nothing is changed. What
  // stays as it was stays mapped where it was, and the picture is the same one when all does.
  Status set(std::span<const wire::MemoryRegion> regions, std::span<base::UniqueFd> fds);
  // One more. EINVAL: empty, beyond the end of addresses or of the file; EEXIST: overlaps another
  // one; ENOSPC: too many; else Arenas::map's errors.
  Status add(const wire::MemoryRegion& region, int fd);
  // EINVAL: there is no such region. The offset does not count.
  Status remove(const wire::MemoryRegion& region);

  [[nodiscard]] const std::shared_ptr<const GuestMemory>& picture() const { return picture_; }

 private:
  Status insert(const wire::MemoryRegion& region, int fd, std::vector<GuestRegion>& into);
  Result<std::shared_ptr<const Mapping>> mapping_of(const GuestRegion& region, int fd);
  void publish(std::vector<GuestRegion> regions);

  const ShownFiles& shown_;
  Arenas arenas_;
  std::shared_ptr<const GuestMemory> picture_;
};

}  // namespace pmemfs::virtiofs
