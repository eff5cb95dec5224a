#include "core/backing_data.hpp"

#include <fcntl.h>
#include <linux/falloc.h>
#include <unistd.h>

#include <algorithm>

#include "base/log.hpp"
#include "core/ahead.hpp"
#include "core/gate.hpp"
#include "core/quota.hpp"
#include "core/window_holes.hpp"
#include "store/store.hpp"

namespace pmemfs::core::backing_data {

namespace {

constexpr std::uint64_t kPage = 4096;
using format::kFrameSize;

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

// Allocates [from, to) and makes its pages written, whoever stores there meanwhile.
Status allocate_and_touch(Context& c, int fd, std::uint64_t from, std::uint64_t to) {
  PMEMFS_CHECK(with_space(c, [&] { return c.backing->allocate(fd, 0, from, to - from); }));
  const std::uint64_t page = from / kPage * kPage;
  return c.backing->touch(fd, page, to - page);
}

// The same for growth from the very end of the file, where nobody can store yet: zeros written
// there are not seen before they lie where they belong. Frames of 2 MiB are touched all the same,
// by one page fault each. The pages of a part of one would take 4 KiB faults, and ext4 and xfs
// remember for each page by which kind of fault it came (seen on 6.12, not on 7.2): the frame would
// never be mapped in one.
Status write_and_touch(Context& c, int fd, std::uint64_t from, std::uint64_t to) {
  const std::uint64_t first = std::min(to, (from + kFrameSize - 1) / kFrameSize * kFrameSize);
  const std::uint64_t last = std::max(first, to / kFrameSize * kFrameSize);
  const auto zeros = [&](std::uint64_t at, std::uint64_t end) {
    return with_space(c, [&] { return write_zeros(c, fd, at, end - at); });
  };
  PMEMFS_CHECK(zeros(from, first));
  if (last > first) {
    PMEMFS_CHECK(allocate_and_touch(c, fd, first, last));
  }
  return zeros(last, to);
}

// The name needs it only once: it never changes, and `synced` says that media has it.
Status sync_with_name(Context& c, const InodeRecord& inode, int fd) {
  PMEMFS_CHECK(c.backing->sync_file(fd));
  return has_flag(inode, format::kInodeSynced) ? Status()
                                               : c.backing->sync_parent(backing_name(inode));
}

// What was filled and synced becomes part of the promise.
Status promise(Context& c, InodeRecord& inode, std::uint64_t size) {
  inode.durable_len.store(size);
  set_flag(inode, format::kInodeSynced, true);
  PMEMFS_CHECK(commit_inode(c, inode));
  c.exports.grown(InodeNo(inode.ino.load()), size);
  return {};
}

}  // namespace

Status write_zeros(Context& c, int fd, std::uint64_t off, std::uint64_t len) {
  static constexpr std::size_t kChunk = 256U << 10U;
  const std::vector<std::byte> zeros(
      static_cast<std::size_t>(std::min<std::uint64_t>(len, kChunk)));
  while (len > 0) {
    const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(len, kChunk));
    PMEMFS_TRY(const std::size_t done, c.backing->write(fd, off, zeros.data(), n));
    if (done == 0) {
      return Error(ENOSPC);
    }
    off += done;
    len -= done;
  }
  return {};
}

NewFile::~NewFile() {
  if (made_) {
    (void)c_.backing->unlink(name_);
  }
}

Result<base::UniqueFd> NewFile::create(BackingName name) {
  auto fd = c_.backing->create(name);
  if (fd.code() == ENOSPC || fd.code() == EMFILE || fd.code() == ENFILE) {
    c_.hooks.drop_all_idle_backing();
    fd = c_.backing->create(name);
  }
  if (!fd) {
    return fd.error();
  }
  name_ = name;
  made_ = true;
  return base::UniqueFd(*fd);
}

