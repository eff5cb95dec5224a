#include "core/directories.hpp"

#include <algorithm>
#include <mutex>

namespace pmemfs::core {

Status load_index(Context& c, Node& node, const InodeRecord& dir) {
  if (!node.directory) {
    PMEMFS_TRY(node.directory, store::Directory::load(*c.store, dir));
    c.index_bytes += node.directory->memory_bytes();
  }
  // Not a counted step: two uses at once may well have the same tick.
  const std::uint32_t tick = c.tick.load(std::memory_order_relaxed) + 1;
  c.tick.store(tick, std::memory_order_relaxed);
  node.used_at.store(tick, std::memory_order_relaxed);
  return {};
}

Result<InodeRecord> open_directory(Context& c, Node& node) {
  PMEMFS_TRY(const InodeRecord dir, read_inode(c, node));
  if (!is_directory(dir)) {
    return Error(ENOTDIR);
  }
  if (dir.nlink.load() == 0) {
    return Error(ENOENT);
  }
  PMEMFS_CHECK(load_index(c, node, dir));
  return dir;
}

Result<std::shared_lock<std::shared_mutex>> lock_directory(Context& c, Node& node) {
  for (;;) {
    std::shared_lock shared(node.lock);
    if (node.directory) {
      node.used_at.store(c.tick.load(std::memory_order_relaxed), std::memory_order_relaxed);
      return shared;
    }
    shared.unlock();
    const std::unique_lock exclusive(node.lock);
    PMEMFS_TRY(const InodeRecord dir, read_inode(c, node));
    if (!is_directory(dir)) {
      return Error(ENOTDIR);
    }
    PMEMFS_CHECK(load_index(c, node, dir));
  }
}

void index_changed(Context& c, const Node& node, std::size_t before) {
  const std::size_t after = node.directory->memory_bytes();
  if (after != before) {
    c.index_bytes += after - before;
  }
}

void discard_index(Context& c, Node& node) {
  if (!node.directory) {
    return;
  }
  c.index_bytes -= node.directory->memory_bytes();
  node.directory.reset();
}

void drop_indexes(Context& c, std::uint64_t bytes) {
  if (c.index_bytes <= bytes) {
    return;
  }
  std::vector<NodeRef> nodes = c.nodes.collect([](const Node& n) { return n.used_at != 0; });
  std::sort(nodes.begin(), nodes.end(),
            [](const NodeRef& a, const NodeRef& b) { return a->used_at < b->used_at; });
  for (const NodeRef& node : nodes) {
    if (c.index_bytes <= bytes) {
      break;
    }
    const std::unique_lock lock(node->lock, std::try_to_lock);
    if (!lock) {
      continue;
    }
    discard_index(c, *node);
    node->used_at = 0;
  }
}

}  // namespace pmemfs::core
