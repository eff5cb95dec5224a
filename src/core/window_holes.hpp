// Host files whose places are mapped in windows have no holes there, as far as they reach: a store
// of the guest into one would need space of the host, and where that is full the monitor gets
// SIGBUS and the machine ends. A place is filled when it is mapped, up to the end that the file has
// then; what makes holes in it later, growth and punching, comes here, too. The books are Exports.
#pragma once

#include <cstdint>

#include "core/context.hpp"

namespace pmemfs::core::window_holes {

// Of a file that is not durable, before the range is mapped, which ends where the file does or
// before. Lock: exclusive.
Status fill_place(Context& c, int fd, Range range);

// Before the file gets longer, and not by being written there: allocates what lies in mapped places
// between the end and `to`. The caller tells Exports when the file has grown. ENOSPC: some of it
// may be allocated, which is less than 2 MiB and the file's until it is truncated. Lock: shared.
Status fill(Context& c, InodeNo ino, int fd, std::uint64_t to);

// FALLOC_FL_PUNCH_HOLE or FALLOC_FL_ZERO_RANGE of a file that is not durable: as the host does it,
// and by zeros in mapped places, whose blocks stay. Lock: exclusive.
Status blank(Context& c, InodeNo ino, int fd, int mode, std::uint64_t off, std::uint64_t len);

// A guest is about to learn that the file has `size` bytes. Handles of a mount that write past the
// daemon may have made it that long. ENOSPC and what else the host says. No locks held.
Status cover(Context& c, InodeNo ino, std::uint64_t size);

}  // namespace pmemfs::core::window_holes
