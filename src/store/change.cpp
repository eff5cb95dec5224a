#include "store/change.hpp"

#include <algorithm>
#include <cassert>
#include <cstring>

#include "format/checks.hpp"
#include "store/impl.hpp"

namespace pmemfs::store {
namespace {

constexpr std::uint64_t kMaxRun = 1ULL << 30U;  // fits the count of an extent with room to merge
// Of a lane, for what is put at the end: an inode, in two places while the table moves.
constexpr std::uint64_t kPutsKept = 1024;
constexpr std::size_t kLines = sizeof(format::Inode) / kCacheLineSize;

void count(std::atomic<std::int64_t>& counter, std::int64_t delta) {
  if (delta != 0) {
    counter.fetch_add(delta, std::memory_order_relaxed);
  }
}

}  // namespace

Change::Change(Store& store) : store_(store), tx_(store.impl().journal) {}

Change::~Change() {
  give_back_since(0);
  for (const std::uint64_t ino : allocated_inodes_) {
    if (!store_.impl().journal.stopped()) {
      store_.impl().numbers.put(ino);
    }
  }
}

Region& Change::region() {
  return store_.region();
}

std::uint64_t Change::log_left() const {
  const std::uint64_t capacity = store_.impl().journal.capacity() - kPutsKept;
  return capacity - std::min(capacity, tx_.log_bytes());
}

// Blocks that are lost are set apart.
std::optional<BlockRun> Change::take_sound(std::uint64_t count, const AllocationHint& hint) {
  Allocator& blocks = store_.impl().blocks;
  const auto is_lost = [this](BlockRun run) {
    return region().lost(format::byte_off(run.start), run.count * format::kBlockSize);
  };
  for (;;) {
    const auto run = blocks.take(count, hint);
    if (!run || !is_lost(*run)) {
      return run;
    }
    BadBlocks& bad = store_.impl().bad;
    bad.note();
    for (std::uint64_t i = 0; i < run->count; ++i) {
      if (const BlockRun block{BlockNo(run->start.value + i), 1}; is_lost(block)) {
        bad.add(block);
      }
    }
    blocks.add(*run);
  }
}

// A number whose slot is lost is nobody's for the rest of this mount.
bool Change::sound(InodeNo ino) const {
  const Store::Impl& impl = store_.impl();
  const auto slot = !impl.region.any_lost() ? Result<ByteOff>(ByteOff(0)) : impl.table.locate(ino);
  return !slot || !impl.region.lost(*slot, sizeof(format::Inode));
}

Result<BlockRun> Change::allocate(std::uint64_t count, const AllocationHint& hint) {
  assert(count > 0 && hint.alignment > 0);
  Store::Impl& impl = store_.impl();
  if (store_.read_only()) {
    return Error(EROFS);
  }
  const std::uint64_t wanted = std::min(count, kMaxRun);
  auto run = take_sound(wanted, hint);
  while (!run) {
    PMEMFS_CHECK(impl.grow(hint.whole ? wanted + hint.alignment : 1));
    run = take_sound(wanted, hint);
  }
  allocated_.push_back(*run);
  return *run;
}

void Change::release(BlockRun run) {
  released_.push_back(run);
}

void Change::give_back_since(std::size_t mark) {
  if (allocated_.size() == mark) {
    return;
  }
  // What was streamed into these blocks must not land after what their next owner writes.
  region().fence();
  // When the journal has stopped they may be this change's in the next mount, if it stopped here.
  for (const BlockRun& run : allocated_.span().subspan(mark)) {
    if (!store_.impl().journal.stopped()) {
      store_.impl().blocks.add(run);
    }
  }
  allocated_.truncate(mark);
}

Result<InodeNo> Change::allocate_inode() {
  Store::Impl& impl = store_.impl();
  if (store_.read_only()) {
    return Error(EROFS);
  }
  for (;;) {
    const std::uint64_t seen = impl.table.limit();
    if (const auto number = impl.numbers.take()) {
      if (!sound(InodeNo(*number))) {
        continue;
      }
      allocated_inodes_.push_back(*number);
      return InodeNo(*number);
    }
    PMEMFS_CHECK(impl.table.extend(store_, impl.numbers, seen));
  }
}

// The entry for this inode in puts_, made if there is none yet (then *first is true).
Change::Put& Change::note_put(const format::Inode& inode, ByteOff slot, bool* first) {
  Put now;
  now.ino = inode.ino.load();
  now.slot = slot;
  now.used = inode.mode.load() != 0;
  now.durable_len = now.used ? inode.durable_len.load() : 0;
  now.orphan = now.used && inode.nlink.load() == 0;
  for (Put& put : puts_.span()) {
    if (put.ino == now.ino) {
      *first = false;
      put = now;
      return put;
    }
  }
  *first = true;
  puts_.push_back(now);
  return puts_.span().back();
}

// Logs what differs from media, line by line. Once this change has logged a line of the inode,
// media no longer tells what differs: then all of it is logged.
void Change::log_inode(const format::Inode& inode) {
  const auto slot = store_.impl().table.locate(InodeNo(inode.ino.load()));
  if (!slot) {
    fault_ = slot.code();
    return;
  }
  const auto second = store_.impl().table.second_place(InodeNo(inode.ino.load()));
  bool first = false;
  note_put(inode, *slot, &first);
  const auto* now = reinterpret_cast<const std::byte*>(&inode);
  const std::byte* media = store_.region().data() + slot->value;
  std::size_t from = kLines;  // first line of the current stretch of differing lines
  for (std::size_t line = 0; line <= kLines; ++line) {
    const std::size_t at = line * kCacheLineSize;
    const bool differs =
        line < kLines && (!first || std::memcmp(now + at, media + at, kCacheLineSize) != 0);
    if (differs && from == kLines) {
      from = line;
    } else if (!differs && from < line) {
      const std::size_t bytes = (line - from) * kCacheLineSize;
      tx_.write(ByteOff(slot->value + from * kCacheLineSize), now + from * kCacheLineSize, bytes);
      if (second && *second != *slot) {
        tx_.write(ByteOff(second->value + from * kCacheLineSize), now + from * kCacheLineSize,
                  bytes);
      }
      from = kLines;
    }
  }
}

void Change::put_inode(format::Inode& inode) {
  format::seal(inode);
  log_inode(inode);
}

void Change::free_inode(const format::Inode& inode) {
  format::Inode free = inode;  // its other lines stay as they are: nothing to log
  free.mode.store(0);
  free.nlink.store(0);
  format::seal(free);
  log_inode(free);
}

// What the puts change in the counters, read before the media is overwritten; the locks of the
// inodes keep others away.
Change::Delta Change::measure() {
  Delta delta;
  for (Put& put : puts_.span()) {
    const std::byte* media = store_.region().data() + put.slot.value;
    const auto& old = *reinterpret_cast<const format::Inode*>(media);
    const bool was_used = old.mode.load() != 0;
    const bool was_orphan = was_used && old.nlink.load() == 0;
    const std::uint64_t was_durable = was_used ? old.durable_len.load() : 0;
    delta.used += static_cast<int>(put.used) - static_cast<int>(was_used);
    delta.durable += static_cast<std::int64_t>(put.durable_len - was_durable);
    delta.orphans += static_cast<int>(put.orphan) - static_cast<int>(was_orphan);
    put.freed = was_used && !put.used;
  }
  return delta;
}

// After the commit: released space, freed numbers and those allocated but never used are free.
void Change::give_out() {
  Store::Impl& impl = store_.impl();
  allocated_.clear();
  for (const BlockRun& run : released_) {
    impl.blocks.add(run);
  }
  for (const Put& put : puts_) {
    if (put.freed) {
      impl.numbers.put(put.ino);
    }
  }
  for (const std::uint64_t ino : allocated_inodes_) {
    if (std::none_of(puts_.begin(), puts_.end(),
                     [&](const Put& p) { return p.ino == ino && p.used; })) {
      impl.numbers.put(ino);
    }
  }
  allocated_inodes_.clear();
}

Status Change::commit() {
  const Status done = try_commit();
  store_.impl().bad.note();
  return done;
}

Status Change::try_commit() {
  if (fault_ != 0) {
    return Error(fault_);
  }
  if (store_.read_only()) {
    return Error(EROFS);
  }
  const Delta delta = measure();
  PMEMFS_CHECK(tx_.commit());
  give_out();
  Counters& counters = store_.impl().counters;
  count(counters.inodes_used, delta.used);
  count(counters.durable_bytes, delta.durable);
  count(counters.orphans, delta.orphans);
  return {};
}

}  // namespace pmemfs::store