Result<File> open(Context& c, const Node& node, const InodeRecord& inode) {
  if (node.fd) {
    return File(node.fd.get());
  }
  if (node.moving != nullptr) {
    node.moving->end();  // a move gives way
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

Result<HostStat> stat_to_compare(Context& c, Node& node, const InodeRecord& inode, bool atime,
                                 bool mtime) {
  PMEMFS_TRY(const HostStat host, stat(c, node, inode));
  const Timestamp present = now();
  const auto before = [&](bool asked, Timestamp t) {
    if (!asked || t < present) {
      return kHostKeep;
    }
    return t.nsec > 0 ? Timestamp{t.sec, t.nsec - 1} : Timestamp{t.sec - 1, 999'999'999};
  };
  const Timestamp atime_then = before(atime, host.atime);
  const Timestamp mtime_then = before(mtime, host.mtime);
  if (atime_then == kHostKeep && mtime_then == kHostKeep) {
    return host;
  }
  auto file = open(c, node, inode);
  if (file.code() == ENOENT) {
    return host;  // never synced, and the mount is read-only
  }
  if (!file) {
    return file.error();
  }
  PMEMFS_CHECK(c.backing->set_times(file->fd(), atime_then, mtime_then));
  return c.backing->stat_fd(file->fd());
}

// Runs `make`, which makes [from, to) written, and syncs; gives a shorter file back on failure, so
// that what was refused is not there.
template <typename Make>
static Status fill_by(Context& c, const InodeRecord& inode, int fd, std::uint64_t from,
                      std::uint64_t to, const Make& make) {
  if (to <= from) {
    return sync_with_name(c, inode, fd);
  }
  PMEMFS_TRY(const HostStat before, c.backing->stat_fd(fd));
  Status done = make(before.size);
  if (done) {
    done = sync_with_name(c, inode, fd);
  }
  if (!done && before.size < to) {
    (void)c.backing->truncate(fd, std::max(before.size, from));
  }
  return done;
}

Status fill(Context& c, const InodeRecord& inode, int fd, std::uint64_t from, std::uint64_t to) {
  return fill_by(c, inode, fd, from, to,
                 [&](std::uint64_t) { return allocate_and_touch(c, fd, from, to); });
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
  return promise(c, inode, host.size);
}

Status mark_synced(Context& c, InodeRecord& inode, int fd) {
  if (has_flag(inode, format::kInodeSynced)) {
    return {};
  }
  PMEMFS_CHECK(sync_with_name(c, inode, fd));
  set_flag(inode, format::kInodeSynced, true);
  return commit_inode(c, inode);
}

Result<std::size_t> read(Context& c, Node& node, const InodeRecord& inode, std::uint64_t off,
                         std::span<const std::span<std::byte>> parts, bool quietly) {
  auto file = open(c, node, inode);
  if (file.code() == ENOENT) {
    return std::size_t{0};  // never synced, and the mount is read-only
  }
  if (!file) {
    return file.error();
  }
  return quietly ? c.backing->read_parts_quietly(file->fd(), off, parts)
                 : c.backing->read_parts(file->fd(), off, parts);
}

// For what changes nothing and succeeds: POSIX marks the file as modified by it.
static Status mark_modified(Context& c, int fd) {
  return c.backing->set_times(fd, kHostKeep, kHostNow);
}

// All of it, or what the host has against it; then a part may be written.
static Status write_whole(Context& c, int fd, std::uint64_t off, Parts parts) {
  std::vector<std::span<const std::byte>> left(parts.begin(), parts.end());
  for (std::size_t at = 0; at < left.size();) {
    PMEMFS_TRY(std::size_t n, c.backing->write_parts(fd, off, std::span(left).subspan(at)));
    off += n;
    if (n == 0 && !left[at].empty()) {
      return Error(ENOSPC);
    }
    while (at < left.size() && n >= left[at].size()) {
      n -= left[at++].size();
    }
    if (n > 0) {
      left[at] = left[at].subspan(n);
    }
  }
  return {};
}

// Growth of a durable file: the new bytes are filled, synced and promised before anyone sees them
// as part of the file's contract. `parts` are written at `off` before the sync.
static Status grow_durable(Context& c, Node& node, InodeRecord& inode, int fd, std::uint64_t size,
                           std::uint64_t off = 0, Parts parts = {}) {
  const std::uint64_t promised = inode.durable_len.load();
  if (size <= promised) {
    return mark_modified(c, fd);
  }
  const DurableReservation room(c, size - promised);
  if (!room.granted()) {
    return Error(EDQUOT);
  }
  ahead::allocate(c, node, fd, promised, size);
  // Zeros must not meet what is appended past us, by handles of this daemon or of one that died.
  const bool alone = node.unseen == 0 && !c.store->mappings_suspected();
  const auto make = [&](std::uint64_t host_size) -> Status {
    PMEMFS_CHECK(alone && host_size == promised ? write_and_touch(c, fd, promised, size)
                                                : allocate_and_touch(c, fd, promised, size));
    return with_space(c, [&] { return write_whole(c, fd, off, parts); });
  };
  PMEMFS_CHECK(fill_by(c, inode, fd, promised, size, make));
  return promise(c, inode, size);
}

// A write that begins where the promise ends: it makes every byte of the growth written by itself,
// so that there is nothing to fill, and one sync covers size, blocks and bytes.
static Result<std::size_t> append_durable(Context& c, Node& node, InodeRecord& inode, int fd,
                                          Parts parts) {
  const std::uint64_t promised = inode.durable_len.load();
  const std::size_t total = size_of(parts);
  const DurableReservation room(c, total);
  if (!room.granted()) {
    return Error(EDQUOT);
  }
  PMEMFS_TRY(const HostStat before, c.backing->stat_fd(fd));
  ahead::allocate(c, node, fd, promised, promised + total);
  Status done = with_space(c, [&] { return write_whole(c, fd, promised, parts); });
  if (done) {
    done = sync_with_name(c, inode, fd);
  }
  if (!done) {
    (void)c.backing->truncate(fd, std::max(before.size, promised));
    return done.error();
  }
  PMEMFS_CHECK(promise(c, inode, promised + total));
  return total;
}

Result<std::size_t> write(Context& c, Node& node, InodeRecord& inode, std::uint64_t off,
                          Parts parts) {
  PMEMFS_TRY(File file, open(c, node, inode));
  const std::size_t total = size_of(parts);
  const std::uint64_t end = off + total;
  const std::uint64_t promised = inode.durable_len.load();
  if (is_durable(inode) && end > promised) {
    if (off == promised) {
      return append_durable(c, node, inode, file.fd(), parts);
    }
    PMEMFS_CHECK(grow_durable(c, node, inode, file.fd(), end, off, parts));
    return total;
  }
  PMEMFS_CHECK(window_holes::fill(c, node.ino, file.fd(), off));
  PMEMFS_TRY(const std::size_t done,
             with_space(c, [&] { return c.backing->write_parts(file.fd(), off, parts); }));
  if (done > 0) {
    c.exports.grown(node.ino, off + done);
  }
  return done;
}

Status resize(Context& c, Node& node, InodeRecord& inode, std::uint64_t size) {
  PMEMFS_TRY(File file, open(c, node, inode));
  if (is_durable(inode)) {
    return grow_durable(c, node, inode, file.fd(), size);
  }
  PMEMFS_CHECK(window_holes::fill(c, node.ino, file.fd(), size));
  PMEMFS_CHECK(with_space(c, [&] { return c.backing->truncate(file.fd(), size); }));
  c.exports.resized(node.ino, size);
  if (size == 0 && has_flag(inode, format::kInodeSynced)) {
    node.sync_on_release = true;
  }
  return {};
}

static Status allocate_durable(Context& c, Node& node, InodeRecord& inode, int fd, int mode,
                               std::uint64_t off, std::uint64_t len) {
  if ((mode & FALLOC_FL_PUNCH_HOLE) != 0) {
    return Error(EOPNOTSUPP);
  }
  const bool keep_size = (mode & FALLOC_FL_KEEP_SIZE) != 0;
  const std::uint64_t promised = inode.durable_len.load();
  const std::uint64_t end = off + len;
  const bool grows = end > promised && !keep_size;
  if (grows) {
    PMEMFS_CHECK(grow_durable(c, node, inode, fd, end));
  }
  if ((mode & FALLOC_FL_ZERO_RANGE) != 0) {
    const std::uint64_t limit = keep_size ? std::min(end, promised) : end;
    return off < limit ? write_zeros(c, fd, off, limit - off) : Status();
  }
  if (end > promised && keep_size) {
    const std::uint64_t from = std::max(off, promised);
    ahead::leave_to_program(c, node);
    return with_space(
        c, [&] { return c.backing->allocate(fd, FALLOC_FL_KEEP_SIZE, from, end - from); });
  }
  return grows ? Status() : mark_modified(c, fd);
}

Status allocate(Context& c, Node& node, InodeRecord& inode, int mode, std::uint64_t off,
                std::uint64_t len) {
  PMEMFS_TRY(File file, open(c, node, inode));
  if (is_durable(inode)) {
    return allocate_durable(c, node, inode, file.fd(), mode, off, len);
  }
  const bool blanks = (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) != 0;
  if (blanks && c.exports.any(node.ino)) {
    return window_holes::blank(c, node.ino, file.fd(), mode, off, len);
  }
  const bool grows = (mode & FALLOC_FL_KEEP_SIZE) == 0;
  if (grows) {
    PMEMFS_CHECK(window_holes::fill(c, node.ino, file.fd(), off));
  }
  PMEMFS_CHECK(with_space(c, [&] { return c.backing->allocate(file.fd(), mode, off, len); }));
  if (grows) {
    c.exports.grown(node.ino, off + len);
  }
  return {};
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
