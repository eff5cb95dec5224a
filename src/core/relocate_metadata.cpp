#include "core/relocate_metadata.hpp"

#include <algorithm>
#include <functional>
#include <mutex>

#include "core/directories.hpp"
#include "core/extent_edit.hpp"
#include "store/blob.hpp"
#include "store/inode_table.hpp"
#include "store/xattr.hpp"

namespace pmemfs::core {

namespace {

using store::Mapping;

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
  return c.store->table().move_chunk(*c.store, first,
                                     [&c](InodeNo ino, const std::function<void()>& work) {
                                       const NodeRef node = c.nodes.get(ino);
                                       const std::unique_lock lock(node->lock);
                                       work();
                                     });
}

}  // namespace pmemfs::core
