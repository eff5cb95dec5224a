// stat, chmod, chown, utimes, truncate.
#pragma once

#include "core/context.hpp"

namespace pmemfs::core {

// What stat shows. Lock: shared.
Result<Attributes> attributes(Context& c, Node& node, const InodeRecord& inode);

Result<Attributes> getattr(Context& c, InodeNo ino);
Result<Attributes> setattr(Context& c, const Caller& caller, InodeNo ino,
                           const AttributeChange& change);

// A read or listing: moves atime as relatime has it, when it is not newer than mtime and ctime or a
// day old. No locks held.
void touch_atime(Context& c, Node& node);

// What a write by another than the owner costs an inode: S_ISUID, S_ISGID when the group may
// execute, and its file capabilities. Returns true when `inode` changed and must be put.
// Lock: exclusive.
Result<bool> kill_privileges(store::Change& change, InodeRecord& inode);
// The same in a change of its own, when there is anything to kill. Lock: exclusive.
Status kill_privileges_now(Context& c, InodeRecord& inode);
[[nodiscard]] bool has_privileges(const InodeRecord& inode);

}  // namespace pmemfs::core
