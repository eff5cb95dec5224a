// What every part of the core works on: the store, the host directory, the nodes, the policy.
#pragma once

#include <sys/stat.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <unordered_map>
#include <vector>

#include "core/endings.hpp"
#include "core/exports.hpp"
#include "core/lock_set.hpp"
#include "core/node.hpp"
#include "pmemfs/backing_dir.hpp"
#include "pmemfs/filesystem.hpp"
#include "store/change.hpp"
#include "store/store.hpp"

namespace pmemfs::core {

using InodeRecord = format::Inode;

// An open file. Lives until release(); operations share it.
struct Handle {
  NodeRef node;
  int flags = 0;  // as open(2)
  Reach reach = Reach::kMount;
  std::atomic<DataPath> path{DataPath::kCached};
};

// Open handles by number. Thread-safe.
class HandleTable {
 public:
  HandleId add(std::shared_ptr<Handle> handle);
  [[nodiscard]] std::shared_ptr<Handle> find(HandleId id) const;
  std::shared_ptr<Handle> take(HandleId id);
  [[nodiscard]] std::uint64_t size() const;
  // Empties the table (end of a session).
  void clear();

 private:
  mutable std::shared_mutex mutex_;
  std::unordered_map<HandleId, std::shared_ptr<Handle>> handles_;
  HandleId next_ = 1;
};

struct Context {
  Context(std::unique_ptr<store::Store> s, BackingDir* b, FilesystemOptions o);

  std::unique_ptr<store::Store> store;
  BackingDir* backing;  // null: data lies in extents
  FilesystemOptions options;
  std::atomic<bool> passthrough;
  EdgeHooks hooks;
  WindowHooks window_hooks;

  NodeTable nodes;
  HandleTable handles;
  Exports exports;
  Endings endings;
  NodeRef root;  // held always

  std::mutex tree;  // held while a directory moves to another: nobody else changes parents then
  std::mutex
      compaction;  // data is moved for others by one thread at a time; it holds no lock before
  std::mutex unsynced_mutex;
  std::vector<BackingName> unsynced;  // created and not yet synced, for the syncer

  std::atomic<std::uint64_t> index_bytes{0};  // DRAM of all directory indexes
  std::atomic<std::uint32_t> tick{0};         // moves with each use of a directory
  std::atomic<std::uint64_t> relocations_refused{0};
  std::atomic<std::uint64_t> orphans_kept{0};
  std::atomic<std::uint64_t> pending_durable{0};  // bytes promised to fills under way
  std::atomic<std::uint64_t> ahead_bytes{0};      // allocated ahead of durable files that grow

  [[nodiscard]] bool read_only() const { return store->read_only(); }
  // Regular files have a host file each.
  [[nodiscard]] bool has_backing() const { return backing != nullptr; }
};

// CLOCK_REALTIME_COARSE: the clock that local filesystems and the host stamp with, so that times
// kept here and times kept by the host's filesystem compare as they should.
[[nodiscard]] Timestamp now();
// What the kernel would stamp a file with, never before any stamp that it has given: for a touch,
// which must not look older than what was written before it. Dearer than now().
[[nodiscard]] Timestamp file_time();

// The inode under the caller's lock of its node. ENOENT when it is free: for a caller that came by
// number this is a stale handle. EUCLEAN: damaged, or of a length that no file has.
[[nodiscard]] Result<InodeRecord> read_inode(Context& c, const Node& node);

[[nodiscard]] inline bool has_flag(const InodeRecord& i, std::uint32_t flag) {
  return (i.flags.load() & flag) != 0;
}
inline void set_flag(InodeRecord& i, std::uint32_t flag, bool on) {
  i.flags.store(on ? i.flags.load() | flag : i.flags.load() & ~flag);
}
[[nodiscard]] inline bool is_regular(const InodeRecord& i) {
  return S_ISREG(i.mode.load());
}
[[nodiscard]] inline bool is_directory(const InodeRecord& i) {
  return S_ISDIR(i.mode.load());
}
[[nodiscard]] inline bool is_durable(const InodeRecord& i) {
  return has_flag(i, format::kInodeDurable);
}
// Of a regular file on a directory region. A file whose data moved names another generation than
// the one by which the kernel knows the inode.
[[nodiscard]] inline BackingName backing_name(const InodeRecord& i) {
  const std::uint64_t moved = i.host.generation.load();
  return {InodeNo(i.ino.load()), moved != 0 ? moved : i.generation.load()};
}
// Whether the host file of this name holds the inode's data.
[[nodiscard]] inline bool owns(const InodeRecord& i, BackingName name) {
  return is_regular(i) && backing_name(i) == name;
}

// One change with one inode in it.
Status commit_inode(Context& c, InodeRecord& inode);

}  // namespace pmemfs::core
