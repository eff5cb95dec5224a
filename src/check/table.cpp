// Index blocks and chunks of the inode table.
#include <algorithm>

#include "check/pass.hpp"
#include "check/table_search.hpp"
#include "format/checks.hpp"

namespace pmemfs::check {
namespace {

using format::IndexBlock;
using format::kIndexFanout;

// An index block that is to be read.
struct Place {
  BlockNo block;
  std::uint32_t level = 0;
  std::uint64_t first = 0;  // inode that it begins with
};

class Table {
 public:
  explicit Table(Pass& p) : p_(p) {}

  void run() {
    const BlockNo root(p_.superblock.inode_root.load());
    p_.claim({root, 1});
    p_.index_blocks.push_back(root);
    places_.push_back({root, format::kIndexLevels - 1, 0});
    while (!places_.empty()) {
      const Place place = places_.back();
      places_.pop_back();
      read(place);
    }
    join_unknown();
    std::sort(p_.leaves.begin(), p_.leaves.end(),
              [](const Chunk& a, const Chunk& b) { return a.first < b.first; });
    std::sort(p_.chunks.begin(), p_.chunks.end(),
              [](const Chunk& a, const Chunk& b) { return a.first < b.first; });
  }

 private:
  // They may lie in each other.
  void join_unknown() {
    std::vector<Unknown>& all = p_.unknown;
    std::sort(all.begin(), all.end(),
              [](const Unknown& a, const Unknown& b) { return a.first < b.first; });
    std::size_t kept = 0;
    for (const Unknown& next : all) {
      if (kept > 0 && next.first <= all[kept - 1].end) {
        all[kept - 1].end = std::max(all[kept - 1].end, next.end);
      } else {
        all[kept++] = next;
      }
    }
    all.resize(kept);
  }

  void read(const Place& place) {
    const ByteOff at = format::byte_off(place.block);
    const auto mark = p_.out.mark();
    auto index = p_.load<IndexBlock>(at);
    bool changed = false;
    if (index.magic.load() != format::kIndexMagic || index.level.load() != place.level ||
        !format::valid(index)) {
      const bool lost = p_.is_lost<IndexBlock>(at);
      p_.out.add(lost ? Problem::kMediaLost : Problem::kIndexBlock, InodeNo(), place.block,
                 "index block {} of inodes from {} on {}", place.block.value, place.first,
                 lost ? "cannot be read" : "is damaged");
      p_.table_doubted = true;
      const std::uint64_t end = place.first + span_of_index(place.level) * kIndexFanout;
      p_.unknown.push_back({place.first, end});
      if (!p_.repairing() || lost) {
        p_.names_hidden = true;
        return;
      }
      index = rebuild_index(p_, index, place.level, place.first);
      changed = true;  // what it leads to is taken over now
    }
    Wanted missing = follow(place, index);
    if (place.first == 0 && index.child[0].load() == 0) {
      if (missing.none() && !changed) {
        p_.out.add(Problem::kIndexPointer, InodeNo(), place.block,
                   "index block {} has no pointer for the root's inodes", place.block.value);
      }
      p_.table_doubted = true;
      missing.set(0);
    }
    if (missing.any() && p_.repairing()) {
      find_children(p_, index, place.level, place.first, missing);
      changed = true;
    }
    if (changed && p_.repairing()) {
      format::seal(index);
      p_.fixer->write(at, &index, sizeof(index));
      p_.settle(mark);
    }
  }

  // Takes over what the block points to. Returns the pointers that were taken out.
  Wanted follow(const Place& place, IndexBlock& index) {
    Wanted out;
    for (std::size_t i = 0; i < kIndexFanout; ++i) {
      const BlockNo child(index.child[i].load());
      const std::uint64_t first = place.first + i * span_of_index(place.level);
      if (child && !take(place, child, first)) {
        index.child[i].store(0);
        out.set(i);
      }
    }
    return out;
  }

  bool take(const Place& place, BlockNo child, std::uint64_t first) {
    const BlockRun run{child, place.level == 0 ? format::kChunkBlocks : 1};
    if (!p_.layout.usable(run) || first > format::kMaxInode) {
      p_.out.add(Problem::kIndexPointer, InodeNo(), place.block,
                 "index block {} points to block {} for inodes from {} on, where none can be",
                 place.block.value, child.value, first);
    } else if (!p_.claim(run)) {
      p_.out.add(Problem::kBlockShared, InodeNo(), child,
                 "block {} of the inode table, for inodes from {} on, is used twice", child.value,
                 first);
    } else {
      if (place.level == 0) {
        p_.chunks.push_back({first, child});
      } else {
        p_.index_blocks.push_back(child);
        if (place.level == 1) {
          p_.leaves.push_back({first, child});
        }
        places_.push_back({child, place.level - 1, first});
      }
      return true;
    }
    p_.table_doubted = true;
    p_.names_hidden = true;
    p_.unknown.push_back({first, first + span_of_index(place.level)});
    return false;
  }

  Pass& p_;
  std::vector<Place> places_;
};

}  // namespace

void reset_claims(Pass& p) {
  p.used = store::UsedMap(p.layout.blocks());
  p.wasted = 0;
  p.used.mark({BlockNo(0), p.layout.first()});
  p.used.mark({BlockNo(format::kSuperblockCopyBlock), 1});
  p.counts.blocks = p.layout.blocks();
  p.counts.blocks_used = p.layout.first() + 1;
  for (const BlockNo block : p.index_blocks) {
    p.claim({block, 1});
  }
  for (const Chunk& chunk : p.chunks) {
    p.claim({chunk.block, format::kChunkBlocks});
  }
}

void check_table(Pass& p) {
  reset_claims(p);
  Table(p).run();
}

}  // namespace pmemfs::check
