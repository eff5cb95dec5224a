#include "check/structures.hpp"

#include <sys/stat.h>

#include "check/dir_block.hpp"
#include "check/extents.hpp"
#include "format/checks.hpp"
#include "store/blob.hpp"
#include "store/inode_table.hpp"

namespace pmemfs::check {
namespace {

using format::BlobBlock;
using format::ExtentBlock;
using format::Inode;

class Finder {
 public:
  Finder(Pass& p, const Inode& inode)
      : p_(p), inode_(inode), ino_(inode.ino.load()), generation_(inode.generation.load()) {}

  void run() {
    blob(BlockNo(inode_.xattrs.load()));
    const bool link = S_ISLNK(inode_.mode.load());
    if (link && (inode_.flags.load() & format::kInodeInlineTarget) == 0) {
      blob(BlockNo(inode_.data.load()));
    }
    if (!p_.has_extents(inode_)) {
      return;
    }
    chain();
    if (S_ISDIR(inode_.mode.load())) {
      directory();
    }
  }

 private:
  // Chains end at the first block that was met before.
  bool note(BlockNo block) { return p_.structures->mark({block, 1}); }

  void blob(BlockNo at) {
    while (p_.layout.usable(at)) {
      const auto block = p_.load<BlobBlock>(format::byte_off(at));
      if (!store::blob_block_ok(block, ino_, generation_) || !note(at)) {
        return;
      }
      at = BlockNo(block.next.load());
    }
  }

  void chain() {
    for (BlockNo at(inode_.data.load()); p_.layout.usable(at);) {
      const auto block = p_.load<ExtentBlock>(format::byte_off(at));
      if (block.magic.load() != format::kExtentMagic || !format::valid(block) ||
          block.owner.load() != ino_ || block.generation.load() != generation_ || !note(at)) {
        return;
      }
      at = BlockNo(block.next.load());
    }
  }

  void directory() {
    for (const Piece& piece : read_extents(p_, inode_).pieces) {
      for (std::uint64_t i = 0; i < piece.count; ++i) {
        const BlockNo at(piece.physical.value + i);
        if (DirBlock(p_, inode_, at, piece.logical + i).fault() != nullptr || !note(at)) {
          break;
        }
      }
    }
  }

  Pass& p_;
  const Inode& inode_;
  std::uint64_t ino_;
  std::uint64_t generation_;
};

}  // namespace

void find_structures(Pass& p) {
  p.structures.emplace(p.layout.blocks());
  for (const Chunk& chunk : p.chunks) {
    for (std::uint64_t i = chunk.first == 0 ? 1 : 0; i < format::kInodesPerChunk; ++i) {
      const auto inode = p.load<Inode>(format::byte_off(chunk.block, i * sizeof(Inode)));
      if (store::slot_state(inode, chunk.first + i) == store::SlotState::kUsed) {
        Finder(p, inode).run();
      }
    }
  }
}

}  // namespace pmemfs::check
