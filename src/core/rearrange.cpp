#include "core/rearrange.hpp"

#include <mutex>
#include <utility>
#include <vector>

#include "core/backing_defrag.hpp"
#include "core/course.hpp"
#include "core/frames.hpp"
#include "core/relocate.hpp"
#include "store/allocator.hpp"

namespace pmemfs::core {

namespace {

using store::blocks_of;
using store::Mapping;

// A free run for `blocks`, or the largest there is; it may be gone a moment later.
BlockRun room_for(Context& c, std::uint64_t blocks) {
  store::Change trial(*c.store);  // given back at once
  store::AllocationHint hint;
  hint.whole = true;
  const auto run = trial.allocate(blocks, hint);
  return run ? *run : c.store->blocks().largest();
}

// Runs of blocks in a row, whatever their file blocks.
std::size_t pieces_of(const std::vector<Mapping>& extents) {
  std::size_t n = 0;
  std::uint64_t end = 0;
  for (const Mapping& m : extents) {
    n += m.physical.value != end ? 1 : 0;
    end = m.physical.value + m.count;
  }
  return n;
}

// Pieces that a file of so many blocks would have in free runs as large as the largest.
bool worth_it(const std::vector<Mapping>& extents, BlockRun room) {
  const std::uint64_t blocks = blocks_of(extents);
  return room.count > 0 && (blocks + room.count - 1) / room.count < pieces_of(extents);
}

int defrag_file(Context& c, InodeNo ino, const std::vector<Mapping>& extents, Course& course) {
  if (pieces_of(extents) < 2) {
    return 0;
  }
  const BlockRun room = room_for(c, blocks_of(extents));
  if (!worth_it(extents, room)) {
    return 0;
  }
  std::uint64_t at = 0;
  BlockNo to = room.start;
  return in_steps(c, ino, course, Moving::kData, [&](Node& node) {
    const auto moved = relocate_to(c, node, at, to, &at);
    to = moved ? BlockNo(to.value + *moved) : to;
    return moved;
  });
}

Result<Relocated> defrag_one(Context& c, InodeNo ino, const RelocationWatch& watch) {
  bool durable = false;
  PMEMFS_TRY(const std::vector<Mapping> extents, extents_of_file(c, ino, &durable));
  Course course(watch, blocks_of(extents) * format::kBlockSize);
  if (durable) {
    c.relocations_refused++;
    return Error(ETXTBSY);
  }
  if (const int reason = defrag_file(c, ino, extents, course); reason != 0) {
    return Error(reason);
  }
  return course.done;
}

Result<Relocated> defrag_all(Context& c, const RelocationWatch& watch) {
  std::uint64_t total = 0;
  std::vector<InodeNo> files;
  for_each_file(c, [&](InodeNo ino, bool durable, const std::vector<Mapping>& extents) {
    if (!durable && pieces_of(extents) > 1) {
      files.push_back(ino);
      total += blocks_of(extents);
    }
  });
  Course course(watch, total * format::kBlockSize);
  for (const InodeNo ino : files) {
    bool durable = false;
    const auto extents = extents_of_file(c, ino, &durable);
    const int reason = extents ? defrag_file(c, ino, *extents, course) : extents.code();
    if (reason != 0 && reason != ENOENT) {
      course.leave(ino, extents ? blocks_of(*extents) * format::kBlockSize : 0, reason);
    }
    if (!course.done.finished) {
      break;
    }
  }
  return course.done;
}

Result<Relocated> defrag_extents(Context& c, InodeNo ino, const RelocationWatch& watch) {
  return ino ? defrag_one(c, ino, watch) : defrag_all(c, watch);
}

}  // namespace

Result<Relocated> defrag(Context& c, InodeNo ino, const RelocationWatch& watch) {
  if (c.read_only()) {
    return Error(EROFS);
  }
  auto result = c.has_backing() ? defrag_backing(c, ino, watch) : defrag_extents(c, ino, watch);
  if (result) {
    name_left(c, result->left);
  }
  return result;
}

Result<Relocated> compact(Context& c, std::uint64_t frames, const RelocationWatch& watch) {
  PMEMFS_CHECK(check_movable(c));
  const std::lock_guard one_at_a_time(c.compaction);
  Course course(watch, 0);
  make_frames(c, frames, course);
  return std::move(course.done);
}

}  // namespace pmemfs::core
