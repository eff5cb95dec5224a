#include "core/files.hpp"

#include <fcntl.h>

#include <mutex>
#include <optional>

#include "core/ahead.hpp"
#include "core/attributes.hpp"
#include "core/backing_data.hpp"
#include "core/data.hpp"
#include "core/windows.hpp"

namespace pmemfs::core {

namespace {

bool writes(int flags) {
  return (flags & O_ACCMODE) != O_RDONLY;
}

bool is_cached(DataPath path) {
  return path == DataPath::kCached;
}

// Writes and appends without asking us.
bool is_unseen(int flags, DataPath path) {
  return writes(flags) && path == DataPath::kPassthrough;
}

// Counts a handle in or out (`by` is 1 or -1) for what its path means to others. Lock: exclusive.
void count_path(Node& node, const Handle& handle, DataPath path, int by) {
  const auto step = static_cast<std::uint32_t>(by);
  node.cached_opens += is_cached(path) ? step : 0;
  node.guest_cached_opens += is_cached(path) && handle.reach != Reach::kMount ? step : 0;
  node.unseen += is_unseen(handle.flags, path) ? step : 0;
}

DataPath choose_path(const Context& c, const InodeRecord& inode, int flags, Reach reach) {
  const bool durable = is_durable(inode);
  if (reach == Reach::kDirect) {
    return DataPath::kDirect;
  }
  if (reach == Reach::kServed || !c.has_backing() || !c.passthrough) {
    return durable ? DataPath::kDirect : DataPath::kCached;
  }
  const bool guarded = durable && writes(flags) && !c.options.durable.fast_io;
  return guarded ? DataPath::kPassthroughDirect : DataPath::kPassthrough;
}

// O_TRUNC, and the promise of a durable file made whole before it is served.
Status prepare(Context& c, Node& node, InodeRecord& inode, int flags, bool kill) {
  if ((flags & O_TRUNC) != 0) {
    if (c.read_only()) {
      return Error(EROFS);
    }
    PMEMFS_CHECK(data_resize(c, node, inode, 0));
    if (kill) {
      PMEMFS_CHECK(kill_privileges_now(c, inode));
    }
  }
  if (is_durable(inode) && c.has_backing()) {
    return backing_data::cover_tail(c, node, inode);
  }
  return {};
}

}  // namespace

Opened add_handle(Context& c, NodeRef ref, const InodeRecord& inode, int flags, Reach reach) {
  Node& node = *ref;
  auto handle = std::make_shared<Handle>();
  handle->node = std::move(ref);
  handle->flags = flags;
  handle->reach = reach;
  handle->path = choose_path(c, inode, flags, reach);
  const DataPath path = handle->path;
  node.opens++;
  count_path(node, *handle, path, 1);
  if (writes(flags)) {
    node.writers++;
    node.maybe_stored = true;
  }
  return {c.handles.add(std::move(handle)), path};
}

Result<Opened> open_file(Context& c, InodeNo ino, int flags, bool kill, Reach reach) {
  if (c.read_only() && writes(flags)) {
    return Error(EROFS);
  }
  std::optional<Cut> cut;
  if ((flags & O_TRUNC) != 0) {
    cut.emplace(c, ino, 0);
  }
  NodeRef node = c.nodes.get(ino);
  std::unique_lock lock(node->lock);
  PMEMFS_TRY(InodeRecord inode, read_inode(c, *node));
  if (!is_regular(inode)) {
    return Error(is_directory(inode) ? EISDIR : EINVAL);
  }
  PMEMFS_CHECK(prepare(c, *node, inode, flags, kill));
  const Opened opened = add_handle(c, std::move(node), inode, flags, reach);
  lock.unlock();
  return opened;
}

// Truncated to nothing after it was synced: the host learns of the new content soon, else a crash
// could bring neither the old nor the new.
static void sync_truncated(Context& c, Node& node) {
  const std::shared_lock lock(node.lock);
  const auto inode = read_inode(c, node);
  if (!inode || inode->nlink.load() == 0) {
    return;
  }
  if (const auto file = backing_data::open(c, node, *inode)) {
    (void)c.backing->sync_file(file->fd());
  }
}

void release(Context& c, HandleId id) {
  std::shared_ptr<Handle> handle = c.handles.take(id);
  if (!handle) {
    return;
  }
  Node& node = *handle->node;
  bool sync = false;
  {
    const std::unique_lock lock(node.lock);
    node.opens--;
    count_path(node, *handle, handle->path, -1);
    if (writes(handle->flags)) {
      node.writers--;
      if (node.writers == 0) {
        ahead::give_back(c, node);
      }
    }
    sync = std::exchange(node.sync_on_release, false);
    if (node.opens == 0) {
      node.fd.reset();
    }
  }
  if (sync) {
    sync_truncated(c, node);
  }
  if (node.unlinked) {
    c.hooks.backing_unneeded(node.ino);
  }
}

Result<int> backing_fd(Context& c, HandleId id) {
  const std::shared_ptr<Handle> handle = c.handles.find(id);
  if (!handle) {
    return Error(EBADF);
  }
  Node& node = *handle->node;
  const std::unique_lock lock(node.lock);
  if (!node.fd) {
    PMEMFS_TRY(const InodeRecord inode, read_inode(c, node));
    PMEMFS_TRY(backing_data::File file, backing_data::open(c, node, inode));
    node.fd = file.take();
  }
  return node.fd.get();
}

void set_path(Context& c, HandleId id, DataPath path) {
  const std::shared_ptr<Handle> handle = c.handles.find(id);
  if (!handle) {
    return;
  }
  const std::unique_lock lock(handle->node->lock);
  count_path(*handle->node, *handle, handle->path.exchange(path), -1);
  count_path(*handle->node, *handle, path, 1);
}

}  // namespace pmemfs::core
