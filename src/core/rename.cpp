#include "core/rename.hpp"

#include <dirent.h>
#include <linux/fs.h>

#include <algorithm>
#include <mutex>
#include <optional>
#include <vector>

#include "core/create.hpp"
#include "core/directories.hpp"
#include "core/names.hpp"
#include "core/reap.hpp"

namespace pmemfs::core {

namespace {

struct Side {
  Node* dir = nullptr;
  InodeRecord* dir_inode = nullptr;  // both sides share one record when it is one directory
  std::string_view name;
  store::DirEntry entry{};  // under the old name
  Node* child = nullptr;    // null: the new name is free
  InodeRecord inode{};
  std::vector<InodeNo> ancestors;  // of dir, with itself; empty when both sides are one directory
};

class Rename {
 public:
  Rename(Context& c, const Caller& caller, unsigned flags)
      : c_(c), caller_(caller), flags_(flags), change_(*c.store) {}

  Status run(InodeNo from, std::string_view name, InodeNo to, std::string_view new_name);

 private:
  [[nodiscard]] bool one_directory() const { return old_.dir == new_.dir; }
  [[nodiscard]] bool exchange() const { return (flags_ & RENAME_EXCHANGE) != 0; }

  Result<std::vector<InodeNo>> ancestors_of(InodeNo dir);
  Status find_both(NodeRef* old_child, NodeRef* new_child);
  Result<bool> lock_children();
  Status lock_all(InodeNo from, InodeNo to);
  Status check() const;
  Status check_target() const;
  Status sync_hosts();
  Status move_name();
  Status put_whiteout();
  Status swap_names();
  void move_parent(Side& side, Side& destination);
  Status commit();

