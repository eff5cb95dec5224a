#include "check/recover.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <ctime>
#include <map>

#include "check/dir_block.hpp"
#include "check/table_search.hpp"
#include "format/checks.hpp"
#include "store/inode_table.hpp"
#include "store/store.hpp"

namespace pmemfs::check {
namespace {

using format::DirHeader;
using format::Extent;
using format::ExtentBlock;
using format::Inode;
using format::kInodesPerChunk;

Timestamp now() {
  return {std::time(nullptr), 0};
}

Inode make_inode(std::uint64_t ino, std::uint64_t generation, std::uint32_t mode) {
  Inode inode{};
  inode.ino.store(ino);
  inode.generation.store(generation);
  inode.mode.store(mode);
  inode.nlink.store(S_ISDIR(mode) ? 2 : 1);
  inode.parent.store(ino == kRootInode.value ? ino : 0);
  store::set_atime(inode, now());
  store::set_mtime(inode, now());
  store::set_ctime(inode, now());
  store::set_btime(inode, now());
  return inode;
}

// Its blocks, by their place in the directory.
using Blocks = std::map<std::uint64_t, BlockNo>;

class Recovery {
 public:
  explicit Recovery(Pass& p) : p_(p) {}

  void run() {
    find_host_files();
    find_blocks();
    for (const std::uint64_t ino : std::exchange(p_.damaged, {})) {
      const auto slot = p_.slot(ino);
      if (slot && p_.is_lost<Inode>(*slot)) {
        p_.damaged.push_back(ino);
      } else if (slot) {
        give_back(ino, *slot);
      }
    }
    for (const BackingName name : unknown_) {
      give_back_unknown(name);
    }
    make_root();
    std::sort(p_.nodes.begin(), p_.nodes.end(),
              [](const Node& a, const Node& b) { return a.ino < b.ino; });
  }

 private:
  // Of damaged inodes; and those that no slot tells of, while there is doubt.
  void find_host_files() {
    if (p_.backing == nullptr || !p_.has_host_files() || !p_.table_doubted || !p_.host_is_ours()) {
      return;
    }
    const auto ours = [this](BackingName name) {
      const std::uint64_t ino = name.ino.value;
      if (std::binary_search(p_.damaged.begin(), p_.damaged.end(), ino)) {
        std::uint64_t& newest = host_files_[ino];
        newest = std::max(newest, name.gen);
      } else if (p_.node(ino) == nullptr && !proven_freed(p_, name)) {
        unknown_.push_back(name);
      }
    };
    (void)p_.backing->for_each(ours, [](const std::string&) {});
    std::sort(unknown_.begin(), unknown_.end(), std::greater<>());  // the newest first
  }

  // Blocks of damaged directories: of the generation that is left in the inode, or, where its mode
  // is, of the newest.
  void find_blocks() {
    if (p_.damaged.empty()) {
      return;
    }
    for (std::uint64_t b = p_.layout.first(); b < p_.layout.blocks(); ++b) {
      const auto header = p_.load<DirHeader>(format::byte_off(BlockNo(b)));
      const std::uint64_t owner = header.owner.load();
      if (header.magic.load() == format::kDirMagic && format::valid(header) &&
          std::binary_search(p_.damaged.begin(), p_.damaged.end(), owner) &&
          p_.layout.usable(BlockNo(b)) && !p_.used.any({BlockNo(b), 1})) {
        directories_[owner][header.generation.load()].emplace(header.index.load(), BlockNo(b));
      }
    }
  }

  void give_back(std::uint64_t ino, ByteOff slot) {
    const auto old = p_.load<Inode>(slot);
    const auto directory = directories_.find(ino);
    const auto host = host_files_.find(ino);
    Inode inode{};
    if (directory != directories_.end()) {
      const auto& generations = directory->second;
      const auto same = generations.find(old.generation.load());
      if (same != generations.end()) {
        inode = directory_of(ino, same->first, same->second);
      } else if (S_ISDIR(old.mode.load())) {
        inode = directory_of(ino, generations.rbegin()->first, generations.rbegin()->second);
      }
    }
    const bool is_file = old.generation.load() == (host == host_files_.end() ? 0 : host->second) ||
                         S_ISREG(old.mode.load());
    if (inode.mode.load() == 0 && host != host_files_.end() && is_file) {
      inode = file_of({InodeNo(ino), host->second});
    }
    inode.ino.store(ino);
    put(slot, inode);
  }

