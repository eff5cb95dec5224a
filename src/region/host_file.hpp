#pragma once

#include <cstdint>

#include "pmemfs/result.hpp"

// Work on the host file that holds a region's bytes. Thread-safe as far as the descriptor is.
namespace pmemfs::region {

// Exclusive or shared lock of the region, waited for up to `wait_seconds`; EBUSY when another holds
// it. It belongs to the open file description (F_OFD_SETLK) and ends with it: it survives fork and
// needs no unlock. It covers all offsets below kExportLocks, where those of exports.hpp begin.
inline constexpr std::uint64_t kExportLocks = 1ULL << 62U;
enum class LockMode : std::uint8_t { kExclusive, kShared };
Status lock_file(int fd, LockMode mode, unsigned wait_seconds);

// Allocates [off, off + len), which may lie beyond the end, writes zeros to all of it and syncs the
// file: afterwards no extent is unwritten, so that later stores need no change of the host's
// metadata. ENOSPC: part of it may be allocated.
Status fill_with_zeros(int fd, std::uint64_t off, std::uint64_t len);

// Whether a file of `size` bytes looks used: any byte other than zero in its first MiB or last 64
// KiB.
inline constexpr std::uint64_t kHeadLooked = 1U << 20U;
inline constexpr std::uint64_t kTailLooked = 64U << 10U;
Result<bool> holds_data(int fd, std::uint64_t size);

// pread of exactly n bytes; EIO where the file ends before.
Status read_exactly(int fd, std::uint64_t off, void* dst, std::size_t n);

}  // namespace pmemfs::region
