#include "core/backing_move.hpp"

#include <linux/falloc.h>
#include <unistd.h>

#include <algorithm>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <vector>

#include "base/log.hpp"
#include "core/backing_data.hpp"
#include "core/gate.hpp"
#include "core/relocate.hpp"

namespace pmemfs::core {

namespace {

using Runs = std::vector<HostExtent>;
using Watch = std::function<bool(std::uint64_t copied)>;

constexpr std::size_t kStep = kRelocationStep * format::kBlockSize;

// All runs of the file within its size. Where there are several, the host places now what it has
// not placed yet.
Result<Runs> runs_of(Context& c, int fd, std::uint64_t size) {
  const auto located = [](const HostExtent& run) {
    return run.located;
  };
  PMEMFS_TRY(Runs runs, c.backing->extents(fd, SIZE_MAX));
  if (runs.size() > 1 && !std::all_of(runs.begin(), runs.end(), located)) {
    PMEMFS_CHECK(c.backing->sync_file(fd));
    PMEMFS_TRY(runs, c.backing->extents(fd, SIZE_MAX));
  }
  std::erase_if(runs, [size](const HostExtent& run) { return run.off >= size; });
  if (!runs.empty()) {
    runs.back().len = std::min(runs.back().len, size - runs.back().off);
  }
  return runs;
}

bool follows(const HostExtent& before, const HostExtent& run) {
  return before.off + before.len == run.off;
}

std::uint64_t breaks_in(const Runs& runs) {
  std::uint64_t n = 0;
  for (std::size_t i = 1; i < runs.size(); i++) {
    const HostExtent& before = runs[i - 1];
    const bool known = before.located && runs[i].located;
    const bool apart = before.physical + before.len != runs[i].physical;
    n += known && apart && follows(before, runs[i]) ? 1U : 0U;
  }
  return n;
}

std::uint64_t bytes_in(const Runs& runs) {
  std::uint64_t n = 0;
  for (const HostExtent& run : runs) {
    n += run.len;
  }
  return n;
}

// One file's move: begin() under the exclusive lock, copy() without, end() under it again.
class BackingMove {
 public:
  BackingMove(Context& c, Node& node) : c_(c), node_(node), file_(c) {}

  Status begin();
  // False: the host has no better place.
  Result<bool> copy(const Watch& go_on);
  // `commit`: the copy becomes the file, if nobody came in between.
  Status end(bool commit);

  [[nodiscard]] std::uint64_t bytes() const { return bytes_in(runs_); }
  [[nodiscard]] BackingName old_name() const { return old_name_; }

 private:
  Status allocate();
  Status copy_bytes(const Watch& go_on);
  Status copy_step(std::uint64_t off, std::size_t n);
  Status commit();