  void put(ByteOff slot, Inode& inode) {
    p_.fixer->put_inode(slot, inode);
    if (!p_.fixer->commit()) {
      return;
    }
    const InodeNo ino(inode.ino.load());
    p_.out.repaired(Problem::kInodeDamaged, ino);
    p_.out.repaired(Problem::kRoot, ino);
    if (inode.mode.load() != 0) {
      Node node;
      node.ino = static_cast<std::uint32_t>(ino.value);
      node.mode = static_cast<std::uint16_t>(inode.mode.load());
      node.nlink = inode.nlink.load();
      node.said_parent = static_cast<std::uint32_t>(inode.parent.load());
      back_.push_back(node);
      p_.nodes.insert(std::lower_bound(p_.nodes.begin(), p_.nodes.end(), node,
                                       [](const Node& a, const Node& b) { return a.ino < b.ino; }),
                      node);
      p_.counts.directories += S_ISDIR(node.mode) ? 1U : 0U;
    }
  }

  Inode file_of(BackingName name) {
    Inode inode = make_inode(name.ino.value, name.gen, S_IFREG | 0600U);
    if (const auto host = p_.backing->stat(name)) {
      store::set_mtime(inode, host->mtime);
      store::set_atime(inode, host->atime);
    }
    return inode;
  }

  // Empty when there is no room for its extent blocks.
  Inode directory_of(std::uint64_t ino, std::uint64_t generation, const Blocks& blocks) {
    Inode inode = make_inode(ino, generation, S_IFDIR | 0700U);
    std::vector<Extent> extents;
    std::uint64_t entries = 0;
    std::uint64_t logical = 0;
    for (const auto& [index, block] : blocks) {
      entries += DirBlock(p_, inode, block, index).entries().size();
      Extent* last = extents.empty() ? nullptr : &extents.back();
      if (last != nullptr && last->physical.load() + last->count.load() == block.value) {
        last->count.store(last->count.load() + 1);
      } else {
        Extent& next = extents.emplace_back();
        next.logical.store(logical);
        next.physical.store(block.value);
        next.count.store(1);
      }
      ++logical;
    }
    inode.size.store(logical * format::kBlockSize);
    inode.data_blocks.store(logical);
    inode.entries.store(entries);
    return put_extents(inode, extents) ? inode : Inode{};
  }

  // The extent blocks lie where nobody's are: they count once the inode names them.
  bool put_extents(Inode& inode, const std::vector<Extent>& extents) {
    std::size_t at = std::min<std::size_t>(extents.size(), format::kInlineExtents);
    std::copy_n(extents.begin(), at, std::begin(inode.extents));
    while (at < extents.size()) {
      const auto free = take_free(1);
      if (!free) {
        return false;
      }
      ExtentBlock block{};
      block.magic.store(format::kExtentMagic);
      block.owner = inode.ino;
      block.generation = inode.generation;
      block.next = inode.data;
      for (std::uint32_t i = 0; i < format::kExtentSlots && at < extents.size(); ++i, ++at) {
        block.slots[i].extent = extents[at];
        format::seal(block.slots[i]);
        block.used[i / 64].store(block.used[i / 64].load() | 1ULL << (i % 64));
      }
      format::seal(block);
      p_.fixer->write(format::byte_off(*free), &block, sizeof(block));
      inode.data.store(free->value);
    }
    return true;
  }

  // A run that no inode and no block of a lost directory has.
  std::optional<BlockNo> take_free(std::uint64_t count) {
    if (!spare_known_) {
      for (const auto& [ino, generations] : directories_) {
        for (const auto& [generation, blocks] : generations) {
          for (const auto& [index, block] : blocks) {
            (void)p_.claim({block, 1});
          }
        }
      }
      spare_ = p_.used.unmarked(p_.layout.first());
      spare_known_ = true;
    }
    for (BlockRun& run : spare_) {
      if (run.count >= count) {
        const BlockNo first = run.start;
        run = {BlockNo(first.value + count), run.count - count};
        return first;
      }
    }
    return std::nullopt;
  }

  // One whose inode is gone without a trace: else the next mount takes it for given up.
  void give_back_unknown(BackingName name) {
    const std::uint64_t ino = name.ino.value;
    if (ino > format::kMaxInode || p_.node(ino) != nullptr) {
      return;
    }
    if (!has_slot(ino)) {
      return;
    }
    const ByteOff slot = *p_.slot(ino);
    if (!p_.is_lost<Inode>(slot)) {
      p_.out.add(Problem::kHostUnclaimed, name.ino, BlockNo(),
                 "host file {:02x}/{:x}.{:x} is that of a lost inode", ino & 0xFFU, ino, name.gen);
      Inode inode = file_of(name);
      put(slot, inode);
      p_.out.repaired(Problem::kHostUnclaimed, name.ino);
    }
  }

