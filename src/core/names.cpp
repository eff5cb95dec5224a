#include "core/names.hpp"

#include <dirent.h>

#include <array>
#include <mutex>

#include "core/attributes.hpp"
#include "core/backing_data.hpp"
#include "core/directories.hpp"
#include "core/gate.hpp"
#include "core/reap.hpp"
#include "store/blob.hpp"

namespace pmemfs::core {

namespace {

// By number, as for a file handle. An inode without a name is stale even before its last holder is
// gone: the kernel, which asks for none that it knows itself, may not have told of its going yet.
Result<Attributes> lookup_self(Context& c, InodeNo ino) {
  NodeRef node = c.nodes.get(ino);
  const std::shared_lock lock(node->lock);
  PMEMFS_TRY(const InodeRecord inode, read_inode(c, *node));
  if (inode.nlink.load() == 0) {
    return Error(ENOENT);
  }
  PMEMFS_TRY(const Attributes found, attributes(c, *node, inode));
  c.nodes.add_lookup(*node);
  return found;
}

Result<InodeNo> parent_of(Context& c, InodeNo dir) {
  const NodeRef node = c.nodes.get(dir);
  const std::shared_lock lock(node->lock);
  PMEMFS_TRY(const InodeRecord inode, read_inode(c, *node));
  if (!is_directory(inode)) {
    return Error(ENOTDIR);
  }
  return InodeNo(inode.parent.load());
}

// Pins the child under the directory's lock, so that its number stays the same file.
Result<NodeRef> find_child(Context& c, InodeNo dir, std::string_view name) {
  const NodeRef node = c.nodes.get(dir);
  PMEMFS_TRY(const auto lock, lock_directory(c, *node));
  PMEMFS_TRY(const store::DirEntry entry, node->directory->find(name));
  return c.nodes.get(entry.ino);
}

}  // namespace

Result<Attributes> lookup(Context& c, InodeNo dir, std::string_view name) {
  if (name.size() > format::kMaxName) {
    return Error(ENAMETOOLONG);
  }
  if (name == ".") {
    return lookup_self(c, dir);
  }
  if (name == "..") {
    PMEMFS_TRY(const InodeNo parent, parent_of(c, dir));
    return lookup_self(c, parent);
  }
  PMEMFS_TRY(const NodeRef child, find_child(c, dir, name));
  const std::shared_lock lock(child->lock);
  PMEMFS_TRY(const InodeRecord inode, read_inode(c, *child));
  if (inode.nlink.load() == 0) {
    return Error(ENOENT);
  }
  PMEMFS_TRY(const Attributes found, attributes(c, *child, inode));
  c.nodes.add_lookup(*child);
  return found;
}

Status check_new_name(std::string_view name) {
  if (name.size() > format::kMaxName) {
    return Error(ENAMETOOLONG);
  }
  if (name == "." || name == "..") {
    return Error(EEXIST);
  }
  if (name.empty() || name.find('/') != std::string_view::npos ||
      name.find('\0') != std::string_view::npos) {
    return Error(EINVAL);
  }
  return {};
}

void touch_directory(InodeRecord& dir) {
  const Timestamp t = now();
  store::set_mtime(dir, t);
  store::set_ctime(dir, t);
}

// Finds the entry under the directory's lock.
static Status read_entry(Context& c, LockedEntry& e, std::string_view name, NodeRef* child) {
  PMEMFS_TRY(e.dir_inode, open_directory(c, *e.dir));
  PMEMFS_TRY(e.entry, e.dir->directory->find(name));
  *child = c.nodes.get(e.entry.ino);
  e.child = child->get();
  return {};
}

Result<LockedEntry> lock_entry(Context& c, LockSet& locks, InodeNo dir, std::string_view name) {
  for (;;) {
    locks.clear();
    LockedEntry e;
    NodeRef dir_ref = c.nodes.get(dir);
    e.dir = dir_ref.get();
    locks.add(std::move(dir_ref));
    locks.lock();
    NodeRef child;
    PMEMFS_CHECK(read_entry(c, e, name, &child));
    if (!locks.try_add(std::move(child))) {
      const Node* expected = e.child;
      locks.relock();
      NodeRef again;
      const Status found = read_entry(c, e, name, &again);
      if (!found) {
        return found.error();
      }
      if (e.child != expected) {
        locks.unlock();  // before `again` lets go of its pin
        continue;
      }
    }
    PMEMFS_TRY(e.inode, read_inode(c, *e.child));
    return e;
  }
}

Result<bool> drop_link(Context& c, store::Change& change, Node& node, InodeRecord& inode,
                       std::uint32_t links) {
  inode.nlink.store(inode.nlink.load() - std::min(links, inode.nlink.load()));
  // What a machine maps goes later, though nobody else knows the file any more: reap().
  if (inode.nlink.load() == 0 && c.nodes.held_by_caller_alone(node) && !exported(c, inode)) {
    PMEMFS_CHECK(free_everything(change, inode));
    return true;
  }
  change.put_inode(inode);
  return false;
}

void settle_removed(Context& c, Node& node, const InodeRecord& inode, bool freed) {
  if (freed) {
    discard_index(c, node);
    node.extents.reset();
    node.fd.reset();
    node.maybe_stored = false;
    node.proven = false;
  } else if (inode.nlink.load() == 0) {
    node.unlinked = true;
  }
}

void settle_host(Context& c, const InodeRecord& inode, bool freed) {
  if (freed) {
    drop_host_file(c, inode);
  } else if (is_regular(inode) && inode.nlink.load() == 0 && c.has_backing()) {
    c.hooks.backing_unneeded(InodeNo(inode.ino.load()));
  }
}

// Takes the name and `links` links off; a directory also takes one link of its parent. The ctime of
// what is left is the caller's.
static Status remove_entry(Context& c, LockSet& locks, LockedEntry& e, std::uint32_t links) {
  store::Change change(*c.store);
  const std::size_t before = e.dir->directory->memory_bytes();
  PMEMFS_CHECK(e.dir->directory->remove(change, e.dir_inode, e.entry));
  touch_directory(e.dir_inode);
  if (is_directory(e.inode)) {
    e.dir_inode.nlink.store(e.dir_inode.nlink.load() - 1);
  }
  change.put_inode(e.dir_inode);
  auto freed = drop_link(c, change, *e.child, e.inode, links);
  const Status done = freed ? change.commit() : Status(freed.error());
  if (!done) {
    discard_index(c, *e.dir);
    return done;
  }
  index_changed(c, *e.dir, before);
  settle_removed(c, *e.child, e.inode, *freed);
  locks.unlock();
  settle_host(c, e.inode, *freed);
  return {};
}

Status unlink_if(Context& c, InodeNo dir, std::string_view name, const UnlinkStep& before) {
  if (c.read_only()) {
    return Error(EROFS);
  }
  LockSet locks;
  PMEMFS_TRY(LockedEntry e, lock_entry(c, locks, dir, name));
  if (is_directory(e.inode)) {
    return Error(EISDIR);
  }
  PMEMFS_CHECK(before(*e.child, e.inode));
  return remove_entry(c, locks, e, 1);
}

Status unlink(Context& c, InodeNo dir, std::string_view name) {
  return unlink_if(c, dir, name, [](Node& /*node*/, InodeRecord& inode) {
    store::set_ctime(inode, now());
    return Status();
  });
}

Status rmdir(Context& c, InodeNo dir, std::string_view name) {
  if (c.read_only()) {
    return Error(EROFS);
  }
  if (name == ".") {
    return Error(EINVAL);
  }
  if (name == "..") {
    return Error(ENOTEMPTY);
  }
  LockSet locks;
  PMEMFS_TRY(LockedEntry e, lock_entry(c, locks, dir, name));
  if (!is_directory(e.inode)) {
    return Error(ENOTDIR);
  }
  if (e.inode.entries.load() != 0) {
    return Error(ENOTEMPTY);
  }
  store::set_ctime(e.inode, now());
  return remove_entry(c, locks, e, e.inode.nlink.load());
}

Status sync_before_replacing(Context& c, Node& incoming, InodeRecord& inode) {
  if (!is_regular(inode) || !c.has_backing()) {
    return {};
  }
  PMEMFS_TRY(const backing_data::File file, backing_data::open(c, incoming, inode));
  PMEMFS_CHECK(c.backing->sync_file(file.fd()));
  PMEMFS_CHECK(c.backing->sync_parent(backing_name(inode)));
  set_flag(inode, format::kInodeSynced, true);
  return {};
}

Result<Attributes> link(Context& c, InodeNo ino, InodeNo dir, std::string_view name) {
  if (c.read_only()) {
    return Error(EROFS);
  }
  PMEMFS_CHECK(check_new_name(name));
  NodeRef dir_ref = c.nodes.get(dir);
  NodeRef node_ref = c.nodes.get(ino);
  Node& parent = *dir_ref;
  Node& node = *node_ref;
  LockSet locks;
  locks.add(std::move(dir_ref));
  locks.add(std::move(node_ref));
  locks.lock();
  PMEMFS_TRY(InodeRecord dir_inode, open_directory(c, parent));
  PMEMFS_TRY(InodeRecord inode, read_inode(c, node));
  if (is_directory(inode)) {
    return Error(EPERM);
  }
  if (inode.nlink.load() >= format::kMaxLinks) {
    return Error(EMLINK);
  }
  if (parent.directory->find(name).ok()) {
    return Error(EEXIST);
  }
  inode.nlink.store(inode.nlink.load() + 1);
  store::set_ctime(inode, now());
  // What can fail comes before the commit: a name that is there was not refused.
  PMEMFS_TRY(const Attributes linked, attributes(c, node, inode));
  store::Change change(*c.store);
  const std::size_t before = parent.directory->memory_bytes();
  PMEMFS_CHECK(parent.directory->insert(change, dir_inode, name, ino,
                                        static_cast<std::uint8_t>(IFTODT(inode.mode.load()))));
  touch_directory(dir_inode);
  change.put_inode(dir_inode);
  change.put_inode(inode);
  if (const Status done = change.commit(); !done) {
    discard_index(c, parent);
    return done.error();
  }
  index_changed(c, parent, before);
  node.unlinked = false;
  c.nodes.add_lookup(node);
  return linked;
}

Result<std::string> readlink(Context& c, InodeNo ino) {
  const NodeRef node = c.nodes.get(ino);
  const std::shared_lock lock(node->lock);
  PMEMFS_TRY(const InodeRecord inode, read_inode(c, *node));
  if (!S_ISLNK(inode.mode.load())) {
    return Error(EINVAL);
  }
  const std::uint64_t size = inode.size.load();
  if (size > format::kMaxSymlink) {
    return Error(EUCLEAN);
  }
  if (has_flag(inode, format::kInodeInlineTarget)) {
    if (size > format::kInlineTarget) {
      return Error(EUCLEAN);
    }
    return std::string(inode.target, static_cast<std::size_t>(size));
  }
  PMEMFS_TRY(const auto bytes, store::read_blob(*c.store, ino, inode.generation.load(),
                                                BlockNo(inode.data.load()), format::kMaxSymlink));
  if (bytes.size() != size) {
    return Error(EUCLEAN);
  }
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

}  // namespace pmemfs::core
