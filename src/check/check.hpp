// The checker and repairer of regions: everything that docs/FORMAT.md promises is read and
// compared.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pmemfs/backing_dir.hpp"
#include "pmemfs/format.hpp"
#include "pmemfs/region.hpp"
#include "pmemfs/result.hpp"
#include "pmemfs/types.hpp"
#include "store/store.hpp"

namespace pmemfs::check {

enum class Problem : std::uint8_t {
  kSuperblockCopy,  // one of the two is damaged, in a way that no crash explains
  kSuperblocks,     // both are; nothing else was read, unless a repair wrote new ones
  kRegionSize,      // the region is shorter than its superblock says; nothing else was read
  kFeature,         // an inode uses what the superblock's feature bits do not tell
  kNextGeneration,  // an inode has a generation that is yet to be given out
  kLane,            // a journal lane is damaged, in a way that no crash explains
  kLaneContent,     // a whole lane makes no sense; the journal was not replayed
  kMediaLost,       // a structure that the memory no longer gives
  kIndexBlock,      // of the inode table
  kIndexCopy,       // its root is not the same in its two places
  kIndexPointer,
  kInodeDamaged,  // checksum or own number
  kInodeMode,
  kInodeFlags,
  kInodeTime,
  kInodeSize,
  kInodeStray,     // has data that its type cannot have
  kDurableLength,  // the promise covers what is not there, or what is no file
  kDurableData,    // a durable file's data is not all there
  kExtentPlace,    // outside the region or the file
  kExtentOverlap,
  kExtentBlock,
  kExtentSlot,
  kBlockShared,  // a block with two owners
  kDataBlocks,   // their count
  kXattrBlob,
  kXattrName,
  kXattrDuplicate,
  kXattrValue,
  kAcl,
  kSymlinkTarget,
  kDirectoryMap,    // holes, unwritten blocks, size
  kDirectoryBlock,  // a header
  kEntryDamaged,
  kEntryName,
  kEntryHash,
  kEntryDuplicate,
  kEntryTarget,  // leads to no inode
  kEntryType,
  kEntryCount,
  kDirectoryParent,
  kDirectoryNames,  // a directory with two names
  kRoot,
  kUnreachable,
  kLinkCount,
  kSnapshot,       // a clean region's free space is not what is free
  kHostMissing,    // the host file of an inode whose host file was safe
  kHostShort,      // it ends before the promise does
  kHostStrange,    // its name belongs to something else
  kHostOwner,      // the data directory belongs to another region, or does not say to which
  kHostUnclaimed,  // a host file whose inode may have been lost
};
inline constexpr std::size_t kProblems = static_cast<std::size_t>(Problem::kHostUnclaimed) + 1;
[[nodiscard]] std::string_view to_string(Problem problem);  // "link count"

struct Finding {
  Problem problem{};
  InodeNo ino;       // none: of no inode
  BlockNo block;     // none: of no block
  std::string path;  // of the inode, where it is known
  std::string what;  // one line for a person, without the path
  bool repaired = false;
};

enum class Phase : std::uint8_t { kInodes, kDirectories, kLinks, kSpace, kHostFiles };
[[nodiscard]] std::string_view to_string(Phase phase);

struct Options {
  bool repair = false;
  std::size_t most_findings = 1000;  // kept; all are counted
  // Whose host files the data directory says that it holds; nullopt: it does not matter.
  std::optional<Result<format::Uuid>> host_owner;
  // What the region is: a repair may write new superblocks when both are damaged. `uuid` and
  // `label` are taken where the damaged ones do not agree on theirs. nullopt: it does not.
  std::optional<store::FormatOptions> remake;
  // How far a phase is. False ends the check at the next safe place.
  std::function<bool(Phase phase, std::uint64_t done, std::uint64_t total)> watch;
};

struct Counts {
  std::uint64_t inodes = 0;  // in use, directories included
  std::uint64_t directories = 0;
  std::uint64_t orphans = 0;  // without a name; the next mount frees them
  std::uint64_t durable = 0;  // files
  std::uint64_t blocks = 0;   // of the region
  std::uint64_t blocks_used = 0;
  std::uint64_t host_files = 0;
  std::uint64_t host_orphans = 0;  // of no inode; the next mount deletes them
  std::uint64_t host_foreign = 0;  // not ours
};

struct Report {
  std::vector<Finding> findings;  // the first Options::most_findings
  std::uint64_t found = 0;        // all of them
  std::uint64_t repaired = 0;
  std::vector<std::string> notes;  // what a crash explains, and what is not pmemfs's
  Counts counts;
  bool was_clean = false;      // unmounted in order
  std::uint32_t replayed = 0;  // transactions that a crash had left in the journal
  bool complete = false;       // false: the superblocks did not allow to read on
  bool clean() const { return found == 0; }
  bool stays_damaged() const { return found > repaired || !complete; }
};

// Reads everything. The journal is replayed first as a mount does it: into a private copy when the
// region is read-only, else for good; without `repair` nothing else is written. `backing`: the host
// files of a directory region; null: there are none, or they are not looked at.
//
// Survives any content of the region: time is bounded by its size, memory by a few bits for each
// block and some 40 bytes for each inode in use. What a crash at any time explains is no finding.
//
// Repair never deletes or cuts a host file, never enlarges the durable promise of a file and never
// takes its flag. Every step of it is atomic, and what a step leaves can be repaired. Who owns a
// block that two claim: the structures of the inode table, then extent blocks, blobs and
// directories that name their owner, then durable files, then the older generation.
//
// Errors: EINVAL: not a pmemfs region; EOPNOTSUPP: a newer format; EINTR: `watch` ended it; EROFS:
// repair of a read-only region, or one with features that allow reading only is not read-only;
// ENOMEM. One caller, and no mount, at a time.
Result<Report> check(Region& region, BackingDir* backing, const Options& options);

}  // namespace pmemfs::check
