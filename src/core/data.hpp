// A file's data wherever it lies: chooses between host files and extents.
//
// Locks are the caller's: exclusive for what changes a file's size or map, shared for the rest.
#pragma once

#include <cstddef>
#include <span>

#include "core/context.hpp"
#include "core/parts.hpp"

namespace pmemfs::core {

// The file's size in bytes. Lock: shared.
Result<std::uint64_t> data_size(Context& c, const Node& node, const InodeRecord& inode);

// truncate(2): EFBIG; ETXTBSY for a durable file that would shrink. Lock: exclusive.
Status data_resize(Context& c, Node& node, InodeRecord& inode, std::uint64_t size);

Result<std::size_t> data_read(Context& c, const Handle& handle, std::uint64_t off,
                              std::span<const std::span<std::byte>> parts);
Result<std::size_t> data_write(Context& c, const Handle& handle, std::uint64_t off, Parts parts,
                               bool append, bool kill);
Status data_sync(Context& c, const Handle& handle, bool data_only);
Status data_allocate(Context& c, const Handle& handle, int mode, std::uint64_t off,
                     std::uint64_t len);
Result<std::uint64_t> data_seek(Context& c, const Handle& handle, std::uint64_t off, int whence);
Result<std::size_t> data_copy(Context& c, const Handle& from, std::uint64_t from_off,
                              const Handle& to, std::uint64_t to_off, std::size_t len);

// Holds the node's lock shared, with its extent map in DRAM where data lies in extents.
Result<std::shared_lock<std::shared_mutex>> lock_to_read(Context& c, Node& node);

}  // namespace pmemfs::core
