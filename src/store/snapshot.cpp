#include "store/snapshot.hpp"

#include <cstring>

#include "format/checks.hpp"

namespace pmemfs::store {
namespace {

using format::SnapshotHeader;
using format::SnapshotRun;

SnapshotRun make_run(std::uint64_t start, std::uint64_t count) {
  SnapshotRun run{};
  run.start.store(start);
  run.count.store(count);
  return run;
}

// Ascending, apart, not empty, inside [first, limit).
bool sane(const SnapshotRun* runs, std::uint64_t n, std::uint64_t first, std::uint64_t limit) {
  std::uint64_t at = first;
  for (std::uint64_t i = 0; i < n; ++i) {
    const std::uint64_t start = runs[i].start.load();
    const std::uint64_t count = runs[i].count.load();
    if (start < at || start >= limit || count == 0 || count > limit - start) {
      return false;
    }
    at = start + count;
  }
  return true;
}

// The header at the start of the blocks that `s` names, if it and its runs are whole.
const SnapshotHeader* find_header(const Region& region, const format::Layout& layout,
                                  const format::Superblock& s) {
  const BlockRun place{BlockNo(s.snapshot.load()), s.snapshot_blocks.load()};
  if (!place.start || !layout.usable(place)) {
    return nullptr;
  }
  const std::byte* at = region.data() + format::byte_off(place.start).value;
  const auto* header = reinterpret_cast<const SnapshotHeader*>(at);
  const std::uint64_t room =
      (place.count * format::kBlockSize - sizeof(SnapshotHeader)) / sizeof(SnapshotRun);
  const std::uint64_t blocks = header->free_runs.load();
  const std::uint64_t inodes = header->free_inode_runs.load();
  if (header->magic.load() != format::kSnapshotMagic || header->update.load() != s.update.load() ||
      blocks > room || inodes > room - blocks ||
      !format::valid(*header, header + 1, (blocks + inodes) * sizeof(SnapshotRun))) {
    return nullptr;
  }
  return header;
}

}  // namespace

std::uint64_t snapshot_blocks(const Snapshot& snapshot) {
  const std::uint64_t runs = snapshot.free_blocks.size() + snapshot.free_inodes.size();
  const std::uint64_t bytes = sizeof(SnapshotHeader) + runs * sizeof(SnapshotRun);
  return (bytes + format::kBlockSize - 1) / format::kBlockSize;
}

void write_snapshot(Region& region, const Snapshot& snapshot, BlockRun place,
                    std::uint64_t update) {
  std::vector<SnapshotRun> runs;
  runs.reserve(snapshot.free_blocks.size() + snapshot.free_inodes.size());
  for (const BlockRun& run : snapshot.free_blocks) {
    runs.push_back(make_run(run.start.value, run.count));
  }
  for (const InodeRun& run : snapshot.free_inodes) {
    runs.push_back(make_run(run.start, run.count));
  }
  SnapshotHeader header{};
  header.magic.store(format::kSnapshotMagic);
  header.update.store(update);
  header.free_runs.store(snapshot.free_blocks.size());
  header.free_inode_runs.store(snapshot.free_inodes.size());
  header.inodes_used.store(snapshot.inodes_used);
  header.inode_limit.store(snapshot.inode_limit);
  header.durable_bytes.store(snapshot.durable_bytes);
  const std::size_t bytes = runs.size() * sizeof(SnapshotRun);
  format::seal(header, runs.data(), bytes);
  region.stream(format::byte_off(place.start), &header, sizeof(header));
  if (bytes > 0) {
    region.stream(format::byte_off(place.start, sizeof(header)), runs.data(), bytes);
  }
  region.fence();
}

std::optional<Snapshot> read_snapshot(const Region& region, const format::Layout& layout,
                                      const format::Superblock& s) {
  const SnapshotHeader* header = find_header(region, layout, s);
  if (header == nullptr || header->inode_limit.load() > format::kMaxInode + 1) {
    return std::nullopt;
  }
  const auto* runs = reinterpret_cast<const SnapshotRun*>(header + 1);
  const std::uint64_t blocks = header->free_runs.load();
  const std::uint64_t inodes = header->free_inode_runs.load();
  Snapshot snapshot;
  snapshot.inodes_used = header->inodes_used.load();
  snapshot.inode_limit = header->inode_limit.load();
  snapshot.durable_bytes = header->durable_bytes.load();
  if (!sane(runs, blocks, layout.first(), layout.blocks()) ||
      !sane(runs + blocks, inodes, 1, snapshot.inode_limit)) {
    return std::nullopt;
  }
  for (std::uint64_t i = 0; i < blocks + inodes; ++i) {
    const std::uint64_t start = runs[i].start.load();
    const std::uint64_t count = runs[i].count.load();
    if (i >= blocks) {
      snapshot.free_inodes.push_back({start, count});
    } else if (const BlockRun run{BlockNo(start), count}; layout.usable(run)) {
      snapshot.free_blocks.push_back(run);
    } else {
      return std::nullopt;
    }
  }
  return snapshot;
}

}  // namespace pmemfs::store
