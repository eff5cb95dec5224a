#include "core/window_holes.hpp"

#include <linux/falloc.h>
#include <unistd.h>

#include <algorithm>
#include <mutex>

#include "core/backing_data.hpp"

namespace pmemfs::core::window_holes {

namespace {

Status allocate(Context& c, int fd, int mode, Range range) {
  return backing_data::with_space(
      c, [&] { return c.backing->allocate(fd, mode, range.begin, range.end - range.begin); });
}

// The part of a file that is neither durable nor mapped is the host's affair.
Status blank_on_host(Context& c, int fd, int mode, Range range) {
  return range.begin < range.end ? allocate(c, fd, mode | FALLOC_FL_KEEP_SIZE, range) : Status();
}

}  // namespace

// Without any hole the host is not asked, since that would be a change of the file, with a new
// mtime.
Status fill_place(Context& c, int fd, Range range) {
  if (const auto hole = c.backing->seek(fd, range.begin, SEEK_HOLE); hole && *hole >= range.end) {
    return {};
  }
  return allocate(c, fd, FALLOC_FL_KEEP_SIZE, range);
}

Status fill(Context& c, InodeNo ino, int fd, std::uint64_t to) {
  for (const Range& hole : c.exports.unfilled(ino, to)) {
    PMEMFS_CHECK(allocate(c, fd, FALLOC_FL_KEEP_SIZE, hole));
  }
  return {};
}

Status blank(Context& c, InodeNo ino, int fd, int mode, std::uint64_t off, std::uint64_t len) {
  const std::uint64_t end = off + len;
  if ((mode & FALLOC_FL_KEEP_SIZE) == 0) {
    PMEMFS_CHECK(fill(c, ino, fd, off));
    PMEMFS_CHECK(allocate(c, fd, 0, {off, end}));
  }
  PMEMFS_TRY(const HostStat host, c.backing->stat_fd(fd));
  PMEMFS_CHECK(fill(c, ino, fd, host.size));  // or zeros might find no room
  c.exports.grown(ino, host.size);
  std::uint64_t at = off;
  for (const Range& mapped : c.exports.mapped(ino, {off, std::min(end, host.size)})) {
    PMEMFS_CHECK(blank_on_host(c, fd, mode, {at, mapped.begin}));
    PMEMFS_CHECK(backing_data::write_zeros(c, fd, mapped.begin, mapped.end - mapped.begin));
    at = mapped.end;
  }
  return blank_on_host(c, fd, mode, {at, end});
}

Status cover(Context& c, InodeNo ino, std::uint64_t size) {
  if (!c.has_backing() || c.exports.unfilled(ino, size).empty()) {
    return {};
  }
  const NodeRef node = c.nodes.get(ino);
  const std::unique_lock lock(node->lock);
  PMEMFS_TRY(InodeRecord inode, read_inode(c, *node));
  if (!is_regular(inode)) {
    return {};
  }
  PMEMFS_TRY(const backing_data::File file, backing_data::open(c, *node, inode));
  PMEMFS_TRY(const HostStat host, c.backing->stat_fd(file.fd()));
  if (is_durable(inode)) {
    PMEMFS_CHECK(backing_data::cover_tail(c, *node, inode));
  } else {
    PMEMFS_CHECK(fill(c, ino, file.fd(), host.size));
  }
  c.exports.grown(ino, host.size);
  return {};
}

}  // namespace pmemfs::core::window_holes
