#include "core/durable.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <linux/falloc.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <mutex>

#include "core/backing_data.hpp"
#include "core/credentials.hpp"
#include "core/data.hpp"
#include "core/extent_fill.hpp"
#include "core/frames.hpp"
#include "core/gate.hpp"
#include "core/quota.hpp"
#include "pmemfs/durable.h"

namespace pmemfs::core {

namespace {

// The text of user.pmemfs.extents ends after so many runs.
constexpr std::size_t kMostRunsShown = 1000;

bool persistent_or_emulated(Context& c) {
  const Granularity g = c.store->region().granularity();
  const bool persistent = g == Granularity::kByte || g == Granularity::kCacheLine;
  return persistent || (c.store->superblock().flags.load() & format::kSbEmulated) != 0;
}

Status fill_backing(Context& c, Node& node, InodeRecord& inode) {
  PMEMFS_TRY(const backing_data::File file, backing_data::open(c, node, inode));
  PMEMFS_TRY(const HostStat host, c.backing->stat_fd(file.fd()));
  const DurableReservation room(c, host.size);
  if (!room.granted()) {
    return Error(EDQUOT);
  }
  // Before the fill, whose sync commits it.
  c.backing->set_nodefrag(file.fd(), true);
  if (const Status filled = backing_data::fill(c, inode, file.fd(), 0, host.size); !filled) {
    c.backing->set_nodefrag(file.fd(), false);
    return filled;
  }
  (void)c.backing->set_times(file.fd(), host.atime, host.mtime);
  set_flag(inode, format::kInodeDurable, true);
  set_flag(inode, format::kInodeSynced, true);
  inode.durable_len.store(host.size);
  store::set_ctime(inode, now());
  return commit_inode(c, inode);
}

Status fill_extents(Context& c, Node& node, InodeRecord& inode) {
  const std::uint64_t size = inode.size.load();
  const DurableReservation room(c, size);
  if (!room.granted()) {
    return Error(EDQUOT);
  }
  PMEMFS_CHECK(extent_data::fill(c, node, inode, 0, size));
  set_flag(inode, format::kInodeDurable, true);
  inode.durable_len.store(size);
  store::set_ctime(inode, now());
  return commit_inode(c, inode);
}

// Lock: exclusive.
Status pin(Context& c, Node& node, InodeRecord& inode) {
  if (is_directory(inode)) {
    set_flag(inode, format::kInodeDurable, true);
    store::set_ctime(inode, now());
    return commit_inode(c, inode);
  }
  if (node.cached_opens != 0 || c.exports.is_cut(node.ino)) {
    return Error(EBUSY);
  }
  return c.has_backing() ? fill_backing(c, node, inode) : fill_extents(c, node, inode);
}

void allow_defrag(Context& c, Node& node, const InodeRecord& inode) {
  if (const auto file = backing_data::open(c, node, inode)) {
    c.backing->set_nodefrag(file->fd(), false);
  }
}

Status check_right(Context& c, const Caller& caller) {
  if (c.read_only()) {
    return Error(EROFS);
  }
  if (!may_set_durable(c.options.durable, caller)) {
    return Error(EPERM);
  }
  return {};
}

// Where the host does not tell of blocks: what is data and what a hole.
Result<std::string> data_of_backing(Context& c, Node& node, const InodeRecord& inode,
                                    std::uint64_t size) {
  std::string text;
  std::uint64_t at = 0;
  for (std::size_t runs = 0; at < size && runs < kMostRunsShown; runs++) {
    const auto data = backing_data::seek(c, node, inode, at, SEEK_DATA);
    if (data.code() == ENXIO) {
      break;
    }
    if (!data) {
      return data.error();
    }
    PMEMFS_TRY(const std::uint64_t end, backing_data::seek(c, node, inode, *data, SEEK_HOLE));
    text += fmt::format("{}+{}\n", *data, end - *data);
    at = end;
  }
  return text;
}

// What is allocated ahead of the file is not of the file, and not shown.
Result<std::string> extents_of_backing(Context& c, Node& node, const InodeRecord& inode) {
  PMEMFS_TRY(const std::uint64_t size, data_size(c, node, inode));
  const auto file = backing_data::open(c, node, inode);
  if (file.code() == ENOENT) {
    return std::string();
  }
  if (!file) {
    return file.error();
  }
  const auto runs = c.backing->extents(file->fd(), kMostRunsShown);
  if (!runs) {
    return data_of_backing(c, node, inode, size);
  }
  const std::uint64_t limit =
      (size + format::kBlockSize - 1) / format::kBlockSize * format::kBlockSize;
  std::string text;
  for (const HostExtent& run : *runs) {
    if (run.off >= limit) {
      break;
    }
    const std::string place = run.located ? fmt::format(" at {}", run.physical) : std::string();
    text += fmt::format("{}+{}{}{}\n", run.off, std::min(run.len, limit - run.off), place,
                        run.unwritten ? " unwritten" : "");
  }
  return text;
}

Result<std::string> extents_of_region(Context& c, Node& node) {
  std::string text;
  PMEMFS_TRY(const auto lock, lock_to_read(c, node));
  std::size_t runs = 0;
  for (const store::Mapping& m : node.extents->all()) {
    if (runs++ == kMostRunsShown) {
      break;
    }
    text +=
        fmt::format("{}+{} at {}{}\n", m.logical * format::kBlockSize, m.count * format::kBlockSize,
                    m.physical.value * format::kBlockSize, m.unwritten ? " unwritten" : "");
  }
  return text;
}

// Where the asker is; what others map says nothing.
std::string mapping_of(const Context& c, const InodeRecord& inode, const Asker& asker) {
  if (!is_regular(inode)) {
    return "refused";
  }
  if (asker.by_window == ByWindow::kAll ||
      (asker.by_window == ByWindow::kDurable && is_durable(inode))) {
    return "window";
  }
  if (asker.reach == Reach::kMount && c.has_backing() && c.passthrough) {
    return "passthrough";
  }
  return is_durable(inode) || asker.reach == Reach::kDirect ? "refused" : "cached";
}

}  // namespace

OwnName own_name(std::string_view name) {
  for (const std::string_view space : {"user.", "trusted.", "security.", "system."}) {
    if (!name.starts_with(space)) {
      continue;
    }
    const std::string_view rest = name.substr(space.size());
    if (rest != "pmemfs" && !rest.starts_with("pmemfs.")) {
      return OwnName::kNone;
    }
    if (name == PMEMFS_XATTR_DURABLE || name == PMEMFS_XATTR_DURABLE_TRUSTED) {
      return OwnName::kDurable;
    }
    if (name == PMEMFS_XATTR_GRANULARITY) {
      return OwnName::kGranularity;
    }
    if (name == PMEMFS_XATTR_MAPPING) {
      return OwnName::kMapping;
    }
    if (name == PMEMFS_XATTR_PLACEMENT) {
      return OwnName::kPlacement;
    }
    if (name == PMEMFS_XATTR_EXTENTS) {
      return OwnName::kExtents;
    }
    return OwnName::kUnknown;
  }
  return OwnName::kUnknown;
}

Status set_durable(Context& c, const Caller& caller, InodeNo ino, std::span<const std::byte> value,
                   int flags) {
  if (value.size() != 1) {
    return Error(EINVAL);
  }
  const char digit = static_cast<char>(value[0]);
  if (digit == '0') {
    return clear_durable(c, caller, ino);
  }
  if (digit != '1') {
    return Error(EINVAL);
  }
  PMEMFS_CHECK(check_right(c, caller));
  if (!persistent_or_emulated(c)) {
    return Error(EOPNOTSUPP);
  }
  const NodeRef node = c.nodes.get(ino);
  wait_until_uncached(*node);  // all other handles may live on
  frame_before_pin(c, *node);
  const std::unique_lock lock(node->lock);
  PMEMFS_TRY(InodeRecord inode, read_inode(c, *node));
  if (!is_regular(inode) && !is_directory(inode)) {
    return Error(EOPNOTSUPP);
  }
  if (is_durable(inode)) {
    return (flags & XATTR_CREATE) != 0 ? Status(Error(EEXIST)) : Status();
  }
  if ((flags & XATTR_REPLACE) != 0) {
    return Error(ENODATA);
  }
  return pin(c, *node, inode);
}

Status clear_durable(Context& c, const Caller& caller, InodeNo ino) {
  PMEMFS_CHECK(check_right(c, caller));
  const NodeRef node = c.nodes.get(ino);
  bool may_be_open = false;
  {
    const std::shared_lock lock(node->lock);
    PMEMFS_TRY(const InodeRecord inode, read_inode(c, *node));
    if (!is_durable(inode)) {
      return {};
    }
    may_be_open = is_regular(inode);
  }
  if (may_be_open) {
    wait_until_idle(c, *node);
  }
  const std::unique_lock lock(node->lock);
  PMEMFS_TRY(InodeRecord inode, read_inode(c, *node));
  if (!is_durable(inode)) {
    return {};
  }
  if (is_regular(inode)) {
    PMEMFS_CHECK(prove_unmapped(c, *node, inode));
  }
  set_flag(inode, format::kInodeDurable, false);
  inode.durable_len.store(0);
  store::set_ctime(inode, now());
  PMEMFS_CHECK(commit_inode(c, inode));
  if (is_regular(inode) && c.has_backing()) {
    allow_defrag(c, *node, inode);
  }
  return {};
}

Result<std::string> own_value(Context& c, InodeNo ino, OwnName name, const Asker& asker) {
  const NodeRef node = c.nodes.get(ino);
  std::shared_lock lock(node->lock);
  PMEMFS_TRY(const InodeRecord inode, read_inode(c, *node));
  switch (name) {
    case OwnName::kDurable:
      if (!is_durable(inode)) {
        return Error(ENODATA);
      }
      return std::string("1");
    case OwnName::kGranularity:
      return std::string(to_string(c.store->region().granularity()));
    case OwnName::kMapping:
      return mapping_of(c, inode, asker);
    case OwnName::kPlacement:
      return std::string(c.has_backing() ? "backing" : "extents");
    case OwnName::kExtents:
      if (!is_regular(inode)) {
        return Error(ENODATA);
      }
      if (c.has_backing()) {
        return extents_of_backing(c, *node, inode);
      }
      lock.unlock();
      return extents_of_region(c, *node);
    case OwnName::kNone:
    case OwnName::kUnknown:
      break;
  }
  return Error(EOPNOTSUPP);
}

}  // namespace pmemfs::core
