#include "check/superblocks.hpp"

#include <cstddef>
#include <cstring>

#include "format/checks.hpp"
#include "format/layout.hpp"
#include "store/store.hpp"
#include "store/superblock.hpp"

namespace pmemfs::check {
namespace {

using format::Superblock;
using store::SuperblockFault;

constexpr std::uint64_t kPlaces[] = {0, format::kSuperblockCopyBlock};

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

// Why there is none to go by.
Status say_why(SuperblockFault fault, int code, Findings& out) {
  switch (fault) {
    case SuperblockFault::kDamaged:
      out.add(Problem::kSuperblocks, InodeNo(), BlockNo(), "both superblocks are damaged");
      return {};
    case SuperblockFault::kUnreadable:
      out.add(Problem::kMediaLost, InodeNo(), BlockNo(), "no superblock can be read");
      return {};
    case SuperblockFault::kSize:
      out.add(Problem::kRegionSize, InodeNo(), BlockNo(),
              "the region is shorter than its superblock says");
      return {};
    case SuperblockFault::kNone:
    case SuperblockFault::kNotPmemfs:
    case SuperblockFault::kNewer:
      break;
  }
  return Error(code);
}

}  // namespace

Result<std::optional<Superblock>> check_superblocks(Region& region, bool repair, Findings& out,
                                                    Report& report) {
  SuperblockFault fault = SuperblockFault::kNone;
  const auto found = store::read_superblock(region, &fault, nullptr);
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
  if (out.since(mark) && repair) {
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
