#include "core/backing_data.hpp"

#include <fcntl.h>
#include <linux/falloc.h>
#include <unistd.h>

#include <algorithm>

#include "base/log.hpp"
#include "core/quota.hpp"
#include "store/store.hpp"

namespace pmemfs::core::backing_data {

namespace {

constexpr std::uint64_t kPage = 4096;

HostStat empty_stat(const InodeRecord& inode) {
  return {.atime = store::atime(inode), .mtime = store::mtime(inode), .ctime = store::ctime(inode)};
}

Error missing(const InodeRecord& inode) {
  base::log::error("inode {}: its backing file is missing; run fsck.pmemfs", inode.ino.load());
  return Error(EUCLEAN);
}

Error shorter(const InodeRecord& inode, std::uint64_t host_size) {
  base::log::error("inode {}: its backing file has {} bytes where {} are durable; run fsck.pmemfs",
                   inode.ino.load(), host_size, inode.durable_len.load());
  return Error(EUCLEAN);
}

// The host file of an inode whose own was lost in a crash before anything synced it.
Result<int> make_anew(Context& c, const InodeRecord& inode) {
  const BackingName name = backing_name(inode);
  auto made = c.backing->create(name);
  if (made.code() == EEXIST) {
    return c.backing->open(name);  // another reader was faster
  }
  if (!made) {
    return made;
  }
  base::UniqueFd fd(*made);
  PMEMFS_CHECK(c.backing->set_times(fd.get(), store::atime(inode), store::mtime(inode)));
  return fd.release();
}

}  // namespace

Result<File> open(Context& c, const Node& node, const InodeRecord& inode) {
  if (node.fd) {
    return File(node.fd.get());
  }
  auto fd = c.backing->open(backing_name(inode));
  if (fd.code() == ENOENT) {
    if (has_flag(inode, format::kInodeSynced)) {
      return missing(inode);
    }
    if (c.read_only()) {
      return Error(ENOENT);
    }
    fd = make_anew(c, inode);
  }
  if (!fd) {
    return fd.error();
  }
  return File(base::UniqueFd(*fd));
}

Result<HostStat> stat(Context& c, const Node& node, const InodeRecord& inode) {
  auto host = node.fd ? c.backing->stat_fd(node.fd.get()) : c.backing->stat(backing_name(inode));
  if (host.code() == ENOENT) {
    if (has_flag(inode, format::kInodeSynced)) {
      return missing(inode);
    }
    return empty_stat(inode);
  }
  if (host && is_durable(inode) && host->size < inode.durable_len.load()) {
    return shorter(inode, host->size);
  }
  return host;
}

Status fill(Context& c, const InodeRecord& inode, int fd, std::uint64_t from, std::uint64_t to) {
  if (to > from) {
    PMEMFS_TRY(const HostStat before, c.backing->stat_fd(fd));
    const auto give_back = [&] {
      if (before.size < to) {
        (void)c.backing->truncate(fd, std::max(before.size, from));
      }
    };
    const auto reserve = [&] {
      return c.backing->allocate(fd, 0, from, to - from);
    };
    Status done = with_space(c, reserve);
    const std::uint64_t page = from / kPage * kPage;
    if (done) {
      done = c.backing->touch(fd, page, to - page);
    }
    if (!done) {
      give_back();
      return done;
    }
  }
  PMEMFS_CHECK(c.backing->sync_file(fd));
  return c.backing->sync_parent(backing_name(inode));
}

Status cover_tail(Context& c, Node& node, InodeRecord& inode) {
  PMEMFS_TRY(File file, open(c, node, inode));
  PMEMFS_TRY(const HostStat host, c.backing->stat_fd(file.fd()));
  const std::uint64_t promised = inode.durable_len.load();
  if (host.size < promised) {
    return shorter(inode, host.size);
  }
  if (host.size == promised || c.read_only()) {
    return {};
  }
  PMEMFS_CHECK(fill(c, inode, file.fd(), promised, host.size));
  (void)c.backing->set_times(file.fd(), host.atime, host.mtime);
  inode.durable_len.store(host.size);
  set_flag(inode, format::kInodeSynced, true);
  return commit_inode(c, inode);
}

Status mark_synced(Context& c, InodeRecord& inode, int fd) {
  if (has_flag(inode, format::kInodeSynced)) {
    return {};
  }
  PMEMFS_CHECK(c.backing->sync_file(fd));
  PMEMFS_CHECK(c.backing->sync_parent(backing_name(inode)));
  set_flag(inode, format::kInodeSynced, true);
  return commit_inode(c, inode);
}

Result<std::size_t> read(Context& c, Node& node, const InodeRecord& inode, std::uint64_t off,
                         std::span<std::byte> dst) {
  auto file = open(c, node, inode);
  if (file.code() == ENOENT) {
    return std::size_t{0};  // never synced, and the mount is read-only
  }
  if (!file) {
    return file.error();
  }
  return c.backing->read(file->fd(), off, dst.data(), dst.size());
}

Result<std::size_t> write(Context& c, Node& node, InodeRecord& inode, std::uint64_t off,
                          std::span<const std::byte> src) {
  PMEMFS_TRY(File file, open(c, node, inode));
  const std::uint64_t end = off + src.size();
  if (is_durable(inode) && end > inode.durable_len.load()) {
    PMEMFS_CHECK(resize(c, node, inode, end));
  }
  return with_space(c, [&] { return c.backing->write(file.fd(), off, src.data(), src.size()); });
}

// For what changes nothing and succeeds: POSIX marks the file as modified by it.
static Status mark_modified(Context& c, int fd) {
  return c.backing->set_times(fd, kHostKeep, kHostNow);
}

// Growth of a durable file: the new bytes are filled, synced and promised before anyone sees them
// as part of the file's contract.
static Status grow_durable(Context& c, InodeRecord& inode, int fd, std::uint64_t size) {
  const std::uint64_t promised = inode.durable_len.load();
  if (size <= promised) {
    return mark_modified(c, fd);
  }
  const DurableReservation room(c, size - promised);
  if (!room.granted()) {
    return Error(EDQUOT);
  }
  PMEMFS_CHECK(fill(c, inode, fd, promised, size));
  inode.durable_len.store(size);
  set_flag(inode, format::kInodeSynced, true);
  return commit_inode(c, inode);
}

Status resize(Context& c, Node& node, InodeRecord& inode, std::uint64_t size) {
  PMEMFS_TRY(File file, open(c, node, inode));
  if (is_durable(inode)) {
    return grow_durable(c, inode, file.fd(), size);
  }
  PMEMFS_CHECK(with_space(c, [&] { return c.backing->truncate(file.fd(), size); }));
  if (size == 0 && has_flag(inode, format::kInodeSynced)) {
    node.sync_on_release = true;
  }
  return {};
}

// ZERO_RANGE on a durable file: zeros stored in place, exactly where asked.
static Status zero_in_place(Context& c, int fd, std::uint64_t off, std::uint64_t len) {
  static constexpr std::size_t kChunk = 256U << 10U;
  const std::vector<std::byte> zeros(
      static_cast<std::size_t>(std::min<std::uint64_t>(len, kChunk)));
  while (len > 0) {
    const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(len, kChunk));
    PMEMFS_TRY(const std::size_t done, c.backing->write(fd, off, zeros.data(), n));
    if (done == 0) {
      return Error(EIO);
    }
    off += done;
    len -= done;
  }
  return {};
}

