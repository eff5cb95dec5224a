#include "core/windows.hpp"

#include <unistd.h>

#include <algorithm>
#include <mutex>
#include <shared_mutex>
#include <utility>

#include "core/backing_data.hpp"
#include "core/data.hpp"
#include "core/extent_data.hpp"
#include "core/extent_edit.hpp"
#include "core/extent_fill.hpp"
#include "core/gate.hpp"
#include "core/window_holes.hpp"

namespace pmemfs::core {

namespace {

using extent_data::kBlock;
using store::Mapping;

// Closes the descriptor unless it is handed over.
WindowMapping mapping_with(base::UniqueFd fd, std::vector<WindowPiece> pieces) {
  return {fd.release(), std::move(pieces)};
}

Result<WindowMapping> map_host_file(Context& c, Node& node, InodeRecord& inode, Range range) {
  std::uint64_t size = 0;
  {
    PMEMFS_TRY(const backing_data::File file, backing_data::open(c, node, inode));
    PMEMFS_TRY(const HostStat host, c.backing->stat_fd(file.fd()));
    if (range.begin >= host.size) {
      return Error(ENXIO);
    }
    if (c.exports.is_cut(node.ino, range.begin)) {
      return Error(EAGAIN);
    }
    size = host.size;
    if (is_durable(inode)) {
      PMEMFS_CHECK(backing_data::cover_tail(c, node, inode));
    } else {
      PMEMFS_CHECK(
          window_holes::fill_place(c, file.fd(), {range.begin, std::min(range.end, size)}));
    }
  }
  PMEMFS_TRY(const int fd, c.backing->open(backing_name(inode)));
  node.maybe_stored = true;
  node.proven = false;
  c.exports.add(node.ino, range, size);
  return mapping_with(base::UniqueFd(fd), {{range.begin, range.begin, range.end - range.begin}});
}

// Where the range lies. EOPNOTSUPP: a part of it is a hole, or not aligned as mappings must be;
// EIO: a part of it is lost, which would end the virtual machine that touches it.
Result<std::vector<WindowPiece>> pieces_of(const store::ExtentMap& map, const Region& region,
                                           Range range) {
  const std::uint64_t unit = region.mapping_alignment();
  std::vector<WindowPiece> pieces;
  for (std::uint64_t at = range.begin / kBlock; at < range.end / kBlock;) {
    const Mapping m = extent_data::piece(map, at, range.end / kBlock);
    const WindowPiece next{at * kBlock, format::byte_off(m.physical).value, m.count * kBlock};
    if (!m.physical || m.unwritten || next.fd_off % unit != 0 || next.len % unit != 0) {
      return Error(EOPNOTSUPP);
    }
    if (region.lost(ByteOff(next.fd_off), next.len)) {
      return Error(EIO);
    }
    if (!pieces.empty() && pieces.back().fd_off + pieces.back().len == next.fd_off) {
      pieces.back().len += next.len;
    } else {
      pieces.push_back(next);
    }
    at += m.count;
  }
  return pieces;
}

// Before anybody maps it: what a crash leaves says that the kernel must be asked.
Status record_export(Context& c, InodeRecord& inode) {
  if (has_flag(inode, format::kInodeExported) || c.read_only()) {
    return {};
  }
  PMEMFS_CHECK(c.store->use_feature(format::kIncompatExports));
  set_flag(inode, format::kInodeExported, true);
  return commit_inode(c, inode);
}

// Recorded before anything is filled beyond the end: when it fails that is given back, too.
Result<WindowMapping> give_extents(Context& c, Node& node, InodeRecord& inode, Range range) {
  PMEMFS_CHECK(extent_data::load(c, node, inode));
  PMEMFS_CHECK(record_export(c, inode));
  Region& region = c.store->region();
  auto pieces = pieces_of(*node.extents, region, range);
  if (pieces.code() == EOPNOTSUPP) {
    PMEMFS_CHECK(extent_data::fill(c, node, inode, range.begin, range.end));
    PMEMFS_CHECK(extent_data::load(c, node, inode));
    pieces = pieces_of(*node.extents, region, range);
  }
  if (!pieces) {
    return pieces.error();
  }
  PMEMFS_TRY(const int fd, region.export_memory(inode.ino.load()));
  c.exports.add(node.ino, range, range.end);
  return mapping_with(base::UniqueFd(fd), std::move(pieces).value());
}

Result<WindowMapping> map_extents(Context& c, Node& node, InodeRecord& inode, Range range) {
  if (range.begin >= inode.size.load()) {
    return Error(ENXIO);
  }
  auto mapping = give_extents(c, node, inode, range);
  if (!mapping) {
    c.exports.wait(node.ino);
  }
  return mapping;
}

// Lock: exclusive.
Status flush_range(Context& c, Node& node, Range range) {
  Region& region = c.store->region();
  for (std::uint64_t at = range.begin / kBlock; at < range.end / kBlock;) {
    const Mapping m = extent_data::piece(*node.extents, at, range.end / kBlock);
    if (m.physical) {
      region.flush(format::byte_off(m.physical), m.count * kBlock);
      if (region.lost(format::byte_off(m.physical), m.count * kBlock)) {
        return Error(EIO);
      }
    }
    at += m.count;
  }
  return {};
}

// Nobody tells of stores through mappings: what was mapped counts as written.
Status stamp_written(Context& c, Node& node) {
  const std::unique_lock lock(node.lock);
  PMEMFS_TRY(InodeRecord inode, read_inode(c, node));
  const Timestamp t = now();
  store::set_mtime(inode, t);
  store::set_ctime(inode, t);
  return commit_inode(c, inode);
}

// Lock: exclusive. True: nobody maps it.
bool is_over(Context& c, Node& node, const InodeRecord& inode) {
  if (!c.has_backing()) {
    return !exported(c, inode);
  }
  return prove_unmapped(c, node, inode).ok();
}

void settle(Context& c, InodeNo ino) {
  const NodeRef node = c.nodes.get(ino);
  const std::unique_lock lock(node->lock);
  auto inode = read_inode(c, *node);
  if (inode.code() == ENOENT) {
    c.exports.settled(ino);
    return;
  }
  if (!inode || c.exports.any(ino) || !is_over(c, *node, *inode)) {
    return;
  }
  c.exports.settled(ino);
  if (c.read_only()) {
    return;
  }
  if (has_flag(*inode, format::kInodeExported)) {
    set_flag(*inode, format::kInodeExported, false);
    const bool beyond = !is_durable(*inode);
    (void)(beyond ? extent_data::trim(c, *node, *inode) : commit_inode(c, *inode));
  }
  node->unlinked = inode->nlink.load() == 0;  // reaped as the pin goes
}

}  // namespace

Result<WindowMapping> map_window(Context& c, InodeNo ino, Range range) {
  if (c.read_only()) {
    return Error(EROFS);
  }
  if (range.begin % format::kFrameSize != 0 || range.end % format::kFrameSize != 0 ||
      range.begin >= range.end || range.end > format::kMaxFileSize) {
    return Error(EINVAL);
  }
  const NodeRef node = c.nodes.get(ino);
  const std::unique_lock lock(node->lock);
  PMEMFS_TRY(InodeRecord inode, read_inode(c, *node));
  if (!is_regular(inode)) {
    return Error(EINVAL);
  }
  return c.has_backing() ? map_host_file(c, *node, inode, range)
                         : map_extents(c, *node, inode, range);
}

Cut::Cut(Context& c, InodeNo ino, std::uint64_t size) : c_(c), ino_(ino), size_(size) {
  if (!c.has_backing() || !c.window_hooks.unmap_beyond) {
    return;
  }
  {
    const NodeRef node = c.nodes.get(ino);
    const std::shared_lock lock(node->lock);
    const auto inode = read_inode(c, *node);
    if (!inode || !is_regular(*inode) || is_durable(*inode)) {
      return;
    }
    if (const auto present = data_size(c, *node, *inode); !present || size >= *present) {
      return;
    }
    c.exports.begin_cut(ino, size);
    begun_ = true;
  }
  unmapped_ = c.exports.any(ino);
  if (unmapped_) {
    c.window_hooks.unmap_beyond(ino, size);
  }
}

Cut::~Cut() {
  if (begun_) {
    c_.exports.end_cut(ino_, size_);
  }
  if (unmapped_ && c_.window_hooks.map_again) {
    c_.window_hooks.map_again(ino_);
  }
}

Status sync_windows(Context& c, Node& node) {
  const std::vector<Range> ranges = c.exports.mapped(node.ino, {0, UINT64_MAX});
  if (ranges.empty()) {
    return {};
  }
  {
    PMEMFS_TRY(const auto lock, lock_to_read(c, node));
    for (const Range& range : ranges) {
      PMEMFS_CHECK(flush_range(c, node, range));
    }
    c.store->region().fence();
  }
  return stamp_written(c, node);
}

Status adopt_exports(Context& c) {
  for (const InodeNo ino : c.store->take_exported()) {
    c.exports.wait(ino);
  }
  for (const std::uint64_t key : c.store->region().exported_keys()) {
    const InodeNo ino(key);
    const NodeRef node = c.nodes.get(ino);
    const std::unique_lock lock(node->lock);
    auto inode = read_inode(c, *node);
    if (inode && is_regular(*inode)) {
      PMEMFS_CHECK(record_export(c, *inode));
      c.exports.wait(ino);
    }
  }
  return {};
}

void settle_exports(Context& c) {
  for (const InodeNo ino : c.exports.waiting()) {
    settle(c, ino);
  }
}

}  // namespace pmemfs::core
