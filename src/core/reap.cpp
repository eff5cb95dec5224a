#include "core/reap.hpp"

#include "base/log.hpp"
#include "core/gate.hpp"
#include "store/blob.hpp"
#include "store/extent_map.hpp"
#include "store/xattr.hpp"

namespace pmemfs::core {

namespace {

Status free_inode(Context& c, const InodeRecord& inode) {
  store::Change change(*c.store);
  PMEMFS_CHECK(free_everything(change, inode));
  return change.commit();
}

}  // namespace

Status free_everything(store::Change& change, const InodeRecord& inode) {
  if (S_ISLNK(inode.mode.load())) {
    if (!has_flag(inode, format::kInodeInlineTarget) && inode.data.load() != 0) {
      PMEMFS_CHECK(store::release_blob(change, InodeNo(inode.ino.load()), inode.generation.load(),
                                       BlockNo(inode.data.load())));
    }
  } else {
    PMEMFS_CHECK(store::release_extents(change, inode));
  }
  PMEMFS_CHECK(store::release_xattrs(change, inode));
  change.free_inode(inode);
  return {};
}

void drop_host_file(Context& c, const InodeRecord& inode) {
  if (!is_regular(inode) || !c.has_backing()) {
    return;
  }
  c.hooks.drop_backing(InodeNo(inode.ino.load()));
  const Status gone = c.backing->unlink(backing_name(inode));
  if (!gone && gone.code() != ENOENT) {
    base::log::warn("inode {}: its backing file stays behind: error {}", inode.ino.load(),
                    gone.code());
  }
}

void reap(Context& c, Node& node) {
  const Endings::Ending ending(c.endings);
  std::unique_lock lock(node.lock);
  node.unlinked = false;
  auto inode = read_inode(c, node);
  if (!inode || inode->nlink.load() != 0) {
    return;
  }
  if (exported(c, *inode)) {
    c.exports.wait(node.ino);
    return;
  }
  const Status freed = free_inode(c, *inode);
  if (!freed) {
    base::log::error("inode {}: not freed, error {}; the next mount tries again", node.ino.value,
                     freed.code());
    return;
  }
  c.index_bytes -= node.directory ? node.directory->memory_bytes() : 0;
  node.directory.reset();
  node.extents.reset();
  node.fd.reset();
  node.maybe_stored = false;
  node.proven = false;
  lock.unlock();
  drop_host_file(c, *inode);
}

}  // namespace pmemfs::core