  Context& c_;
  Node& node_;
  std::optional<Lease> lease_;
  BackingName old_name_;
  BackingName new_name_;
  HostStat old_;
  Runs runs_;
  backing_data::NewFile file_;
  base::UniqueFd fd_;
  std::vector<std::byte> buffer_;
  std::uint64_t copied_ = 0;
};

Status BackingMove::begin() {
  const std::unique_lock lock(node_.lock);
  PMEMFS_TRY(const InodeRecord inode, read_inode(c_, node_));
  if (!is_regular(inode)) {
    return Error(is_directory(inode) ? EISDIR : EINVAL);
  }
  PMEMFS_CHECK(may_move(c_, inode));
  PMEMFS_TRY(Lease lease, Lease::take(c_, node_, inode));
  if (inode.nlink.load() == 0) {
    return Error(ENOENT);
  }
  PMEMFS_TRY(old_, c_.backing->stat_fd(lease.fd()));
  old_name_ = backing_name(inode);
  lease_.emplace(std::move(lease));
  node_.moving = &*lease_;
  return {};
}

Status BackingMove::allocate() {
  PMEMFS_CHECK(c_.backing->truncate(fd_.get(), old_.size));
  for (std::size_t first = 0, i = 0; i < runs_.size(); i++) {
    if (i + 1 < runs_.size() && follows(runs_[i], runs_[i + 1])) {
      continue;
    }
    const std::uint64_t off = runs_[first].off;
    const std::uint64_t len = runs_[i].off + runs_[i].len - off;
    PMEMFS_CHECK(backing_data::with_space(
        c_, [&] { return c_.backing->allocate(fd_.get(), FALLOC_FL_KEEP_SIZE, off, len); }));
    first = i + 1;
  }
  return {};
}

// Not by copy_file_range(2): hosts that can share blocks between files would, and nothing moves.
Status BackingMove::copy_step(std::uint64_t off, std::size_t n) {
  PMEMFS_TRY(const std::size_t got, c_.backing->read(lease_->fd(), off, buffer_.data(), n));
  if (got != n) {
    return Error(EBUSY);  // cut meanwhile
  }
  PMEMFS_TRY(const std::size_t put, c_.backing->write(fd_.get(), off, buffer_.data(), n));
  copied_ += put;
  return put == n ? Status() : Status(Error(ENOSPC));
}

Status BackingMove::copy_bytes(const Watch& go_on) {
  buffer_.resize(kStep);
  for (std::uint64_t at = 0; at < old_.size;) {
    const auto data = c_.backing->seek(lease_->fd(), at, SEEK_DATA);
    if (data.code() == ENXIO) {
      break;
    }
    if (!data) {
      return data.error();
    }
    PMEMFS_TRY(const std::uint64_t hole, c_.backing->seek(lease_->fd(), *data, SEEK_HOLE));
    at = std::min(hole, *data + kStep);
    PMEMFS_CHECK(copy_step(*data, static_cast<std::size_t>(at - *data)));
    if (!lease_->held()) {
      return Error(EBUSY);
    }
    if (!go_on(copied_)) {
      return Error(ECANCELED);
    }
  }
  return {};
}

Result<bool> BackingMove::copy(const Watch& go_on) {
  PMEMFS_TRY(runs_, runs_of(c_, lease_->fd(), old_.size));
  const std::uint64_t breaks = breaks_in(runs_);
  if (breaks == 0) {
    return false;
  }
  PMEMFS_TRY(const std::uint64_t generation, c_.store->next_generation());
  new_name_ = {old_name_.ino, generation};
  PMEMFS_TRY(fd_, file_.create(new_name_));
  PMEMFS_CHECK(allocate());
  PMEMFS_TRY(const Runs better, runs_of(c_, fd_.get(), old_.size));
  if (breaks_in(better) >= breaks) {
    return false;
  }
  PMEMFS_CHECK(copy_bytes(go_on));
  PMEMFS_CHECK(c_.backing->set_times(fd_.get(), old_.atime, old_.mtime));
  PMEMFS_CHECK(c_.backing->sync_file(fd_.get()));
  PMEMFS_CHECK(c_.backing->sync_parent(new_name_));
  return true;
}

// The new file is on media, so the inode is `synced` from here on, whatever it was.
Status BackingMove::commit() {
  PMEMFS_TRY(InodeRecord inode, read_inode(c_, node_));
  if (inode.nlink.load() == 0) {
    return Error(ENOENT);
  }
  PMEMFS_CHECK(may_move(c_, inode));
  PMEMFS_CHECK(c_.store->use_feature(format::kIncompatHostPlace));
  if (!lease_->held()) {
    return Error(EBUSY);
  }
  inode.host.generation.store(new_name_.gen);
  set_flag(inode, format::kInodeSynced, true);
  PMEMFS_CHECK(commit_inode(c_, inode));
  file_.keep();
  return {};
}

Status BackingMove::end(bool commit) {
  const std::unique_lock lock(node_.lock);
  const Status done = commit ? this->commit() : Status();
  node_.moving = nullptr;
  lease_.reset();
  return done;
}

void drop_old_file(Context& c, BackingName name) {
  const Status gone = c.backing->unlink(name);
  if (!gone && gone.code() != ENOENT) {
    base::log::warn("inode {}: the backing file that it moved from stays behind: error {}",
                    name.ino.value, gone.code());
  }
}

}  // namespace

Result<HostLayout> host_layout(Context& c, InodeNo ino) {
  const NodeRef node = c.nodes.get(ino);
  const std::shared_lock lock(node->lock);
  PMEMFS_TRY(const InodeRecord inode, read_inode(c, *node));
  if (!is_regular(inode)) {
    return Error(is_directory(inode) ? EISDIR : EINVAL);
  }
  if (node->moving != nullptr) {
    return Error(EBUSY);  // opening the file would end that
  }
  HostLayout layout{.durable = pinned(inode)};
  base::UniqueFd own;
  if (!node->fd) {
    const auto opened = c.backing->open(backing_name(inode));
    if (opened.code() == ENOENT) {
      return layout;
    }
    if (!opened) {
      return opened.error();
    }
    own = base::UniqueFd(*opened);
  }
  const int fd = own ? own.get() : node->fd.get();
  PMEMFS_TRY(const HostStat host, c.backing->stat_fd(fd));
  PMEMFS_TRY(const Runs runs, runs_of(c, fd, host.size));
  layout.bytes = bytes_in(runs);
  layout.breaks = breaks_in(runs);
  return layout;
}

Result<std::uint64_t> move_backing(Context& c, InodeNo ino, const Watch& go_on) {
  const NodeRef node = c.nodes.get(ino);
  wait_until_idle(c, *node);
  BackingMove move(c, *node);
  PMEMFS_CHECK(move.begin());
  const auto better = move.copy(go_on);
  const Status ended = move.end(better && *better);
  if (!better) {
    return better.error();
  }
  if (!*better || !ended) {
    return ended ? Result<std::uint64_t>(std::uint64_t{0}) : ended.error();
  }
  drop_old_file(c, move.old_name());
  return move.bytes();
}

}  // namespace pmemfs::core
