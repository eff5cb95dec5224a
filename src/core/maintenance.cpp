#include "core/maintenance.hpp"

#include <malloc.h>

#include <chrono>
#include <utility>

#include "base/chore.hpp"
#include "base/log.hpp"
#include "core/directories.hpp"
#include "core/reap.hpp"
#include "core/windows.hpp"
#include "store/bad_blocks.hpp"

namespace pmemfs::core {

namespace {

constexpr std::chrono::seconds kSyncPeriod{4};  // with the sync itself ≤ 5 s behind

void mark_synced(Context& c, BackingName name) {
  const NodeRef node = c.nodes.get(name.ino);
  const std::unique_lock lock(node->lock);
  auto inode = read_inode(c, *node);
  if (!inode || !owns(*inode, name) || inode->nlink.load() == 0) {
    return;
  }
  if (has_flag(*inode, format::kInodeSynced)) {
    return;
  }
  set_flag(*inode, format::kInodeSynced, true);
  (void)commit_inode(c, *inode);
}

// The inode table knows this number as free, as another file's, or as one whose data moved: nobody
// refers to the host file.
bool proven_freed(Context& c, BackingName name) {
  const NodeRef node = c.nodes.get(name.ino);
  const std::shared_lock lock(node->lock);
  const auto inode = read_inode(c, *node);
  if (inode.code() == ENOENT) {
    return true;
  }
  return inode.ok() && !owns(*inode, name);
}

}  // namespace

void free_orphan_inodes(Context& c) {
  for (const InodeNo ino : c.store->take_orphans()) {
    const NodeRef node = c.nodes.get(ino);
    node->unlinked = true;  // reaped as the pin goes
  }
}

void collect_orphan_files(Context& c, std::uint64_t first_new, bool table_trusted) {
  if (!c.has_backing()) {
    return;
  }
  const auto ours = [&](BackingName name) {
    if (name.gen >= first_new || !proven_freed(c, name)) {
      return;
    }
    const Status gone = table_trusted ? c.backing->unlink(name) : Status(Error(EPERM));
    if (!gone && gone.code() != ENOENT) {
      c.orphans_kept++;
    }
  };
  const auto foreign = [&](const std::string& name) {
    c.orphans_kept++;
    base::log::warn("'{}' in the data directory is not ours; left alone", name);
  };
  const Status walked = c.backing->for_each(ours, foreign);
  if (!walked) {
    base::log::warn("the data directory could not be read: error {}", walked.code());
  }
  if (c.orphans_kept != 0) {
    base::log::warn("{} host files belong to no inode and were kept; run fsck.pmemfs",
                    c.orphans_kept.load());
  }
}

Status sync_host(Context& c) {
  if (!c.has_backing() || c.store->region().read_only()) {
    return {};
  }
  std::vector<BackingName> created;
  {
    const std::lock_guard lock(c.unsynced_mutex);
    created.swap(c.unsynced);
  }
  const Status synced = c.backing->sync_all();
  if (!synced) {
    const std::lock_guard lock(c.unsynced_mutex);
    c.unsynced.insert(c.unsynced.end(), created.begin(), created.end());
    return synced;
  }
  for (const BackingName& name : created) {
    mark_synced(c, name);
  }
  return {};
}

Syncer::Syncer(Context& c) : c_(c), thread_([this] { run(); }) {}

Syncer::~Syncer() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

// malloc keeps the pages of freed nodes for itself; after a mass forget that is most of our memory.
void Syncer::trim_memory() {
  constexpr std::uint64_t kMany = 4096;
  const std::uint64_t gone = c_.nodes.gone();
  if (gone - gone_ < kMany || c_.nodes.size() > gone - gone_) {
    return;
  }
  ::malloc_trim(0);
  gone_ = gone;
}

void Syncer::work() {
  bool pending = false;
  {
    const std::lock_guard unsynced(c_.unsynced_mutex);
    pending = !c_.unsynced.empty();
  }
  if (pending) {
    (void)sync_host(c_);
  }
  settle_exports(c_);
  c_.store->bad_blocks().note();
  drop_indexes(c_, c_.options.directory_index_bytes);
  trim_memory();
}

void Syncer::run() {
  std::unique_lock lock(mutex_);
  while (!wake_.wait_for(lock, kSyncPeriod, [this] { return stop_; })) {
    lock.unlock();
    base::do_chore([this] { work(); });
    lock.lock();
  }
}

}  // namespace pmemfs::core
