#include "check/superblocks.hpp"

#include <cstddef>
#include <cstring>
#include <ctime>

#include "format/checks.hpp"
#include "format/layout.hpp"
#include "store/store.hpp"
#include "store/superblock.hpp"

namespace pmemfs::check {
namespace {

using format::Superblock;
using store::SuperblockFault;

constexpr std::uint64_t kPlaces[] = {0, format::kSuperblockCopyBlock};
constexpr unsigned kGenerationShift = 24;

Superblock copy_at(const Region& region, std::uint64_t block) {
  Superblock s{};
  const ByteOff at = format::byte_off(BlockNo(block));
  if (region.contains(at, sizeof(s))) {
    std::memcpy(&s, region.data() + at.value, sizeof(s));
  }
  return s;
}

// The copy without what an update may change.
Superblock constant_part(const Superblock& s) {
  Superblock c = s;
  c.incompat.store(0);
  c.update.store(0);
  c.region_blocks.store(0);
  c.next_generation.store(0);
  c.snapshot.store(0);
  c.snapshot_blocks.store(0);
  c.state.store(0);
  c.owner_pid.store(0);
  c.owner_boot = {};
  c.suspect_boot = {};
  c.mount_count.store(0);
  c.mounted_at.store(0);
  c.crc.store(0);
  return c;
}

// Power that fails within an update leaves old and new words: what never changes is right.
bool torn(const Superblock& copy, const Superblock& in_force) {
  const Superblock a = constant_part(copy);
  const Superblock b = constant_part(in_force);
  return std::memcmp(&a, &b, sizeof(a)) == 0;
}

bool is_root(const Region& region, BlockNo block) {
  format::IndexBlock index{};
  const ByteOff at = format::byte_off(block);
  std::memcpy(&index, region.data() + at.value, sizeof(index));
  return index.magic.load() == format::kIndexMagic &&
         index.level.load() == format::kIndexLevels - 1 && format::valid(index) &&
         !region.lost(at, sizeof(index));
}

// Takes over what both damaged copies say: that is what they said before.
void keep_agreed(const Region& region, Superblock& s) {
  const Superblock a = copy_at(region, kPlaces[0]);
  const Superblock b = copy_at(region, kPlaces[1]);
  if (a.uuid == b.uuid && a.uuid != format::Uuid{}) {
    s.uuid = a.uuid;
  }
  if (std::memcmp(a.label, b.label, sizeof(a.label)) == 0 && a.label[sizeof(a.label) - 1] == 0) {
    std::memcpy(s.label, a.label, sizeof(s.label));
  }
  const std::uint64_t blocks = a.region_blocks.load();
  if (blocks == b.region_blocks.load() && blocks < s.region_blocks.load() &&
      blocks >= format::kMinRegionSize / format::kBlockSize) {
    s.region_blocks.store(blocks);
  }
  if (a.made_at.load() == b.made_at.load()) {
    s.made_at.store(a.made_at.load());
  }
}

// New superblocks over what is there: the places of lanes and index are the same in every region.
// Generations go on where none was: more than one for each 16th of a microsecond since 1970 was
// never given out.
std::optional<Superblock> remake(Region& region, const store::FormatOptions& facts) {
  if (region.size() < format::kMinRegionSize) {
    return std::nullopt;
  }
  Superblock s = store::new_superblock(region, facts);
  if (!is_root(region, BlockNo(s.inode_root.load())) &&
      !is_root(region, BlockNo(s.inode_root_copy.load()))) {
    return std::nullopt;  // nothing says that it is one of ours
  }
  keep_agreed(region, s);
  if (facts.kind == format::RegionKind::kDirectory) {
    s.incompat.store(format::kIncompatHostPlace);
  }
  s.next_generation.store(static_cast<std::uint64_t>(std::time(nullptr)) << kGenerationShift);
  s.state.store(static_cast<std::uint32_t>(format::RegionState::kDirty));
  s.suspect_boot = store::boot_id();
  return store::write_superblock(region, s).ok() ? std::optional(s) : std::nullopt;
}

// Both are damaged.
std::optional<Superblock> settle_without(Region& region, const Options& options, Findings& out) {
  const auto mark = out.mark();
  out.add(Problem::kSuperblocks, InodeNo(), BlockNo(), "both superblocks are damaged{}",
          options.repair ? "" : "; nothing else was read: a repair may write new ones");
  if (!options.repair || !options.remake) {
    return std::nullopt;
  }
  const auto made = remake(region, *options.remake);
  if (made) {
    out.repaired_since(mark);
  }
  return made;
}

// Why there is none to go by.
Status say_why(SuperblockFault fault, int code, Findings& out) {
  switch (fault) {
    case SuperblockFault::kUnreadable:
      out.add(Problem::kMediaLost, InodeNo(), BlockNo(), "no superblock can be read");
      return {};
    case SuperblockFault::kSize:
      out.add(Problem::kRegionSize, InodeNo(), BlockNo(),
              "the region is shorter than its superblock says");
      return {};
    case SuperblockFault::kNone:
    case SuperblockFault::kDamaged:
    case SuperblockFault::kNotPmemfs:
    case SuperblockFault::kNewer:
    case SuperblockFault::kOlder:
      break;
  }
  return Error(code);
}

}  // namespace

Result<std::optional<Superblock>> check_superblocks(Region& region, const Options& options,
                                                    Findings& out, Report& report) {
  SuperblockFault fault = SuperblockFault::kNone;
  const auto found = store::read_superblock(region, &fault, nullptr);
  if (fault == SuperblockFault::kDamaged) {
    return settle_without(region, options, out);
  }
  if (!found) {
    PMEMFS_CHECK(say_why(fault, found.code(), out));
    return std::optional<Superblock>{};
  }
  Superblock s = *found;
  const auto mark = out.mark();
  for (const std::uint64_t block : kPlaces) {
    const Superblock copy = copy_at(region, block);
    if (format::valid(copy) && copy.magic.load() == format::kSuperblockMagic) {
      continue;
    }
    if (region.lost(format::byte_off(BlockNo(block)), sizeof(copy))) {
      out.add(Problem::kMediaLost, InodeNo(), BlockNo(block),
              "the superblock at block {} cannot be read", block);
    } else if (torn(copy, s)) {
      report.notes.push_back(fmt::format(
          "the superblock at block {} was cut short by a crash; its copy serves", block));
    } else {
      out.add(Problem::kSuperblockCopy, InodeNo(), BlockNo(block),
              "the superblock at block {} is damaged; its copy serves", block);
    }
  }
  report.was_clean = s.state.load() == static_cast<std::uint32_t>(format::RegionState::kClean);
  if (out.since(mark) && options.repair && (s.ro_compat.load() & ~format::kKnownRoCompat) == 0) {
    // A snapshot counts only while the superblock is the one that was written with it.
    s.snapshot.store(0);
    s.snapshot_blocks.store(0);
    if (store::write_superblock(region, s).ok()) {
      out.repaired_since(mark);
    }
  }
  return std::optional<Superblock>(s);
}

}  // namespace pmemfs::check
