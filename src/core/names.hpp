// Lookup, listing, links and removal of names.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "core/context.hpp"

namespace pmemfs::core {

Result<Attributes> lookup(Context& c, InodeNo dir, std::string_view name);
Status list(Context& c, InodeNo dir, std::uint64_t cookie, bool with_attributes,
            const ListSink& sink, bool touch);
Result<Attributes> link(Context& c, InodeNo ino, InodeNo dir, std::string_view name);
Status unlink(Context& c, InodeNo dir, std::string_view name);
// The same if `before` has nothing against it: called under the locks, it may change what is put
// when other links are left, such as the ctime.
using UnlinkStep = std::function<Status(Node& node, InodeRecord& inode)>;
Status unlink_if(Context& c, InodeNo dir, std::string_view name, const UnlinkStep& before);
Status rmdir(Context& c, InodeNo dir, std::string_view name);
Result<std::string> readlink(Context& c, InodeNo ino);

// ENAMETOOLONG, EINVAL (a slash or NUL, an empty name), EEXIST for "." and "..".
Status check_new_name(std::string_view name);

// A locked directory and the entry it holds under a name.
struct LockedEntry {
  Node* dir = nullptr;
  Node* child = nullptr;
  store::DirEntry entry{};
  InodeRecord dir_inode{};
  InodeRecord inode{};
};

// Locks `dir` and what `name` leads to, into `locks`. ENOENT.
Result<LockedEntry> lock_entry(Context& c, LockSet& locks, InodeNo dir, std::string_view name);

// Drops `links` links of a locked inode inside `change`: puts it, with the ctime that the caller
// has set, or frees it at once when nobody else holds it. Returns true when it was freed.
Result<bool> drop_link(Context& c, store::Change& change, Node& node, InodeRecord& inode,
                       std::uint32_t links);

// After the commit of a removal: what DRAM knows of the inode (still under the locks), and its host
// file (after they are gone).
void settle_removed(Context& c, Node& node, const InodeRecord& inode, bool freed);
void settle_host(Context& c, const InodeRecord& inode, bool freed);

// Before a transaction that replaces the last name of a synced inode: the incoming file's data and
// name are synced, and the flag goes into the same change. Lock: exclusive.
Status sync_before_replacing(Context& c, Node& incoming, InodeRecord& inode);

void touch_directory(InodeRecord& dir);  // mtime and ctime

}  // namespace pmemfs::core
