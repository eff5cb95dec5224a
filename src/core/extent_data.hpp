// File data in extents of the region. A write is durable when it returns; holes read as zeros.
#pragma once

#include <cstddef>
#include <span>

#include "core/context.hpp"
#include "core/extent_edit.hpp"
#include "core/parts.hpp"

namespace pmemfs::core::extent_data {

// The map is loaded. Lock: shared.
Result<std::size_t> read(Context& c, const Node& node, const InodeRecord& inode, std::uint64_t off,
                         std::span<std::byte> dst);
Result<std::uint64_t> seek(const Node& node, const InodeRecord& inode, std::uint64_t off,
                           int whence);

// Whole or not at all: ENOSPC and EDQUOT change nothing, EIO (a piece, or memory of the region, is
// lost) nothing but bytes that were to be written over, and where a durable file was to grow it
// keeps the blocks. Sets size and times. Lock: exclusive.
Result<std::size_t> write(Context& c, Node& node, InodeRecord& inode, std::uint64_t off,
                          Parts parts);
Status resize(Context& c, Node& node, InodeRecord& inode, std::uint64_t size);
// Frees what is mapped beyond the end of the file, in as many changes as the journal needs; commits
// the inode as it is. Lock: exclusive.
Status trim(Context& c, Node& node, InodeRecord& inode);
Status allocate(Context& c, Node& node, InodeRecord& inode, int mode, std::uint64_t off,
                std::uint64_t len);

}  // namespace pmemfs::core::extent_data
