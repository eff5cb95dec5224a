#include "check/extents.hpp"

#include <sys/stat.h>

#include <algorithm>

#include "format/checks.hpp"

namespace pmemfs::check {
namespace {

using format::Extent;
using format::ExtentBlock;
using format::ExtentSlot;
using format::Inode;
using format::kExtentSlots;

constexpr std::uint64_t kMaxFileBlocks = format::kMaxFileSize / format::kBlockSize;

// One extent block, as it should be.
struct Link {
  BlockNo block;
  std::uint64_t used[2] = {};
  bool changed = false;
};

class Reader {
 public:
  // Without `claims` nothing is claimed, said or repaired.
  Reader(Pass& p, Inode& inode, bool claims)
      : p_(p), inode_(inode), ino_(inode.ino.load()), claims_(claims) {}

  Extents run() {
    for (std::uint32_t i = 0; i < format::kInlineExtents; ++i) {
      if (inode_.extents[i].count.load() != 0) {
        add(inode_.extents[i], 0, i);
      }
    }
    read_chain();
    drop_overlaps();
    if (claims_) {
      std::erase_if(found_.pieces, [this](const Piece& piece) { return !claim(piece); });
      settle_chain();
    }
    for (const Piece& piece : found_.pieces) {
      found_.blocks += piece.count;
    }
    return std::move(found_);
  }

 private:
  template <typename... Args>
  void say(Problem problem, BlockNo block, fmt::format_string<Args...> format, Args&&... args) {
    if (claims_) {
      p_.out.add(problem, ino_, block, format, std::forward<Args>(args)...);
    }
  }

  void drop(std::uint32_t link, std::uint32_t slot) {
    if (link == 0) {
      inode_.extents[slot] = Extent{};
      return;
    }
    links_[link - 1].used[slot / 64] &= ~(1ULL << (slot % 64));
    links_[link - 1].changed = true;
  }

  void add(const Extent& extent, std::uint32_t link, std::uint32_t slot) {
    Piece piece{extent.logical.load(),
                BlockNo(extent.physical.load()),
                extent.count.load(),
                false,
                link,
                slot,
                ByteOff()};
    if (link != 0) {
      piece.at = format::byte_off(links_[link - 1].block,
                                  offsetof(ExtentBlock, slots) + slot * sizeof(ExtentSlot));
    }
    piece.unwritten = (extent.flags.load() & format::kExtentUnwritten) != 0;
    if (piece.logical >= kMaxFileBlocks || piece.count > kMaxFileBlocks - piece.logical ||
        !p_.layout.usable(BlockRun{piece.physical, piece.count})) {
      say(Problem::kExtentPlace, piece.physical,
          "file blocks {}+{} are said to lie at block {}, where none can be", piece.logical,
          piece.count, piece.physical.value);
      drop(link, slot);
      return;
    }
    found_.pieces.push_back(piece);
  }

  // Why the block cannot be one of the chain; null.
  const char* fault_of(const ExtentBlock& media) const {
    if (media.magic.load() != format::kExtentMagic || !format::valid(media)) {
      return "is damaged";
    }
    if (media.owner.load() != inode_.ino.load() ||
        media.generation.load() != inode_.generation.load()) {
      return "belongs to another inode";
    }
    return media.used[1].load() >> (kExtentSlots - 64) != 0 ? "says that it has more slots"
                                                            : nullptr;
  }

  void read_chain() {
    std::uint64_t room = p_.layout.blocks();
    BlockNo block(inode_.data.load());
    while (block) {
      if (!take_block(block, room)) {
        cut();
        return;
      }
      block = BlockNo(p_.load<HeaderOf>(format::byte_off(block)).next);
    }
  }

  // The part of an extent block before its slots.
  struct HeaderOf {
    std::byte before[offsetof(ExtentBlock, next)];
    std::uint64_t next;
  };

  bool take_block(BlockNo block, std::uint64_t& room) {
    if (!p_.layout.usable(block)) {
      say(Problem::kExtentBlock, block, "an extent block is said to be block {}, which cannot be",
          block.value);
      return false;
    }
    if (room-- == 0 || (claims_ && !p_.claim({block, 1}))) {
      say(Problem::kBlockShared, block, "extent block {} is used twice", block.value);
      return false;
    }
    const ByteOff at = format::byte_off(block);
    const auto media = p_.load<ExtentBlock>(at);
    if (const char* fault = fault_of(media)) {
      const bool lost = p_.is_lost<ExtentBlock>(at);
      say(lost ? Problem::kMediaLost : Problem::kExtentBlock, block, "extent block {} {}",
          block.value, lost ? "cannot be read" : fault);
      return false;
    }
    links_.push_back({block, {media.used[0].load(), media.used[1].load()}});
    read_slots(media);
    return true;
  }

