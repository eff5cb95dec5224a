// Byte strings of up to 64 KiB (and more) in a chain of checksummed blocks; written once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "store/change.hpp"

namespace pmemfs::store {

// No blob is longer: the records of as many xattrs as listxattr(2) can name, each with the longest
// value that is not in a blob of its own.
inline constexpr std::size_t kMaxBlob = std::size_t{format::kMaxXattrTotal} / 2 *
                                        (sizeof(format::XattrRecord) + 1 + format::kXattrInlineMax);

// `bytes` of at most kMaxBlob. Returns the first block. ENOSPC.
Result<BlockNo> write_blob(Change& change, InodeNo owner, std::uint64_t generation,
                           std::span<const std::byte> bytes);
// EUCLEAN for a bad crc, foreign owner, loop, or more than `limit` bytes.
Result<std::vector<std::byte>> read_blob(const Store& store, InodeNo owner,
                                         std::uint64_t generation, BlockNo first,
                                         std::size_t limit);
// EUCLEAN as above; nothing is released then.
Status release_blob(Change& change, InodeNo owner, std::uint64_t generation, BlockNo first);

// How many blocks of the blob lie in `range`. EUCLEAN as above.
Result<std::uint64_t> blob_blocks_in(const Store& store, InodeNo owner, std::uint64_t generation,
                                     BlockNo first, BlockRun range);
// Writes the blob anew and releases it when a block of it lies in `range`, which gives no free
// space (Allocator::hold), and adds its blocks to `moved`. Returns its first block. ENOSPC,
// EUCLEAN.
Result<BlockNo> move_blob(Change& change, InodeNo owner, std::uint64_t generation, BlockNo first,
                          BlockRun range, std::uint64_t& moved);

// Whether a block is a whole one of this owner's blobs.
[[nodiscard]] bool blob_block_ok(const format::BlobBlock& block, std::uint64_t owner,
                                 std::uint64_t generation);

}  // namespace pmemfs::store
