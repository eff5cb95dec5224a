#include "check/undo_region.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "base/crc32c.hpp"
#include "format/checks.hpp"
#include "format/layout.hpp"
#include "store/superblock.hpp"

namespace pmemfs::check {
namespace {

using format::kBlockSize;

constexpr std::uint64_t kMagic = 0x314F444E55464D50ULL;  // "PMFUNDO1"
constexpr std::uint32_t kVersion = 1;

// A block as it was.
struct Saved {
  format::Le64 block;
  format::Le32 reserved;
  format::Le32 crc;  // of the block number, then of the bytes
  std::array<std::byte, kBlockSize> bytes;
};
static_assert(sizeof(UndoHeader) == 88 && sizeof(Saved) == 16 + kBlockSize);

std::uint32_t crc_of(const Saved& s) {
  return base::crc32c(base::crc32c(0, &s.block, sizeof(s.block)), s.bytes.data(), s.bytes.size());
}

std::uint32_t crc_of(const UndoHeader& h) {
  return base::crc32c(0, &h, offsetof(UndoHeader, crc));
}

// The whole superblock with the larger count; of a region where none is whole, zeros.
format::Superblock newest(const Region& region) {
  format::Superblock found{};
  for (const std::uint64_t block : {std::uint64_t{0}, format::kSuperblockCopyBlock}) {
    format::Superblock s{};
    const ByteOff at = format::byte_off(BlockNo(block));
    if (!region.contains(at, sizeof(s))) {
      continue;
    }
    std::memcpy(&s, region.data() + at.value, sizeof(s));
    if (s.magic.load() == format::kSuperblockMagic && format::valid(s) &&
        s.update.load() >= found.update.load()) {
      found = s;
    }
  }
  return found;
}

Status write_all(int fd, const void* src, std::size_t n, std::uint64_t off) {
  const auto* bytes = static_cast<const std::byte*>(src);
  while (n > 0) {
    const ssize_t done = ::pwrite(fd, bytes, n, static_cast<off_t>(off));
    if (done <= 0) {
      return Error(done < 0 ? errno : ENOSPC);
    }
    bytes += done;
    off += static_cast<std::uint64_t>(done);
    n -= static_cast<std::size_t>(done);
  }
  return {};
}

bool read_all(int fd, void* dst, std::size_t n, std::uint64_t off) {
  auto* bytes = static_cast<std::byte*>(dst);
  while (n > 0) {
    const ssize_t done = ::pread(fd, bytes, n, static_cast<off_t>(off));
    if (done <= 0) {
      return false;
    }
    bytes += done;
    off += static_cast<std::uint64_t>(done);
    n -= static_cast<std::size_t>(done);
  }
  return true;
}

// The file's name is durable once this returns.
Status sync_parent(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  const std::string parent = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const base::UniqueFd fd(::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  return fd && ::fsync(fd.get()) == 0 ? Status() : Status(Error(errno));
}

std::uint64_t place_of(std::uint64_t n) {
  return sizeof(UndoHeader) + n * sizeof(Saved);
}

}  // namespace

UndoRegion::UndoRegion(Region& region, base::UniqueFd fd) : region_(region), fd_(std::move(fd)) {
  set_extent(const_cast<std::byte*>(region.data()), region.size());
  share_media_events(region);
  known_.resize(region.size() / kBlockSize);
  const format::Superblock s = newest(region);
  header_.magic.store(kMagic);
  header_.version.store(kVersion);
  header_.uuid = s.uuid;
  header_.blocks.store(known_.size());
  header_.update.store(s.update.load());
  header_.mount_count.store(s.mount_count.load());
  header_.boot = store::boot_id();
  header_.pid.store(static_cast<std::uint32_t>(::getpid()));
}

Result<std::unique_ptr<UndoRegion>> UndoRegion::create(Region& region, const std::string& path) {
  base::UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd) {
    return Error(errno);
  }
  std::unique_ptr<UndoRegion> undo(new UndoRegion(region, std::move(fd)));
  PMEMFS_CHECK(undo->write_header(false));
  PMEMFS_CHECK(sync_parent(path));
  return undo;
}

Status UndoRegion::write_header(bool finished) {
  header_.finished.store(finished ? 1 : 0);
  header_.after_update.store(finished ? newest(region_).update.load() : 0);
  header_.crc.store(crc_of(header_));
  PMEMFS_CHECK(write_all(fd_.get(), &header_, sizeof(header_), 0));
  return ::fsync(fd_.get()) == 0 ? Status() : Status(Error(errno));
}

Status UndoRegion::finish() {
  if (header_.uuid == format::Uuid{}) {
    header_.uuid = newest(*this).uuid;  // there was no superblock, and the repair wrote one
  }
  return failure_ != 0 ? Status(Error(failure_)) : write_header(true);
}

// False: not all of the blocks are safe, and the change must not be made.
bool UndoRegion::save(ByteOff off, std::uint64_t n) {
  bool fresh = false;
  const std::uint64_t end = (off.value + n + kBlockSize - 1) / kBlockSize;
  for (std::uint64_t b = off.value / kBlockSize; b < end && failure_ == 0; ++b) {
    if (known_[b]) {
      continue;
    }
    Saved saved{};
    saved.block.store(b);
    std::memcpy(saved.bytes.data(), region_.data() + b * kBlockSize, kBlockSize);
    saved.crc.store(crc_of(saved));
    failure_ = write_all(fd_.get(), &saved, sizeof(saved), place_of(saved_)).code();
    if (failure_ == 0) {
      known_[b] = true;
      ++saved_;
      fresh = true;
    }
  }
  if (fresh && failure_ == 0 && ::fdatasync(fd_.get()) != 0) {
    failure_ = errno;
  }
  if (failure_ != 0) {
    count_media_events(failed_events_);
  }
  return failure_ == 0;
}

void UndoRegion::store(ByteOff off, const void* src, std::size_t n) {
  if (save(off, n)) {
    region_.store(off, src, n);
  }
}

void UndoRegion::store_u64(ByteOff off, std::uint64_t value) {
  if (save(off, sizeof(value))) {
    region_.store_u64(off, value);
  }
}

void UndoRegion::stream(ByteOff off, const void* src, std::size_t n) {
  if (save(off, n)) {
    region_.stream(off, src, n);
  }
}

void UndoRegion::stream_zeros(ByteOff off, std::uint64_t n) {
  if (save(off, n)) {
    region_.stream_zeros(off, n);
  }
}

// What is new needs no saving: a region that is longer than it says is none the worse.
Status UndoRegion::grow(std::uint64_t new_size) {
  PMEMFS_CHECK(region_.grow(new_size));
  set_extent(const_cast<std::byte*>(region_.data()), region_.size());
  known_.resize(region_.size() / kBlockSize, true);
  return {};
}

namespace {

// Calls f for each whole block of the file. What was cut short at its end is left out: the region
// was not changed there.
template <typename F>
void for_each_saved(int fd, std::uint64_t blocks, F&& f) {
  Saved saved{};
  for (std::uint64_t i = 0; read_all(fd, &saved, sizeof(saved), place_of(i)); ++i) {
    if (saved.crc.load() != crc_of(saved) || saved.block.load() >= blocks) {
      return;
    }
    f(saved);
  }
}

UndoFault judge(const UndoHeader& header, const Region& region) {
  if (header.magic.load() != kMagic || header.version.load() != kVersion ||
      header.crc.load() != crc_of(header)) {
    return UndoFault::kNotUndo;
  }
  const format::Superblock s = newest(region);
  if (s.uuid != header.uuid || header.blocks.load() > region.size() / kBlockSize) {
    return UndoFault::kForeign;
  }
  const std::uint64_t update = s.update.load();
  bool known = update == header.update.load();
  if (header.finished.load() != 0) {
    known |= update == header.after_update.load();
  } else {  // cut short: nobody but the repair had it since
    known |= s.mount_count.load() == header.mount_count.load() ||
             (s.owner_pid.load() == header.pid.load() && s.owner_boot == header.boot);
  }
  return known ? UndoFault::kNone : UndoFault::kUsed;
}

}  // namespace

Status apply_undo(Region& region, const std::string& path, UndoFault* fault) {
  *fault = UndoFault::kNone;
  const base::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) {
    return Error(errno);
  }
  UndoHeader header{};
  *fault =
      read_all(fd.get(), &header, sizeof(header), 0) ? judge(header, region) : UndoFault::kNotUndo;
  if (*fault != UndoFault::kNone) {
    return Error(EINVAL);
  }
  std::vector<Saved> superblocks;
  for_each_saved(fd.get(), header.blocks.load(), [&](const Saved& saved) {
    const std::uint64_t block = saved.block.load();
    if (block == 0 || block == format::kSuperblockCopyBlock) {
      superblocks.push_back(saved);
    } else {
      region.stream(format::byte_off(BlockNo(block)), saved.bytes.data(), kBlockSize);
    }
  });
  region.fence();
  // A whole one first: so one is whole at any time, and tells whose region it is.
  std::stable_partition(superblocks.begin(), superblocks.end(), [](const Saved& saved) {
    format::Superblock s{};
    std::memcpy(&s, saved.bytes.data(), sizeof(s));
    return format::valid(s);
  });
  for (const Saved& saved : superblocks) {
    region.stream(format::byte_off(BlockNo(saved.block.load())), saved.bytes.data(), kBlockSize);
    region.fence();
  }
  return {};
}

}  // namespace pmemfs::check
