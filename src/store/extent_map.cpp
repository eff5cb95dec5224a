#include "store/extent_map.hpp"

#include <algorithm>
#include <cassert>
#include <iterator>
#include <utility>

#include "format/checks.hpp"
#include "journal/journal.hpp"

namespace pmemfs::store {
namespace {

using format::Inode;

constexpr std::uint64_t kMaxFileBlocks = format::kMaxFileSize / format::kBlockSize;
constexpr std::uint64_t kMaxCount = 0xFFFFFFFFULL;  // of one extent

// Bytes of records: a slot, and the header of its block with that of the block before it.
constexpr std::uint64_t kSlotLog = sizeof(format::LaneRecord) + sizeof(format::ExtentSlot);
constexpr std::uint64_t kHeaderLog = 2 * (sizeof(format::LaneRecord) + 40);

std::uint64_t end_of(std::uint64_t logical, std::uint64_t count) {
  return logical + std::min(count, kMaxFileBlocks - std::min(logical, kMaxFileBlocks));
}

void add_blocks(Inode& inode, std::uint64_t n) {
  inode.data_blocks.store(inode.data_blocks.load() + n);
}

}  // namespace

ExtentMap::Nodes::const_iterator ExtentMap::first_overlap(std::uint64_t logical) const {
  auto node = nodes_.upper_bound(logical);
  if (node != nodes_.begin()) {
    const auto before = std::prev(node);
    if (before->first + before->second.count > logical) {
      return before;
    }
  }
  return node;
}

// The node that holds `logical`, else the first after it.
ExtentMap::Nodes::iterator ExtentMap::first_overlap(std::uint64_t logical) {
  const auto found = std::as_const(*this).first_overlap(logical);
  return nodes_.erase(found, found);  // an iterator from a const one
}

Mapping ExtentMap::at(std::uint64_t logical) const {
  const auto node = first_overlap(logical);
  Mapping m;
  m.logical = logical;
  if (node == nodes_.end()) {
    m.count = kMaxFileBlocks - std::min(logical, kMaxFileBlocks);
  } else if (node->first > logical) {
    m.count = node->first - logical;
  } else {
    const std::uint64_t skip = logical - node->first;
    m.physical = BlockNo(node->second.physical.value + skip);
    m.count = node->second.count - skip;
    m.unwritten = node->second.unwritten;
  }
  return m;
}

Mapping ExtentMap::next(std::uint64_t logical) const {
  const auto node = first_overlap(logical);
  return node == nodes_.end() ? Mapping{} : at(std::max(logical, node->first));
}

std::vector<Mapping> ExtentMap::all() const {
  std::vector<Mapping> mappings;
  mappings.reserve(nodes_.size());
  for (const auto& [logical, node] : nodes_) {
    mappings.push_back({logical, node.physical, node.count, node.unwritten});
  }
  return mappings;
}

std::size_t ExtentMap::size() const {
  return nodes_.size();
}

bool ExtentMap::joins_before(const Mapping& m) const {
  const auto after = nodes_.lower_bound(m.logical);
  if (after == nodes_.begin()) {
    return false;
  }
  const auto& [logical, node] = *std::prev(after);
  return logical + node.count == m.logical &&
         node.physical.value + node.count == m.physical.value && node.unwritten == m.unwritten &&
         node.count + m.count <= kMaxCount;
}

bool ExtentMap::joins_after(const Mapping& m) const {
  const auto after = nodes_.find(m.logical + m.count);
  return after != nodes_.end() && after->second.physical.value == m.physical.value + m.count &&
         after->second.unwritten == m.unwritten && after->second.count + m.count <= kMaxCount;
}

// Maps over a hole, where a slot is free if one is needed.
void ExtentMap::place(Change& change, Inode& inode, const Mapping& m) {
  const auto count = static_cast<std::uint32_t>(m.count);
  if (joins_before(m)) {
    const auto before = std::prev(nodes_.lower_bound(m.logical));
    const Mapping joined{before->first, before->second.physical, before->second.count + m.count,
                         m.unwritten};
    before->second.count += count;
    if (joins_after(joined)) {
      const auto after = std::next(before);
      before->second.count += after->second.count;
      drop_slot(inode, after->second.slot);
      nodes_.erase(after);
    }
    put_slot(change, inode, before->first, before->second);
    return;
  }
  if (joins_after(m)) {
    auto handle = nodes_.extract(m.logical + m.count);
    handle.key() = m.logical;
    handle.mapped().physical = m.physical;
    handle.mapped().count += count;
    const auto moved = nodes_.insert(std::move(handle)).position;
    put_slot(change, inode, moved->first, moved->second);
    return;
  }
  const Node node{m.physical, count, take_slot(), m.unwritten};
  nodes_.emplace(m.logical, node);
  put_slot(change, inode, m.logical, node);
}

Status ExtentMap::insert(Change& change, Inode& inode, const Mapping& m) {
  assert(m.count > 0 && m.physical);
  if (m.count > kMaxCount || m.logical >= kMaxFileBlocks || m.count > kMaxFileBlocks - m.logical) {
    return Error(EFBIG);
  }
  const auto after = first_overlap(m.logical);
  if (after != nodes_.end() && after->first < m.logical + m.count) {
    return Error(EEXIST);
  }
  if (!joins_before(m) && !joins_after(m)) {
    PMEMFS_CHECK(reserve(change, inode, 1));
  }
  place(change, inode, m);
  settle(change, inode);
  add_blocks(inode, m.count);
  return {};
}

ExtentMap::Nodes::iterator ExtentMap::cut(Change& change, Inode& inode, Nodes::iterator node,
                                          std::uint64_t from, std::uint64_t to) {
  const std::uint64_t start = node->first;
  const std::uint64_t end = start + node->second.count;
  const bool left = start < from;
  const Node whole = node->second;
  if (left) {
    node->second.count = static_cast<std::uint32_t>(from - start);
    put_slot(change, inode, start, node->second);
  } else if (end <= to) {
    drop_slot(inode, whole.slot);
    return nodes_.erase(node);
  } else {
    node = nodes_.erase(node);
  }
  if (to < end) {
    Node rest = whole;
    rest.physical = BlockNo(whole.physical.value + (to - start));
    rest.count = static_cast<std::uint32_t>(end - to);
    rest.slot = left ? take_slot() : whole.slot;
    nodes_.emplace(to, rest);
    put_slot(change, inode, to, rest);
  }
  return nodes_.upper_bound(from);
}

// Whether unmapping [from, to) makes one extent into two.
bool ExtentMap::splits(std::uint64_t from, std::uint64_t to) const {
  const auto node = first_overlap(from);
  return node != nodes_.end() && node->first < from && node->first + node->second.count > to;
}

// Bytes of records that changing [from, to) takes at most.
std::uint64_t ExtentMap::log_bound(std::uint64_t from, std::uint64_t to) const {
  std::vector<std::uint32_t> ids;
  std::uint64_t whole = 0;
  for (auto node = first_overlap(from); node != nodes_.end() && node->first < to; ++node) {
    ++whole;
    if (node->second.slot >= format::kInlineExtents) {
      ids.push_back((node->second.slot - format::kInlineExtents) / format::kExtentSlots);
    }
  }
  if (whole == nodes_.size()) {
    return 4 * (kSlotLog + kHeaderLog);  // the chain goes as a whole, but for what is split off
  }
  std::sort(ids.begin(), ids.end());
  const auto blocks = std::unique(ids.begin(), ids.end()) - ids.begin();
  return static_cast<std::uint64_t>(blocks) * kHeaderLog + 4 * (kSlotLog + kHeaderLog);
}

Status ExtentMap::remove(Change& change, Inode& inode, std::uint64_t logical, std::uint64_t count) {
  const std::uint64_t end = end_of(logical, count);
  if (log_bound(logical, end) > change.log_left()) {
    return Error(E2BIG);
  }
  if (splits(logical, end)) {
    PMEMFS_CHECK(reserve(change, inode, 1));
  }
  auto node = first_overlap(logical);
  while (node != nodes_.end() && node->first < end) {
    const std::uint64_t from = std::max(logical, node->first);
    const std::uint64_t to = std::min(end, node->first + node->second.count);
    change.release({BlockNo(node->second.physical.value + (from - node->first)), to - from});
    add_blocks(inode, from - to);  // less
    node = cut(change, inode, node, from, to);
  }
  settle(change, inode);
  return {};
}

Result<std::uint64_t> ExtentMap::remove_some(Change& change, Inode& inode, std::uint64_t logical,
                                             std::uint64_t count) {
  const std::uint64_t end = end_of(logical, count);
  if (log_bound(logical, end) <= change.log_left() / 2) {
    PMEMFS_CHECK(remove(change, inode, logical, count));
    return std::uint64_t{0};
  }
  // Every extent counts as if it were alone in its block: simple, and still hundreds at a time.
  const std::uint64_t most = change.log_left() / 2 / kHeaderLog;
  auto node = nodes_.lower_bound(end);
  for (std::uint64_t i = 5; i < most && node != nodes_.begin(); ++i) {
    --node;
  }
  if (node == nodes_.end()) {
    return Error(E2BIG);  // the change is full already
  }
  const std::uint64_t from = std::max(logical, node->first);
  PMEMFS_CHECK(remove(change, inode, from, end - from));
  return from - logical;
}

// Slots that turning the unwritten parts of [from, to) into written ones takes at most.
std::uint32_t ExtentMap::slots_to_write(std::uint64_t from, std::uint64_t to) const {
  std::uint32_t n = splits(from, to) ? 1 : 0;
  for (auto node = first_overlap(from); node != nodes_.end() && node->first < to; ++node) {
    const std::uint64_t start = std::max(from, node->first);
    const std::uint64_t end = std::min(to, node->first + node->second.count);
    const bool part = end - start < node->second.count;
    const Mapping written{start, BlockNo(node->second.physical.value + (start - node->first)),
                          end - start, false};
    if (node->second.unwritten && part && !joins_before(written) && !joins_after(written)) {
      ++n;
    }
  }
  return n;
}

void ExtentMap::write_pieces(Change& change, Inode& inode, std::uint64_t from, std::uint64_t to) {
  // A piece may join what follows `to`, so the position ends the loop, not the node.
  for (std::uint64_t at = from; at < to;) {
    const auto node = first_overlap(at);
    if (node == nodes_.end() || node->first >= to) {
      return;
    }
    const std::uint64_t start = std::max(from, node->first);
    const std::uint64_t end = std::min(to, node->first + node->second.count);
    if (node->second.unwritten) {
      const Mapping written{start, BlockNo(node->second.physical.value + (start - node->first)),
                            end - start, false};
      cut(change, inode, node, start, end);
      place(change, inode, written);
    }
    at = end;
  }
}

Status ExtentMap::mark_written(Change& change, Inode& inode, std::uint64_t logical,
                               std::uint64_t count) {
  const std::uint64_t end = end_of(logical, count);
  std::uint64_t pieces = 0;
  for (auto node = first_overlap(logical); node != nodes_.end() && node->first < end; ++node) {
    pieces += node->second.unwritten ? 1U : 0U;
  }
  if (pieces == 0) {
    return {};
  }
  if ((pieces + 4) * (kSlotLog + kHeaderLog) > change.log_left()) {
    return Error(E2BIG);
  }
  if (const std::uint32_t slots = slots_to_write(logical, end); slots > 0) {
    PMEMFS_CHECK(reserve(change, inode, slots));
  }
  write_pieces(change, inode, logical, end);
  settle(change, inode);
  return {};
}

}  // namespace pmemfs::store
