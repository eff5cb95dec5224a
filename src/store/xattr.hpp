// Extended attributes of one inode, names with their namespace prefix.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "store/change.hpp"

namespace pmemfs::store {

// ENODATA when there is none.
Result<std::vector<std::byte>> get_xattr(const Store& store, const format::Inode& inode,
                                         std::string_view name);
Result<std::vector<std::string>> list_xattrs(const Store& store, const format::Inode& inode);

// Sets or replaces; updates inode.xattrs, the caller puts the inode. flags: 0, XATTR_CREATE
// (EEXIST) or XATTR_REPLACE (ENODATA). ERANGE: name over 255 bytes; E2BIG: value over 64 KiB;
// ENOSPC: no space, or the names together would exceed 64 KiB (listxattr could not return them).
Status set_xattr(Change& change, format::Inode& inode, std::string_view name,
                 std::span<const std::byte> value, int flags);
Status remove_xattr(Change& change, format::Inode& inode, std::string_view name);  // ENODATA

// How many of their blocks lie in `range`. EUCLEAN.
Result<std::uint64_t> xattr_blocks_in(const Store& store, const format::Inode& inode,
                                      BlockRun range);
// Moves blobs that touch `range` as move_blob(), some 2 MiB at a time; returns how many blocks, 0
// when none are left there. Updates inode.xattrs, the caller puts the inode. On an error the change
// is to be dropped.
Result<std::uint64_t> move_xattrs(Change& change, format::Inode& inode, BlockRun range);

// Releases every block of an inode that is being freed.
Status release_xattrs(Change& change, const format::Inode& inode);

}  // namespace pmemfs::store
