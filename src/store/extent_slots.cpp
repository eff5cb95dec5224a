// The on-media half of ExtentMap: slots in the inode and in the chain of extent blocks.
#include <sys/stat.h>

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstring>

#include "format/checks.hpp"
#include "store/extent_map.hpp"
#include "store/impl.hpp"

namespace pmemfs::store {
namespace {

using format::Extent;
using format::ExtentBlock;
using format::ExtentSlot;
using format::Inode;
using format::kExtentSlots;
using format::kInlineExtents;

constexpr std::uint64_t kMaxFileBlocks = format::kMaxFileSize / format::kBlockSize;
constexpr std::uint32_t kAllInline = (1U << kInlineExtents) - 1;
constexpr std::uint64_t kMostMoved = 128;  // two headers each, of 56 bytes with their records
constexpr std::size_t kHeaderFrom = offsetof(ExtentBlock, next);  // what changes in a header
constexpr std::size_t kHeaderBytes = offsetof(ExtentBlock, slots) - kHeaderFrom;

bool has_extents(const Inode& inode) {
  const std::uint32_t type = inode.mode.load() & S_IFMT;
  return type == S_IFREG || type == S_IFDIR;
}

std::uint32_t first_free(const std::uint64_t (&used)[2]) {
  const auto low = static_cast<std::uint32_t>(std::countr_one(used[0]));
  return low < 64 ? low : 64 + static_cast<std::uint32_t>(std::countr_one(used[1]));
}

// Slots of a block that are taken.
std::uint32_t taken(const std::uint64_t (&used)[2]) {
  return static_cast<std::uint32_t>(std::popcount(used[0]) + std::popcount(used[1]));
}

}  // namespace

Result<std::unique_ptr<ExtentMap>> ExtentMap::load(Store& store, const Inode& inode) {
  auto map = std::make_unique<ExtentMap>();
  if (!has_extents(inode)) {
    return map;
  }
  for (std::uint32_t i = 0; i < kInlineExtents; ++i) {
    if (inode.extents[i].count.load() != 0) {
      PMEMFS_CHECK(map->add_loaded(store, inode.extents[i], i));
      map->inline_used_ |= 1U << i;
    }
  }
  PMEMFS_CHECK(map->load_chain(store, inode));
  std::uint64_t blocks = 0;
  for (const auto& [logical, node] : map->nodes_) {
    blocks += node.count;
  }
  if (blocks != inode.data_blocks.load()) {
    return Error(EUCLEAN);
  }
  return map;
}

// Checks one extent from media and takes it over.
Status ExtentMap::add_loaded(const Store& store, const Extent& extent, std::uint32_t slot) {
  const std::uint64_t logical = extent.logical.load();
  Node node;
  node.physical = BlockNo(extent.physical.load());
  node.count = extent.count.load();
  node.slot = slot;
  node.unwritten = (extent.flags.load() & format::kExtentUnwritten) != 0;
  if (logical >= kMaxFileBlocks || node.count > kMaxFileBlocks - logical ||
      !store.impl().layout.usable(BlockRun{node.physical, node.count})) {
    return Error(EUCLEAN);
  }
  const auto after = nodes_.lower_bound(logical);
  if (after != nodes_.end() && after->first < logical + node.count) {
    return Error(EUCLEAN);
  }
  if (after != nodes_.begin()) {
    const auto before = std::prev(after);
    if (before->first + before->second.count > logical) {
      return Error(EUCLEAN);
    }
  }
  nodes_.emplace_hint(after, logical, node);
  return {};
}

Status ExtentMap::load_chain(const Store& store, const Inode& inode) {
  std::uint32_t last = kNoLink;
  for (BlockNo block(inode.data.load()); block;) {
    // Every block holds an extent, so a loop meets its own extents again: add_loaded() ends it.
    PMEMFS_CHECK(load_block(store, inode, block));
    const auto id = static_cast<std::uint32_t>(chain_.size() - 1);
    chain_[id].prev = last;
    (last == kNoLink ? head_ : chain_[last].next) = id;
    last = id;
    const auto* media =
        reinterpret_cast<const ExtentBlock*>(store.region().data() + format::byte_off(block).value);
    block = BlockNo(media->next.load());
  }
  return {};
}

Status ExtentMap::load_block(const Store& store, const Inode& inode, BlockNo block) {
  if (!store.impl().layout.usable(block)) {
    return Error(EUCLEAN);
  }
  if (store.region().lost(format::byte_off(block), sizeof(ExtentBlock))) {
    return Error(EIO);
  }
  const auto* media =
      reinterpret_cast<const ExtentBlock*>(store.region().data() + format::byte_off(block).value);
  Link link;
  link.block = block;
  link.used[0] = media->used[0].load();
  link.used[1] = media->used[1].load();
  if (media->magic.load() != format::kExtentMagic || !format::valid(*media) ||
      media->owner.load() != inode.ino.load() ||
      media->generation.load() != inode.generation.load() || taken(link.used) == 0 ||
      link.used[1] >> (kExtentSlots - 64) != 0) {
    return store.region().damage(format::byte_off(block), sizeof(*media));
  }
  const auto id = static_cast<std::uint32_t>(chain_.size());
  for (std::uint32_t i = 0; i < kExtentSlots; ++i) {
    if ((link.used[i / 64] >> (i % 64) & 1U) != 0) {
      const ExtentSlot slot = media->slots[i];
      if (!format::valid(slot) || slot.extent.count.load() == 0) {
        return store.region().damage(format::byte_off(block), sizeof(*media));
      }
      PMEMFS_CHECK(add_loaded(store, slot.extent, kInlineExtents + id * kExtentSlots + i));
    }
  }
  chain_.push_back(link);
  if (taken(link.used) < kExtentSlots) {
    list_roomy(id);
  }
  return {};
}

// Puts a block at the head of the chain, in DRAM; its header is written by settle().
std::uint32_t ExtentMap::new_link(BlockNo block) {
  std::uint32_t id = 0;
  if (free_ids_.empty()) {
    id = static_cast<std::uint32_t>(chain_.size());
    chain_.emplace_back();
  } else {
    id = free_ids_.back();
    free_ids_.pop_back();
  }
  chain_[id].block = block;
  chain_[id].next = head_;
  if (head_ != kNoLink) {
    chain_[head_].prev = id;
  }
  head_ = id;
  list_roomy(id);
  touch(id);
  return id;
}

void ExtentMap::list_roomy(std::uint32_t id) {
  if (!chain_[id].roomy) {
    chain_[id].roomy = true;
    roomy_.push_back(id);
  }
}

// Free slots, counted up to `enough`.
std::uint32_t ExtentMap::free_slots(std::uint32_t enough) const {
  auto n = static_cast<std::uint32_t>(std::popcount(~inline_used_ & kAllInline));
  for (std::size_t i = roomy_.size(); i-- > 0 && n < enough;) {
    const Link& link = chain_[roomy_[i]];
    if (link.block) {
      n += kExtentSlots - taken(link.used);
    }
  }
  return n;
}

Status ExtentMap::reserve(Change& change, Inode& inode, std::uint32_t n) {
  if (free_slots(n) >= n) {
    return {};
  }
  assert(n < kExtentSlots);
  PMEMFS_TRY(const BlockRun run, change.allocate(1));
  ExtentBlock fresh{};
  fresh.magic.store(format::kExtentMagic);
  fresh.owner = inode.ino;
  fresh.generation = inode.generation;
  change.write_fresh(format::byte_off(run.start), &fresh, offsetof(ExtentBlock, slots));
  new_link(run.start);
  inode.data.store(run.start.value);
  return {};
}

std::uint32_t ExtentMap::take_slot() {
  if (inline_used_ != kAllInline) {
    const auto slot = static_cast<std::uint32_t>(std::countr_one(inline_used_));
    inline_used_ |= 1U << slot;
    return slot;
  }
  for (;;) {
    assert(!roomy_.empty());
    const std::uint32_t id = roomy_.back();
    Link& link = chain_[id];
    const std::uint32_t i = link.block ? first_free(link.used) : kExtentSlots;
    if (i < kExtentSlots) {
      link.used[i / 64] |= 1ULL << (i % 64);
      touch(id);
      return kInlineExtents + id * kExtentSlots + i;
    }
    link.roomy = false;
    roomy_.pop_back();
  }
}

void ExtentMap::put_slot(Change& change, Inode& inode, std::uint64_t logical, const Node& node) {
  ExtentSlot slot{};
  slot.extent.logical.store(logical);
  slot.extent.physical.store(node.physical.value);
  slot.extent.count.store(node.count);
  slot.extent.flags.store(node.unwritten ? format::kExtentUnwritten : 0);
  if (node.slot < kInlineExtents) {
    inode.extents[node.slot] = slot.extent;
    return;
  }
  format::seal(slot);
  const std::uint32_t at = node.slot - kInlineExtents;
  const std::uint64_t inside =
      offsetof(ExtentBlock, slots) + std::uint64_t{at % kExtentSlots} * sizeof(slot);
  change.write(format::byte_off(chain_[at / kExtentSlots].block, inside), &slot, sizeof(slot));
}

void ExtentMap::drop_slot(Inode& inode, std::uint32_t slot) {
  if (slot < kInlineExtents) {
    inode.extents[slot] = Extent{};
    inline_used_ &= ~(1U << slot);
    return;
  }
  const std::uint32_t id = (slot - kInlineExtents) / kExtentSlots;
  const std::uint32_t i = (slot - kInlineExtents) % kExtentSlots;
  Link& link = chain_[id];
  list_roomy(id);
  link.used[i / 64] &= ~(1ULL << (i % 64));
  touch(id);
}

void ExtentMap::touch(std::uint32_t id) {
  if (!chain_[id].touched) {
    chain_[id].touched = true;
    touched_.push_back(id);
  }
}

// Takes touched blocks without extents out of the chain. May touch their predecessors.
void ExtentMap::unlink_empty(Change& change, Inode& inode) {
  // touch() appends while this runs: no range-based loop.
  for (std::size_t i = 0; i < touched_.size(); ++i) {  // NOLINT(modernize-loop-convert)
    const std::uint32_t id = touched_[i];
    const Link link = chain_[id];
    if (taken(link.used) != 0) {
      continue;
    }
    change.release({link.block, 1});
    if (link.next != kNoLink) {
      chain_[link.next].prev = link.prev;
    }
    if (link.prev != kNoLink) {
      chain_[link.prev].next = link.next;
      touch(link.prev);
    } else {
      head_ = link.next;
      inode.data.store(head_ == kNoLink ? 0 : chain_[head_].block.value);
    }
    chain_[id] = Link{};
    chain_[id].roomy = link.roomy;  // the list may still name it
    free_ids_.push_back(id);
  }
}

void ExtentMap::settle(Change& change, Inode& inode) {
  unlink_empty(change, inode);
  for (const std::uint32_t id : touched_) {
    Link& link = chain_[id];
    if (!link.block) {
      continue;
    }
    link.touched = false;
    ExtentBlock header{};  // bytes that have no meaning yet stay what they are
    std::memcpy(&header, change.region().data() + format::byte_off(link.block).value,
                offsetof(ExtentBlock, slots));
    header.next.store(link.next == kNoLink ? 0 : chain_[link.next].block.value);
    header.used[0].store(link.used[0]);
    header.used[1].store(link.used[1]);
    format::seal(header);
    change.write(format::byte_off(link.block, kHeaderFrom),
                 reinterpret_cast<const std::byte*>(&header) + kHeaderFrom, kHeaderBytes);
  }
  touched_.clear();
}

std::uint64_t ExtentMap::chain_blocks_in(BlockRun range) const {
  return static_cast<std::uint64_t>(std::count_if(
      chain_.begin(), chain_.end(), [range](const Link& l) { return range.contains(l.block); }));
}

Result<std::uint64_t> ExtentMap::move_chain(Change& change, Inode& inode, BlockRun range) {
  std::uint64_t moved = 0;
  for (std::uint32_t id = 0; id < chain_.size() && moved < kMostMoved; ++id) {
    Link& link = chain_[id];
    if (!link.block || !range.contains(link.block)) {
      continue;
    }
    const auto to = change.allocate(1);
    if (!to && moved == 0) {
      return to.error();
    }
    if (!to) {
      break;
    }
    change.write_fresh(format::byte_off(to->start),
                       change.region().data() + format::byte_off(link.block).value,
                       format::kBlockSize);
    change.release({link.block, 1});
    link.block = to->start;
    touch(id);
    if (link.prev != kNoLink) {
      touch(link.prev);
    } else {
      inode.data.store(link.block.value);
    }
    ++moved;
  }
  settle(change, inode);
  return moved;
}

Status release_extents(Change& change, const Inode& inode) {
  if (!has_extents(inode) || inode.data_blocks.load() == 0) {
    return {};
  }
  PMEMFS_TRY(const std::unique_ptr<ExtentMap> map, ExtentMap::load(change.store(), inode));
  for (const auto& [logical, node] : map->nodes_) {
    change.release({node.physical, node.count});
  }
  for (const ExtentMap::Link& link : map->chain_) {
    change.release({link.block, 1});
  }
  return {};
}

}  // namespace pmemfs::store
