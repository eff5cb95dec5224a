#include "core/create.hpp"

#include <dirent.h>
#include <fcntl.h>

#include <cstring>
#include <mutex>
#include <optional>

#include "core/attributes.hpp"
#include "core/backing_data.hpp"
#include "core/directories.hpp"
#include "core/files.hpp"
#include "core/names.hpp"
#include "store/acl.hpp"
#include "store/blob.hpp"
#include "store/xattr.hpp"

namespace pmemfs::core {

namespace {

using store::Acl;
using store::kAclAccess;
using store::kAclDefault;

// What is to be made.
struct Wanted {
  std::uint32_t mode = 0;
  std::uint32_t rdev = 0;
  std::string_view target = {};  // symlinks
  std::string_view name = {};    // empty: no name (tmpfile)
  bool synced = false;           // O_SYNC, O_DSYNC: the host knows the file before the reply
};

// What was made, under its lock.
struct Made {
  NodeRef node;
  InodeRecord inode{};
  Attributes described;
  bool inserted = false;  // the directory's index is ahead of the media until the commit
};

Result<std::optional<Acl>> default_acl(Context& c, const InodeRecord& dir) {
  if (dir.xattrs.load() == 0) {
    return std::optional<Acl>();
  }
  auto stored = store::get_xattr(*c.store, dir, kAclDefault);
  if (stored.code() == ENODATA) {
    return std::optional<Acl>();
  }
  if (!stored) {
    return stored.error();
  }
  PMEMFS_TRY(Acl acl, Acl::parse(*stored));
  return std::optional(std::move(acl));
}

// Owner, group, mode and lists as the parent's rules say; umask only where no default list is.
Status inherit(Context& c, store::Change& change, const Caller& caller, const InodeRecord& dir,
               InodeRecord& inode) {
  const std::uint32_t type = inode.mode.load() & S_IFMT;
  std::uint32_t bits = inode.mode.load() & 07777U;
  if ((dir.mode.load() & S_ISGID) != 0) {
    inode.gid.store(dir.gid.load());
    if (S_ISDIR(type)) {
      bits |= S_ISGID;
    }
  }
  if (S_ISLNK(type)) {
    return {};
  }
  PMEMFS_TRY(std::optional<Acl> acl, default_acl(c, dir));
  if (!acl) {
    inode.mode.store(type | (bits & ~(caller.umask & 0777U)));
    return {};
  }
  if (S_ISDIR(type)) {
    PMEMFS_CHECK(store::set_xattr(change, inode, kAclDefault, acl->serialize(), 0));
  }
  bits = (bits & ~0777U) | acl->inherit(bits & 0777U);
  inode.mode.store(type | bits);
  if (acl->minimal()) {
    return {};
  }
  return store::set_xattr(change, inode, kAclAccess, acl->serialize(), 0);
}

Status set_target(store::Change& change, InodeRecord& inode, std::string_view target) {
  inode.size.store(target.size());
  if (target.size() <= format::kInlineTarget) {
    std::memcpy(inode.target, target.data(), target.size());
    set_flag(inode, format::kInodeInlineTarget, true);
    return {};
  }
  const auto bytes = std::as_bytes(std::span(target));
  PMEMFS_TRY(const BlockNo first,
             store::write_blob(change, InodeNo(inode.ino.load()), inode.generation.load(), bytes));
  inode.data.store(first.value);
  return {};
}

// The host file of a new regular file. Synced with its directory where the inode says so.
Status make_host_file(Context& c, Node& node, InodeRecord& inode, bool synced,
                      backing_data::NewFile& file) {
  const BackingName name = backing_name(inode);
  PMEMFS_TRY(node.fd, file.create(name));
  if (!synced) {
    return {};
  }
  const int fd = node.fd.get();
  if (is_durable(inode)) {
    c.backing->set_nodefrag(fd, true);
  }
  PMEMFS_CHECK(c.backing->sync_file(fd));
  PMEMFS_CHECK(c.backing->sync_parent(name));
  set_flag(inode, format::kInodeSynced, true);
  return {};
}

Status link_in(store::Change& change, Node& dir, InodeRecord& dir_inode, const Wanted& wanted,
               Made& made) {
  InodeRecord& inode = made.inode;
  if (wanted.name.empty()) {
    inode.nlink.store(0);
    return {};
  }
  const InodeNo ino(inode.ino.load());
  if (is_directory(inode)) {
    inode.nlink.store(2);
    inode.parent.store(dir.ino.value);
    dir_inode.nlink.store(dir_inode.nlink.load() + 1);
  }
  PMEMFS_CHECK(dir.directory->insert(change, dir_inode, wanted.name, ino,
                                     static_cast<std::uint8_t>(IFTODT(inode.mode.load()))));
  made.inserted = true;
  touch_directory(dir_inode);
  change.put_inode(dir_inode);
  return {};
}

// Fills `made.inode` and the change. Locks: the directory's and the new node's, exclusive.
Status build(Context& c, store::Change& change, const Caller& caller, Node& dir,
             InodeRecord& dir_inode, const Wanted& wanted, Made& made,
             backing_data::NewFile& file) {
  InodeRecord& inode = made.inode;
  PMEMFS_CHECK(inherit(c, change, caller, dir_inode, inode));
  inode.rdev.store(wanted.rdev);
  if (S_ISLNK(wanted.mode)) {
    PMEMFS_CHECK(set_target(change, inode, wanted.target));
  }
  const bool inherits = is_durable(dir_inode) && (is_regular(inode) || is_directory(inode));
  set_flag(inode, format::kInodeDurable, inherits);
  if (is_regular(inode) && c.has_backing()) {
    PMEMFS_CHECK(make_host_file(c, *made.node, inode, wanted.synced || inherits, file));
  }
  PMEMFS_CHECK(link_in(change, dir, dir_inode, wanted, made));
  change.put_inode(inode);
  // Before the commit, since the host may fail: what is there was not refused.
  PMEMFS_TRY(made.described, attributes(c, *made.node, inode));
  return {};
}

// Makes the inode and its name in one change; returns it with its node locked.
Result<Made> make(Context& c, const Caller& caller, InodeNo dir_ino, const Wanted& wanted,
                  std::unique_lock<std::shared_mutex>& node_lock) {
  if (c.read_only()) {
    return Error(EROFS);
  }
  if (!wanted.name.empty()) {
    PMEMFS_CHECK(check_new_name(wanted.name));
  }
  const NodeRef dir = c.nodes.get(dir_ino);
  const std::unique_lock dir_lock(dir->lock);
  PMEMFS_TRY(InodeRecord dir_inode, open_directory(c, *dir));
  if (!wanted.name.empty()) {
    const auto found = dir->directory->find(wanted.name);
    if (found) {
      return Error(EEXIST);
    }
    if (found.code() != ENOENT) {
      return found.error();
    }
  }
  backing_data::NewFile file(c);
  store::Change change(*c.store);
  Made made;
  PMEMFS_TRY(made.inode, new_inode(c, change, caller, wanted.mode));
  made.node = c.nodes.get(InodeNo(made.inode.ino.load()));
  node_lock = std::unique_lock(made.node->lock);
  const std::size_t before = dir->directory->memory_bytes();
  Status done = build(c, change, caller, *dir, dir_inode, wanted, made, file);
  if (done) {
    done = change.commit();
  }
  if (!done) {
    made.node->fd.reset();
    node_lock.unlock();
    if (made.inserted) {
      discard_index(c, *dir);
    }
    return done.error();
  }
  file.keep();
  index_changed(c, *dir, before);
  made.node->unlinked = wanted.name.empty();
  if (is_regular(made.inode) && c.has_backing() && !has_flag(made.inode, format::kInodeSynced)) {
    const std::lock_guard unsynced(c.unsynced_mutex);
    c.unsynced.push_back(backing_name(made.inode));
  }
  return made;
}

Result<Attributes> make_and_describe(Context& c, const Caller& caller, InodeNo dir,
                                     const Wanted& wanted) {
  std::unique_lock<std::shared_mutex> lock;
  auto made = make(c, caller, dir, wanted, lock);
  if (!made) {
    return made.error();
  }
  Node& node = *made->node;
  node.fd.reset();
  c.nodes.add_lookup(node);
  lock.unlock();  // before the pin goes
  return made->described;
}

Result<Created> make_and_open(Context& c, const Caller& caller, InodeNo dir, const Wanted& wanted,
                              int flags, Reach reach) {
  std::unique_lock<std::shared_mutex> lock;
  auto made = make(c, caller, dir, wanted, lock);
  if (!made) {
    return made.error();
  }
  Node& node = *made->node;
  const InodeRecord inode = made->inode;
  c.nodes.add_lookup(node);
  Created created{made->described, {}};
  created.opened = add_handle(c, std::move(made->node), inode, flags, reach);
  created.attributes.stable = created.attributes.stable && node.writers == 0;
  lock.unlock();
  return created;
}

bool wants_sync(int flags) {
  return (flags & (O_SYNC | O_DSYNC)) != 0;
}

}  // namespace

Result<InodeRecord> new_inode(Context& c, store::Change& change, const Caller& caller,
                              std::uint32_t mode) {
  PMEMFS_TRY(const InodeNo ino, change.allocate_inode());
  PMEMFS_TRY(const std::uint64_t generation, c.store->next_generation());
  InodeRecord inode{};
  inode.ino.store(ino.value);
  inode.generation.store(generation);
  inode.mode.store(mode);
  inode.uid.store(caller.uid);
  inode.gid.store(caller.gid);
  inode.nlink.store(1);
  const Timestamp t = now();
  store::set_atime(inode, t);
  store::set_mtime(inode, t);
  store::set_ctime(inode, t);
  store::set_btime(inode, t);
  return inode;
}

Result<Attributes> mknod(Context& c, const Caller& caller, InodeNo dir, std::string_view name,
                         std::uint32_t mode, std::uint32_t rdev) {
  if ((mode & S_IFMT) == 0) {
    mode |= S_IFREG;
  }
  if (S_ISDIR(mode) || S_ISLNK(mode)) {
    return Error(EINVAL);
  }
  const bool device = S_ISCHR(mode) || S_ISBLK(mode);
  return make_and_describe(c, caller, dir, {.mode = mode, .rdev = device ? rdev : 0, .name = name});
}

Result<Attributes> mkdir(Context& c, const Caller& caller, InodeNo dir, std::string_view name,
                         std::uint32_t mode) {
  return make_and_describe(c, caller, dir, {.mode = S_IFDIR | (mode & 07777U), .name = name});
}

Result<Attributes> symlink(Context& c, const Caller& caller, InodeNo dir, std::string_view name,
                           std::string_view target) {
  if (target.empty()) {
    return Error(ENOENT);
  }
  if (target.size() > format::kMaxSymlink) {
    return Error(ENAMETOOLONG);
  }
  return make_and_describe(c, caller, dir,
                           {.mode = S_IFLNK | 0777U, .target = target, .name = name});
}

Result<Created> create(Context& c, const Caller& caller, InodeNo dir, std::string_view name,
                       std::uint32_t mode, int flags, Reach reach) {
  const std::uint32_t regular = S_IFREG | (mode & 07777U);
  return make_and_open(c, caller, dir, {.mode = regular, .name = name, .synced = wants_sync(flags)},
                       flags, reach);
}

Result<Created> tmpfile(Context& c, const Caller& caller, InodeNo dir, std::uint32_t mode,
                        int flags, Reach reach) {
  const std::uint32_t regular = S_IFREG | (mode & 07777U);
  return make_and_open(c, caller, dir, {.mode = regular, .synced = wants_sync(flags)}, flags,
                       reach);
}

}  // namespace pmemfs::core
