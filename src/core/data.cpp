#include "core/data.hpp"

#include <fcntl.h>
#include <linux/falloc.h>
#include <unistd.h>

#include <algorithm>
#include <mutex>
#include <vector>

#include "core/attributes.hpp"
#include "core/backing_data.hpp"
#include "core/extent_data.hpp"
#include "core/frames.hpp"
#include "core/windows.hpp"
#include "store/store.hpp"

namespace pmemfs::core {

namespace {

constexpr std::size_t kCopyChunk = 1U << 20U;
constexpr std::size_t kCopyMost = 64U << 20U;  // a longer copy is answered short

bool fits(std::uint64_t off, std::uint64_t len) {
  return off <= format::kMaxFileSize && len <= format::kMaxFileSize - off;
}

Status sync_backing(Context& c, Node& node) {
  {
    const std::shared_lock lock(node.lock);
    PMEMFS_TRY(const InodeRecord inode, read_inode(c, node));
    PMEMFS_TRY(const backing_data::File file, backing_data::open(c, node, inode));
    PMEMFS_TRY(const HostStat host, c.backing->stat_fd(file.fd()));
    const bool covered = !is_durable(inode) || host.size == inode.durable_len.load();
    if (has_flag(inode, format::kInodeSynced) && covered) {
      return c.backing->sync_file(file.fd());
    }
  }
  const std::unique_lock lock(node.lock);
  PMEMFS_TRY(InodeRecord inode, read_inode(c, node));
  PMEMFS_TRY(const backing_data::File file, backing_data::open(c, node, inode));
  if (is_durable(inode)) {
    PMEMFS_CHECK(backing_data::cover_tail(c, node, inode));
  }
  PMEMFS_CHECK(c.backing->sync_file(file.fd()));
  if (c.read_only()) {
    return Error(EROFS);  // the region cannot be told any more
  }
  return backing_data::mark_synced(c, inode, file.fd());
}

// A write that cannot change what the inode promises: concurrent with others.
Result<std::optional<std::size_t>> write_shared(Context& c, Node& node, std::uint64_t off,
                                                Parts parts) {
  const std::shared_lock lock(node.lock);
  PMEMFS_TRY(InodeRecord inode, read_inode(c, node));
  if (is_durable(inode) && off + size_of(parts) > inode.durable_len.load()) {
    return std::optional<std::size_t>();
  }
  PMEMFS_TRY(const std::size_t n, backing_data::write(c, node, inode, off, parts));
  return std::optional(n);
}

Result<std::size_t> write_exclusive(Context& c, Node& node, std::uint64_t off, Parts parts,
                                    bool append, bool kill) {
  const std::unique_lock lock(node.lock);
  PMEMFS_TRY(InodeRecord inode, read_inode(c, node));
  if (kill) {
    PMEMFS_CHECK(kill_privileges_now(c, inode));
  }
  if (append) {
    PMEMFS_TRY(off, data_size(c, node, inode));
    if (!fits(off, size_of(parts))) {
      return Error(EFBIG);
    }
  }
  return c.has_backing() ? backing_data::write(c, node, inode, off, parts)
                         : extent_data::write(c, node, inode, off, parts);
}

}  // namespace

Result<std::shared_lock<std::shared_mutex>> lock_to_read(Context& c, Node& node) {
  for (;;) {
    std::shared_lock shared(node.lock);
    if (c.has_backing() || node.extents) {
      return shared;
    }
    shared.unlock();
    const std::unique_lock exclusive(node.lock);
    PMEMFS_TRY(const InodeRecord inode, read_inode(c, node));
    PMEMFS_CHECK(extent_data::load(c, node, inode));
  }
}

Result<std::uint64_t> data_size(Context& c, const Node& node, const InodeRecord& inode) {
  if (!c.has_backing()) {
    return inode.size.load();
  }
  PMEMFS_TRY(const HostStat host, backing_data::stat(c, node, inode));
  return host.size;
}

Status data_resize(Context& c, Node& node, InodeRecord& inode, std::uint64_t size) {
  if (size > format::kMaxFileSize) {
    return Error(EFBIG);
  }
  if (is_durable(inode)) {
    PMEMFS_TRY(const std::uint64_t present, data_size(c, node, inode));
    if (size < present) {
      return Error(ETXTBSY);
    }
  }
  return c.has_backing() ? backing_data::resize(c, node, inode, size)
                         : extent_data::resize(c, node, inode, size);
}

static Result<std::size_t> read_extents(Context& c, const Node& node, const InodeRecord& inode,
                                        std::uint64_t off,
                                        std::span<const std::span<std::byte>> parts) {
  std::size_t done = 0;
  for (const std::span<std::byte> part : parts) {
    PMEMFS_TRY(const std::size_t got, extent_data::read(c, node, inode, off + done, part));
    done += got;
    if (got < part.size()) {
      break;
    }
  }
  return done;
}

Result<std::size_t> data_read(Context& c, const Handle& handle, std::uint64_t off,
                              std::span<const std::span<std::byte>> parts) {
  Node& node = *handle.node;
  const bool quietly = (handle.flags & O_NOATIME) != 0;
  if (!c.has_backing() && !quietly) {
    touch_atime(c, node);  // host files: the host's affair
  }
  PMEMFS_TRY(const auto lock, lock_to_read(c, node));
  PMEMFS_TRY(const InodeRecord inode, read_inode(c, node));
  return c.has_backing() ? backing_data::read(c, node, inode, off, parts, quietly)
                         : read_extents(c, node, inode, off, parts);
}

Result<std::size_t> data_write(Context& c, const Handle& handle, std::uint64_t off, Parts parts,
                               bool append, bool kill) {
  if (c.read_only()) {
    return Error(EROFS);
  }
  if (!append && !fits(off, size_of(parts))) {
    return Error(EFBIG);
  }
  Node& node = *handle.node;
  if (c.has_backing() && !append && !kill) {
    PMEMFS_TRY(const auto done, write_shared(c, node, off, parts));
    if (done) {
      return *done;
    }
  }
  PMEMFS_TRY(const std::size_t n, write_exclusive(c, node, off, parts, append, kill));
  if ((handle.flags & O_DSYNC) != 0 && c.has_backing()) {
    PMEMFS_CHECK(sync_backing(c, node));
  }
  return n;
}

Status data_sync(Context& c, const Handle& handle, bool /*data_only*/) {
  if (c.store->region().read_only()) {
    return {};
  }
  if (!c.has_backing()) {
    return sync_windows(c, *handle.node);  // the rest is durable when write returned
  }
  return sync_backing(c, *handle.node);
}

Status data_allocate(Context& c, const Handle& handle, int mode, std::uint64_t off,
                     std::uint64_t len) {
  constexpr int kKnown = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE;
  if (c.read_only()) {
    return Error(EROFS);
  }
  if ((mode & ~kKnown) != 0) {
    return Error(EOPNOTSUPP);
  }
  if (len == 0) {
    return Error(EINVAL);
  }
  if (!fits(off, len)) {
    return Error(EFBIG);
  }
  Node& node = *handle.node;
  make_frames_before_growth(c, node, off + len);
  const std::unique_lock lock(node.lock);
  PMEMFS_TRY(InodeRecord inode, read_inode(c, node));
  return c.has_backing() ? backing_data::allocate(c, node, inode, mode, off, len)
                         : extent_data::allocate(c, node, inode, mode, off, len);
}

Result<std::uint64_t> data_seek(Context& c, const Handle& handle, std::uint64_t off, int whence) {
  if (whence != SEEK_DATA && whence != SEEK_HOLE) {
    return Error(EINVAL);
  }
  Node& node = *handle.node;
  PMEMFS_TRY(const auto lock, lock_to_read(c, node));
  PMEMFS_TRY(const InodeRecord inode, read_inode(c, node));
  return c.has_backing() ? backing_data::seek(c, node, inode, off, whence)
                         : extent_data::seek(node, inode, off, whence);
}

// Copies between two host files in the kernel. EXDEV when one of them is durable, or mapped in a
// window: hosts that can share blocks between files do so here, and the next store to a shared
// block goes elsewhere.
static Result<std::size_t> copy_on_host(Context& c, Node& from, std::uint64_t from_off, Node& to,
                                        std::uint64_t to_off, std::size_t len) {
  PMEMFS_TRY(const InodeRecord source, read_inode(c, from));
  PMEMFS_TRY(InodeRecord target, read_inode(c, to));
  PMEMFS_TRY(const std::uint64_t size, data_size(c, from, source));
  if (from_off >= size) {
    return std::size_t{0};
  }
  len = static_cast<std::size_t>(std::min<std::uint64_t>(len, size - from_off));
  if (is_durable(target) && to_off + len > target.durable_len.load()) {
    PMEMFS_CHECK(backing_data::resize(c, to, target, to_off + len));
  }
  if (is_durable(source) || is_durable(target) || c.exports.any(from.ino) ||
      c.exports.any(to.ino)) {
    return Error(EXDEV);
  }
  PMEMFS_TRY(const backing_data::File in, backing_data::open(c, from, source));
  PMEMFS_TRY(const backing_data::File out, backing_data::open(c, to, target));
  return backing_data::with_space(
      c, [&] { return c.backing->copy(in.fd(), from_off, out.fd(), to_off, len); });
}

static Result<std::size_t> copy_through_memory(Context& c, const Handle& from,
                                               std::uint64_t from_off, const Handle& to,
                                               std::uint64_t to_off, std::size_t len) {
  std::vector<std::byte> buffer(std::min(len, kCopyChunk));
  std::size_t done = 0;
  while (done < len) {
    const std::span<std::byte> chunk(buffer.data(), std::min(buffer.size(), len - done));
    auto got = data_read(c, from, from_off + done, {&chunk, 1});
    if (!got && done == 0) {
      return got;
    }
    if (!got || *got == 0) {
      break;
    }
    const std::span<const std::byte> bytes = chunk.first(*got);
    auto put = data_write(c, to, to_off + done, {&bytes, 1}, false, false);
    if (!put && done == 0) {
      return put;
    }
    if (!put) {
      break;
    }
    done += *put;
  }
  return done;
}

// How many of `len` bytes the file has from `off` on.
static Result<std::size_t> part_of(Context& c, Node& node, std::uint64_t off, std::size_t len) {
  const std::shared_lock lock(node.lock);
  PMEMFS_TRY(const InodeRecord inode, read_inode(c, node));
  PMEMFS_TRY(const std::uint64_t size, data_size(c, node, inode));
  return static_cast<std::size_t>(std::min<std::uint64_t>(len, size - std::min(size, off)));
}

Result<std::size_t> data_copy(Context& c, const Handle& from, std::uint64_t from_off,
                              const Handle& to, std::uint64_t to_off, std::size_t len) {
  if (c.read_only()) {
    return Error(EROFS);
  }
  len = std::min(len, kCopyMost);
  if (!fits(from_off, len) || !fits(to_off, len)) {
    return Error(EFBIG);
  }
  // As it is now: within one file the copy itself may move the end.
  PMEMFS_TRY(len, part_of(c, *from.node, from_off, len));
  if (c.has_backing()) {
    LockSet locks;
    locks.add(c.nodes.get(from.node->ino));
    locks.add(c.nodes.get(to.node->ino));
    locks.lock();
    const auto copied = copy_on_host(c, *from.node, from_off, *to.node, to_off, len);
    if (copied.code() != EXDEV) {
      return copied;
    }
  }
  return copy_through_memory(c, from, from_off, to, to_off, len);
}

}  // namespace pmemfs::core