static Status allocate_durable(Context& c, InodeRecord& inode, int fd, int mode, std::uint64_t off,
                               std::uint64_t len) {
  if ((mode & FALLOC_FL_PUNCH_HOLE) != 0) {
    return Error(EOPNOTSUPP);
  }
  const bool keep_size = (mode & FALLOC_FL_KEEP_SIZE) != 0;
  const std::uint64_t promised = inode.durable_len.load();
  const std::uint64_t end = off + len;
  if (end > promised && !keep_size) {
    PMEMFS_CHECK(grow_durable(c, inode, fd, end));
  }
  if ((mode & FALLOC_FL_ZERO_RANGE) != 0) {
    const std::uint64_t limit = keep_size ? std::min(end, promised) : end;
    return off < limit ? zero_in_place(c, fd, off, limit - off) : Status();
  }
  if (end > promised && keep_size) {
    const std::uint64_t from = std::max(off, promised);
    return with_space(
        c, [&] { return c.backing->allocate(fd, FALLOC_FL_KEEP_SIZE, from, end - from); });
  }
  return mark_modified(c, fd);
}

Status allocate(Context& c, Node& node, InodeRecord& inode, int mode, std::uint64_t off,
                std::uint64_t len) {
  PMEMFS_TRY(File file, open(c, node, inode));
  if (is_durable(inode)) {
    return allocate_durable(c, inode, file.fd(), mode, off, len);
  }
  return with_space(c, [&] { return c.backing->allocate(file.fd(), mode, off, len); });
}

Result<std::uint64_t> seek(Context& c, Node& node, const InodeRecord& inode, std::uint64_t off,
                           int whence) {
  auto file = open(c, node, inode);
  if (file.code() == ENOENT) {
    return Error(ENXIO);
  }
  if (!file) {
    return file.error();
  }
  return c.backing->seek(file->fd(), off, whence);
}

}  // namespace pmemfs::core::backing_data
