// The extents of one inode, read without trust.
#pragma once

#include <cstdint>
#include <vector>

#include "check/pass.hpp"

namespace pmemfs::check {

struct Piece {
  std::uint64_t logical = 0;
  BlockNo physical;
  std::uint64_t count = 0;
  bool unwritten = false;
  std::uint32_t link = 0;  // 0: in the inode; else 1 + which extent block of the chain
  std::uint32_t slot = 0;  // of them
  ByteOff at;              // of its ExtentSlot; none: in the inode
};

// What an inode's extents are, without those that cannot be.
struct Extents {
  std::vector<Piece> pieces;  // by logical block, apart
  std::uint64_t blocks = 0;   // their sum
  // Blocks from logical block 0 on that are mapped and written, without a hole.
  [[nodiscard]] std::uint64_t written_front() const;
};

// The sound extents, silently and without claims: for who reads what check_extents() has seen.
Extents read_extents(const Pass& p, const format::Inode& inode);

// Claims extents and extent blocks, says what is wrong, and takes that out: of `inode`, and in a
// repair, by the fixer, of the chain.
Extents check_extents(Pass& p, format::Inode& inode);

}  // namespace pmemfs::check
