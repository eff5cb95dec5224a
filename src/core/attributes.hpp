// stat, chmod, chown, utimes, truncate.
#pragma once

#include "core/context.hpp"

namespace pmemfs::core {

// What stat shows. Lock: shared.
Result<Attributes> attributes(Context& c, Node& node, const InodeRecord& inode);

Result<Attributes> getattr(Context& c, InodeNo ino);
Result<Permissions> permissions(Context& c, InodeNo ino);
Result<Attributes> setattr(Context& c, const Caller& caller, InodeNo ino,
                           const AttributeChange& change);

// A read or listing: moves atime as relatime has it, when it is not newer than mtime and ctime or a
// day old. No locks held.
void touch_atime(Context& c, Node& node);

// Who writes to a file or gives it away, for what that costs the file.
enum class Killer : std::uint8_t {
  kMember,    // of the file's group, or root: S_ISGID stays where the group may not execute
  kStranger,  // to the file's group
};
// What a write or a change of owner costs an inode: S_ISUID, S_ISGID, and its file capabilities.
// Returns true when `inode` changed and must be put. Lock: exclusive.
Result<bool> kill_privileges(store::Change& change, InodeRecord& inode, Killer killer);
// The same by a kMember in a change of its own, when there is anything to kill. Lock: exclusive.
Status kill_privileges_now(Context& c, InodeRecord& inode);
[[nodiscard]] bool has_privileges(const InodeRecord& inode);

}  // namespace pmemfs::core
