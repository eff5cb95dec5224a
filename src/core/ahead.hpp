// Allocation ahead of a durable file that grows, so that what it grows into is contiguous and
// aligned, and a mapping of it takes page faults of 2 MiB.
//
// The host allocates beyond the end of the file (FALLOC_FL_KEEP_SIZE). Such blocks are no part of
// it: growth fills and promises exactly its own range, as without. They are given back when the
// last writer closes.
#pragma once

#include <cstdint>

#include "core/context.hpp"

namespace pmemfs::core::ahead {

// Of the host's available space, what may be allocated ahead of all files together: one in so many.
inline constexpr std::uint64_t kShare = 8;

// Where allocation for a file that grows to `to` should end: the next multiple of 2 MiB, or, when
// the file grows in steps (`again`), an eighth of its size further, at most 64 MiB. `to` when that
// would be more than `budget` bytes beyond.
[[nodiscard]] std::uint64_t end_for(std::uint64_t to, bool again, std::uint64_t budget);

// Before the growth of a durable file from `from` to `to`. Best effort. Lock: exclusive.
void allocate(Context& c, Node& node, int fd, std::uint64_t from, std::uint64_t to);

// A program allocated beyond the end itself: that stays. Lock: exclusive.
void leave_to_program(Context& c, Node& node);

// Gives back what is beyond the end, when nobody is left who could append. Lock: exclusive.
void give_back(Context& c, Node& node);

}  // namespace pmemfs::core::ahead
