#include "core/migrate.hpp"

#include <chrono>
#include <mutex>
#include <thread>

#include "core/attributes.hpp"
#include "core/gate.hpp"
#include "core/names.hpp"

namespace pmemfs::core {

namespace {

constexpr std::chrono::milliseconds kTickPause{1};

// Lock: exclusive.
Result<FileStamp> stamp_of(Context& c, Node& node, const InodeRecord& inode) {
  PMEMFS_TRY(const Attributes a, attributes(c, node, inode));
  return FileStamp{a.ino, a.generation, a.size, a.ctime, a.mtime};
}

// Who has it open may write to it, and who reads goes on reading what is no longer there. Lock:
// exclusive.
Status may_leave(Context& c, Node& node, const InodeRecord& inode) {
  if (!is_regular(inode)) {
    return {};
  }
  PMEMFS_CHECK(may_move(c, inode));
  return prove_unmapped(c, node, inode);
}

Result<FileStamp> stamp_now(Context& c, Node& node) {
  const std::unique_lock lock(node.lock);
  PMEMFS_TRY(const InodeRecord inode, read_inode(c, node));
  if (inode.nlink.load() == 0) {
    return Error(ENOENT);
  }
  if (is_directory(inode)) {
    return Error(EISDIR);
  }
  PMEMFS_CHECK(may_leave(c, node, inode));
  return stamp_of(c, node, inode);
}

}  // namespace

// The clocks that stamp files stand still between two ticks: a stamp of this very tick could be
// that of a later change, too. One of the far future (the clock was set back) is none of those.
Result<FileStamp> stamp_to_move(Context& c, InodeNo ino) {
  const NodeRef node = c.nodes.get(ino);
  wait_until_idle(c, *node);
  for (;;) {
    const Timestamp before = now();
    auto stamp = stamp_now(c, *node);
    if (!stamp || stamp->ctime < before || stamp->ctime.sec > before.sec + 1) {
      return stamp;
    }
    std::this_thread::sleep_for(kTickPause);
  }
}

// The ctime is left as it is, so that a change between the removal of two links shows.
Status unlink_moved(Context& c, InodeNo dir, std::string_view name, const FileStamp& stamp) {
  const NodeRef node = c.nodes.get(stamp.ino);
  wait_until_idle(c, *node);
  const UnlinkStep unchanged = [&](Node& found, InodeRecord& inode) -> Status {
    if (&found != node.get()) {
      return Error(EAGAIN);
    }
    PMEMFS_CHECK(may_leave(c, found, inode));
    PMEMFS_TRY(const FileStamp present, stamp_of(c, found, inode));
    return present == stamp ? Status() : Status(Error(EAGAIN));
  };
  PMEMFS_CHECK(unlink_if(c, dir, name, unchanged));
  c.hooks.name_gone(dir, stamp.ino, name);
  return {};
}

}  // namespace pmemfs::core
