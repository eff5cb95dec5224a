// The only writer of a repair.
#pragma once

#include <optional>

#include "journal/journal.hpp"
#include "pmemfs/format.hpp"
#include "pmemfs/region.hpp"

namespace pmemfs::check {

// Gathers corrections and commits them as journal transactions. Before the first of them the
// snapshot of a clean region becomes void. Not thread-safe.
class Fixer {
 public:
  // After the journal was replayed. `s` is the superblock in force.
  Fixer(Region& region, const format::Superblock& s);

  // Part of the correction under way. A correction that is larger than a lane is committed in
  // pieces: each must leave a region that can be repaired.
  void write(ByteOff off, const void* src, std::size_t n);
  // Seals the inode and writes it to its slot.
  void put_inode(ByteOff slot, format::Inode& inode);
  // True: all that was written since the last call is durable. False: it cannot be, and what of it
  // was not yet committed is dropped.
  bool commit();

  // change(superblock) edits a copy, which is written to both places.
  template <typename F>
  bool update_superblock(F&& change) {
    change(superblock_);
    return store_superblock();
  }

  // Corrections that were committed.
  [[nodiscard]] std::uint64_t commits() const { return commits_; }
  [[nodiscard]] const format::Superblock& superblock() const { return superblock_; }

 private:
  bool store_superblock();
  bool begin();
  void push();

  Region& region_;
  format::Superblock superblock_;
  journal::Journal journal_;
  std::optional<journal::Transaction> pending_;
  std::uint64_t commits_ = 0;
  bool failed_ = false;  // a piece of the correction under way
};

}  // namespace pmemfs::check
