// One atomic change of the metadata: a journal transaction with the space it takes and gives back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "journal/journal.hpp"
#include "store/inline_vector.hpp"
#include "store/store.hpp"

namespace pmemfs::store {

struct AllocationHint {
  BlockNo near;                 // preferred first block (contiguous appends), 0: none
  std::uint64_t alignment = 1;  // blocks: 1, or 512 for 2 MiB
  bool whole = false;           // one run of the full length or ENOSPC
  bool spare_frames = false;    // nothing of runs of 2 MiB or more; neither aligned nor whole
};

// Not thread-safe; built and committed by one thread. Destroyed without commit(): nothing changed,
// what it allocated is free again.
class Change {
 public:
  explicit Change(Store& store);
  ~Change();
  Change(const Change&) = delete;
  Change& operator=(const Change&) = delete;

  [[nodiscard]] Store& store() { return store_; }
  [[nodiscard]] Region& region();

  // A run of 1 to `count` free blocks; their old content is undefined. ENOSPC after growing the
  // region (where it can grow) failed too. Never blocks that are known to be lost to a media error.
  Result<BlockRun> allocate(std::uint64_t count, const AllocationHint& hint = {});
  // Free for others after commit().
  void release(BlockRun run);
  // For functions that allocate and then fail: give_back_since() frees at once what allocate()
  // returned after mark().
  [[nodiscard]] std::size_t mark() const { return allocated_.size(); }
  void give_back_since(std::size_t mark);

  // Logged writes, and unlogged ones into blocks allocated by this change.
  void write(ByteOff off, const void* src, std::size_t n) { tx_.write(off, src, n); }
  void write_fresh(ByteOff off, const void* src, std::size_t n) { tx_.write_fresh(off, src, n); }
  // The caller streamed data itself; it is fenced before the commit.
  void needs_fence() { tx_.needs_fence(); }
  [[nodiscard]] std::uint64_t log_bytes() const { return tx_.log_bytes(); }
  // Bytes of records that still fit beside an inode; each write takes 16 bytes more than its own.
  [[nodiscard]] std::uint64_t log_left() const;

  // A free inode number; the slot becomes used when put_inode() of it commits. ENOSPC, EROFS.
  Result<InodeNo> allocate_inode();
  // Writes the inode (ino and generation set by the caller), computing its crc. Logs only the
  // cache lines that differ from the media.
  void put_inode(format::Inode& inode);
  // Marks the slot free. Blocks, xattrs and data are released by the caller (see release_all in
  // extent_map.hpp, xattr.hpp, blob.hpp).
  void free_inode(const format::Inode& inode);

  // Durable and visible when it returns 0; then released space is free. Errors: E2BIG (too many
  // records), EROFS, EIO (see journal::Transaction). Nothing changed on error.
  Status commit();

 private:
  // What a put inode counts for once it is committed.
  struct Put {
    std::uint64_t ino = 0;
    ByteOff slot;
    std::uint64_t durable_len = 0;
    bool used = false;
    bool orphan = false;
    bool freed = false;  // known at commit
  };
  struct Delta {
    std::int64_t used = 0;
    std::int64_t durable = 0;
    std::int64_t orphans = 0;
  };

  std::optional<BlockRun> take_sound(std::uint64_t count, const AllocationHint& hint);
  [[nodiscard]] bool sound(InodeNo ino) const;
  void log_inode(const format::Inode& inode);
  Put& note_put(const format::Inode& inode, ByteOff slot, bool* first);
  Status try_commit();
  Delta measure();
  void give_out();

  Store& store_;
  journal::Transaction tx_;
  InlineVector<BlockRun, 4> allocated_;
  InlineVector<BlockRun, 4> released_;
  InlineVector<std::uint64_t, 2> allocated_inodes_;
  InlineVector<Put, 4> puts_;
  int fault_ = 0;  // errno that commit() returns: an inode whose slot could not be found
};

}  // namespace pmemfs::store
