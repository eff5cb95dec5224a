// Frames: the 2 MiB-aligned pieces of the region in which durable files lie, so that huge pages and
// windows fit. Other files' data is moved out of frames when whole ones run out.
#pragma once

#include <functional>
#include <vector>

#include "core/context.hpp"
#include "store/extent_map.hpp"

namespace pmemfs::core {

inline constexpr std::uint64_t kFrameBlocks = format::kFrameSize / format::kBlockSize;

// Calls back for each regular file with data in extents that may move (the gate's first question),
// ascending. What it is told was true a moment ago. No locks held. EUCLEAN: the inode table is
// damaged; what was found before was told.
Status for_each_movable(Context& c,
                        const std::function<void(InodeNo, const std::vector<store::Mapping>&)>& f);

// Tries to have at least `wanted` whole frames free: empties those that take the least moving, as
// far as there is free space outside them. Returns how many are free then. Takes time in proportion
// to the files there are and to what moves. No locks held.
std::uint64_t make_frames(Context& c, std::uint64_t wanted);

// Before a file in extents becomes durable, or a durable one grows to `size` bytes: makes the
// frames that it lacks. Does nothing for other files. No locks held.
void make_frames_before_pin(Context& c, Node& node);
void make_frames_before_growth(Context& c, Node& node, std::uint64_t size);

}  // namespace pmemfs::core
