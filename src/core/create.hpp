// New inodes: mknod, mkdir, symlink, create, tmpfile.
#pragma once

#include <string_view>

#include "core/context.hpp"

namespace pmemfs::core {

Result<Attributes> mknod(Context& c, const Caller& caller, InodeNo dir, std::string_view name,
                         std::uint32_t mode, std::uint32_t rdev);
Result<Attributes> mkdir(Context& c, const Caller& caller, InodeNo dir, std::string_view name,
                         std::uint32_t mode);
Result<Attributes> symlink(Context& c, const Caller& caller, InodeNo dir, std::string_view name,
                           std::string_view target);
Result<Created> create(Context& c, const Caller& caller, InodeNo dir, std::string_view name,
                       std::uint32_t mode, int flags, Reach reach);
Result<Created> tmpfile(Context& c, const Caller& caller, InodeNo dir, std::uint32_t mode,
                        int flags, Reach reach);

// The record of a new inode, numbered in `change`, not yet put: owner, mode, times.
Result<InodeRecord> new_inode(Context& c, store::Change& change, const Caller& caller,
                              std::uint32_t mode);

}  // namespace pmemfs::core