  Context& c_;
  const Caller& caller_;
  unsigned flags_;
  std::unique_lock<std::mutex> tree_;
  LockSet locks_;
  NodeRef whiteout_;
  std::unique_lock<std::shared_mutex> whiteout_lock_;
  store::Change change_;
  Side old_;
  Side new_;
  InodeRecord old_dir_{};
  InodeRecord new_dir_{};
  bool target_freed_ = false;
};

std::uint8_t type_of(const InodeRecord& inode) {
  return static_cast<std::uint8_t>(IFTODT(inode.mode.load()));
}

// Parents change only under the tree mutex, which is held.
Result<std::vector<InodeNo>> Rename::ancestors_of(InodeNo dir) {
  std::vector<InodeNo> chain;
  const std::uint64_t most = c_.store->space().inodes_used + 1;
  for (InodeNo at = dir;;) {
    chain.push_back(at);
    if (at == kRootInode) {
      return chain;
    }
    if (chain.size() > most) {
      return Error(EUCLEAN);
    }
    const NodeRef node = c_.nodes.get(at);
    const std::shared_lock lock(node->lock);
    PMEMFS_TRY(const InodeRecord inode, read_inode(c_, *node));
    if (!is_directory(inode)) {
      return Error(ENOTDIR);
    }
    if (inode.nlink.load() == 0) {
      return Error(ENOENT);
    }
    at = InodeNo(inode.parent.load());
  }
}

Status Rename::find_both(NodeRef* old_child, NodeRef* new_child) {
  PMEMFS_TRY(old_dir_, open_directory(c_, *old_.dir));
  if (!one_directory()) {
    PMEMFS_TRY(new_dir_, open_directory(c_, *new_.dir));
  }
  PMEMFS_TRY(old_.entry, old_.dir->directory->find(old_.name));
  *old_child = c_.nodes.get(old_.entry.ino);
  const auto target = new_.dir->directory->find(new_.name);
  if (target) {
    *new_child = c_.nodes.get(target->ino);
  }
  if (!target && target.code() != ENOENT) {
    return target.error();
  }
  return {};
}

// False when the names changed hands meanwhile: start again.
Result<bool> Rename::lock_children() {
  NodeRef old_child;
  NodeRef new_child;
  PMEMFS_CHECK(find_both(&old_child, &new_child));
  old_.child = old_child.get();
  new_.child = new_child.get();
  const bool got_old = locks_.try_add(std::move(old_child));
  const bool got_new = !new_child || locks_.try_add(std::move(new_child));
  if (got_old && got_new) {
    return true;
  }
  locks_.relock();
  NodeRef old_again;
  NodeRef new_again;
  const Status found = find_both(&old_again, &new_again);
  const bool same = old_again.get() == old_.child && new_again.get() == new_.child;
  if (!found || !same) {
    locks_.unlock();  // before the pins of this round go
  }
  if (!found) {
    return found.error();
  }
  return same;
}

Status Rename::lock_all(InodeNo from, InodeNo to) {
  for (;;) {
    locks_.clear();
    NodeRef from_ref = c_.nodes.get(from);
    NodeRef to_ref = c_.nodes.get(to);
    old_.dir = from_ref.get();
    new_.dir = to_ref.get();
    old_.dir_inode = &old_dir_;
    new_.dir_inode = one_directory() ? &old_dir_ : &new_dir_;
    locks_.add(std::move(from_ref));
    locks_.add(std::move(to_ref));
    locks_.lock();
    PMEMFS_TRY(const bool locked, lock_children());
    if (!locked) {
      continue;
    }
    PMEMFS_TRY(old_.inode, read_inode(c_, *old_.child));
    if (new_.child != nullptr) {
      PMEMFS_TRY(new_.inode, read_inode(c_, *new_.child));
    }
    return {};
  }
}

Status Rename::check_target() const {
  if ((flags_ & RENAME_NOREPLACE) != 0) {
    return Error(EEXIST);
  }
  if (exchange()) {
    return {};
  }
  if (is_directory(old_.inode) && !is_directory(new_.inode)) {
    return Error(ENOTDIR);
  }
  if (!is_directory(old_.inode) && is_directory(new_.inode)) {
    return Error(EISDIR);
  }
  if (is_directory(new_.inode) && new_.inode.entries.load() != 0) {
    return Error(ENOTEMPTY);
  }
  return {};
}

Status Rename::check() const {
  const auto above = [](const std::vector<InodeNo>& chain, const Node* node) {
    return node != nullptr && std::find(chain.begin(), chain.end(), node->ino) != chain.end();
  };
  if (above(new_.ancestors, old_.child)) {
    return Error(EINVAL);
  }
  if (above(old_.ancestors, new_.child)) {
    return Error(exchange() ? EINVAL : ENOTEMPTY);
  }
  if (new_.child != nullptr) {
    return check_target();
  }
  return exchange() ? Status(Error(ENOENT)) : Status();
}

// Replace-sync: what takes the place of a synced file is on the host's media first.
Status Rename::sync_hosts() {
  if (new_.child == nullptr) {
    return {};
  }
  const auto last_synced = [](const InodeRecord& i) {
    return is_regular(i) && has_flag(i, format::kInodeSynced);
  };
  if (last_synced(new_.inode)) {
    PMEMFS_CHECK(sync_before_replacing(c_, *old_.child, old_.inode));
  }
  if (exchange() && last_synced(old_.inode)) {
    PMEMFS_CHECK(sync_before_replacing(c_, *new_.child, new_.inode));
  }
  return {};
}

// A directory that moves takes its ".." along: one link from the old parent to the new.
void Rename::move_parent(Side& side, Side& destination) {
  if (!is_directory(side.inode) || one_directory()) {
    return;
  }
  side.inode.parent.store(destination.dir->ino.value);
  side.dir_inode->nlink.store(side.dir_inode->nlink.load() - 1);
  destination.dir_inode->nlink.store(destination.dir_inode->nlink.load() + 1);
}

// The old name becomes a character device 0:0, which overlay filesystems read as "deleted".
Status Rename::put_whiteout() {
  PMEMFS_TRY(InodeRecord white, new_inode(c_, change_, caller_, S_IFCHR));
  whiteout_ = c_.nodes.get(InodeNo(white.ino.load()));
  whiteout_lock_ = std::unique_lock(whiteout_->lock);
  change_.put_inode(white);
  return old_.dir->directory->replace(change_, *old_.dir_inode, old_.name, whiteout_->ino, DT_CHR);
}

Status Rename::move_name() {
  if (new_.child != nullptr) {
    PMEMFS_CHECK(new_.dir->directory->replace(change_, *new_.dir_inode, new_.name, old_.child->ino,
                                              type_of(old_.inode)));
  } else {
    PMEMFS_CHECK(new_.dir->directory->insert(change_, *new_.dir_inode, new_.name, old_.child->ino,
                                             type_of(old_.inode)));
  }
  if ((flags_ & RENAME_WHITEOUT) != 0) {
    PMEMFS_CHECK(put_whiteout());
  } else {
    PMEMFS_CHECK(old_.dir->directory->remove(change_, *old_.dir_inode, old_.entry));
  }
  move_parent(old_, new_);
  if (new_.child == nullptr) {
    return {};
  }
  const bool directory = is_directory(new_.inode);
  if (directory) {
    new_.dir_inode->nlink.store(new_.dir_inode->nlink.load() - 1);
  }
  store::set_ctime(new_.inode, now());
  PMEMFS_TRY(target_freed_, drop_link(c_, change_, *new_.child, new_.inode,
                                      directory ? new_.inode.nlink.load() : 1));
  return {};
}

Status Rename::swap_names() {
  PMEMFS_CHECK(new_.dir->directory->replace(change_, *new_.dir_inode, new_.name, old_.child->ino,
                                            type_of(old_.inode)));
  PMEMFS_CHECK(old_.dir->directory->replace(change_, *old_.dir_inode, old_.name, new_.child->ino,
                                            type_of(new_.inode)));
  move_parent(old_, new_);
  move_parent(new_, old_);
  store::set_ctime(new_.inode, now());
  change_.put_inode(new_.inode);
  return {};
}

Status Rename::commit() {
  touch_directory(*old_.dir_inode);
  touch_directory(*new_.dir_inode);
  store::set_ctime(old_.inode, now());
  change_.put_inode(old_.inode);
  change_.put_inode(*old_.dir_inode);
  if (!one_directory()) {
    change_.put_inode(*new_.dir_inode);
  }
  return change_.commit();
}

Status Rename::run(InodeNo from, std::string_view name, InodeNo to, std::string_view new_name) {
  old_.name = name;
  new_.name = new_name;
  if (from != to) {
    tree_ = std::unique_lock(c_.tree);
    PMEMFS_TRY(old_.ancestors, ancestors_of(from));
    PMEMFS_TRY(new_.ancestors, ancestors_of(to));
  }
  PMEMFS_CHECK(lock_all(from, to));
  PMEMFS_CHECK(check());
  if (old_.child == new_.child) {
    return {};
  }
  PMEMFS_CHECK(sync_hosts());
  const std::size_t before = old_.dir->directory->memory_bytes();
  const std::size_t new_before = new_.dir->directory->memory_bytes();
  Status done = exchange() ? swap_names() : move_name();
  if (done) {
    done = commit();
  }
  if (!done) {
    discard_index(c_, *old_.dir);
    discard_index(c_, *new_.dir);
    if (whiteout_lock_) {
      whiteout_lock_.unlock();
    }
    locks_.unlock();
    return done;
  }
  index_changed(c_, *old_.dir, before);
  if (!one_directory()) {
    index_changed(c_, *new_.dir, new_before);
  }
  const bool replaced = new_.child != nullptr && !exchange();
  if (replaced) {
    settle_removed(c_, *new_.child, new_.inode, target_freed_);
  }
  if (whiteout_lock_) {
    whiteout_lock_.unlock();
  }
  locks_.unlock();
  if (replaced) {
    settle_host(c_, new_.inode, target_freed_);
  }
  return {};
}

}  // namespace

Status rename(Context& c, const Caller& caller, InodeNo from, std::string_view name, InodeNo to,
              std::string_view new_name, unsigned flags) {
  constexpr unsigned kKnown = RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT;
  if (c.read_only()) {
    return Error(EROFS);
  }
  if ((flags & ~kKnown) != 0) {
    return Error(EINVAL);
  }
  if ((flags & RENAME_EXCHANGE) != 0 && flags != RENAME_EXCHANGE) {
    return Error(EINVAL);
  }
  PMEMFS_CHECK(check_new_name(new_name));
  return Rename(c, caller, flags).run(from, name, to, new_name);
}

}  // namespace pmemfs::core
