// The entries of one directory: checksummed slots on media, a hash index in DRAM.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "store/change.hpp"
#include "store/extent_map.hpp"

namespace pmemfs::store {

struct DirEntry {
  InodeNo ino;
  std::uint8_t type = 0;       // DT_*
  std::uint64_t position = 0;  // logical block * 64 + slot; stable while the entry lives
  std::uint32_t hash = 0;      // of the name
  std::string_view name;       // points into the region: valid while the lock is held
};

// Lock: the directory's inode lock, shared for the const functions, exclusive for the others.
// Built at first use; memory_bytes() tells what dropping it would give back. Errors and failed
// commits as ExtentMap. EUCLEAN for damaged blocks and entries.
class Directory {
 public:
  static Result<std::unique_ptr<Directory>> load(Store& store, const format::Inode& dir);
  ~Directory();

  // ENOENT when there is none.
  [[nodiscard]] Result<DirEntry> find(std::string_view name) const;
  // The entry at the lowest position ≥ `position`; nullopt at the end. Damaged entries are skipped
  // after a log line.
  [[nodiscard]] Result<std::optional<DirEntry>> next(std::uint64_t position) const;
  [[nodiscard]] std::uint64_t entries() const;
  [[nodiscard]] std::size_t memory_bytes() const;

  // The name must not exist. Updates dir.size, entries, data, extents, data_blocks; the caller
  // puts the inode. ENOSPC. `name` has 1 to 255 bytes, no '/' and no NUL: the caller checked.
  Status insert(Change& change, format::Inode& dir, std::string_view name, InodeNo ino,
                std::uint8_t type);
  // `entry` was found under the same hold of the lock. Needs no space, so it works in a full
  // region.
  Status remove(Change& change, format::Inode& dir, const DirEntry& entry);
  // Points an existing name to another inode, in place.
  Status replace(Change& change, format::Inode& dir, std::string_view name, InodeNo ino,
                 std::uint8_t type);
  // Moves blocks of entries or of the extent chain out of `range`, as many as one change should
  // take; positions stay. Returns how many, 0 when none are left there. Alone in its change.
  // ENOSPC.
  Result<std::uint64_t> move_out_of(Change& change, format::Inode& dir, BlockRun range);

 private:
  struct Impl;
  explicit Directory(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Looks at blocks [from, from + count) of a directory and at each entry in them, on media. Returns
// how many structures there are. EUCLEAN, EIO: the first is damaged. Lock: shared.
Result<std::uint64_t> check_directory(const Store& store, const format::Inode& dir,
                                      const ExtentMap& extents, std::uint64_t from,
                                      std::uint64_t count);

}  // namespace pmemfs::store
