#include "check/fixer.hpp"

#include "format/checks.hpp"
#include "store/superblock.hpp"

namespace pmemfs::check {

Fixer::Fixer(Region& region, const format::Superblock& s)
    : region_(region),
      superblock_(s),
      journal_(region, {BlockNo(s.lane_start.load()), s.lane_count.load(), s.lane_blocks.load()}) {}

bool Fixer::store_superblock() {
  const bool stored = store::write_superblock(region_, superblock_).ok();
  commits_ += stored ? 1U : 0U;
  return stored;
}

// A mount of a clean region takes the snapshot's word for what is free.
bool Fixer::begin() {
  if (superblock_.snapshot.load() == 0) {
    return true;
  }
  return update_superblock([](format::Superblock& s) {
    s.snapshot.store(0);
    s.snapshot_blocks.store(0);
  });
}

void Fixer::push() {
  if (!pending_ || pending_->empty()) {
    pending_.reset();
    return;
  }
  const bool done = begin() && pending_->commit().ok();
  pending_.reset();
  failed_ |= !done;
  commits_ += done ? 1U : 0U;
}

void Fixer::write(ByteOff off, const void* src, std::size_t n) {
  if (pending_ &&
      pending_->log_bytes() + n + 2 * sizeof(format::LaneRecord) > journal_.capacity()) {
    push();
  }
  if (!pending_) {
    pending_.emplace(journal_);
  }
  pending_->write(off, src, n);
}

void Fixer::put_inode(ByteOff slot, format::Inode& inode) {
  format::seal(inode);
  write(slot, &inode, sizeof(inode));
}

bool Fixer::commit() {
  push();
  const bool done = !failed_;
  failed_ = false;
  return done;
}

}  // namespace pmemfs::check
