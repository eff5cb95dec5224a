// Byte strings of up to 64 KiB (and more) in a chain of checksummed blocks; written once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "store/change.hpp"

namespace pmemfs::store {

// Returns the first block. ENOSPC.
Result<BlockNo> write_blob(Change& change, InodeNo owner, std::uint64_t generation,
                           std::span<const std::byte> bytes);
// EUCLEAN for a bad crc, foreign owner, loop, or more than `limit` bytes.
Result<std::vector<std::byte>> read_blob(const Store& store, InodeNo owner,
                                         std::uint64_t generation, BlockNo first,
                                         std::size_t limit);
Status release_blob(Change& change, InodeNo owner, std::uint64_t generation, BlockNo first);

// Whether a block is a whole one of this owner's blobs.
[[nodiscard]] bool blob_block_ok(const format::BlobBlock& block, std::uint64_t owner,
                                 std::uint64_t generation);

}  // namespace pmemfs::store
