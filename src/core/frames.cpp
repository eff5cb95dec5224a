#include "core/frames.hpp"

#include <algorithm>
#include <mutex>
#include <optional>
#include <shared_mutex>

#include "core/course.hpp"
#include "core/extent_fill.hpp"
#include "core/gate.hpp"
#include "core/relocate.hpp"
#include "store/allocator.hpp"

namespace pmemfs::core {

namespace {

using store::Mapping;

BlockRun frame_run(std::uint64_t frame) {
  return {BlockNo(frame * kFrameBlocks), kFrameBlocks};
}

// How each frame is used.
class FrameUse {
 public:
  explicit FrameUse(std::uint64_t blocks) : free_(blocks / kFrameBlocks), movable_(free_.size()) {}

  void add_free(BlockRun run) { add(free_, run); }
  void add_movable(const Mapping& m) { add(movable_, {m.physical, m.count}); }

  // The frames that can be emptied, those with the least to move first.
  [[nodiscard]] std::vector<std::uint64_t> candidates() const {
    std::vector<std::uint64_t> frames;
    for (std::uint64_t frame = 0; frame < free_.size(); ++frame) {
      if (movable_[frame] > 0 && free_[frame] + movable_[frame] == kFrameBlocks) {
        frames.push_back(frame);
      }
    }
    std::stable_sort(frames.begin(), frames.end(), [this](std::uint64_t a, std::uint64_t b) {
      return movable_[a] < movable_[b];
    });
    return frames;
  }
  [[nodiscard]] std::uint64_t free_in(std::uint64_t frame) const { return free_[frame]; }
  [[nodiscard]] std::uint64_t movable_in(std::uint64_t frame) const { return movable_[frame]; }

 private:
  static void add(std::vector<std::uint16_t>& counts, BlockRun run) {
    for (std::uint64_t at = run.start.value; at < run.end().value;) {
      const std::uint64_t frame = at / kFrameBlocks;
      const std::uint64_t stop = std::min(run.end().value, (frame + 1) * kFrameBlocks);
      if (frame < counts.size()) {
        counts[frame] = static_cast<std::uint16_t>(counts[frame] + (stop - at));
      }
      at = stop;
    }
  }

  std::vector<std::uint16_t> free_;  // blocks, up to 512
  std::vector<std::uint16_t> movable_;
};

// Frames that are being emptied: held in the allocator, let go at the end.
class HeldFrames {
 public:
  explicit HeldFrames(store::Allocator& blocks) : blocks_(blocks) {}
  HeldFrames(const HeldFrames&) = delete;
  HeldFrames& operator=(const HeldFrames&) = delete;
  ~HeldFrames() { let_go(); }
  void let_go() {
    for (const std::uint64_t frame : frames_) {
      blocks_.let_go(frame_run(frame));
    }
    frames_.clear();
  }
  // False when the frame is held by others.
  bool add(std::uint64_t frame) {
    if (!blocks_.hold(frame_run(frame))) {
      return false;
    }
    frames_.push_back(frame);
    return true;
  }
  void sort() { std::sort(frames_.begin(), frames_.end()); }
  // The held frames that a mapping touches. sort() was called.
  void for_each_in(const Mapping& m, const std::function<void(BlockRun)>& f) const {
    const std::uint64_t last = (m.physical.value + m.count - 1) / kFrameBlocks;
    auto at = std::lower_bound(frames_.begin(), frames_.end(), m.physical.value / kFrameBlocks);
    for (; at != frames_.end() && *at <= last; ++at) {
      f(frame_run(*at));
    }
  }

