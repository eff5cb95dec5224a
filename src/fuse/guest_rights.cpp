#include "fuse/guest_rights.hpp"

#include <cstdint>
#include <span>
#include <unordered_set>
#include <vector>

#include "store/acl.hpp"

namespace pmemfs::fuse {
namespace {

using store::AclEntry;
using store::AclTag;

// A mode or a list, with the mask applied to whom it applies. Nothing for a damaged list.
std::vector<AclEntry> entries_of(const Permissions& inode) {
  const auto bits = [&](unsigned shift) {
    return static_cast<std::uint16_t>((inode.mode >> shift) & 7U);
  };
  if (inode.acl.empty()) {
    return {{AclTag::kUserObj, bits(6)}, {AclTag::kGroupObj, bits(3)}, {AclTag::kOther, bits(0)}};
  }
  const auto acl = store::Acl::parse(inode.acl);
  if (!acl) {
    return {};
  }
  std::vector<AclEntry> entries(acl->entries().begin(), acl->entries().end());
  std::uint16_t mask = 7;
  for (const AclEntry& entry : entries) {
    mask = entry.tag == AclTag::kMask ? entry.perm : mask;
  }
  for (AclEntry& entry : entries) {
    const bool whole = entry.tag == AclTag::kUserObj || entry.tag == AclTag::kOther;
    entry.perm = whole ? entry.perm : entry.perm & mask;
  }
  return entries;
}

// The search of acl(5), "Access Check Algorithm", for all users of a guest at once: the first entry
// that fits a user is his, of the groups' one that suffices. `left`: how many are not yet
// found in an entry.
class Search {
 public:
  Search(const IdMap& ids, unsigned rights) : ids_(ids), rights_(rights), left_(ids.reach()) {}

  [[nodiscard]] bool grants(const AclEntry& entry) const {
    return (entry.perm & rights_) == rights_;
  }
  // Whether the entry, which is for `id` alone, gives somebody the rights.
  bool finds(const AclEntry& entry, std::uint32_t id) {
    if (!ids_.reaches(id)) {
      return false;
    }
    const bool first = seen_.insert(id).second;
    left_ -= first ? 1 : 0;
    return (first || entry.tag == AclTag::kGroup) && grants(entry);
  }
  [[nodiscard]] bool all_found() const { return left_ == 0; }

 private:
  const IdMap& ids_;
  unsigned rights_;
  std::uint64_t left_;
  std::unordered_set<std::uint32_t> seen_{};
};

}  // namespace

Result<Permissions> GuestRights::of(InodeNo dir, std::string_view name) const {
  PMEMFS_TRY(const Attributes attributes, fs_.lookup(dir, name));
  auto found = fs_.permissions(attributes.ino);
  fs_.forget(attributes.ino, 1);
  return found;
}

bool GuestRights::rules(const Permissions& inode) const {
  return uids_.reaches(inode.uid) && gids_.reaches(inode.gid);
}

bool GuestRights::may(const Permissions& inode, unsigned rights) const {
  if (rules(inode)) {
    return true;
  }
  Search users(uids_, rights);
  Search groups(gids_, rights);
  for (const AclEntry& entry : entries_of(inode)) {
    bool found = false;
    switch (entry.tag) {
      case AclTag::kUserObj:
        found = users.finds(entry, inode.uid);
        break;
      case AclTag::kUser:
        found = users.finds(entry, entry.id);
        break;
      case AclTag::kGroupObj:
        found = !users.all_found() && groups.finds(entry, inode.gid);
        break;
      case AclTag::kGroup:
        found = !users.all_found() && groups.finds(entry, entry.id);
        break;
      case AclTag::kMask:
        break;
      case AclTag::kOther:
        found = !users.all_found() && !groups.all_found() && groups.grants(entry);
        break;
    }
    if (found) {
      return true;
    }
  }
  return false;
}

bool GuestRights::may(InodeNo ino, unsigned rights) const {
  if (!limited()) {
    return true;
  }
  const auto inode = of(ino);
  return inode && may(*inode, rights);
}

}  // namespace pmemfs::fuse
