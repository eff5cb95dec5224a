#include "core/evacuate.hpp"

#include <algorithm>
#include <chrono>
#include <mutex>
#include <shared_mutex>
#include <thread>
#include <vector>

#include "core/course.hpp"
#include "core/frames.hpp"
#include "core/relocate.hpp"
#include "core/relocate_metadata.hpp"
#include "format/layout.hpp"
#include "store/allocator.hpp"
#include "store/inode_table.hpp"

namespace pmemfs::core {

namespace {

using store::Mapping;

constexpr std::uint64_t kBlock = format::kBlockSize;
// Passes in a row that moved nothing, though blocks are in use whose owner is not known yet:
// changes under way are short.
constexpr int kIdlePasses = 5;
constexpr std::chrono::milliseconds kIdlePause{10};
// What shrinking leaves free beside what moves: blocks, and one for so many that move, since they
// may come to lie in more pieces.
constexpr std::uint64_t kReserve = 256;
constexpr std::uint64_t kReserveShare = 64;

// Who has something in a range.
struct Owner {
  InodeNo ino;
  std::uint64_t blocks = 0;
  bool durable = false;
};

std::uint64_t blocks_in(const std::vector<Mapping>& extents, BlockRun range) {
  std::uint64_t n = 0;
  for (const Mapping& m : extents) {
    const std::uint64_t begin = std::max(m.physical.value, range.start.value);
    const std::uint64_t end = std::min(m.physical.value + m.count, range.end().value);
    n += end > begin ? end - begin : 0;
  }
  return n;
}

Result<std::uint64_t> move_data_out_of(Context& c, Node& node, BlockRun range) {
  return relocate_out_of(c, node, range, Room::kAnywhere);
}

std::vector<Owner> files_in(Context& c, BlockRun range) {
  std::vector<Owner> files;
  for_each_file(c, [&](InodeNo ino, bool durable, const std::vector<Mapping>& extents) {
    if (const std::uint64_t n = blocks_in(extents, range); n > 0) {
      files.push_back({ino, n, durable});
    }
  });
  return files;
}

// Inodes that may have something beside the data of a file.
std::vector<InodeNo> inodes_with_metadata(Context& c) {
  return inodes_where(c, [](const InodeRecord& inode) {
    return is_directory(inode) || inode.data.load() != 0 || inode.xattrs.load() != 0;
  });
}

// The range being emptied, which is held in the allocator.
class Evacuation {
 public:
  Evacuation(Context& c, BlockRun range, const RelocationWatch& watch)
      : c_(c), range_(range), course_(watch, in_use() * kBlock) {}

  // Until nothing is left but what cannot move, or the watch ends it.
  void run() {
    for (int idle = 0; idle < kIdlePasses && in_use() > 0;) {
      const std::uint64_t before = course_.bytes();
      pass();
      if (!course_.done.finished || in_use() * kBlock == course_.bytes_left() + stuck_ * kBlock) {
        return;
      }
      if (course_.bytes() == before) {
        ++idle;
        std::this_thread::sleep_for(kIdlePause);
      }
    }
  }

  // Durable files with data there go to what is left, and nothing else happens.
  void leave_durable() {
    for (const Owner& file : files_in(c_, range_)) {
      if (file.durable) {
        course_.leave(file.ino, file.blocks * kBlock, ETXTBSY);
      }
    }
  }

  // Blocks of the range that are neither free nor fixed.
  [[nodiscard]] std::uint64_t in_use() const {
    return range_.count - c_.store->blocks().free_in(range_) - fixed();
  }

  // No file is left, and the watch did not end it.
  [[nodiscard]] bool emptied() const { return course_.done.finished && course_.done.left.empty(); }
  // Why a structure could not move, or 0.
  [[nodiscard]] int stuck_reason() const { return stuck_reason_; }

  Relocated report() {
    Relocated& done = course_.done;
    const std::uint64_t used = (in_use() + fixed()) * kBlock;
    done.metadata_left = used - std::min(used, course_.bytes_left());
    name_left(c_, done.left);
    return done;
  }

 private:
  // The inode table first: its chunks want whole runs.
  void pass() {
    course_.done.left.clear();
    stuck_ = 0;
    stuck_reason_ = 0;
    if (c_.store->sound() && (!move_table() || !move_metadata())) {
      return;
    }
    move_files();
  }

  // False, here and below: the watch ended it.
  bool move_table() {
    store::InodeTable& table = c_.store->table();
    for (const InodeNo first : table.chunks_in(range_)) {
      const auto moved = relocate_chunk(c_, first);
      if (!moved) {
        stick(format::kChunkBlocks, moved.code());
      } else if (!course_.moved_metadata(*moved)) {
        return false;
      }
    }
    auto moved = table.move_index(*c_.store, range_);
    for (; moved && *moved > 0; moved = table.move_index(*c_.store, range_)) {
      if (!course_.moved_metadata(*moved)) {
        return false;
      }
    }
    if (!moved) {
      stick(1, moved.code());
    }
    return true;
  }

  bool move_metadata() {
    for (const InodeNo ino : inodes_with_metadata(c_)) {
      const std::uint64_t there = metadata_of(ino);
      const int reason =
          there > 0 ? move_owner(ino, Moving::kMetadata, relocate_metadata_out_of) : 0;
      if (reason != 0) {
        stick(there, reason);
      }
      if (!course_.done.finished) {
        return false;
      }
    }
    return true;
  }

