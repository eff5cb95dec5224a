#include "core/rearrange.hpp"

#include <algorithm>
#include <mutex>
#include <shared_mutex>
#include <vector>

#include "core/backing_defrag.hpp"
#include "core/frames.hpp"
#include "core/relocate.hpp"
#include "core/status.hpp"
#include "store/allocator.hpp"

namespace pmemfs::core {

namespace {

using store::blocks_of;
using store::Mapping;

constexpr std::uint64_t kBlock = format::kBlockSize;

std::uint64_t blocks_in(const std::vector<Mapping>& extents, BlockRun range) {
  std::uint64_t n = 0;
  for (const Mapping& m : extents) {
    const std::uint64_t begin = std::max(m.physical.value, range.start.value);
    const std::uint64_t end = std::min(m.physical.value + m.count, range.end().value);
    n += end > begin ? end - begin : 0;
  }
  return n;
}

// How far the work is, and whether it goes on.
class Course {
 public:
  Course(const RelocationWatch& watch, std::uint64_t total_blocks)
      : watch_(watch), total_(total_blocks * kBlock) {}

  // False: to be ended.
  bool moved(std::uint64_t blocks) {
    done.bytes += blocks * kBlock;
    if (watch_ && !watch_(done.bytes, std::max(total_, done.bytes))) {
      done.finished = false;
    }
    return done.finished;
  }
  void leave(InodeNo ino, std::uint64_t blocks, int reason) {
    done.left.push_back({ino, blocks * kBlock, reason, std::string()});
  }

  Relocated done;

 private:
  const RelocationWatch& watch_;
  std::uint64_t total_;
};

// Takes `step`, which moves some blocks under the node's lock, until it moves none. The reason for
// which it could not go on, or 0.
template <typename Step>
int in_steps(Context& c, InodeNo ino, Course& course, const Step& step) {
  const NodeRef node = c.nodes.get(ino);
  bool any = false;
  int reason = 0;
  for (bool more = true; more;) {
    std::unique_lock lock(node->lock);
    const auto moved = step(*node);
    lock.unlock();
    reason = moved.code();
    more = moved && *moved > 0 && course.moved(*moved);
    any = any || (moved && *moved > 0);
  }
  course.done.files += any ? 1 : 0;
  return reason;
}

// --- Evacuation ----------------------------------------------------------------------------------

struct FileInRange {
  InodeNo ino;
  std::uint64_t blocks = 0;
  bool durable = false;
};

std::vector<FileInRange> files_in(Context& c, BlockRun range) {
  std::vector<FileInRange> files;
  for_each_file(c, [&](InodeNo ino, bool durable, const std::vector<Mapping>& extents) {
    if (const std::uint64_t n = blocks_in(extents, range); n > 0) {
      files.push_back({ino, n, durable});
    }
  });
  return files;
}

std::uint64_t sum_of(const std::vector<FileInRange>& files) {
  std::uint64_t n = 0;
  for (const FileInRange& file : files) {
    n += file.blocks;
  }
  return n;
}

void move_out(Context& c, const std::vector<FileInRange>& files, BlockRun range, Course& course) {
  for (const FileInRange& file : files) {
    const int reason =
        in_steps(c, file.ino, course, [&](Node& node) { return relocate_out_of(c, node, range); });
    if (reason != 0 && reason != ENOENT) {
      course.leave(file.ino, file.blocks, reason);
    }
    if (!course.done.finished) {
      return;
    }
  }
}

// --- Defragmentation -----------------------------------------------------------------------------

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
  return in_steps(c, ino, course, [&](Node& node) {
    const auto moved = relocate_to(c, node, at, to, &at);
    to = moved ? BlockNo(to.value + *moved) : to;
    return moved;
  });
}

Result<Relocated> defrag_one(Context& c, InodeNo ino, const RelocationWatch& watch) {
  bool durable = false;
  PMEMFS_TRY(const std::vector<Mapping> extents, extents_of_file(c, ino, &durable));
  Course course(watch, blocks_of(extents));
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
  Course course(watch, total);
  for (const InodeNo ino : files) {
    bool durable = false;
    const auto extents = extents_of_file(c, ino, &durable);
    const int reason = extents ? defrag_file(c, ino, *extents, course) : extents.code();
    if (reason != 0 && reason != ENOENT) {
      course.leave(ino, extents ? blocks_of(*extents) : 0, reason);
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

Status check_writable(const Context& c) {
  return c.read_only() ? Status(Error(EROFS)) : Status();
}

void name_left(Context& c, std::vector<LeftBehind>& left) {
  std::vector<InodeNo> inodes;
  inodes.reserve(left.size());
  for (const LeftBehind& file : left) {
    inodes.push_back(file.ino);
  }
  const auto paths = paths_of(c, inodes);
  for (LeftBehind& file : left) {
    const auto found = paths.find(file.ino);
    file.path = found == paths.end() ? std::string() : found->second;
  }
}

}  // namespace

Result<Relocated> defrag(Context& c, InodeNo ino, const RelocationWatch& watch) {
  PMEMFS_CHECK(check_writable(c));
  auto result = c.has_backing() ? defrag_backing(c, ino, watch) : defrag_extents(c, ino, watch);
  if (result) {
    name_left(c, result->left);
  }
  return result;
}

Result<Relocated> evacuate(Context& c, std::uint64_t off, std::uint64_t len,
                           const RelocationWatch& watch) {
  if (c.has_backing()) {
    return Error(EOPNOTSUPP);
  }
  PMEMFS_CHECK(check_writable(c));
  const std::uint64_t size = c.store->space().blocks * kBlock;
  if (len == 0 || off >= size || len > size - off) {
    return Error(EINVAL);
  }
  const std::uint64_t first = off / kBlock;
  const BlockRun range{BlockNo(first), (off + len + kBlock - 1) / kBlock - first};
  const std::lock_guard one_at_a_time(c.compaction);
  store::Allocator& blocks = c.store->blocks();
  if (!blocks.hold(range)) {
    return Error(EBUSY);
  }
  const std::vector<FileInRange> files = files_in(c, range);
  Course course(watch, sum_of(files));
  move_out(c, files, range, course);
  const std::uint64_t used = range.count - blocks.free_in(range);
  course.done.metadata_left = (used - std::min(used, sum_of(files_in(c, range)))) * kBlock;
  name_left(c, course.done.left);
  return course.done;
}

}  // namespace pmemfs::core
