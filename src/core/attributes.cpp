#include "core/attributes.hpp"

#include <algorithm>
#include <mutex>
#include <optional>
#include <shared_mutex>

#include "core/backing_data.hpp"
#include "core/data.hpp"
#include "core/frames.hpp"
#include "core/gate.hpp"
#include "core/windows.hpp"
#include "store/acl.hpp"
#include "store/xattr.hpp"

namespace pmemfs::core {

namespace {

using store::Acl;
using store::kAclAccess;

constexpr std::uint32_t kPermissions = 07777;
constexpr std::string_view kCapability = "security.capability";

// Times of a file whose data the host keeps: the host's, unless they were set explicitly and the
// host has not touched them since.
void apply_host(Attributes& a, const InodeRecord& inode, const HostStat& host) {
  const auto seen = [](std::uint64_t sec, std::uint32_t nsec) {
    return Timestamp{static_cast<std::int64_t>(sec), nsec};
  };
  a.size = host.size;
  a.blocks = host.blocks;
  const bool keep_mtime =
      has_flag(inode, format::kInodeMtimeSet) &&
      seen(inode.host_mtime_sec.load(), inode.host_mtime_nsec.load()) == host.mtime;
  const bool keep_atime =
      has_flag(inode, format::kInodeAtimeSet) &&
      seen(inode.host_atime_sec.load(), inode.host_atime_nsec.load()) == host.atime;
  if (!keep_mtime) {
    a.mtime = host.mtime;
  }
  if (!keep_atime) {
    a.atime = host.atime;
  }
  a.ctime = std::max(a.ctime, host.ctime);
}

Attributes from_record(const InodeRecord& inode) {
  Attributes a;
  a.ino = InodeNo(inode.ino.load());
  a.generation = inode.generation.load();
  a.size = inode.size.load();
  a.blocks = inode.data_blocks.load() * (format::kBlockSize / 512);
  a.mode = inode.mode.load();
  a.nlink = inode.nlink.load();
  a.uid = inode.uid.load();
  a.gid = inode.gid.load();
  a.rdev = inode.rdev.load();
  a.atime = store::atime(inode);
  a.mtime = store::mtime(inode);
  a.ctime = store::ctime(inode);
  a.btime = store::btime(inode);
  a.durable = is_durable(inode);
  a.stable = true;
  return a;
}

void set_owner(InodeRecord& inode, const AttributeChange& change) {
  if (change.uid) {
    inode.uid.store(*change.uid);
  }
  if (change.gid) {
    inode.gid.store(*change.gid);
  }
}

Status set_mode(store::Change& tx, InodeRecord& inode, std::uint32_t mode) {
  inode.mode.store((inode.mode.load() & S_IFMT) | (mode & kPermissions));
  if (inode.xattrs.load() == 0) {
    return {};
  }
  auto stored = store::get_xattr(tx.store(), inode, kAclAccess);
  if (stored.code() == ENODATA) {
    return {};
  }
  if (!stored) {
    return stored.error();
  }
  PMEMFS_TRY(Acl acl, Acl::parse(*stored));
  acl.apply_mode(mode);
  return store::set_xattr(tx, inode, kAclAccess, acl.serialize(), 0);
}

[[nodiscard]] bool touches(const AttributeChange& change) {
  return change.atime_now || change.mtime_now;
}

// utimes: the region keeps the value, together with the host's time of this moment.
void set_times(InodeRecord& inode, const AttributeChange& change, const HostStat* host) {
  const Timestamp present = touches(change) ? file_time() : Timestamp();
  if (change.atime || change.atime_now) {
    store::set_atime(inode, change.atime_now ? present : *change.atime);
    set_flag(inode, format::kInodeAtimeSet, host != nullptr);
    if (host != nullptr) {
      inode.host_atime_sec.store(static_cast<std::uint64_t>(host->atime.sec));
      inode.host_atime_nsec.store(host->atime.nsec);
    }
  }
  if (change.mtime || change.mtime_now) {
    store::set_mtime(inode, change.mtime_now ? present : *change.mtime);
    set_flag(inode, format::kInodeMtimeSet, host != nullptr);
    if (host != nullptr) {
      inode.host_mtime_sec.store(static_cast<std::uint64_t>(host->mtime.sec));
      inode.host_mtime_nsec.store(host->mtime.nsec);
    }
  }
}

[[nodiscard]] bool sets_times(const AttributeChange& change) {
  return change.atime || change.mtime || change.atime_now || change.mtime_now;
}

Status change_size(Context& c, Node& node, InodeRecord& inode, std::uint64_t size) {
  if (is_directory(inode)) {
    return Error(EISDIR);
  }
  if (!is_regular(inode)) {
    return Error(EINVAL);
  }
  return data_resize(c, node, inode, size);
}

Status change_record(Context& c, Node& node, InodeRecord& inode, const AttributeChange& change,
                     Killer killer) {
  store::Change tx(*c.store);
  const bool owner_changes = change.uid || change.gid;
  const bool kills = change.kill_suid_sgid || change.write_kill || owner_changes;
  set_owner(inode, change);
  if (kills && !is_directory(inode)) {
    PMEMFS_CHECK(kill_privileges(tx, inode, killer));
  }
  if (change.mode) {
    PMEMFS_CHECK(set_mode(tx, inode, *change.mode));
  }
  if (sets_times(change)) {
    const bool on_host = is_regular(inode) && c.has_backing();
    HostStat host;
    if (on_host) {
      PMEMFS_TRY(host,
                 backing_data::stat_to_compare(c, node, inode, change.atime || change.atime_now,
                                               change.mtime || change.mtime_now));
    }
    set_times(inode, change, on_host ? &host : nullptr);
  }
  store::set_ctime(inode, change.ctime.value_or(touches(change) ? file_time() : now()));
  tx.put_inode(inode);
  return tx.commit();
}

// Supplementary groups are not known here: their members count as strangers.
Killer killer_of(const InodeRecord& inode, const Caller& caller) {
  const bool member = caller.uid == 0 || caller.gid == inode.gid.load();
  return member ? Killer::kMember : Killer::kStranger;
}

std::uint32_t killed_bits(std::uint32_t mode, Killer killer) {
  const bool sgid = killer == Killer::kStranger || (mode & S_IXGRP) != 0;
  return mode & static_cast<std::uint32_t>(S_ISUID | (sgid ? S_ISGID : 0));
}

// With no handle open for writing, the kernel's empty SETATTR comes from chown(-1, -1), for which
// it asks no right: only the owner and root may take set-id bits away by that.
bool strips_what_is_not_theirs(const Node& node, const InodeRecord& inode, const Caller& caller,
                               const AttributeChange& change) {
  const bool set_id = killed_bits(inode.mode.load(), killer_of(inode, caller)) != 0;
  const bool chown_of_nothing = change.write_kill && node.writers == 0;
  return set_id && chown_of_nothing && !is_directory(inode) && caller.uid != 0 &&
         caller.uid != inode.uid.load();
}

}  // namespace

Result<Attributes> attributes(Context& c, Node& node, const InodeRecord& inode) {
  Attributes a = from_record(inode);
  if (!is_regular(inode) || !c.has_backing()) {
    return a;
  }
  PMEMFS_TRY(const HostStat host, backing_data::stat(c, node, inode));
  apply_host(a, inode, host);
  a.stable = proven_unmapped(c, node, inode);
  return a;
}

Result<Attributes> getattr(Context& c, InodeNo ino) {
  const NodeRef node = c.nodes.get(ino);
  const std::shared_lock lock(node->lock);
  PMEMFS_TRY(const InodeRecord inode, read_inode(c, *node));
  return attributes(c, *node, inode);
}

Result<Permissions> permissions(Context& c, InodeNo ino) {
  const NodeRef node = c.nodes.get(ino);
  const std::shared_lock lock(node->lock);
  PMEMFS_TRY(const InodeRecord inode, read_inode(c, *node));
  Permissions found{inode.mode.load(), inode.uid.load(), inode.gid.load(), {}};
  if (inode.xattrs.load() == 0) {
    return found;
  }
  auto acl = store::get_xattr(*c.store, inode, kAclAccess);
  if (acl) {
    found.acl = std::move(*acl);
  } else if (acl.code() != ENODATA) {
    return acl.error();
  }
  return found;
}

Result<Attributes> setattr(Context& c, const Caller& caller, InodeNo ino,
                           const AttributeChange& change) {
  if (c.read_only()) {
    return Error(EROFS);
  }
  const NodeRef node = c.nodes.get(ino);
  std::optional<Cut> cut;
  if (change.size) {
    make_frames_before_growth(c, *node, *change.size);
    cut.emplace(c, ino, *change.size);
  }
  const std::unique_lock lock(node->lock);
  PMEMFS_TRY(InodeRecord inode, read_inode(c, *node));
  if (strips_what_is_not_theirs(*node, inode, caller, change)) {
    return Error(EPERM);
  }
  if (change.size) {
    PMEMFS_CHECK(change_size(c, *node, inode, *change.size));
  }
  const bool more = change.mode || change.uid || change.gid || sets_times(change) || change.ctime ||
                    change.write_kill || (change.kill_suid_sgid && has_privileges(inode));
  if (more) {
    PMEMFS_CHECK(change_record(c, *node, inode, change, killer_of(inode, caller)));
  }
  return attributes(c, *node, inode);
}

void touch_atime(Context& c, Node& node) {
  if (c.read_only() || !c.options.update_atime) {
    return;
  }
  const auto is_old = [](const InodeRecord& inode, Timestamp present) {
    constexpr std::int64_t kDay = std::int64_t{24} * 60 * 60;
    const Timestamp seen = store::atime(inode);
    return seen <= store::mtime(inode) || seen <= store::ctime(inode) ||
           present.sec - seen.sec >= kDay;
  };
  const Timestamp present = now();
  {
    const std::shared_lock lock(node.lock);
    const auto inode = read_inode(c, node);
    if (!inode || !is_old(*inode, present)) {
      return;
    }
  }
  const std::unique_lock lock(node.lock);
  auto inode = read_inode(c, node);
  if (!inode || !is_old(*inode, present)) {
    return;
  }
  store::set_atime(*inode, present);
  (void)commit_inode(c, *inode);
}

bool has_privileges(const InodeRecord& inode) {
  const std::uint32_t mode = inode.mode.load();
  return (mode & (S_ISUID | S_ISGID)) != 0 || inode.xattrs.load() != 0;
}

Result<bool> kill_privileges(store::Change& change, InodeRecord& inode, Killer killer) {
  const std::uint32_t mode = inode.mode.load();
  const std::uint32_t kept = mode & ~killed_bits(mode, killer);
  inode.mode.store(kept);
  bool changed = kept != mode;
  if (inode.xattrs.load() != 0) {
    const Status removed = store::remove_xattr(change, inode, kCapability);
    if (!removed && removed.code() != ENODATA) {
      return removed.error();
    }
    changed = changed || removed.ok();
  }
  return changed;
}

Status kill_privileges_now(Context& c, InodeRecord& inode) {
  if (!has_privileges(inode)) {
    return {};
  }
  store::Change change(*c.store);
  PMEMFS_TRY(const bool changed, kill_privileges(change, inode, Killer::kMember));
  if (!changed) {
    return {};
  }
  store::set_ctime(inode, now());
  change.put_inode(inode);
  return change.commit();
}

}  // namespace pmemfs::core
