#include "check/table_search.hpp"

#include <algorithm>

#include "format/checks.hpp"

namespace pmemfs::check {
namespace {

using format::IndexBlock;
using format::Inode;
using format::kIndexFanout;
using format::kInodesPerChunk;

constexpr std::uint64_t kInodesPerBlock = format::kBlockSize / sizeof(Inode);
constexpr std::uint64_t kNowhere = ~std::uint64_t{0};

// How surely the block is part of the chunk that begins with inode `first`, at `inside` blocks.
struct Signs {
  std::uint64_t right = 0;   // inodes that say so
  std::uint64_t wrong = 0;   // inodes that belong elsewhere
  std::uint64_t newest = 0;  // generation
};

bool is_whole(const Inode& i) {
  return i.ino.load() != 0 && i.ino.load() <= format::kMaxInode && format::valid(i);
}

Signs signs_of_chunk(const Pass& p, BlockNo chunk, std::uint64_t first) {
  Signs signs;
  for (std::uint64_t i = 0; i < kInodesPerChunk; ++i) {
    const auto inode = p.load<Inode>(format::byte_off(chunk, i * sizeof(Inode)));
    if (!is_whole(inode)) {
      continue;
    }
    (inode.ino.load() == first + i ? signs.right : signs.wrong)++;
    signs.newest = std::max(signs.newest, inode.generation.load());
  }
  return signs;
}

// The first inode of the chunk that this block would be part of, and where the chunk would begin.
std::pair<std::uint64_t, std::uint64_t> chunk_around(const Pass& p, std::uint64_t block) {
  for (std::uint64_t i = 0; i < kInodesPerBlock; ++i) {
    const auto inode = p.load<Inode>(format::byte_off(BlockNo(block), i * sizeof(Inode)));
    const std::uint64_t ino = inode.ino.load();
    if (ino % kInodesPerBlock == i && is_whole(inode)) {
      const std::uint64_t inside = ino % kInodesPerChunk / kInodesPerBlock;
      if (block >= inside) {
        return {ino / kInodesPerChunk * kInodesPerChunk, block - inside};
      }
    }
  }
  return {kNowhere, 0};
}

bool is_index(const Pass& p, BlockNo block, std::uint32_t level) {
  const auto index = p.load<IndexBlock>(format::byte_off(block));
  return index.magic.load() == format::kIndexMagic && index.level.load() == level &&
         format::valid(index);
}

// Where the inodes below an index block begin, by the first chunk that it leads to.
std::uint64_t first_below(const Pass& p, BlockNo block, std::uint32_t level) {
  for (std::uint64_t base = 0;;) {
    const auto index = p.load<IndexBlock>(format::byte_off(block));
    const auto* end = std::end(index.child);
    const auto* child =
        std::find_if(std::begin(index.child), end, [](const auto& c) { return c.load() != 0; });
    const auto i = static_cast<std::uint64_t>(child - std::begin(index.child));
    const BlockNo next(child == end ? 0 : child->load());
    base += i * span_of_index(level);
    if (level == 0) {
      const BlockRun run{next, format::kChunkBlocks};
      const auto [first, start] = p.layout.usable(run) ? chunk_around(p, next.value)
                                                       : std::pair{kNowhere, std::uint64_t{0}};
      return first == kNowhere || start != next.value || first < base ? kNowhere : first - base;
    }
    if (!p.layout.usable(next) || !is_index(p, next, level - 1)) {
      return kNowhere;
    }
    block = next;
    --level;
  }
}

// What lies at `block` and would be a child of an index block of `level`: the first inode of it.
std::uint64_t child_at(const Pass& p, BlockNo block, std::uint32_t level) {
  if (level > 0) {
    return p.layout.usable(block) && is_index(p, block, level - 1)
               ? first_below(p, block, level - 1)
               : kNowhere;
  }
  if (!p.layout.usable(BlockRun{block, format::kChunkBlocks})) {
    return kNowhere;
  }
  const auto [first, start] = chunk_around(p, block.value);
  return first != kNowhere && start == block.value ? first : kNowhere;
}

std::uint64_t newest_in(const Pass& p, BlockNo block, std::uint32_t level, std::uint64_t first) {
  return level == 0 ? signs_of_chunk(p, block, first).newest : 0;
}

// All that could be a child of an index block of `level`, by where it begins. Searched once.
const std::vector<Chunk>& candidates(const Pass& p, std::uint32_t level) {
  auto& found = p.candidates[level];
  if (!found) {
    found.emplace();
    for (std::uint64_t b = p.layout.first(); b < p.layout.blocks(); ++b) {
      if (const std::uint64_t begins = child_at(p, BlockNo(b), level); begins != kNowhere) {
        found->push_back({begins, BlockNo(b)});
      }
    }
    std::stable_sort(found->begin(), found->end(),
                     [](const Chunk& x, const Chunk& y) { return x.first < y.first; });
  }
  return *found;
}

}  // namespace

std::uint64_t span_of_index(std::uint32_t level) {
  std::uint64_t span = kInodesPerChunk;
  for (std::uint32_t i = 0; i < level; ++i) {
    span *= kIndexFanout;
  }
  return span;
}

void find_children(const Pass& p, IndexBlock& index, std::uint32_t level, std::uint64_t first,
                   const Wanted& wanted) {
  const IndexBlock before = index;
  const std::uint64_t span = span_of_index(level);
  const std::vector<Chunk>& all = candidates(p, level);
  auto at = std::lower_bound(all.begin(), all.end(), first,
                             [](const Chunk& c, std::uint64_t f) { return c.first < f; });
  for (; at != all.end() && (at->first - first) / span < kIndexFanout; ++at) {
    const std::uint64_t i = (at->first - first) / span;
    if ((at->first - first) % span != 0 || p.used.any({at->block, 1}) || !wanted[i] ||
        before.child[i].load() != 0) {
      continue;
    }
    // Old places of what has moved look alike: the newer one counts.
    format::Le64& child = index.child[i];
    if (child.load() == 0 || newest_in(p, at->block, level, at->first) >
                                 newest_in(p, BlockNo(child.load()), level, at->first)) {
      child.store(at->block.value);
    }
  }
}

IndexBlock rebuild_index(const Pass& p, const IndexBlock& damaged, std::uint32_t level,
                         std::uint64_t first) {
  IndexBlock index{};
  index.magic.store(format::kIndexMagic);
  index.level.store(level);
  const std::uint64_t span = span_of_index(level);
  for (std::size_t i = 0; i < kIndexFanout; ++i) {
    const BlockNo child(damaged.child[i].load());
    if (child && child_at(p, child, level) == first + i * span) {
      index.child[i] = damaged.child[i];
    }
  }
  Wanted all;
  find_children(p, index, level, first, all.set());
  return index;
}

}  // namespace pmemfs::check
