#include "core/node.hpp"

#include <algorithm>

namespace pmemfs::core {

NodeRef::~NodeRef() {
  if (node_ != nullptr) {
    table_->unpin(node_);
  }
}

NodeRef NodeTable::get(InodeNo ino) {
  Shard& s = shard(ino);
  const std::lock_guard guard(s.mutex);
  std::unique_ptr<Node>& slot = s.nodes[ino];
  if (!slot) {
    slot = std::make_unique<Node>(ino);
  }
  slot->pins++;
  return {this, slot.get()};
}

void NodeTable::add_lookup(Node& node) {
  const std::lock_guard guard(shard(node.ino).mutex);
  node.lookups++;
}

void NodeTable::forget(InodeNo ino, std::uint64_t count) {
  Shard& s = shard(ino);
  std::unique_lock guard(s.mutex);
  const auto found = s.nodes.find(ino);
  if (found == s.nodes.end()) {
    return;
  }
  Node* node = found->second.get();
  node->lookups -= std::min(count, node->lookups);
  node->pins++;
  drop_pin(s, guard, node);
}

bool NodeTable::held_by_caller_alone(const Node& node) {
  const std::lock_guard guard(shard(node.ino).mutex);
  return node.pins == 1 && node.lookups == 0;
}

std::uint64_t NodeTable::size() const {
  std::uint64_t n = 0;
  for (const Shard& s : shards_) {
    const std::lock_guard guard(s.mutex);
    n += s.nodes.size();
  }
  return n;
}

std::vector<NodeRef> NodeTable::collect(const std::function<bool(const Node&)>& want) {
  std::vector<NodeRef> found;
  for (Shard& s : shards_) {
    const std::lock_guard guard(s.mutex);
    for (auto& [ino, node] : s.nodes) {
      if (!want(*node)) {
        continue;
      }
      node->pins++;
      found.emplace_back(this, node.get());
    }
  }
  return found;
}

void NodeTable::forget_all() {
  for (const NodeRef& node : collect([](const Node& n) { return n.lookups != 0; })) {
    const std::lock_guard guard(shard(node->ino).mutex);
    node->lookups = 0;
  }
}

void NodeTable::unpin(Node* node) {
  Shard& s = shard(node->ino);
  std::unique_lock guard(s.mutex);
  drop_pin(s, guard, node);
}

void NodeTable::drop_pin(Shard& s, std::unique_lock<std::mutex>& guard, Node* node) {
  while (node->pins == 1 && node->lookups == 0 && node->unlinked && !abandoned_) {
    // Keep the pin while freeing, so that nobody makes a second node of this number.
    guard.unlock();
    reap_(*node);
    guard.lock();
  }
  if (--node->pins != 0 || node->lookups != 0) {
    return;
  }
  leaves_(*node);
  s.nodes.erase(node->ino);
  gone_.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace pmemfs::core
