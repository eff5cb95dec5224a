#include "store/store.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <ctime>
#include <utility>

#include "base/log.hpp"
#include "format/checks.hpp"
#include "store/change.hpp"
#include "store/impl.hpp"
#include "store/scan.hpp"
#include "store/snapshot.hpp"

namespace pmemfs::store {
namespace {

using format::Inode;
using format::RegionState;
using format::Superblock;

constexpr std::uint64_t kGenerationBatch = 4096;

std::uint64_t now_seconds() {
  return static_cast<std::uint64_t>(std::time(nullptr));
}

bool all_zero(const Inode& i) {
  static constexpr Inode kZero{};
  return std::memcmp(&i, &kZero, sizeof(i)) == 0;
}

}  // namespace

SlotState slot_state(const Inode& i, std::uint64_t ino) {
  if (!format::valid(i)) {
    return all_zero(i) ? SlotState::kFree : SlotState::kDamaged;
  }
  if (i.ino.load() != ino) {
    return SlotState::kDamaged;
  }
  return i.mode.load() == 0 ? SlotState::kFree : SlotState::kUsed;
}

SlotState read_slot(const Region& region, ByteOff slot, std::uint64_t ino, Inode* copy) {
  if (region.lost(slot, sizeof(*copy))) {
    return SlotState::kDamaged;
  }
  std::memcpy(copy, region.data() + slot.value, sizeof(*copy));
  return region.lost(slot, sizeof(*copy)) ? SlotState::kDamaged : slot_state(*copy, ino);
}

// --- Store ---------------------------------------------------------------------------------------

Store::Store(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Store::~Store() = default;

Region& Store::region() {
  return impl_->region;
}
const Region& Store::region() const {
  return impl_->region;
}
bool Store::read_only() const {
  return impl_->region.read_only() || impl_->journal.stopped();
}
Superblock Store::superblock() const {
  return impl_->superblock.get();
}

bool Store::mappings_suspected() const {
  return impl_->mappings_suspected;
}

Space Store::space() const {
  const auto used = impl_->counters.inodes_used.load(std::memory_order_relaxed);
  return {impl_->layout.blocks(), impl_->blocks.free_blocks(),
          static_cast<std::uint64_t>(std::max<std::int64_t>(0, used))};
}

Allocator& Store::blocks() {
  return impl_->blocks;
}
InodeTable& Store::table() {
  return impl_->table;
}
BadBlocks& Store::bad_blocks() {
  return impl_->bad;
}
bool Store::sound() const {
  return impl_->trusted;
}

std::uint64_t Store::durable_bytes() const {
  return static_cast<std::uint64_t>(impl_->counters.durable_bytes.load(std::memory_order_relaxed));
}

Result<Inode> Store::inode(InodeNo ino) const {
  PMEMFS_TRY(const ByteOff slot, impl_->table.locate(ino));
  Result<Inode> read{Inode{}};
  Inode& copy = *read;
  if (impl_->region.lost(slot, sizeof(copy))) {
    return Error(EIO);
  }
  std::memcpy(&copy, impl_->region.data() + slot.value, sizeof(copy));
  switch (slot_state(copy, ino.value)) {
    case SlotState::kFree:  // as lost ones look
      return Error(impl_->region.lost(slot, sizeof(copy)) ? EIO : ENOENT);
    case SlotState::kDamaged:
      return impl_->region.damage(slot, sizeof(copy));
    case SlotState::kUsed:
      break;
  }
  return read;
}

Status Store::for_each_inode(const std::function<void(const Inode&)>& visit,
                             const std::function<void(InodeNo)>& damaged) const {
  // No more index blocks than the region has blocks: media may point to one of them many times.
  std::uint64_t left = impl_->layout.blocks();
  const auto spend = [&](std::uint64_t n) {
    const bool enough = left >= n;
    left -= std::min(left, n);
    return enough;
  };
  bool overrun = false;
  TableVisitor visitor;
  visitor.index = [&](BlockNo) {
    overrun |= !spend(1);
    return !overrun;
  };
  visitor.chunk = [&](std::uint64_t first, BlockNo chunk) {
    overrun |= !spend(format::kChunkBlocks);
    for (std::uint64_t i = first == 0 ? 1 : 0; !overrun && i < format::kInodesPerChunk; ++i) {
      Inode copy{};
      const ByteOff slot = format::byte_off(chunk, i * sizeof(copy));
      const SlotState state = read_slot(impl_->region, slot, first + i, &copy);
      if (state == SlotState::kUsed) {
        visit(copy);
      } else if (state == SlotState::kDamaged) {
        damaged(InodeNo(first + i));
      }
    }
  };
  visitor.damaged = [&](std::uint64_t first, std::uint64_t) {
    damaged(InodeNo(first));
  };
  impl_->table.walk(visitor);
  return overrun ? Status{Error(EUCLEAN)} : Status{};
}

std::vector<InodeNo> Store::take_orphans() {
  const std::lock_guard lock(impl_->orphans_mutex);
  return std::exchange(impl_->orphans, {});
}

std::vector<InodeNo> Store::take_exported() {
  const std::lock_guard lock(impl_->orphans_mutex);
  return std::exchange(impl_->exported, {});
}

Result<std::uint64_t> Store::next_generation() {
  Impl& impl = *impl_;
  if (read_only()) {
    return Error(EROFS);
  }
  const std::uint64_t mine = impl.next_generation.fetch_add(1, std::memory_order_relaxed);
  if (mine < impl.generation_limit.load(std::memory_order_acquire)) {
    return mine;
  }
  const std::lock_guard lock(impl.generation_mutex);
  const std::uint64_t limit = impl.generation_limit.load(std::memory_order_relaxed);
  if (mine >= limit) {
    const std::uint64_t higher = mine + kGenerationBatch;
    PMEMFS_CHECK(impl.superblock.update([&](Superblock& s) { s.next_generation.store(higher); }));
    impl.generation_limit.store(higher, std::memory_order_release);
  }
  return mine;
}

Status Store::use_feature(std::uint64_t incompat) {
  if ((impl_->superblock.get().incompat.load() & incompat) != 0) {
    return {};
  }
  return impl_->superblock.update(
      [incompat](Superblock& s) { s.incompat.store(s.incompat.load() | incompat); });
}

// --- Second copies ---

Status Store::check_superblocks() const {
  return impl_->superblock.check();
}

void Store::mend_copies() {
  Impl& impl = *impl_;
  if (read_only()) {
    return;
  }
  for (const std::uint64_t block : {std::uint64_t{0}, format::kSuperblockCopyBlock}) {
    const BlockRun place{BlockNo(block), 1};
    if (!impl.region.lost(format::byte_off(place.start), format::kBlockSize)) {
      continue;
    }
    impl.bad.add(place);
    const Status healed = impl.bad.heal(place);
    base::log::warn("a superblock could not be read: {}",
                    healed ? "mended from the other" : "the other serves alone");
  }
  if (!impl.superblock.check()) {
    (void)impl.superblock.update([](Superblock&) {});
  }
  impl.table.mend_root(impl.region, [&](BlockNo block) { return impl.bad.heal({block, 1}).ok(); });
}

// --- Open and close ------------------------------------------------------------------------------

namespace {

void take_scan(Store::Impl& impl, ScanResult scanned, OpenReport& report) {
  for (const BlockRun& run : scanned.claimed_twice) {
    impl.blocks.distrust(run);
  }
  for (const BlockRun& run : scanned.free_blocks) {
    impl.blocks.add(run);
  }
  for (const InodeRun& run : scanned.free_inodes) {
    impl.numbers.add(run);
  }
  impl.table.set_limit(scanned.inode_limit);
  impl.counters.inodes_used = static_cast<std::int64_t>(scanned.inodes_used);
  impl.counters.durable_bytes = static_cast<std::int64_t>(scanned.durable_bytes);
  impl.counters.orphans = static_cast<std::int64_t>(scanned.orphans.size());
  impl.orphans = std::move(scanned.orphans);
  impl.exported = std::move(scanned.exported);
  report.damaged_structures = scanned.damaged;
  if (scanned.damaged > 0) {
    base::log::error("{} damaged structures found; run fsck.pmemfs", scanned.damaged);
    impl.trusted = false;
    report.may_collect = false;
  }
}

void take_snapshot(Store::Impl& impl, const Snapshot& snapshot, OpenReport& report) {
  for (const BlockRun& run : snapshot.free_blocks) {
    impl.blocks.add(run);
  }
  for (const InodeRun& run : snapshot.free_inodes) {
    impl.numbers.add(run);
  }
  impl.table.set_limit(snapshot.inode_limit);
  impl.counters.inodes_used = static_cast<std::int64_t>(snapshot.inodes_used);
  impl.counters.durable_bytes = static_cast<std::int64_t>(snapshot.durable_bytes);
  report.used_snapshot = true;
}

// From here on the snapshot is void and a crash is a crash.
Status mark_mounted(Store::Impl& impl) {
  PMEMFS_CHECK(impl.superblock.update([&](Superblock& s) {
    if (static_cast<RegionState>(s.state.load()) == RegionState::kDirty &&
        s.owner_boot == impl.boot) {
      s.suspect_boot = impl.boot;
    }
    s.state.store(static_cast<std::uint32_t>(RegionState::kDirty));
    s.snapshot.store(0);
    s.snapshot_blocks.store(0);
    s.owner_pid.store(static_cast<std::uint32_t>(::getpid()));
    s.owner_boot = impl.boot;
    s.mount_count.store(s.mount_count.load() + 1);
    s.mounted_at.store(now_seconds());
  }));
  return impl.growable ? impl.adopt(impl.region.size() / format::kBlockSize) : Status{};
}

// The lanes, which are empty now, are made good, as far as they can be stored to.
void mend_lanes(Store::Impl& impl) {
  impl.bad.note();
  for (const BlockRun& run : impl.bad.runs()) {
    const std::uint64_t end = std::min(run.end().value, impl.layout.first());
    for (std::uint64_t block = std::max<std::uint64_t>(run.start.value, 1); block < end; ++block) {
      const Status healed = impl.bad.heal({BlockNo(block), 1});
      base::log::warn("block {} of the journal was bad: {}", block,
                      healed ? "it is good again" : "the other lanes serve");
    }
  }
}

Status derive(Store::Impl& impl, const Superblock& s, OpenReport& report) {
  if (report.was_clean && report.may_collect) {
    if (const auto snapshot = read_snapshot(impl.region, impl.layout, s)) {
      take_snapshot(impl, *snapshot, report);
      return {};
    }
  }
  take_scan(impl, scan(impl.region, impl.layout, impl.table), report);
  return {};
}

}  // namespace

Result<std::unique_ptr<Store>> Store::open(Region& region, OpenReport* report) {
  OpenReport local;
  OpenReport& r = report != nullptr ? *report : local;
  r = OpenReport{};
  PMEMFS_TRY(const Superblock s, read_superblock(region, nullptr, &r.used_second_superblock));
  if (!region.read_only() && (s.ro_compat.load() & ~format::kKnownRoCompat) != 0) {
    return Error(EROFS);
  }
  r.was_clean = static_cast<RegionState>(s.state.load()) == RegionState::kClean;
  count_listed_as_lost(region, s);
  PMEMFS_TRY(const journal::ReplayReport replayed, journal::replay(region, lanes_of(s)));
  r.replayed = replayed.replayed;
  r.may_collect = !replayed.damaged;
  auto impl = std::make_unique<Impl>(region, s);
  impl->bad.load(s);
  impl->boot = boot_id();
  impl->trusted = r.may_collect;
  impl->next_generation = s.next_generation.load();
  impl->generation_limit = s.next_generation.load();
  PMEMFS_CHECK(derive(*impl, s, r));
  if (!region.read_only()) {
    if (impl->journal.stopped()) {
      base::log::error("uncorrectable memory errors took too much of the region to change it");
      return Error(EIO);
    }
    PMEMFS_CHECK(mark_mounted(*impl));
    mend_lanes(*impl);
  }
  impl->bad.note();
  impl->mappings_suspected = impl->superblock.get().suspect_boot == impl->boot;
  std::unique_ptr<Store> store(new Store(std::move(impl)));
  store->mend_copies();
  return store;
}

namespace {

// The bad ones too: the list of those is kept apart, and they may be good one day.
std::vector<BlockRun> all_free(const Allocator& blocks) {
  std::vector<BlockRun> all = blocks.runs();
  const std::vector<BlockRun> bad = blocks.bad_free();
  if (bad.empty()) {
    return all;
  }
  all.insert(all.end(), bad.begin(), bad.end());
  std::sort(all.begin(), all.end(), [](BlockRun a, BlockRun b) { return a.start < b.start; });
  std::size_t kept = 0;
  for (const BlockRun& run : all) {
    if (kept > 0 && all[kept - 1].end() == run.start) {
      all[kept - 1].count += run.count;
    } else {
      all[kept++] = run;
    }
  }
  all.resize(kept);
  return all;
}

// Where the snapshot was written; empty when there is none to trust or no room for it.
BlockRun leave_snapshot(Store::Impl& impl) {
  if (!impl.trusted || impl.counters.orphans.load() != 0) {
    return {};  // the next open() must look for itself
  }
  impl.blocks.let_go_all();  // set apart in this mount, free in the next
  Snapshot snapshot;
  snapshot.free_blocks = all_free(impl.blocks);
  snapshot.free_inodes = impl.numbers.runs();
  snapshot.inodes_used = static_cast<std::uint64_t>(impl.counters.inodes_used.load());
  snapshot.inode_limit = impl.table.limit();
  snapshot.durable_bytes = static_cast<std::uint64_t>(impl.counters.durable_bytes.load());
  const std::uint64_t needed = snapshot_blocks(snapshot);
  BlockRun place = impl.blocks.largest();
  if (place.count < needed) {
    return {};
  }
  place.count = needed;
  write_snapshot(impl.region, snapshot, place, impl.superblock.get().update.load() + 1);
  return impl.region.media_events() == 0 ? place : BlockRun{};
}

}  // namespace

Status Store::close(bool mappings_may_live, bool exports_may_live) {
  Impl& impl = *impl_;
  impl.bad.note();
  if (read_only() || impl.closed) {
    return {};
  }
  const BlockRun snapshot = exports_may_live ? BlockRun{} : leave_snapshot(impl);
  PMEMFS_CHECK(impl.superblock.update([&](Superblock& s) {
    s.state.store(static_cast<std::uint32_t>(RegionState::kClean));
    s.snapshot.store(snapshot.start.value);
    s.snapshot_blocks.store(snapshot.count);
    s.next_generation.store(std::min(impl.next_generation.load(), impl.generation_limit.load()));
    if (mappings_may_live) {
      s.suspect_boot = impl.boot;
    }
  }));
  impl.closed = true;
  return {};
}

}  // namespace pmemfs::store
