// The one place that moves a file's data within the region. It asks the gate (gate.hpp).
//
// Data in extents only (EOPNOTSUPP for other files). One call is one change: a crash leaves all of
// it in the old place or in the new one. Errors: ETXTBSY, EBUSY from the gate; ENOSPC; nothing
// moved then. Lock: exclusive.
#pragma once

#include "core/context.hpp"

namespace pmemfs::core {

// At most so many blocks move under one hold of the lock: 2 MiB.
inline constexpr std::uint64_t kRelocationStep = 512;

// Where moved data may go: what is moved to win whole frames must not take others for it.
enum class Room : std::uint8_t { kAnywhere, kBetweenFrames };

// Moves what the file has inside `range` of the region, at most kRelocationStep blocks of it, to
// free blocks elsewhere: the caller holds `range` in the allocator. Returns how many blocks moved,
// 0 when none are left there.
Result<std::uint64_t> relocate_out_of(Context& c, Node& node, BlockRun range, Room room);

// Moves what is mapped from file block `logical` on, at most kRelocationStep blocks, to free blocks
// from `near` on, as far as those are free, else to any. `*next` is the file block to go on with.
// Returns how many blocks moved, 0 when nothing is mapped there or after it.
Result<std::uint64_t> relocate_to(Context& c, Node& node, std::uint64_t logical, BlockNo near,
                                  std::uint64_t* next);

}  // namespace pmemfs::core