  void read_slots(const ExtentBlock& media) {
    const auto link = static_cast<std::uint32_t>(links_.size());
    if ((media.used[0].load() | media.used[1].load()) == 0) {
      say(Problem::kExtentBlock, links_.back().block, "extent block {} is empty",
          links_.back().block.value);
      links_.back().changed = true;
    }
    for (std::uint32_t i = 0; i < kExtentSlots; ++i) {
      if ((media.used[i / 64].load() >> (i % 64) & 1U) == 0) {
        continue;
      }
      const ExtentSlot slot = media.slots[i];
      if (format::valid(slot) && slot.extent.count.load() != 0) {
        add(slot.extent, link, i);
        continue;
      }
      say(Problem::kExtentSlot, links_.back().block, "slot {} of extent block {} is damaged", i,
          links_.back().block.value);
      drop(link, i);
    }
  }

  // The chain ends before the block that was just refused.
  void cut() {
    cut_ = true;
    if (links_.empty()) {
      inode_.data.store(0);
    } else {
      links_.back().changed = true;
    }
  }

  void drop_overlaps() {
    std::vector<Piece>& pieces = found_.pieces;
    std::stable_sort(pieces.begin(), pieces.end(),
                     [](const Piece& a, const Piece& b) { return a.logical < b.logical; });
    std::uint64_t end = 0;
    std::erase_if(pieces, [&](const Piece& piece) {
      if (piece.logical < end) {
        say(Problem::kExtentOverlap, piece.physical, "file blocks {}+{} are mapped twice",
            piece.logical, piece.count);
        drop(piece.link, piece.slot);
        return true;
      }
      end = piece.logical + piece.count;
      return false;
    });
  }

  bool claim(const Piece& piece) {
    if (p_.claim({piece.physical, piece.count})) {
      return true;
    }
    say(Problem::kBlockShared, piece.physical,
        "file blocks {}+{} lie at block {}, which belongs to another", piece.logical, piece.count,
        piece.physical.value);
    drop(piece.link, piece.slot);
    return false;
  }

  // Blocks without extents leave the chain; the headers of changed ones are written.
  void settle_chain() {
    const bool any = cut_ || std::any_of(links_.begin(), links_.end(),
                                         [](const Link& link) { return link.changed; });
    if (!any || !p_.repairing()) {
      return;
    }
    std::uint64_t next = 0;
    for (std::size_t i = links_.size(); i-- > 0;) {
      const Link& link = links_[i];
      if ((link.used[0] | link.used[1]) != 0) {
        write_header(link, next);
        next = link.block.value;
      }
    }
    inode_.data.store(next);
  }

  void write_header(const Link& link, std::uint64_t next) {
    const ByteOff at = format::byte_off(link.block);
    auto block = p_.load<ExtentBlock>(at);
    const bool same = block.next.load() == next && block.used[0].load() == link.used[0] &&
                      block.used[1].load() == link.used[1];
    if (!same) {
      block.next.store(next);
      block.used[0].store(link.used[0]);
      block.used[1].store(link.used[1]);
      format::seal(block);
      p_.fixer->write(at, &block, offsetof(ExtentBlock, slots));
    }
  }

  Pass& p_;
  Inode& inode_;
  InodeNo ino_;
  bool claims_;
  bool cut_ = false;
  Extents found_;
  std::vector<Link> links_;
};

}  // namespace

std::uint64_t Extents::written_front() const {
  std::uint64_t front = 0;
  for (const Piece& piece : pieces) {
    if (piece.logical != front || piece.unwritten) {
      break;
    }
    front += piece.count;
  }
  return front;
}

Extents read_extents(const Pass& p, const format::Inode& inode) {
  format::Inode copy = inode;
  return Reader(const_cast<Pass&>(p), copy, false).run();
}

Extents check_extents(Pass& p, format::Inode& inode) {
  return Reader(p, inode, true).run();
}

}  // namespace pmemfs::check
