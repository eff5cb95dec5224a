// What one pass over a region knows. For the files of this folder.
//
// A pass reads everything once. Each part looks at a structure, makes a copy of it as it should be
// and, when that differs, says so and (in a repair) writes the copy. Passes of a repair follow each
// other until one changes nothing.
#pragma once

#include <array>
#include <cstring>
#include <optional>
#include <vector>

#include "check/check.hpp"
#include "check/findings.hpp"
#include "check/fixer.hpp"
#include "format/layout.hpp"
#include "store/used_map.hpp"

namespace pmemfs::check {

// A chunk of the inode table.
struct Chunk {
  std::uint64_t first = 0;  // inode
  BlockNo block;
};

// An inode in use.
struct Node {
  enum class Walk : std::uint8_t { kUnknown, kUnderWay, kReaches, kApart };

  std::uint32_t ino = 0;
  std::uint16_t mode = 0;
  bool named = false;          // directory: the entry that counts was found
  bool has_entries = false;    // directory
  bool adrift = false;         // nothing that the root reaches leads here
  Walk walk = Walk::kUnknown;  // directory: on the way to the root
  std::uint32_t nlink = 0;     // as the inode says
  std::uint32_t found = 0;     // directory: named directories in it; else: entries that lead here
  std::uint32_t said_parent = 0;  // directory: as the inode says
  std::uint32_t parent = 0;       // the directory of the entry that counts, or of the first
  std::uint64_t name_at = 0;      // where that entry lies, in bytes of the region
};

// An entry for a directory that names another parent.
struct Stray {
  ByteOff entry;
  std::uint32_t dir = 0;
  std::uint32_t target = 0;
};

// Inodes [first, end) of which the index does not tell whether they are in use.
struct Unknown {
  std::uint64_t first = 0;
  std::uint64_t end = 0;
};

enum class Target : std::uint8_t { kUsed, kFree, kDamaged, kUnknown };

struct Pass {
  Pass(Region& r, const format::Superblock& s, BackingDir* b, const Options& o, Findings& f,
       Fixer* x)
      : region(r),
        superblock(s),
        layout(s),
        backing(b),
        options(o),
        out(f),
        fixer(x),
        used(layout.blocks()) {}

  template <typename T>
  [[nodiscard]] T load(ByteOff off) const {
    T copy{};
    std::memcpy(&copy, region.data() + off.value, sizeof(copy));
    return copy;
  }
  template <typename T>
  [[nodiscard]] bool is_lost(ByteOff off) const {
    return region.lost(off, sizeof(T));
  }
  [[nodiscard]] bool repairing() const { return fixer != nullptr; }
  [[nodiscard]] bool has_host_files() const {
    return superblock.kind.load() == static_cast<std::uint32_t>(format::RegionKind::kDirectory);
  }
  // The data directory does not say that it is another region's.
  [[nodiscard]] bool host_is_ours() const {
    const auto& owner = options.host_owner;
    return !owner || (owner->ok() && **owner == superblock.uuid);
  }
  // Whether the inode's data lies in extents.
  [[nodiscard]] bool has_extents(const format::Inode& inode) const;

  // Takes the run for its owner. False: a block of it is somebody's, and nothing was taken.
  bool claim(BlockRun run);
  // The same for data of files, which cannot lie where a structure is.
  bool claim_data(BlockRun run);
  // What was found since `mark` is repaired by what was written to the fixer, if that holds.
  void settle(Findings::Mark mark);
  // False: the check is to end, and `stopped` from now on.
  bool progress(Phase phase, std::uint64_t done, std::uint64_t total);

  [[nodiscard]] Node* node(std::uint64_t ino);
  // Where the slot of an inode lies; nullopt: it has no chunk.
  [[nodiscard]] std::optional<ByteOff> slot(std::uint64_t ino) const;
  [[nodiscard]] Target target(std::uint64_t ino);
  // The path of an inode, as far as its names were found; empty.
  [[nodiscard]] std::string path(std::uint64_t ino);

  Region& region;
  format::Superblock superblock;
  format::Layout layout;
  BackingDir* backing;
  const Options& options;
  Findings& out;
  Fixer* fixer;          // null: reading only
  bool stopped = false;  // what was found is not all
  Counts counts;

  store::UsedMap used;
  std::vector<BlockNo> index_blocks;
  std::vector<Chunk> leaves;  // the lowest of them, with the first inode of each
  // What a search of the whole region found of the inode table, for each level of its index.
  mutable std::array<std::optional<std::vector<Chunk>>, format::kIndexLevels> candidates;
  // Where a block has two owners: those that say themselves whose they are.
  std::optional<store::UsedMap> structures;
  bool shared = false;           // some block has two owners
  std::uint64_t wasted = 0;      // words of the map that were looked at in vain
  std::vector<Chunk> chunks;     // ascending
  std::vector<Unknown> unknown;  // parts of the inode table, ascending and apart
  std::vector<Node> nodes;       // ascending by number
  std::vector<Stray> strays;
  std::vector<std::uint32_t>
      adrift;  // inodes that the root does not reach, as check_tree() left them
  std::vector<std::uint64_t> damaged;  // inodes that stay so, ascending
  std::uint64_t highest_generation = 0;
  std::uint64_t durable_bytes = 0;
  std::uint64_t features_needed = 0;  // bits of the superblock's incompat that inodes call for
  bool table_doubted = false;         // inodes may have been lost
  bool names_hidden = false;          // by media errors: who has no name is not known
};

// The parts, in their order.
void check_table(Pass& p);        // index blocks and chunks
void reset_claims(Pass& p);       // as they are after check_table()
void check_inodes(Pass& p);       // each inode with its extents, xattrs and target
void check_directories(Pass& p);  // entries
void check_tree(Pass& p);         // parents, what is reachable, link counts
void check_space(Pass& p);        // the superblock's numbers and the snapshot
void check_host_files(Pass& p);

}  // namespace pmemfs::check
