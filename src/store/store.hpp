// The metadata of one region: superblock, journal, free space, inode table.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "pmemfs/format.hpp"
#include "pmemfs/region.hpp"
#include "pmemfs/result.hpp"
#include "pmemfs/types.hpp"

namespace pmemfs::journal {
class Journal;
}

namespace pmemfs::store {

struct FormatOptions {
  format::RegionKind kind = format::RegionKind::kDirectory;
  bool emulated = false;
  format::Uuid uuid{};
  std::string label;               // at most 63 bytes
  std::string made_by;             // version of the program
  std::uint32_t root_mode = 0755;  // permission bits of the root directory
  std::uint32_t root_uid = 0;
  std::uint32_t root_gid = 0;
  std::uint64_t device_alignment = 0;  // bytes, of a DAX device
};

// What the superblock of a new filesystem says: the geometry that every region has, and `options`.
// Not sealed; `update` is 0.
[[nodiscard]] format::Superblock new_superblock(const Region& region, const FormatOptions& options);

struct OpenReport {
  bool used_second_superblock = false;  // the first was damaged
  bool was_clean = false;
  bool used_snapshot = false;
  std::uint32_t replayed = 0;
  std::uint64_t damaged_structures = 0;  // a crc that failed in the scan; see may_collect
  bool may_collect = true;               // no doubt about the inode table: orphans may be deleted
};

struct Space {
  std::uint64_t blocks = 0;
  std::uint64_t blocks_free = 0;
  std::uint64_t inodes_used = 0;
};

// Why reading a superblock failed, beside the errno.
enum class SuperblockFault : std::uint8_t {
  kNone,
  kNotPmemfs,
  kNewer,
  kOlder,  // a format that this version reads no more
  kDamaged,
  kSize,
  kUnreadable,  // a media error, and no whole copy elsewhere
};

// The superblock in force. EINVAL: not a pmemfs region (kNotPmemfs); EUCLEAN: both copies damaged,
// or the region is shorter than it says (kSize); EIO: kUnreadable; EOPNOTSUPP: unknown incompat
// feature or version (kNewer, kOlder).
Result<format::Superblock> read_superblock(const Region& region, SuperblockFault* fault,
                                           bool* used_second);

class Allocator;
class BadBlocks;
class Change;
class InodeTable;

// Thread-safe. Reading and changing a given inode, directory or extent map is ordered by the
// caller's inode locks: shared to read, exclusive to change, held until Change::commit() returns.
class Store {
 public:
  // Writes an empty filesystem: both superblocks, lanes, inode table with the root directory. EIO:
  // a media error took some of that.
  static Status format(Region& region, const FormatOptions& options);

  // Replays the journal, then loads the snapshot or scans (in parallel). On a read-only region
  // replay goes to its private copy and nothing is written to media. A writable open marks the
  // region dirty and the snapshot void before it returns. EIO: a media error took so much that
  // nothing may be changed; a read-only open goes on with the rest.
  static Result<std::unique_ptr<Store>> open(Region& region, OpenReport* report);

  ~Store();  // without close(): as a crash would
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  // Orderly end: writes the snapshot, marks the region clean. No Change may be under way.
  // `mappings_may_live`: some direct mapping may outlive the daemon (sets suspect_boot).
  // `exports_may_live`: inodes are left with kInodeExported, which the next open() must find.
  Status close(bool mappings_may_live, bool exports_may_live = false);

  [[nodiscard]] Region& region();
  [[nodiscard]] const Region& region() const;
  // The region is, or a media error has stopped all changes.
  [[nodiscard]] bool read_only() const;
  [[nodiscard]] format::Superblock superblock() const;  // a copy
  // True when a mapping made before this mount may still live (suspect_boot is this boot).
  [[nodiscard]] bool mappings_suspected() const;
  [[nodiscard]] Space space() const;

  // A checked copy. ENOENT: free or beyond the table. EUCLEAN: crc or self number wrong. EIO: lost
  // to a media error, used or not.
  [[nodiscard]] Result<format::Inode> inode(InodeNo ino) const;
  // Calls back for every inode in use, ascending, with a checked copy; damaged ones are passed to
  // `damaged`, and so may be one that is changed at the time. No inode locks are taken: for mount,
  // fsck and listings that re-check under the lock. Callbacks as InodeTable::walk().
  Status for_each_inode(const std::function<void(const format::Inode&)>& visit,
                        const std::function<void(InodeNo)>& damaged) const;
  // Inodes in use with nlink 0 that open() found (left by a crash); the caller frees them.
  [[nodiscard]] std::vector<InodeNo> take_orphans();
  // Inodes with kInodeExported that open() found; what they keep beyond their ends may be free.
  [[nodiscard]] std::vector<InodeNo> take_exported();

  // A generation never given out before. EROFS on a read-only region.
  Result<std::uint64_t> next_generation();

  // Sets a bit of the superblock's incompat features, unless it is set, before the first change
  // that a program which does not know it would misread. Durable when it returns. EROFS.
  Status use_feature(std::uint64_t incompat);

  // Makes the filesystem larger, to `size` bytes rounded down to blocks; 0: as large as the region
  // is already. A region that is smaller grows with it, where it can. In steps: what was reached
  // before an error stays. Returns the size reached. EINVAL: not larger than it is; EFBIG, ENOSPC,
  // EROFS; EOPNOTSUPP: the region cannot grow.
  Result<std::uint64_t> grow(std::uint64_t size);

  // Makes the filesystem smaller, from `from` bytes, which it has, to `size`, a multiple of 4096 of
  // at least kMinRegionSize: all blocks beyond are free and held (Allocator::hold). A region that
  // is larger shrinks with it, where it can; `from` equal to `size` does that alone. A crash leaves
  // the old size or the new one, with a region that may be longer. EBUSY: nothing changed, since
  // the size is another or a block beyond is in use; EROFS.
  Status shrink(std::uint64_t from, std::uint64_t size);

  // open() found no damage: all that is in use has an owner who can be found.
  [[nodiscard]] bool sound() const;

  // For those who move what there is: free space, parts of which they set apart, and the inode
  // table.
  [[nodiscard]] Allocator& blocks();
  [[nodiscard]] InodeTable& table();
  [[nodiscard]] BadBlocks& bad_blocks();

  // Both superblocks are whole and equal. EIO, EUCLEAN: they are not.
  [[nodiscard]] Status check_superblocks() const;
  // Makes whole what has a second copy, from that: superblocks and the root of the inode table, as
  // far as the memory takes it. What was mended is said in the log. Nothing when read-only.
  void mend_copies();

  // Sum of durable_len of all inodes; kept true by Change::put_inode and free_inode.
  [[nodiscard]] std::uint64_t durable_bytes() const;

  struct Impl;
  [[nodiscard]] Impl& impl() { return *impl_; }
  [[nodiscard]] const Impl& impl() const { return *impl_; }

 private:
  explicit Store(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Helpers on inode copies.
[[nodiscard]] Timestamp atime(const format::Inode& i);
[[nodiscard]] Timestamp mtime(const format::Inode& i);
[[nodiscard]] Timestamp ctime(const format::Inode& i);
[[nodiscard]] Timestamp btime(const format::Inode& i);
void set_atime(format::Inode& i, Timestamp t);
void set_mtime(format::Inode& i, Timestamp t);
void set_ctime(format::Inode& i, Timestamp t);
void set_btime(format::Inode& i, Timestamp t);

}  // namespace pmemfs::store
