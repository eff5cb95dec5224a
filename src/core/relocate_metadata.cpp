#include "core/relocate_metadata.hpp"

#include <chrono>
#include <thread>
#include <vector>

#include "core/directories.hpp"
#include "core/extent_edit.hpp"
#include "store/blob.hpp"
#include "store/inode_numbers.hpp"
#include "store/inode_table.hpp"
#include "store/xattr.hpp"

namespace pmemfs::core {

namespace {

using store::Mapping;

constexpr int kLockAttempts = 1000;
constexpr std::chrono::milliseconds kLockPause{1};

InodeNo number_of(const InodeRecord& inode) {
  return InodeNo(inode.ino.load());
}

bool has_target_blob(const InodeRecord& inode) {
  return S_ISLNK(inode.mode.load()) && !has_flag(inode, format::kInodeInlineTarget) &&
         inode.data.load() != 0;
}

std::uint64_t blocks_in(const Mapping& m, BlockRun range) {
  const std::uint64_t begin = std::max(m.physical.value, range.start.value);
  const std::uint64_t end = std::min(m.physical.value + m.count, range.end().value);
  return end > begin ? end - begin : 0;
}

Result<std::uint64_t> extents_in(Context& c, const InodeRecord& inode, BlockRun range) {
  PMEMFS_TRY(const auto map, store::ExtentMap::load(*c.store, inode));
  std::uint64_t n = map->chain_blocks_in(range);
  if (is_directory(inode)) {
    for (const Mapping& m : map->all()) {
      n += blocks_in(m, range);
    }
  }
  return n;
}

Result<std::uint64_t> move_directory(Context& c, Node& node, InodeRecord& inode, BlockRun range) {
  PMEMFS_CHECK(load_index(c, node, inode));
  const std::size_t before = node.directory->memory_bytes();
  store::Change change(*c.store);
  auto moved = node.directory->move_out_of(change, inode, range);
  if (moved && *moved > 0) {
    change.put_inode(inode);
    if (const Status done = change.commit(); !done) {
      moved = done.error();
    }
  }
  if (!moved) {
    discard_index(c, node);
    return moved;
  }
  index_changed(c, node, before);
  return moved;
}

Result<std::uint64_t> move_chain(Context& c, Node& node, InodeRecord& inode, BlockRun range) {
  PMEMFS_CHECK(extent_data::load(c, node, inode));
  if (node.extents->chain_blocks_in(range) == 0) {
    return std::uint64_t{0};
  }
  extent_data::Edit edit(c, node);
  PMEMFS_TRY(const std::uint64_t moved, edit.map().move_chain(edit.change(), inode, range));
  PMEMFS_CHECK(edit.commit(inode));
  return moved;
}

Result<std::uint64_t> move_target(Context& c, InodeRecord& inode, BlockRun range) {
  store::Change change(*c.store);
  std::uint64_t moved = 0;
  PMEMFS_TRY(const BlockNo first,
             store::move_blob(change, number_of(inode), inode.generation.load(),
                              BlockNo(inode.data.load()), range, moved));
  if (moved > 0) {
    inode.data.store(first.value);
    change.put_inode(inode);
    PMEMFS_CHECK(change.commit());
  }
  return moved;
}

Result<std::uint64_t> move_xattrs(Context& c, InodeRecord& inode, BlockRun range) {
  store::Change change(*c.store);
  PMEMFS_TRY(const std::uint64_t moved, store::move_xattrs(change, inode, range));
  if (moved > 0) {
    change.put_inode(inode);
    PMEMFS_CHECK(change.commit());
  }
  return moved;
}

// The numbers of a chunk that are free are not given out.
class Withheld {
 public:
  Withheld(Context& c, InodeNo first) : numbers_(c.store->numbers()) {
    numbers_.withhold({first.value, format::kInodesPerChunk});
  }
  Withheld(const Withheld&) = delete;
  Withheld& operator=(const Withheld&) = delete;
  ~Withheld() { numbers_.let_go(); }

 private:
  store::InodeNumbers& numbers_;
};

// The locks of all inodes of a chunk. Those in use in ascending order, as everybody waits for them.
// Who makes a file waits for the lock of a free one while it holds the directory's: those are
// tried. A number that was free is not taken by others meanwhile, so one that is in use stays free
// after.
class ChunkLocks {
 public:
  ChunkLocks(Context& c, InodeNo first) : c_(c), withheld_(c, first) {
    const std::uint64_t end = first.value + format::kInodesPerChunk;
    for (std::uint64_t ino = std::max<std::uint64_t>(first.value, 1); ino < end; ++ino) {
      nodes_.push_back(c.nodes.get(InodeNo(ino)));
    }
  }
  bool lock() {
    for (int i = 0; i < kLockAttempts; ++i) {
      if (lock_once()) {
        return true;
      }
      locks_.clear();
      std::this_thread::sleep_for(kLockPause);
    }
    return false;
  }

 private:
  bool lock_once() {
    std::vector<Node*> free;
    for (const NodeRef& node : nodes_) {
      if (c_.store->inode(node->ino).code() == ENOENT) {
        free.push_back(node.get());
      } else {
        locks_.emplace_back(node->lock);
      }
    }
    for (Node* node : free) {
      if (!locks_.emplace_back(node->lock, std::try_to_lock)) {
        return false;
      }
    }
    return true;
  }

  Context& c_;
  Withheld withheld_;  // goes last
  std::vector<NodeRef> nodes_;
  std::vector<std::unique_lock<std::shared_mutex>> locks_;  // go first
};

}  // namespace

Result<std::uint64_t> metadata_in(Context& c, const Node& node, const InodeRecord& inode,
                                  BlockRun range) {
  PMEMFS_TRY(std::uint64_t n, store::xattr_blocks_in(*c.store, inode, range));
  Result<std::uint64_t> more = std::uint64_t{0};
  if (has_target_blob(inode)) {
    more = store::blob_blocks_in(*c.store, number_of(inode), inode.generation.load(),
                                 BlockNo(inode.data.load()), range);
  } else if (is_regular(inode) && node.extents) {
    more = node.extents->chain_blocks_in(range);
  } else if (is_directory(inode) || (is_regular(inode) && inode.data.load() != 0)) {
    more = extents_in(c, inode, range);
  }
  PMEMFS_TRY(const std::uint64_t rest, std::move(more));
  return n + rest;
}

Result<std::uint64_t> relocate_metadata_out_of(Context& c, Node& node, BlockRun range) {
  PMEMFS_TRY(InodeRecord inode, read_inode(c, node));
  PMEMFS_TRY(const std::uint64_t there, metadata_in(c, node, inode, range));
  if (there == 0) {
    return there;
  }
  Result<std::uint64_t> moved = std::uint64_t{0};
  if (is_directory(inode)) {
    moved = move_directory(c, node, inode, range);
  } else if (is_regular(inode)) {
    moved = move_chain(c, node, inode, range);
  } else if (has_target_blob(inode)) {
    moved = move_target(c, inode, range);
  }
  if (!moved || *moved > 0) {
    return moved;
  }
  return move_xattrs(c, inode, range);
}

Result<std::uint64_t> relocate_chunk(Context& c, InodeNo first) {
  ChunkLocks locks(c, first);
  if (!locks.lock()) {
    return Error(EBUSY);
  }
  return c.store->table().move_chunk(*c.store, first);
}

}  // namespace pmemfs::core
