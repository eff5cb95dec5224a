// Defragmentation on directory regions: each file that the host laid out in more pieces than its
// holes ask for moves to a new host file, if that has fewer (backing_move.hpp).
#pragma once

#include "core/context.hpp"

namespace pmemfs::core {

// As Filesystem::defrag; paths of what is left behind are not filled in. No locks held.
Result<Relocated> defrag_backing(Context& c, InodeNo ino, const RelocationWatch& watch);

}  // namespace pmemfs::core
