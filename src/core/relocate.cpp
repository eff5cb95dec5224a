#include "core/relocate.hpp"

#include <algorithm>
#include <vector>

#include "core/extent_edit.hpp"
#include "core/gate.hpp"
#include "format/layout.hpp"

namespace pmemfs::core {

namespace {

using extent_data::Edit;
using store::Mapping;

// The part of a mapping whose blocks lie in `range`; count 0 when there is none.
Mapping part_in(const Mapping& m, BlockRun range) {
  const std::uint64_t begin = std::max(m.physical.value, range.start.value);
  const std::uint64_t end = std::min(m.physical.value + m.count, range.end().value);
  if (begin >= end) {
    return {};
  }
  return {m.logical + (begin - m.physical.value), BlockNo(begin), end - begin, m.unwritten};
}

// What is to be moved in one step.
std::vector<Mapping> pieces_in(const store::ExtentMap& map, BlockRun range) {
  std::vector<Mapping> pieces;
  std::uint64_t room = kRelocationStep;
  for (const Mapping& m : map.all()) {
    Mapping part = part_in(m, range);
    part.count = std::min(part.count, room);
    if (part.count > 0) {
      pieces.push_back(part);
      room -= part.count;
    }
  }
  return pieces;
}

// Moves as much of the piece as one free run takes; returns how much.
Result<std::uint64_t> move_front(Edit& edit, InodeRecord& inode, const Mapping& piece,
                                 const store::AllocationHint& hint) {
  PMEMFS_TRY(const BlockRun to, edit.change().allocate(piece.count, hint));
  if (!piece.unwritten) {
    PMEMFS_CHECK(extent_data::copy_blocks(edit, piece.physical, to));
  }
  PMEMFS_CHECK(edit.map().remove(edit.change(), inode, piece.logical, to.count));
  PMEMFS_CHECK(edit.map().insert(edit.change(), inode,
                                 {piece.logical, to.start, to.count, piece.unwritten}));
  return to.count;
}

// Moves the pieces as far as the change has room for; returns how many blocks. To `near`, or behind
// what lies before each piece.
Result<std::uint64_t> move_pieces(Edit& edit, InodeRecord& inode,
                                  const std::vector<Mapping>& pieces, BlockNo near, Room room) {
  std::uint64_t moved = 0;
  store::AllocationHint hint;
  hint.spare_frames = room == Room::kBetweenFrames;
  for (Mapping piece : pieces) {
    const Mapping before = piece.logical == 0 ? Mapping{} : edit.map().at(piece.logical - 1);
    hint.near = near;
    if (!near && before.physical) {
      hint.near = BlockNo(before.physical.value + 1);
    }
    while (piece.count > 0) {
      if (edit.full()) {
        return moved;
      }
      const auto done = move_front(edit, inode, piece, hint);
      if (done.code() == ENOSPC && moved > 0) {
        return moved;
      }
      PMEMFS_TRY(const std::uint64_t n, done);
      piece = {piece.logical + n, BlockNo(piece.physical.value + n), piece.count - n,
               piece.unwritten};
      near = near ? BlockNo(near.value + n) : near;
      hint.near = near;
      moved += n;
    }
  }
  return moved;
}

// `pick` names the pieces of the loaded map.
template <typename Pick>
Result<std::uint64_t> relocate(Context& c, Node& node, BlockNo near, Room room, const Pick& pick) {
  PMEMFS_TRY(InodeRecord inode, read_inode(c, node));
  if (!is_regular(inode) || c.has_backing()) {
    return Error(EOPNOTSUPP);
  }
  PMEMFS_CHECK(extent_data::load(c, node, inode));
  const std::vector<Mapping> pieces = pick(*node.extents);
  if (pieces.empty()) {
    return std::uint64_t{0};
  }
  PMEMFS_CHECK(may_move(c, inode));
  Edit edit(c, node);
  PMEMFS_TRY(const std::uint64_t moved, move_pieces(edit, inode, pieces, near, room));
  PMEMFS_CHECK(edit.commit(inode));
  return moved;
}

}  // namespace

Result<std::uint64_t> relocate_out_of(Context& c, Node& node, BlockRun range, Room room) {
  return relocate(c, node, BlockNo(), room,
                  [range](const store::ExtentMap& map) { return pieces_in(map, range); });
}

Result<std::uint64_t> relocate_to(Context& c, Node& node, std::uint64_t logical, BlockNo near,
                                  std::uint64_t* next) {
  std::vector<Mapping> pieces;
  const auto pick = [&](const store::ExtentMap& map) {
    std::uint64_t at = logical;
    for (std::uint64_t room = kRelocationStep; room > 0;) {
      Mapping m = map.next(at);
      if (m.count == 0) {
        break;
      }
      m.count = std::min(m.count, room);
      room -= m.count;
      at = m.logical + m.count;
      pieces.push_back(m);
    }
    return pieces;
  };
  PMEMFS_TRY(const std::uint64_t moved, relocate(c, node, near, Room::kAnywhere, pick));
  *next = logical;
  std::uint64_t left = moved;
  for (const Mapping& m : pieces) {
    const std::uint64_t n = std::min(left, m.count);
    *next = n > 0 ? m.logical + n : *next;
    left -= n;
  }
  return moved;
}

}  // namespace pmemfs::core
