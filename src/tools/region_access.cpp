#include "tools/region_access.hpp"

#include <fmt/format.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstddef>

#include "backing/layout.hpp"
#include "base/crc32c.hpp"
#include "tools/cli.hpp"
#include "tools/failure.hpp"
#include "tools/live_daemon.hpp"
#include "tools/mount_table.hpp"
#include "tools/size.hpp"

namespace pmemfs::tools {
namespace {

std::optional<format::Superblock> peek_at(const std::string& path, std::uint64_t block) {
  format::Superblock sb{};
  std::string why;
  if (!region::peek(path, block * format::kBlockSize, &sb, sizeof sb, why)) {
    return std::nullopt;
  }
  const bool whole = sb.magic.load() == format::kSuperblockMagic &&
                     sb.crc.load() == base::crc32c(0, &sb, offsetof(format::Superblock, crc));
  return whole ? std::optional(sb) : std::nullopt;
}

bool process_lives(std::uint32_t pid) {
  return pid != 0 && (::kill(static_cast<pid_t>(pid), 0) == 0 || errno == EPERM);
}

[[noreturn]] void fail_in_use(const std::string& path) {
  fail(kExitFailure, "{}: in use: {}", path, describe_user(path));
}

bool is_in_mount_table(const std::string& path) {
  const auto canonical = canonical_path(path);
  return canonical && find_mounted_region(*canonical);
}

// It does not end by itself. Not asked at once: it may have been told to end just now.
bool serves_guests_alone(const std::string& path) {
  const auto state = ask_state(path);
  return state && !state->stopping && state->mount_point.empty();
}

[[noreturn]] void fail_too_short(const region::RegionHandle& handle) {
  const std::string& path = handle.path();
  const auto superblock = peek_superblock(path);
  if (handle.kind() != region::HostKind::kDevdax || !superblock) {
    fail(kExitFailure, "{}: is shorter than its superblock says; restore the region from a copy",
         path);
  }
  fail(kExitFailure, "{}: has {}, but the filesystem on it {}; give the device its old size back",
       path, show_size(handle.region().size()),
       show_size(superblock->region_blocks.load() * format::kBlockSize));
}

// Another alignment tells that the device was made anew, and perhaps in another place.
void check_alignment(const region::RegionHandle& handle, const format::Superblock& superblock) {
  const std::uint64_t then = superblock.device_alignment.load();
  const std::uint64_t now = handle.host().alignment;
  if (then != 0 && now != 0 && then != now) {
    fail(
        kExitFailure,
        "{}: has an alignment of {}, but had {} when its filesystem was made; make the device with "
        "the old one (ndctl create-namespace --align)",
        handle.path(), show_size(now), show_size(then));
  }
}

format::RegionKind kind_on_media(region::HostKind kind) {
  switch (kind) {
    case region::HostKind::kDirectory:
      return format::RegionKind::kDirectory;
    case region::HostKind::kDevdax:
      return format::RegionKind::kDevdax;
    case region::HostKind::kFile:
    case region::HostKind::kOther:  // of which no region is made
      break;
  }
  return format::RegionKind::kFile;
}

}  // namespace

std::optional<format::Superblock> peek_superblock(const std::string& path) {
  const auto first = peek_at(path, 0);
  const auto second = peek_at(path, format::kSuperblockCopyBlock);
  if (first && second) {
    return second->update.load() > first->update.load() ? second : first;
  }
  return first ? first : second;
}

std::string describe_user(const std::string& path) {
  const auto superblock = peek_superblock(path);
  const std::uint32_t pid = superblock ? superblock->owner_pid.load() : 0;
  const bool known =
      process_lives(pid) &&
      superblock->state.load() == static_cast<std::uint32_t>(format::RegionState::kDirty);
  const auto canonical = canonical_path(path);
  const auto mount = canonical ? find_mounted_region(*canonical) : std::nullopt;
  if (mount && known) {
    return fmt::format("mounted on {0} (process {1}); umount {0} first", mount->mount_point, pid);
  }
  if (mount) {
    return fmt::format("mounted on {0}; umount {0} first", mount->mount_point);
  }
  if (known) {
    return fmt::format("process {} (pmemfs) has it open; unmount it or wait for its end", pid);
  }
  return "another pmemfs program has it open; wait for its end";
}

std::unique_ptr<region::RegionHandle> open_region(const std::string& path, bool read_only,
                                                  unsigned wait_seconds) {
  region::OpenOptions options;
  options.read_only = read_only;
  for (unsigned waited = 0;; ++waited) {
    std::string why;
    auto handle = region::open(path, options, why);
    if (handle) {
      return std::move(handle).value();
    }
    if (handle.code() == ENOENT) {
      fail(kExitFailure, "{0}: does not exist; make a region with mkfs.pmemfs {0}", path);
    }
    if (handle.code() != EBUSY) {
      fail(handle.code() == EPERM || handle.code() == EACCES ? kExitUsage : kExitFailure, "{}",
           why.empty() ? fmt::format("{}: {}", path, error_text(handle.code())) : why);
    }
    if (waited >= wait_seconds || is_in_mount_table(path) ||
        (waited != 0 && serves_guests_alone(path))) {
      fail_in_use(path);
    }
    options.wait_seconds = 1;
  }
}

namespace {

// Its data directory says that a region was made there, whatever the superblocks have become.
bool was_region(const region::RegionHandle& handle) {
  return handle.kind() == region::HostKind::kDirectory &&
         backing::read_owner(handle.data_fd()).ok();
}

}  // namespace

CheckedSuperblock check_superblock(const region::RegionHandle& handle) {
  CheckedSuperblock checked{};
  store::SuperblockFault fault = store::SuperblockFault::kNone;
  auto superblock = store::read_superblock(handle.region(), &fault, &checked.used_second);
  if (superblock) {
    checked.superblock = *superblock;
    check_alignment(handle, checked.superblock);
    return checked;
  }
  const std::string& path = handle.path();
  if (fault == store::SuperblockFault::kNotPmemfs && was_region(handle)) {
    fault = store::SuperblockFault::kDamaged;
  }
  switch (fault) {
    case store::SuperblockFault::kNotPmemfs:
      fail(kExitFailure, "{0}: is not a pmemfs region; make one with mkfs.pmemfs {0}", path);
    case store::SuperblockFault::kNewer:
      fail(kExitFailure,
           "{}: has a format that this version ({}) does not know; use a newer pmemfs", path,
           PMEMFS_VERSION);
    case store::SuperblockFault::kOlder:
      fail(kExitFailure,
           "{}: has an older format, which this version ({}) cannot mount; copy its files with the "
           "pmemfs that made it, then make it anew with mkfs.pmemfs --force",
           path, PMEMFS_VERSION);
    case store::SuperblockFault::kDamaged:
      fail(kExitFailure,
           "{}: both superblocks are damaged; fsck.pmemfs --repair may write new ones", path);
    case store::SuperblockFault::kSize:
      fail_too_short(handle);
    case store::SuperblockFault::kUnreadable:
      fail(kExitFailure,
           "{}: the memory of its superblocks cannot be read; restore the region from a copy",
           path);
    case store::SuperblockFault::kNone:
      break;
  }
  fail(kExitFailure, "{}: cannot read the superblock: {}", path, error_text(superblock.code()));
}

std::string media_failure(const std::string& path, int code) {
  if (code == EUCLEAN) {
    return fmt::format("{0}: its structures contradict themselves; run fsck.pmemfs {0}", path);
  }
  if (code == EIO) {
    return fmt::format(
        "{}: its memory cannot be read; mount it read-only (-o ro), or restore it from a copy",
        path);
  }
  return fmt::format("{}: cannot be opened: {}", path, error_text(code));
}

store::FormatOptions facts_for_superblock(const region::RegionHandle& handle) {
  store::FormatOptions facts;
  facts.kind = kind_on_media(handle.kind());
  facts.device_alignment = handle.host().alignment;
  facts.emulated = !handle.host().map_sync;
  facts.made_by = version();
  return facts;
}

}  // namespace pmemfs::tools
