// Finding the inode table where its index is damaged.
#pragma once

#include <bitset>

#include "check/pass.hpp"

namespace pmemfs::check {

// Inode numbers that one pointer of an index block of this level covers.
[[nodiscard]] std::uint64_t span_of_index(std::uint32_t level);

using Wanted = std::bitset<format::kIndexFanout>;

// Searches the whole region for what the wanted pointers of an index block, which are holes, should
// lead to, and fills in what is found. Blocks that are claimed are left out.
void find_children(const Pass& p, format::IndexBlock& index, std::uint32_t level,
                   std::uint64_t first, const Wanted& wanted);

// The index block of this level for inodes from `first` on, as far as it can be found: by the
// pointers of the damaged one that lead to what tells of itself where it belongs, and else by a
// search of the whole region. Not sealed.
[[nodiscard]] format::IndexBlock rebuild_index(const Pass& p, const format::IndexBlock& damaged,
                                               std::uint32_t level, std::uint64_t first);

}  // namespace pmemfs::check
