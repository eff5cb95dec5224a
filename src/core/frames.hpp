// Frames: the 2 MiB-aligned pieces of the region in which durable files lie, so that huge pages and
// windows fit. Other files' data is moved out of frames when whole ones run out.
#pragma once

#include <functional>
#include <vector>

#include "core/context.hpp"
#include "core/extent_edit.hpp"
#include "store/extent_map.hpp"

namespace pmemfs::core {

class Course;

using extent_data::kFrameBlocks;

// The extents of a regular file. ENOENT, EISDIR, EINVAL (a device, say), EOPNOTSUPP (a region with
// backing files). Loads no map into the node. No locks held.
Result<std::vector<store::Mapping>> extents_of_file(Context& c, InodeNo ino, bool* durable);

// The inodes for which `want` says yes, ascending, and those that cannot be read: one that was
// being written at the time, perhaps. No locks held.
std::vector<InodeNo> inodes_where(Context& c, const std::function<bool(const InodeRecord&)>& want);

// Calls back for each regular file with data in extents, ascending. What it is told was true a
// moment ago; damaged files are left out. No locks held.
using FileVisitor =
    std::function<void(InodeNo, bool durable, const std::vector<store::Mapping>& extents)>;
void for_each_file(Context& c, const FileVisitor& visit);

// Tries to have at least `wanted` whole frames free: empties those that take the least moving, as
// far as there is free space outside them. Returns how many are free then. Takes time in proportion
// to the files there are and to what moves. Lock: Context::compaction.
std::uint64_t make_frames(Context& c, std::uint64_t wanted, Course& course);

// Before a file in extents becomes durable: its whole frames come to lie in frames as far as such
// can be made; the caller's fill() does what has holes. Before a durable one grows to `size` bytes:
// makes the frames that it lacks. Nothing is done for other files. No locks held.
void frame_before_pin(Context& c, Node& node);
void make_frames_before_growth(Context& c, Node& node, std::uint64_t size);

}  // namespace pmemfs::core
