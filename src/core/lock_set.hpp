// Locks several nodes without deadlock: ascending inode numbers, or by trying.
#pragma once

#include <array>
#include <cstddef>

#include "core/node.hpp"

namespace pmemfs::core {

// Exclusive locks on up to kMax nodes, with their pins. Unlocks all before it lets go of any pin.
class LockSet {
 public:
  static constexpr std::size_t kMax = 5;

  LockSet() = default;
  LockSet(const LockSet&) = delete;
  LockSet& operator=(const LockSet&) = delete;
  ~LockSet() { clear(); }

  // Adds a node that is not locked yet (the same node twice is fine). Only while unlocked.
  void add(NodeRef node);
  // Locks all in ascending order.
  void lock();
  // Adds a node to a locked set without waiting; false when it is locked by another (the node is
  // kept in the set, unlocked: call relock()).
  bool try_add(NodeRef node);
  // Unlocks all and locks all in ascending order: what was read before may have changed.
  void relock();
  void unlock();
  // Unlocks and lets go of all.
  void clear();

 private:
  [[nodiscard]] bool contains(const Node* node) const;

  std::array<NodeRef, kMax> nodes_;
  std::array<bool, kMax> locked_{};
  std::size_t count_ = 0;
};

}  // namespace pmemfs::core
