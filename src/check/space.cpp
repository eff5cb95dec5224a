// The numbers of the superblock against those of the inodes, and the snapshot of free space.
#include <sys/stat.h>

#include <algorithm>

#include "check/pass.hpp"
#include "store/snapshot.hpp"

namespace pmemfs::check {
namespace {

using format::Superblock;

// Runs of inode numbers that have a slot and are not in use.
std::vector<store::InodeRun> free_inodes(const Pass& p) {
  std::vector<store::InodeRun> runs;
  auto node = p.nodes.begin();
  const auto add = [&](std::uint64_t ino) {
    if (!runs.empty() && runs.back().start + runs.back().count == ino) {
      ++runs.back().count;
    } else {
      runs.push_back({ino, 1});
    }
  };
  for (const Chunk& chunk : p.chunks) {
    for (std::uint64_t i = chunk.first == 0 ? 1 : 0; i < format::kInodesPerChunk; ++i) {
      const std::uint64_t ino = chunk.first + i;
      while (node != p.nodes.end() && node->ino < ino) {
        ++node;
      }
      if (node == p.nodes.end() || node->ino != ino) {
        add(ino);
      }
    }
  }
  return runs;
}

// What is wrong with the snapshot; null.
const char* fault_of(const Pass& p, const Superblock& s) {
  const auto snapshot = store::read_snapshot(p.region, p.layout, s);
  if (!snapshot) {
    return "is damaged";
  }
  if (snapshot->free_blocks != p.used.unmarked(p.layout.first())) {
    return "has other free blocks than there are";
  }
  const std::uint64_t limit =
      p.chunks.empty() ? 0 : p.chunks.back().first + format::kInodesPerChunk;
  if (snapshot->inode_limit != limit || snapshot->free_inodes != free_inodes(p)) {
    return "has other free inodes than there are";
  }
  if (snapshot->inodes_used != p.counts.inodes || snapshot->durable_bytes != p.durable_bytes) {
    return "counts wrong";
  }
  return nullptr;
}

void check_snapshot(Pass& p, const Superblock& s) {
  const bool clean = s.state.load() == static_cast<std::uint32_t>(format::RegionState::kClean);
  if (!clean || s.snapshot.load() == 0 || p.out.found() != p.out.repaired()) {
    return;  // void, or not to be compared with what is damaged
  }
  const auto mark = p.out.mark();
  if (const char* fault = fault_of(p, s)) {
    p.out.add(Problem::kSnapshot, InodeNo(), BlockNo(s.snapshot.load()),
              "the list of free space that a clean unmount left {}", fault);
    const bool done = p.repairing() && p.fixer->update_superblock([](Superblock& fixed) {
      fixed.snapshot.store(0);
      fixed.snapshot_blocks.store(0);
    });
    if (done) {
      p.out.repaired_since(mark);
    }
  }
}

// A generation that is in use must never be given out again.
void check_generations(Pass& p, const Superblock& s) {
  if (p.highest_generation < s.next_generation.load()) {
    return;
  }
  const auto mark = p.out.mark();
  p.out.add(Problem::kNextGeneration, InodeNo(), BlockNo(),
            "the next generation is {}, but {} is in use", s.next_generation.load(),
            p.highest_generation);
  const std::uint64_t next = p.highest_generation + 1;
  const bool done =
      p.repairing() && next != 0 &&
      p.fixer->update_superblock([next](Superblock& fixed) { fixed.next_generation.store(next); });
  if (done) {
    p.out.repaired_since(mark);
  }
}

void check_feature(Pass& p, const Superblock& s) {
  const std::uint64_t missing = p.features_needed & ~s.incompat.load();
  if (missing == 0) {
    return;
  }
  const auto mark = p.out.mark();
  if ((missing & format::kIncompatHostPlace) != 0) {
    p.out.add(Problem::kFeature, InodeNo(), BlockNo(),
              "host files have moved, but no feature bit says that they may");
  }
  if ((missing & format::kIncompatExports) != 0) {
    p.out.add(Problem::kFeature, InodeNo(), BlockNo(),
              "virtual machines may map files, but no feature bit says so");
  }
  const bool done = p.repairing() && p.fixer->update_superblock([missing](Superblock& fixed) {
    fixed.incompat.store(fixed.incompat.load() | missing);
  });
  if (done) {
    p.out.repaired_since(mark);
  }
}

}  // namespace

void check_space(Pass& p) {
  if (!p.progress(Phase::kSpace, 0, 1)) {
    return;
  }
  const Superblock s = p.repairing() ? p.fixer->superblock() : p.superblock;
  check_snapshot(p, s);
  check_generations(p, s);
  check_feature(p, s);
}

}  // namespace pmemfs::check