 private:
  store::Allocator& blocks_;
  std::vector<std::uint64_t> frames_;
};

// Takes the cheapest frames until there are enough, or until the rest of the region could not take
// what is in them. Returns the blocks that are to move.
std::uint64_t choose(const FrameUse& use, std::uint64_t missing, std::uint64_t free,
                     HeldFrames& held) {
  std::uint64_t to_move = 0;
  for (const std::uint64_t frame : use.candidates()) {
    free -= std::min<std::uint64_t>(free, use.free_in(frame));
    to_move += use.movable_in(frame);
    if (missing == 0 || to_move > free) {
      return to_move - use.movable_in(frame);
    }
    missing -= held.add(frame) ? 1U : 0U;
  }
  return to_move;
}

}  // namespace

Result<std::vector<Mapping>> extents_of_file(Context& c, InodeNo ino, bool* durable) {
  const NodeRef node = c.nodes.get(ino);
  const std::shared_lock lock(node->lock);
  PMEMFS_TRY(const InodeRecord inode, read_inode(c, *node));
  if (!is_regular(inode)) {
    return Error(is_directory(inode) ? EISDIR : EINVAL);
  }
  if (c.has_backing()) {
    return Error(EOPNOTSUPP);
  }
  *durable = pinned(inode);
  if (node->extents) {
    return node->extents->all();
  }
  PMEMFS_TRY(const auto map, store::ExtentMap::load(*c.store, inode));
  return map->all();
}

std::vector<InodeNo> inodes_where(Context& c, const std::function<bool(const InodeRecord&)>& want) {
  std::vector<InodeNo> inodes;
  // Damage is told at mount; what can be read is told here.
  (void)c.store->for_each_inode(
      [&](const InodeRecord& inode) {
        if (want(inode)) {
          inodes.emplace_back(inode.ino.load());
        }
      },
      [&inodes](InodeNo ino) { inodes.push_back(ino); });
  return inodes;
}

void for_each_file(Context& c, const FileVisitor& visit) {
  const auto has_data = [](const InodeRecord& inode) {
    return is_regular(inode) && inode.data_blocks.load() != 0;
  };
  for (const InodeNo ino : inodes_where(c, has_data)) {
    bool durable = false;
    if (const auto extents = extents_of_file(c, ino, &durable); extents && !extents->empty()) {
      visit(ino, durable, *extents);
    }
  }
}

namespace {

void for_each_movable(Context& c,
                      const std::function<void(InodeNo, const std::vector<Mapping>&)>& f) {
  for_each_file(c, [&f](InodeNo ino, bool durable, const std::vector<Mapping>& extents) {
    if (!durable) {
      f(ino, extents);
    }
  });
}

}  // namespace

std::uint64_t make_frames(Context& c, std::uint64_t wanted, Course& course) {
  store::Allocator& blocks = c.store->blocks();
  const std::uint64_t present = blocks.aligned_pieces(kFrameBlocks);
  if (c.has_backing() || present >= wanted) {
    return present;
  }
  FrameUse use(c.store->space().blocks);
  for_each_movable(c, [&use](InodeNo, const std::vector<Mapping>& extents) {
    for (const Mapping& m : extents) {
      use.add_movable(m);
    }
  });
  for (const BlockRun& run : blocks.runs()) {
    use.add_free(run);
  }
  HeldFrames held(blocks);
  const std::uint64_t spread = blocks.free_blocks() - present * kFrameBlocks;
  course.expect(choose(use, wanted - present, spread, held) * format::kBlockSize);
  held.sort();
  for_each_movable(c, [&](InodeNo ino, const std::vector<Mapping>& extents) {
    for (const Mapping& m : extents) {
      held.for_each_in(m, [&](BlockRun frame) {
        if (course.done.finished) {
          (void)in_steps(c, ino, course, Moving::kData, [frame, &c](Node& node) {
            return relocate_out_of(c, node, frame, Room::kBetweenFrames);
          });
        }
      });
    }
  });
  held.let_go();
  return blocks.aligned_pieces(kFrameBlocks);
}

namespace {

// A copy, when the file is one in extents.
std::optional<InodeRecord> file_in_extents(Context& c, Node& node) {
  if (c.has_backing() || c.read_only()) {
    return std::nullopt;
  }
  const std::shared_lock lock(node.lock);
  auto inode = read_inode(c, node);
  return inode && is_regular(*inode) ? std::optional(*inode) : std::nullopt;
}

}  // namespace

namespace {

// Unless somebody is at it now, who may take long (evacuate).
void make_frames_if_idle(Context& c, std::uint64_t wanted) {
  const std::unique_lock one_at_a_time(c.compaction, std::try_to_lock);
  if (one_at_a_time) {
    const RelocationWatch nobody;
    Course course(nobody, 0);
    make_frames(c, wanted, course);
  }
}

}  // namespace

// What moves into frames gives up blocks elsewhere, of which more frames can be made.
void frame_before_pin(Context& c, Node& node) {
  const auto file = file_in_extents(c, node);
  if (!file || pinned(*file) || file->size.load() < format::kFrameSize) {
    return;
  }
  std::uint64_t wanted = file->size.load() / format::kFrameSize;
  for (bool more = true; more;) {
    make_frames_if_idle(c, wanted);
    const std::unique_lock lock(node.lock);
    auto inode = read_inode(c, node);
    if (!inode || !is_regular(*inode) || pinned(*inode)) {
      return;
    }
    const auto framed = extent_data::frame_data(c, node, *inode);
    more = framed && framed->moved > 0 && framed->missing > 0;
    wanted = framed ? framed->missing : 0;
  }
}

void make_frames_before_growth(Context& c, Node& node, std::uint64_t size) {
  const auto inode = file_in_extents(c, node);
  if (!inode || !is_durable(*inode) || size > format::kMaxFileSize) {
    return;
  }
  const std::uint64_t wanted = size / format::kFrameSize;
  const std::uint64_t present = inode->size.load() / format::kFrameSize;
  if (wanted > present) {
    make_frames_if_idle(c, wanted - present);
  }
}

}  // namespace pmemfs::core
