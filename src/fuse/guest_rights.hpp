// What a guest may do whose users are not the filesystem's.
#pragma once

#include <cstdint>

#include "fuse/id_map.hpp"
#include "pmemfs/filesystem.hpp"

namespace pmemfs::fuse {

// As bits of a mode.
enum Right : std::uint16_t { kSearch = 1, kWrite = 2, kRead = 4 };

// A guest's kernel decides what its users may do among each other; all that need be decided here is
// what the guest may do to the files of others, since it can say to be any of its users. So a right
// is there when some user of the guest has it, as the filesystem counts users. Over what belongs
// to its users *and* groups the guest has all of them, as a root of user namespaces has
// (user_namespaces(7)). Thread-safe.
class GuestRights {
 public:
  // All three outlive it.
  GuestRights(Filesystem& fs, const IdMap& uids, const IdMap& gids)
      : fs_(fs), uids_(uids), gids_(gids) {}

  // False: the guest's users are the filesystem's, its root is root, and nothing need be asked.
  [[nodiscard]] bool limited() const { return !uids_.identity() || !gids_.identity(); }

  [[nodiscard]] Result<Permissions> of(InodeNo ino) const { return fs_.permissions(ino); }
  [[nodiscard]] Result<Permissions> of(InodeNo dir, std::string_view name) const;

  // Rights as a sum of Right, all of which one user has. Inodes that cannot be read give none.
  [[nodiscard]] bool may(const Permissions& inode, unsigned rights) const;
  [[nodiscard]] bool may(InodeNo ino, unsigned rights) const;
  [[nodiscard]] bool owns(const Permissions& inode) const { return uids_.reaches(inode.uid); }
  [[nodiscard]] bool rules(const Permissions& inode) const;
  // Some user of the guest is in the file's group.
  [[nodiscard]] bool member(const Permissions& inode) const { return gids_.reaches(inode.gid); }

  // A guest that maps a file can store there, whatever it was asked for: see WindowHooks.
  [[nodiscard]] bool may_map(InodeNo ino) const { return may(ino, kRead | kWrite); }

 private:
  Filesystem& fs_;
  const IdMap& uids_;
  const IdMap& gids_;
};

}  // namespace pmemfs::fuse
