// The inodes that somebody holds: the kernel (lookups), a handle, or an operation under way.
//
// A node exists in DRAM while it is held, and its inode is not freed on media before the last
// holder is gone, so an inode number taken under a directory's lock stays the same file.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/unique_fd.hpp"
#include "pmemfs/types.hpp"
#include "store/directory.hpp"
#include "store/extent_map.hpp"

namespace pmemfs::core {

class Lease;

// What the host has allocated beyond the end of a durable file that grows (core/ahead.hpp).
struct Ahead {
  std::uint64_t end = 0;   // offset up to which it is ours to give back; 0: nothing is
  std::uint64_t held = 0;  // bytes of it that count in Context::ahead_bytes
  bool not_ours = false;   // a program has allocated beyond the end, or an earlier daemon
};

// `lock` guards the inode on media, its directory blocks, extents and xattrs, and the members below
// it: shared to read, exclusive to change, kept until the change is committed. Several nodes are
// locked through LockSet alone.
struct Node {
  explicit Node(InodeNo number) : ino(number) {}

  const InodeNo ino;
  std::uint32_t pins = 0;     // operations and handles; guarded by the table's shard
  std::uint64_t lookups = 0;  // the kernel's references; guarded by the table's shard
  // Link count 0: freed when the last holder goes. Set under `lock`, read under the shard's.
  std::atomic<bool> unlinked{false};

  std::shared_mutex lock;
  std::uint32_t opens = 0;               // handles
  std::uint32_t writers = 0;             // of these, open for writing
  std::uint32_t unseen = 0;              // of these, handles that write past the daemon
  std::uint32_t cached_opens = 0;        // of these, handles whose mappings would be cached pages
  std::uint32_t guest_cached_opens = 0;  // of these, handles of guests
  // Open for writing since it was last proven unmapped; proven so in this mount. Set under the
  // exclusive lock, or by a proof under the shared one.
  std::atomic<bool> maybe_stored{false};
  std::atomic<bool> proven{false};
  bool sync_on_release = false;  // truncated to 0 after it was synced
  Ahead ahead;
  base::UniqueFd fd;  // the backing file, while handles want it
  // Held while its backing file moves (core/backing_move.hpp): who opens that ends it.
  Lease* moving = nullptr;
  std::unique_ptr<store::ExtentMap> extents;
  std::unique_ptr<store::Directory> directory;
  std::atomic<std::uint32_t> used_at{0};  // tick of the last use of `directory`
};

class NodeTable;

// Holds a node. Movable. The last holder of an unlinked node frees the inode, so a NodeRef must not
// go while locks are held (LockSet releases in the right order).
class NodeRef {
 public:
  NodeRef() = default;
  NodeRef(NodeTable* table, Node* node) : table_(table), node_(node) {}
  NodeRef(NodeRef&& o) noexcept : table_(o.table_), node_(std::exchange(o.node_, nullptr)) {}
  NodeRef& operator=(NodeRef&& o) noexcept {
    std::swap(table_, o.table_);
    std::swap(node_, o.node_);
    return *this;
  }
  NodeRef(const NodeRef&) = delete;
  NodeRef& operator=(const NodeRef&) = delete;
  ~NodeRef();

  Node* operator->() const { return node_; }
  Node& operator*() const { return *node_; }
  [[nodiscard]] Node* get() const { return node_; }
  explicit operator bool() const { return node_ != nullptr; }

 private:
  NodeTable* table_ = nullptr;
  Node* node_ = nullptr;
};

// Thread-safe.
class NodeTable {
 public:
  // `reap` frees the inode of an unlinked node nobody holds; called without locks. `leaves` hears
  // of each node that goes; called under the shard's lock.
  NodeTable(std::function<void(Node&)> reap, std::function<void(const Node&)> leaves)
      : reap_(std::move(reap)), leaves_(std::move(leaves)) {}

  // The node of an inode number, made when it is not there. It says nothing about the inode: read
  // that under the node's lock.
  [[nodiscard]] NodeRef get(InodeNo ino);
  // One more reference of the kernel's.
  void add_lookup(Node& node);
  void forget(InodeNo ino, std::uint64_t count);
  // True when the caller's pin is the only hold.
  [[nodiscard]] bool held_by_caller_alone(const Node& node);
  [[nodiscard]] std::uint64_t size() const;
  // How many nodes went since the start.
  [[nodiscard]] std::uint64_t gone() const { return gone_.load(std::memory_order_relaxed); }
  // Pins every node for which `want` says yes (called under the shard's lock: look at atomics
  // only).
  [[nodiscard]] std::vector<NodeRef> collect(const std::function<bool(const Node&)>& want);
  // Drops all references of the kernel (end of a session).
  void forget_all();
  // From here on nothing is freed (end without close).
  void abandon() { abandoned_ = true; }

 private:
  friend class NodeRef;
  struct Shard {
    mutable std::mutex mutex;
    std::unordered_map<InodeNo, std::unique_ptr<Node>> nodes;
  };
  static constexpr std::size_t kShards = 64;

  Shard& shard(InodeNo ino) { return shards_[ino.value % kShards]; }
  void unpin(Node* node);
  // The last holder of an unlinked node reaps it, without the lock meanwhile.
  void drop_pin(Shard& s, std::unique_lock<std::mutex>& guard, Node* node);

  std::function<void(Node&)> reap_;
  std::function<void(const Node&)> leaves_;
  std::atomic<bool> abandoned_{false};
  std::atomic<std::uint64_t> gone_{0};
  std::array<Shard, kShards> shards_;
};

}  // namespace pmemfs::core
