#include "store/inode_table.hpp"

#include <cstdlib>
#include <cstring>
#include <new>

#include "base/log.hpp"
#include "base/media_faults.hpp"
#include "format/checks.hpp"
#include "store/change.hpp"
#include "store/inode_numbers.hpp"

namespace pmemfs::store {
namespace {

using format::IndexBlock;
using format::kIndexFanout;
using format::kInodesPerChunk;

constexpr std::uint64_t kMaxChunks = (format::kMaxInode + 1) / kInodesPerChunk;
constexpr std::uint64_t kMaxSegments = (kMaxChunks + kIndexFanout - 1) / kIndexFanout;

// Inode numbers that one pointer in an index block of this level covers.
constexpr std::uint64_t span_of(std::uint32_t level) {
  std::uint64_t span = kInodesPerChunk;
  for (std::uint32_t i = 0; i < level; ++i) {
    span *= kIndexFanout;
  }
  return span;
}

// Which pointer of the block of this level leads to `ino`.
constexpr std::uint64_t slot_of(std::uint64_t ino, std::uint32_t level) {
  return ino / span_of(level) % kIndexFanout;
}

// A chunk that moves: its number, and the block that it goes to, none when none moves.
struct Moving {
  std::uint64_t number = 0;
  BlockNo to;
};
constexpr unsigned kToBits = 40;
static_assert(format::kMaxRegionSize / format::kBlockSize <= 1ULL << kToBits);
static_assert(kMaxChunks <= 1ULL << (64 - kToBits));

std::uint64_t pack(Moving m) {
  return m.number << kToBits | m.to.value;
}
Moving unpack(std::uint64_t word) {
  return {word >> kToBits, BlockNo(word & ((1ULL << kToBits) - 1))};
}

BlockRun chunk_run(BlockNo chunk) {
  return {chunk, format::kChunkBlocks};
}

}  // namespace

void InodeTable::Free::operator()(void* p) const {
  std::free(p);
}

InodeTable::InodeTable(const Region& region, const format::Layout& layout, BlockNo root,
                       BlockNo copy)
    : region_(region), layout_(layout), root_(root), copy_(copy) {
  // Untouched zero pages until they are used: what a calloc of this size gives.
  void* memory = std::calloc(kMaxSegments, sizeof(Slot));
  if (memory == nullptr) {
    throw std::bad_alloc();
  }
  segments_.reset(static_cast<Slot*>(memory));
}

InodeTable::~InodeTable() {
  const std::uint64_t chunks = limit() / kInodesPerChunk;
  for (std::uint64_t i = 0; i < kMaxSegments && i * kIndexFanout < chunks; ++i) {
    delete segments_[i].load(std::memory_order_relaxed);
  }
}

Result<IndexBlock> InodeTable::read_one(BlockNo block, std::uint32_t level) const {
  if (!layout_.usable(block)) {
    return Error(EUCLEAN);
  }
  const ByteOff at = format::byte_off(block);
  IndexBlock copy{};
  if (region_.lost(at, sizeof(copy))) {
    return Error(EIO);
  }
  std::memcpy(&copy, region_.data() + at.value, sizeof(copy));
  if (copy.magic.load() != format::kIndexMagic || copy.level.load() != level ||
      !format::valid(copy)) {
    return region_.damage(at, sizeof(copy));
  }
  return copy;
}

Result<IndexBlock> InodeTable::read_index(BlockNo block, std::uint32_t level) const {
  if (block != root_) {
    return read_one(block, level);
  }
  const base::MediaErrorsForgiven one_is_enough;
  auto first = read_one(root_, level);
  auto second = read_one(copy_, level);
  const bool copy_serves = second && (!first || second->update.load() > first->update.load());
  return copy_serves ? second : first;
}

void InodeTable::mend_root(Region& region, const std::function<bool(BlockNo)>& heal) const {
  const std::lock_guard lock(mutex_);
  const auto good = read_index(root_, format::kIndexLevels - 1);
  if (!good) {
    return;  // those who walk the table say so
  }
  for (const BlockNo place : {root_, copy_}) {
    const auto there = read_one(place, format::kIndexLevels - 1);
    if (there && there->update.load() == good->update.load()) {
      continue;
    }
    const ByteOff at = format::byte_off(place);
    if (region.lost(at, sizeof(*good)) && !heal(place)) {
      base::log::warn("the root of the inode table cannot be read in one of its two places");
      continue;
    }
    region.stream(at, &*good, sizeof(*good));
    region.fence();
    base::log::warn("the root of the inode table was damaged in one of its two places: mended");
  }
}

Status InodeTable::check_root() const {
  const base::MediaErrorsForgiven told_by_the_region;
  const std::lock_guard lock(mutex_);
  PMEMFS_TRY(const IndexBlock first, read_one(root_, format::kIndexLevels - 1));
  PMEMFS_TRY(const IndexBlock second, read_one(copy_, format::kIndexLevels - 1));
  return first.update.load() == second.update.load() ? Status() : Status(Error(EUCLEAN));
}

// The pointer in `slot`; 0 is a hole.
Result<BlockNo> InodeTable::child(BlockNo block, std::uint32_t level, std::uint64_t slot) const {
  PMEMFS_TRY(const IndexBlock index, read_index(block, level));
  return BlockNo(index.child[slot].load());
}

// Under mutex_. ENOENT when the index has no such block.
Result<InodeTable::Segment*> InodeTable::load_segment(std::uint64_t number) const {
  BlockNo block = root_;
  for (std::uint32_t level = format::kIndexLevels - 1; level > 0; --level) {
    const std::uint64_t first = number * kIndexFanout * kInodesPerChunk;
    PMEMFS_TRY(block, child(block, level, slot_of(first, level)));
    if (!block) {
      return Error(ENOENT);
    }
  }
  PMEMFS_TRY(const IndexBlock index, read_index(block, 0));
  auto segment = std::make_unique<Segment>();
  for (std::size_t i = 0; i < kIndexFanout; ++i) {
    const BlockNo chunk(index.child[i].load());
    if (chunk && !layout_.usable(chunk_run(chunk))) {
      return Error(EUCLEAN);
    }
    segment->chunk[i].store(chunk.value, std::memory_order_relaxed);
  }
  segments_[number].store(segment.get(), std::memory_order_release);
  return segment.release();
}

Result<ByteOff> InodeTable::locate(InodeNo ino) const {
  if (ino.value == 0 || ino.value >= limit()) {
    return Error(ENOENT);
  }
  const std::uint64_t chunk = ino.value / kInodesPerChunk;
  const std::uint64_t number = chunk / kIndexFanout;
  Segment* segment = segments_[number].load(std::memory_order_acquire);
  if (segment == nullptr) {
    const std::lock_guard lock(mutex_);
    segment = segments_[number].load(std::memory_order_relaxed);
    if (segment == nullptr) {
      PMEMFS_TRY(segment, load_segment(number));
    }
  }
  const std::uint64_t block = segment->chunk[chunk % kIndexFanout].load(std::memory_order_acquire);
  if (block == 0) {
    return Error(ENOENT);
  }
  return format::byte_off(BlockNo(block), ino.value % kInodesPerChunk * sizeof(format::Inode));
}

void InodeTable::walk_child(const TableVisitor& v, std::uint64_t child, std::uint32_t level,
                            std::uint64_t first) const {
  const BlockNo block(child);
  if (level > 0) {
    walk_index(v, block, level - 1, first);
  } else if (!layout_.usable(chunk_run(block)) || first > format::kMaxInode) {
    v.damaged(first, first + span_of(0));
  } else {
    v.chunk(first, block);
  }
}

void InodeTable::walk_index(const TableVisitor& v, BlockNo block, std::uint32_t level,
                            std::uint64_t first) const {
  if (layout_.usable(block) && !v.index(block)) {
    return;
  }
  const auto index = read_index(block, level);
  if (!index) {
    v.damaged(first, first + span_of(level) * kIndexFanout);
    return;
  }
  for (std::size_t i = 0; i < kIndexFanout; ++i) {
    if (const std::uint64_t child = index->child[i].load(); child != 0) {
      walk_child(v, child, level, first + i * span_of(level));
    }
  }
}

void InodeTable::walk(const TableVisitor& visitor) const {
  const std::shared_lock lock(walking_);
  if (!visitor.index(copy_)) {
    visitor.damaged(0, format::kMaxInode + 1);
    return;
  }
  walk_index(visitor, root_, format::kIndexLevels - 1, 0);
}

// The lowest index block on the way to `ino` that exists.
Result<InodeTable::Place> InodeTable::lowest(std::uint64_t ino) const {
  Place place{root_, format::kIndexLevels - 1};
  while (place.level > 0) {
    PMEMFS_TRY(const BlockNo next, child(place.block, place.level, slot_of(ino, place.level)));
    if (!next) {
      break;
    }
    place = {next, place.level - 1};
  }
  return place;
}

// Makes the pointers that lead to chunk `number`, with the index blocks that are missing, and
// commits. Index blocks that exist change through the log; the table's mutex covers their crcs.
Status InodeTable::link(Store& store, std::uint64_t number, BlockNo chunk) {
  const std::uint64_t ino = number * kInodesPerChunk;
  // Read first: a root that turns out to be lost, and has a copy, must not cost the change.
  PMEMFS_TRY(const Place place, lowest(ino));
  Change change(store);
  change.region().stream_zeros(format::byte_off(chunk),
                               std::uint64_t{format::kChunkBlocks} * format::kBlockSize);
  change.needs_fence();
  BlockNo below = chunk;  // what the next higher level points to
  for (std::uint32_t missing = 0; missing < place.level; ++missing) {
    PMEMFS_TRY(const BlockRun run, change.allocate(1));
    IndexBlock fresh{};
    fresh.magic.store(format::kIndexMagic);
    fresh.level.store(missing);
    fresh.child[slot_of(ino, missing)].store(below.value);
    format::seal(fresh);
    change.write_fresh(format::byte_off(run.start), &fresh, sizeof(fresh));
    below = run.start;
  }
  PMEMFS_TRY(IndexBlock index, read_index(place.block, place.level));
  const std::uint64_t slot = slot_of(ino, place.level);
  if (index.child[slot].load() != 0) {
    return Error(EUCLEAN);
  }
  put_child(change, place, index, slot, below);
  return commit(change);
}

// `index` is the copy of the block at `place`. Of the root, both places change, but for one that is
// lost.
void InodeTable::put_child(Change& change, Place place, IndexBlock& index, std::uint64_t slot,
                           BlockNo child) const {
  const bool root = place.block == root_;
  index.child[slot].store(child.value);
  index.update.store(index.update.load() + (root ? 1 : 0));
  format::seal(index);
  const std::uint64_t at = offsetof(IndexBlock, child) + slot * sizeof(format::Le64);
  const auto write = [&](BlockNo block) {
    change.write(format::byte_off(block, at), &index.child[slot], sizeof(format::Le64));
    change.write(format::byte_off(block, offsetof(IndexBlock, update)), &index.update,
                 sizeof(index.update));
    change.write(format::byte_off(block, offsetof(IndexBlock, crc)), &index.crc, sizeof(index.crc));
  };
  const bool copied = root && !region_.lost(format::byte_off(copy_), sizeof(index));
  if (copied) {
    write(copy_);
  }
  if (!copied || !region_.lost(format::byte_off(place.block), sizeof(index))) {
    write(place.block);
  }
}

Status InodeTable::commit(Change& change) {
  const std::unique_lock lock(walking_);
  return change.commit();
}

Status InodeTable::extend(Store& store, InodeNumbers& numbers, std::uint64_t seen) {
  const std::lock_guard lock(mutex_);
  const std::uint64_t first = limit();
  if (first != seen) {
    return {};
  }
  if (first > format::kMaxInode) {
    return Error(ENOSPC);
  }
  const std::uint64_t number = first / kInodesPerChunk;
  Change space(store);
  AllocationHint hint;
  hint.whole = true;
  PMEMFS_TRY(const BlockRun run, space.allocate(format::kChunkBlocks, hint));
  PMEMFS_CHECK(link(store, number, run.start));
  PMEMFS_CHECK(space.commit());  // empty: the blocks are the table's from here on
  if (Segment* segment = segments_[number / kIndexFanout].load(std::memory_order_relaxed)) {
    segment->chunk[number % kIndexFanout].store(run.start.value, std::memory_order_release);
  }
  set_limit(first + kInodesPerChunk);
  const std::uint64_t skip = first == 0 ? 1 : 0;  // inode 0 does not exist
  numbers.add({first + skip, kInodesPerChunk - skip});
  return {};
}

// --- Moving --------------------------------------------------------------------------------------

std::vector<InodeNo> InodeTable::chunks_in(BlockRun range) const {
  std::vector<InodeNo> firsts;
  TableVisitor visitor;
  visitor.index = [](BlockNo) {
    return true;
  };
  visitor.chunk = [&](std::uint64_t first, BlockNo chunk) {
    if (chunk_run(chunk).overlaps(range)) {
      firsts.emplace_back(first);
    }
  };
  visitor.damaged = [](std::uint64_t, std::uint64_t) {
  };
  walk(visitor);
  return firsts;
}

std::optional<ByteOff> InodeTable::second_place(InodeNo ino) const {
  const Moving now = unpack(moving_.load(std::memory_order_acquire));
  if (!now.to || ino.value / kInodesPerChunk != now.number) {
    return std::nullopt;
  }
  return format::byte_off(now.to, ino.value % kInodesPerChunk * sizeof(format::Inode));
}

// While the chunk moves, changes of its inodes go to both places. Each slot is copied once under
// its inode's lock, so that both places agree from then on; then the index turns to the new one.
// Who has found a slot in the old place before that holds the inode's lock: once each lock was had
// again, nobody has, no lane of the journal names the old place, and it is free.
Result<std::uint64_t> InodeTable::move_chunk(Store& store, InodeNo first,
                                             const WithLock& with_lock) {
  const auto for_each_slot = [&](const std::function<void(InodeNo, std::uint64_t)>& work) {
    for (std::uint64_t i = first.value == 0 ? 1 : 0; i < kInodesPerChunk; ++i) {
      const InodeNo ino(first.value + i);
      with_lock(ino, [&] { work(ino, i * sizeof(format::Inode)); });
    }
  };
  Change space(store);
  AllocationHint hint;
  hint.whole = true;
  PMEMFS_TRY(const BlockRun to, space.allocate(format::kChunkBlocks, hint));
  space.region().stream_zeros(format::byte_off(to.start), to.count * format::kBlockSize);
  space.region().fence();
  moving_.store(pack({first.value / kInodesPerChunk, to.start}), std::memory_order_release);
  int fault = 0;
  for_each_slot([&](InodeNo ino, std::uint64_t inside) {
    const auto from = locate(ino);
    const bool lost = from && region_.lost(*from, sizeof(format::Inode));
    fault = lost ? EIO : from ? fault : from.code();
    if (from && !lost) {
      space.region().stream(format::byte_off(to.start, inside), region_.data() + from->value,
                            sizeof(format::Inode));
      space.region().fence();
    }
  });
  const Result<BlockRun> old = fault == 0 ? turn_to(store, first, to.start) : Error(fault);
  if (!old) {
    moving_.store(0, std::memory_order_release);
  }
  for_each_slot([](InodeNo, std::uint64_t) {});
  moving_.store(0, std::memory_order_release);
  PMEMFS_CHECK(old);  // `space` takes the new place back
  space.release(*old);
  PMEMFS_CHECK(space.commit());
  return to.count;
}

Result<BlockRun> InodeTable::turn_to(Store& store, InodeNo first, BlockNo to) {
  const std::lock_guard lock(mutex_);
  PMEMFS_TRY(const Place place, lowest(first.value));
  PMEMFS_TRY(IndexBlock index, read_index(place.block, place.level));
  const std::uint64_t slot = slot_of(first.value, place.level);
  const BlockRun old = chunk_run(BlockNo(index.child[slot].load()));
  if (place.level != 0 || !layout_.usable(old)) {
    return Error(EUCLEAN);
  }
  Change change(store);
  put_child(change, place, index, slot, to);
  PMEMFS_CHECK(commit(change));
  const std::uint64_t number = first.value / kInodesPerChunk;
  if (Segment* segment = segments_[number / kIndexFanout].load(std::memory_order_relaxed)) {
    segment->chunk[number % kIndexFanout].store(to.value, std::memory_order_release);
  }
  return old;
}

// Below `place`, which is an index block.
Result<InodeTable::Pointer> InodeTable::index_block_in(Place place, BlockRun range) const {
  if (place.level == 0) {
    return Pointer{};
  }
  PMEMFS_TRY(const IndexBlock index, read_index(place.block, place.level));
  for (std::uint64_t slot = 0; slot < kIndexFanout; ++slot) {
    const BlockNo child(index.child[slot].load());
    if (!child) {
      continue;
    }
    if (range.contains(child)) {
      return Pointer{place, slot, child};
    }
    PMEMFS_TRY(const Pointer found, index_block_in({child, place.level - 1}, range));
    if (found.to) {
      return found;
    }
  }
  return Pointer{};
}

Result<std::uint64_t> InodeTable::move_index(Store& store, BlockRun range) {
  const std::lock_guard lock(mutex_);
  PMEMFS_TRY(const Pointer found, index_block_in({root_, format::kIndexLevels - 1}, range));
  if (!found.to) {
    return std::uint64_t{0};
  }
  PMEMFS_TRY(const IndexBlock moved, read_index(found.to, found.place.level - 1));
  PMEMFS_TRY(IndexBlock index, read_index(found.place.block, found.place.level));
  Change change(store);
  PMEMFS_TRY(const BlockRun to, change.allocate(1));
  change.write_fresh(format::byte_off(to.start), &moved, sizeof(moved));
  put_child(change, found.place, index, found.slot, to.start);
  change.release({found.to, 1});
  PMEMFS_CHECK(commit(change));
  return std::uint64_t{1};
}

}  // namespace pmemfs::store
