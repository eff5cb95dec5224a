#include "core/xattrs.hpp"

#include <mutex>

#include "core/durable.hpp"
#include "store/acl.hpp"
#include "store/xattr.hpp"

namespace pmemfs::core {

namespace {

using store::Acl;
using store::kAclAccess;
using store::kAclDefault;

enum class Kind : std::uint8_t { kPlain, kAcl, kNameless, kUnsupported };

Kind kind_of(std::string_view name) {
  if (name == kAclAccess || name == kAclDefault) {
    return Kind::kAcl;
  }
  for (const std::string_view space : {"user.", "trusted.", "security."}) {
    if (name.starts_with(space)) {
      return name.size() > space.size() ? Kind::kPlain : Kind::kNameless;
    }
  }
  return Kind::kUnsupported;
}

// EINVAL for a namespace without a name, as local filesystems; EOPNOTSUPP without a namespace.
Status check(Kind kind) {
  if (kind == Kind::kNameless) {
    return Error(EINVAL);
  }
  return kind == Kind::kUnsupported ? Status(Error(EOPNOTSUPP)) : Status();
}

// A list that says no more than mode bits is not stored. Lock: exclusive.
Status put_acl(store::Change& change, InodeRecord& inode, std::string_view name,
               std::span<const std::byte> value, bool kill_sgid) {
  PMEMFS_TRY(const Acl acl, Acl::parse(value));
  const bool empty = acl.serialize().size() <= sizeof(std::uint32_t);
  const bool access = name == kAclAccess;
  if (!access && !is_directory(inode)) {
    return empty ? Status() : Status(Error(EACCES));
  }
  if (access && !empty) {
    inode.mode.store((inode.mode.load() & ~0777U) | acl.mode_bits());
    if (kill_sgid) {
      inode.mode.store(inode.mode.load() & ~static_cast<std::uint32_t>(S_ISGID));
    }
  }
  if (empty || (access && acl.minimal())) {
    const Status removed = store::remove_xattr(change, inode, name);
    return removed.code() == ENODATA ? Status() : removed;
  }
  return store::set_xattr(change, inode, name, value, 0);
}

Status commit_changed(store::Change& change, InodeRecord& inode) {
  store::set_ctime(inode, now());
  change.put_inode(inode);
  return change.commit();
}

}  // namespace

Result<std::vector<std::byte>> getxattr(Context& c, InodeNo ino, std::string_view name,
                                        const Asker& asker) {
  if (const OwnName own = own_name(name); own != OwnName::kNone) {
    PMEMFS_TRY(const std::string text, own_value(c, ino, own, asker));
    const auto bytes = std::as_bytes(std::span(text));
    return std::vector<std::byte>(bytes.begin(), bytes.end());
  }
  PMEMFS_CHECK(check(kind_of(name)));
  const NodeRef node = c.nodes.get(ino);
  const std::shared_lock lock(node->lock);
  PMEMFS_TRY(const InodeRecord inode, read_inode(c, *node));
  if (inode.xattrs.load() == 0) {
    return Error(ENODATA);
  }
  return store::get_xattr(*c.store, inode, name);
}

Result<std::vector<std::string>> listxattr(Context& c, const Caller& caller, InodeNo ino) {
  const NodeRef node = c.nodes.get(ino);
  const std::shared_lock lock(node->lock);
  PMEMFS_TRY(const InodeRecord inode, read_inode(c, *node));
  PMEMFS_TRY(std::vector<std::string> names, store::list_xattrs(*c.store, inode));
  if (caller.uid != 0) {
    std::erase_if(names, [](const std::string& name) { return name.starts_with("trusted."); });
  }
  return names;
}

Status setxattr(Context& c, const Caller& caller, InodeNo ino, std::string_view name,
                std::span<const std::byte> value, int flags, bool kill_sgid) {
  const OwnName own = own_name(name);
  if (own == OwnName::kDurable) {
    return set_durable(c, caller, ino, value, flags);
  }
  if (own != OwnName::kNone) {
    return Error(EOPNOTSUPP);
  }
  if (c.read_only()) {
    return Error(EROFS);
  }
  const Kind kind = kind_of(name);
  PMEMFS_CHECK(check(kind));
  const NodeRef node = c.nodes.get(ino);
  const std::unique_lock lock(node->lock);
  PMEMFS_TRY(InodeRecord inode, read_inode(c, *node));
  store::Change change(*c.store);
  PMEMFS_CHECK(kind == Kind::kAcl ? put_acl(change, inode, name, value, kill_sgid)
                                  : store::set_xattr(change, inode, name, value, flags));
  return commit_changed(change, inode);
}

Status removexattr(Context& c, const Caller& caller, InodeNo ino, std::string_view name) {
  const OwnName own = own_name(name);
  if (own == OwnName::kDurable) {
    return clear_durable(c, caller, ino);
  }
  if (own != OwnName::kNone) {
    return Error(EOPNOTSUPP);
  }
  if (c.read_only()) {
    return Error(EROFS);
  }
  const Kind kind = kind_of(name);
  PMEMFS_CHECK(check(kind));
  const NodeRef node = c.nodes.get(ino);
  const std::unique_lock lock(node->lock);
  PMEMFS_TRY(InodeRecord inode, read_inode(c, *node));
  store::Change change(*c.store);
  const Status removed = store::remove_xattr(change, inode, name);
  if (removed.code() == ENODATA && kind == Kind::kAcl) {
    return {};  // as local filesystems
  }
  PMEMFS_CHECK(removed);
  return commit_changed(change, inode);
}

}  // namespace pmemfs::core
