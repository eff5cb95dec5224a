#pragma once

#include <cstdint>

#include "pmemfs/region.hpp"

namespace pmemfs::test {

// Formats the region and makes at least one of everything that the store can hold: files with one
// and with hundreds of extents, holes and unwritten ones, a directory of many blocks, short and
// long xattrs, symlinks with long targets, freed inodes, several chunks. Closed in order.
void make_sample(Region& region, std::uint64_t seed);

}  // namespace pmemfs::test