  void move_files() {
    for (const Owner& file : files_in(c_, range_)) {
      if (const int reason = move_owner(file.ino, Moving::kData, move_data_out_of); reason != 0) {
        course_.leave(file.ino, file.blocks * kBlock, reason);
      }
      if (!course_.done.finished) {
        return;
      }
    }
  }

  using Step = Result<std::uint64_t> (*)(Context&, Node&, BlockRun);
  // Why it could not, or 0.
  int move_owner(InodeNo ino, Moving what, Step step) {
    const int reason =
        in_steps(c_, ino, course_, what, [&](Node& node) { return step(c_, node, range_); });
    return reason == ENOENT ? 0 : reason;  // removed meanwhile
  }

  void stick(std::uint64_t blocks, int reason) {
    stuck_ += blocks;
    stuck_reason_ = reason;
  }

  std::uint64_t metadata_of(InodeNo ino) {
    const NodeRef node = c_.nodes.get(ino);
    const std::shared_lock lock(node->lock);
    const auto inode = read_inode(c_, *node);
    const auto n = inode ? metadata_in(c_, *node, *inode, range_) : inode.error();
    return n ? *n : 0;
  }

  // Superblocks, lanes and both roots of the inode table have their places.
  [[nodiscard]] std::uint64_t fixed() const {
    const format::Superblock s = c_.store->superblock();
    const std::uint64_t first = format::Layout(s).first();
    std::uint64_t n = first - std::min(first, range_.start.value);
    n = std::min(n, range_.count);
    for (const std::uint64_t block :
         {format::kSuperblockCopyBlock, s.inode_root.load(), s.inode_root_copy.load()}) {
      n += block >= first && range_.contains(BlockNo(block)) ? 1U : 0U;
    }
    return n;
  }

  Context& c_;
  BlockRun range_;
  Course course_;
  std::uint64_t stuck_ = 0;  // blocks of structures that the last pass could not move
  int stuck_reason_ = 0;
};

// The tail of the region while it is emptied; given back unless it is cut off.
class HeldTail {
 public:
  HeldTail(store::Allocator& blocks, BlockRun range)
      : blocks_(blocks), held_(blocks.hold_rest(range)) {}
  HeldTail(const HeldTail&) = delete;
  HeldTail& operator=(const HeldTail&) = delete;
  ~HeldTail() {
    for (const BlockRun& run : held_) {
      blocks_.let_go(run);
    }
  }
  void gone() { held_.clear(); }

 private:
  store::Allocator& blocks_;
  std::vector<BlockRun> held_;
};

// A file that is longer than the filesystem in it: a power cut came before the cut of the file.
bool file_is_longer(const Context& c, std::uint64_t size) {
  const auto kind = static_cast<format::RegionKind>(c.store->superblock().kind.load());
  return kind == format::RegionKind::kFile && c.store->region().size() > size;
}

Status check_size(const Context& c, std::uint64_t from, std::uint64_t size) {
  if (size % kBlock != 0 || size < format::kMinRegionSize || size > from ||
      (size == from && !file_is_longer(c, size))) {
    return Error(EINVAL);
  }
  return c.store->sound() ? Status() : Error(EUCLEAN);
}

}  // namespace

Result<Relocated> evacuate(Context& c, std::uint64_t off, std::uint64_t len,
                           const RelocationWatch& watch) {
  PMEMFS_CHECK(check_movable(c));
  const std::lock_guard one_at_a_time(c.compaction);
  const std::uint64_t size = c.store->space().blocks * kBlock;
  if (len == 0 || off >= size || len > size - off) {
    return Error(EINVAL);
  }
  const std::uint64_t first = off / kBlock;
  const BlockRun range{BlockNo(first), (off + len + kBlock - 1) / kBlock - first};
  store::Allocator& blocks = c.store->blocks();
  if (!blocks.hold(range) && !blocks.is_held(range)) {
    return Error(EBUSY);
  }
  Evacuation evacuation(c, range, watch);
  evacuation.run();
  Relocated done = evacuation.report();
  if (!done.finished) {
    blocks.let_go(range);
  }
  return done;
}

Result<Relocated> shrink_region(Context& c, std::uint64_t size, const RelocationWatch& watch) {
  PMEMFS_CHECK(check_movable(c));
  const std::lock_guard one_at_a_time(c.compaction);
  const std::uint64_t from = c.store->space().blocks * kBlock;
  PMEMFS_CHECK(check_size(c, from, size));
  store::Allocator& blocks = c.store->blocks();
  const BlockRun tail{BlockNo(size / kBlock), (from - size) / kBlock};
  HeldTail held(blocks, tail);
  Evacuation evacuation(c, tail, watch);
  evacuation.leave_durable();
  if (!evacuation.emptied()) {
    return evacuation.report();
  }
  const std::uint64_t used = evacuation.in_use();
  if (used > 0 && used + used / kReserveShare + kReserve > blocks.free_blocks()) {
    return Error(ENOSPC);
  }
  evacuation.run();
  const Relocated done = evacuation.report();
  if (!evacuation.emptied()) {
    return done;
  }
  if (evacuation.stuck_reason() != 0) {
    return Error(evacuation.stuck_reason());
  }
  PMEMFS_CHECK(c.store->shrink(from, size));
  held.gone();
  return done;
}

}  // namespace pmemfs::core
