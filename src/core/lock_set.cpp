#include "core/lock_set.hpp"

#include <algorithm>
#include <cassert>

namespace pmemfs::core {

bool LockSet::contains(const Node* node) const {
  return std::any_of(nodes_.begin(), nodes_.begin() + count_,
                     [node](const NodeRef& n) { return n.get() == node; });
}

void LockSet::add(NodeRef node) {
  if (contains(node.get())) {
    return;  // the extra pin goes; the set holds another
  }
  assert(count_ < kMax);
  nodes_[count_++] = std::move(node);
}

void LockSet::lock() {
  std::sort(nodes_.begin(), nodes_.begin() + count_,
            [](const NodeRef& a, const NodeRef& b) { return a->ino < b->ino; });
  for (std::size_t i = 0; i < count_; i++) {
    nodes_[i]->lock.lock();
    locked_[i] = true;
  }
}

bool LockSet::try_add(NodeRef node) {
  if (contains(node.get())) {
    return true;
  }
  const bool got = node->lock.try_lock();
  assert(count_ < kMax);
  nodes_[count_] = std::move(node);
  locked_[count_++] = got;
  return got;
}

void LockSet::relock() {
  unlock();
  lock();
}

void LockSet::unlock() {
  for (std::size_t i = 0; i < count_; i++) {
    if (std::exchange(locked_[i], false)) {
      nodes_[i]->lock.unlock();
    }
  }
}

void LockSet::clear() {
  unlock();
  while (count_ > 0) {
    nodes_[--count_] = NodeRef();
  }
}

}  // namespace pmemfs::core