  // Makes a chunk where there is none, or, for the next pass, the index that leads to it.
  bool has_slot(std::uint64_t ino) {
    return p_.slot(ino).has_value() ||
           (make_path(ino) && make_chunk(ino / kInodesPerChunk * kInodesPerChunk));
  }

  // True: the index block of the lowest level is there. A missing one is made, with what is found
  // of its inodes, and read by the next pass.
  bool make_path(std::uint64_t ino) {
    BlockNo at(p_.superblock.inode_root.load());
    for (std::uint32_t level = format::kIndexLevels - 1; level > 0; --level) {
      const ByteOff off = format::byte_off(at);
      auto index = p_.load<format::IndexBlock>(off);
      format::Le64& child = index.child[ino / span_of_index(level) % format::kIndexFanout];
      if (!format::valid(index)) {
        return false;
      }
      if (child.load() == 0) {
        const auto free = take_free(1);
        if (free) {
          const std::uint64_t first = ino / span_of_index(level) * span_of_index(level);
          format::IndexBlock fresh = rebuild_index(p_, format::IndexBlock{}, level - 1, first);
          format::seal(fresh);
          p_.fixer->write(format::byte_off(*free), &fresh, sizeof(fresh));
          child.store(free->value);
          format::seal(index);
          p_.fixer->write(off, &index, sizeof(index));
          (void)p_.fixer->commit();
        }
        return false;
      }
      at = BlockNo(child.load());
      if (!p_.layout.usable(at)) {
        return false;
      }
    }
    return true;
  }

  bool make_chunk(std::uint64_t first) {
    const auto leaf = std::find_if(p_.leaves.begin(), p_.leaves.end(), [first](const Chunk& l) {
      return l.first <= first && first - l.first < format::kIndexFanout * kInodesPerChunk;
    });
    if (leaf == p_.leaves.end() ||
        !format::valid(p_.load<format::IndexBlock>(format::byte_off(leaf->block)))) {
      return false;
    }
    const auto run = take_free(format::kChunkBlocks);
    if (!run) {
      return false;
    }
    p_.region.stream_zeros(format::byte_off(*run),
                           std::uint64_t{format::kChunkBlocks} * format::kBlockSize);
    p_.region.fence();
    auto index = p_.load<format::IndexBlock>(format::byte_off(leaf->block));
    index.child[(first - leaf->first) / kInodesPerChunk].store(run->value);
    format::seal(index);
    p_.fixer->write(format::byte_off(leaf->block), &index, sizeof(index));
    if (!p_.fixer->commit()) {
      return false;
    }
    const auto at = std::lower_bound(p_.chunks.begin(), p_.chunks.end(), first,
                                     [](const Chunk& c, std::uint64_t f) { return c.first < f; });
    p_.chunks.insert(at, {first, *run});
    return true;
  }

  // An empty one, of a generation that was never used.
  void make_root() {
    const Node* root = p_.node(kRootInode.value);
    if ((root != nullptr && S_ISDIR(root->mode)) || !has_slot(kRootInode.value)) {
      return;
    }
    const auto slot = p_.slot(kRootInode.value);
    if (p_.is_lost<Inode>(*slot)) {
      return;
    }
    const std::uint64_t generation =
        std::max(p_.highest_generation + 1, p_.fixer->superblock().next_generation.load());
    const bool reserved = p_.fixer->update_superblock(
        [&](format::Superblock& s) { s.next_generation.store(generation + 1); });
    if (reserved) {
      std::erase_if(p_.nodes, [](const Node& n) { return n.ino == kRootInode.value; });
      Inode inode = make_inode(kRootInode.value, generation, S_IFDIR | 0755U);
      put(*slot, inode);
    }
  }

  Pass& p_;
  std::map<std::uint64_t, std::map<std::uint64_t, Blocks>> directories_;  // inode, generation
  std::map<std::uint64_t, std::uint64_t> host_files_;                     // inode → generation
  std::vector<BackingName> unknown_;
  std::vector<Node> back_;
  std::vector<BlockRun> spare_;
  bool spare_known_ = false;
};

}  // namespace

bool proven_freed(const Pass& p, BackingName name) {
  const auto slot = p.slot(name.ino.value);
  if (!slot) {
    return false;
  }
  const auto inode = p.load<Inode>(*slot);
  return format::valid(inode) && inode.ino.load() == name.ino.value &&
         inode.generation.load() >= name.gen;
}

void recover_inodes(Pass& p) {
  if (p.repairing()) {
    Recovery(p).run();
  }
}

}  // namespace pmemfs::check
