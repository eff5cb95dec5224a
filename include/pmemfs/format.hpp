// Every structure that pmemfs puts on media, with its size and offsets asserted. docs/FORMAT.md is
// the prose; a test compares the two.
//
// Rules: little-endian, natural alignment, no padding, no bit-fields, no pointers. Each structure
// ends in a crc32c over all bytes before it (seed 0); what else a crc covers is said there. A crc
// covers exactly what one lock covers, so two journal lanes never write the same crc.
// Reserved bytes are zero when written and ignored when read: a reader learns of a new meaning by
// a feature bit.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace pmemfs::format {

static_assert(std::endian::native == std::endian::little, "big-endian hosts need swaps here");

template <typename T>
struct LittleEndian {
  T raw;

  [[nodiscard]] constexpr T load() const { return raw; }
  constexpr void store(T v) { raw = v; }
};
using Le16 = LittleEndian<std::uint16_t>;
using Le32 = LittleEndian<std::uint32_t>;
using Le64 = LittleEndian<std::uint64_t>;
using Uuid = std::array<std::uint8_t, 16>;

inline constexpr std::uint32_t kBlockSize = 4096;
inline constexpr std::uint64_t kFrameSize = 2U << 20U;  // one huge page
inline constexpr std::uint64_t kMinRegionSize = 16ULL << 20U;
inline constexpr std::uint64_t kMaxRegionSize = 64ULL << 40U;
inline constexpr std::uint64_t kMaxFileSize = 16ULL << 40U;
inline constexpr std::uint32_t kMaxName = 255;
inline constexpr std::uint32_t kMaxXattrValue = 65536;
inline constexpr std::uint32_t kMaxXattrTotal = 65536;  // names with their zeros, as listxattr(2)
inline constexpr std::uint32_t kMaxLinks = 65000;       // directories have no limit
inline constexpr std::uint32_t kMaxSymlink = 4095;
inline constexpr std::uint64_t kMaxInode = 0xFFFFFFFFULL;

// --- Superblock: block 0, and a copy in the last block of the smallest region --------------------
// Far apart, since a DAX device loses 2 MiB at once.
// The copy with the larger `update` of those whose crc is right is in force. An update writes
// one, persists it, then the other, the worse one first: one is whole at any time. Not journaled.

inline constexpr std::uint64_t kSuperblockMagic = 0x31534642'4D454D50ULL;  // "PMEMBFS1"
inline constexpr std::uint32_t kFormatVersion = 2;
inline constexpr std::uint64_t kSuperblockCopyBlock = kMinRegionSize / kBlockSize - 1;

// Unknown compat bits: ignored. ro_compat: mounted read-only. incompat: refused.
inline constexpr std::uint64_t kKnownCompat = 0;
inline constexpr std::uint64_t kKnownRoCompat = 0;
// Some inode names the generation of its backing file (HostPlace). Set before the first does: a
// reader that does not know takes that file for an orphan.
inline constexpr std::uint64_t kIncompatHostPlace = 1U << 0U;
// Some inode may be mapped by virtual machines (kInodeExported). Set before the first is: a writer
// that does not know gives its blocks to others.
inline constexpr std::uint64_t kIncompatExports = 1U << 1U;
inline constexpr std::uint64_t kKnownIncompat = kIncompatHostPlace | kIncompatExports;

enum class RegionKind : std::uint32_t { kDirectory = 1, kFile = 2, kDevdax = 3 };

// Made with --emulate: not persistent memory.
inline constexpr std::uint32_t kSbEmulated = 1U << 0U;

enum class RegionState : std::uint32_t {
  kClean = 1,  // unmounted in order; `snapshot` may be used
  kDirty = 2,  // mounted, or its daemon died
};

// Blocks that cannot be read or stored to. They are nobody's who does not have them already.
struct BadRun {
  Le64 start;  // first block
  Le64 count;
};
inline constexpr std::uint32_t kBadRuns = 224;

struct Superblock {
  Le64 magic;
  Le32 version;
  Le32 block_size;
  Le64 compat;
  Le64 ro_compat;
  Le64 incompat;
  Uuid uuid;
  char label[64];      // zero-terminated
  Le64 update;         // counts the writes of this structure
  Le32 kind;           // RegionKind
  Le32 flags;          // kSb*
  Le64 region_blocks;  // size of the region
  Le64 lane_start;     // first block of the journal lanes
  Le32 lane_count;
  Le32 lane_blocks;      // blocks of one lane
  Le64 inode_root;       // root index block of the inode table; fixed by mkfs
  Le64 next_generation;  // every generation below may have been given out
  Le64 snapshot;         // first block of the snapshot, 0 if there is none
  Le64 snapshot_blocks;
  Le32 state;         // RegionState
  Le32 owner_pid;     // daemon that mounted it last
  Uuid owner_boot;    // boot id under which it was mounted
  Uuid suspect_boot;  // boot id of the last daemon that died; mappings of its time may live on
  Le64 mount_count;
  Le64 made_at;           // seconds since 1970
  Le64 mounted_at;        // seconds since 1970
  char made_by[32];       // version of mkfs, zero-terminated
  Le64 device_alignment;  // bytes, of the DAX device when the region was made; 0: no device
  Le64 inode_root_copy;   // the same block again, in another frame; fixed by mkfs
  Le32 bad_runs;          // how many of `bad` are in use
  Le32 reserved0;
  BadRun bad[kBadRuns];  // ascending, apart
  std::uint8_t reserved[196];
  Le32 crc;
};

// --- Journal lanes: lane_count × lane_blocks blocks ----------------------------------------------
// A lane holds at most one transaction: header, then `count` records, each followed by its bytes
// padded with zeros to 8. In use while sequence ≠ 0; the crc (seed 0, over the header before it,
// then over `bytes` bytes of records) tells a whole transaction from a torn one.

inline constexpr std::uint32_t kLaneMagic = 0x314E4C50;  // "PLN1"
inline constexpr std::uint32_t kLaneBlocks = 16;
inline constexpr std::uint32_t kLaneCount = 16;
inline constexpr std::uint64_t kLaneStart = 1;

struct LaneHeader {
  Le64 sequence;  // global order of commits; 0: retired. Written by one atomic store
  Le32 magic;
  Le32 count;
  Le64 bytes;
  std::uint8_t reserved[36];
  Le32 crc;
};

struct LaneRecord {
  Le64 offset;  // bytes from the start of the region
  Le32 length;  // bytes to write there
  Le32 reserved;
};

// --- Inode table ---------------------------------------------------------------------------------
// A radix tree of three index levels over chunks of 256 inodes. Inode 0 does not exist, 1 is the
// root directory. Index block pointers are written through the journal; 0 is a hole. The root has a
// copy, changed in the same transactions; the one with the larger `update` of those whose crc is
// right is in force.

inline constexpr std::uint32_t kIndexMagic = 0x31584950;  // "PIX1"
inline constexpr std::uint32_t kIndexFanout = 504;
inline constexpr std::uint32_t kIndexLevels = 3;
inline constexpr std::uint32_t kInodesPerChunk = 256;
inline constexpr std::uint32_t kChunkBlocks = 16;

struct IndexBlock {
  Le32 magic;
  Le32 level;   // 0 points to chunks
  Le64 update;  // of the root: counts its changes; else 0
  std::uint8_t reserved[44];
  Le32 crc;  // over the bytes before it, then over `child`
  Le64 child[kIndexFanout];
};

struct Extent {
  Le64 logical;   // first block of the file
  Le64 physical;  // first block of the region
  Le32 count;     // blocks
  Le32 flags;     // kExtent*
};
inline constexpr std::uint32_t kExtentUnwritten = 1U << 0U;  // reads as zeros

inline constexpr std::uint32_t kInodeDurable = 1U << 0U;   // pinned; on a directory: inherited
inline constexpr std::uint32_t kInodeSynced = 1U << 1U;    // the host's media know the backing file
inline constexpr std::uint32_t kInodeMtimeSet = 1U << 2U;  // mtime holds while host's is host_mtime
inline constexpr std::uint32_t kInodeAtimeSet = 1U << 3U;  // the same for atime
inline constexpr std::uint32_t kInodeInlineTarget = 1U << 4U;  // symlink target lies in inline_data
// Virtual machines map its blocks, or did: Region::exported() of its number tells. Data in extents.
inline constexpr std::uint32_t kInodeExported = 1U << 5U;
inline constexpr std::uint32_t kInlineExtents = 3;
inline constexpr std::uint32_t kInlineTarget = 72;

// Where a regular file's data lies on a directory region.
struct HostPlace {
  Le64 generation;  // in the name of the backing file, once it moved; 0: the inode's own
  std::uint8_t reserved[64];
};

// Seconds are signed, stored as two's complement.
struct Inode {
  Le64 ino;  // its own number
  Le64 generation;
  Le32 mode;   // as st_mode; 0: free
  Le32 flags;  // kInode*
  Le32 uid;
  Le32 gid;
  Le32 nlink;
  Le32 rdev;  // as the kernel's new_encode_dev
  Le64 size;  // extents: bytes of the file. directory: bytes of dentry blocks. symlink: length
  Le64 durable_len;  // bytes covered by the durable promise
  Le64 atime_sec;
  Le64 mtime_sec;
  Le64 ctime_sec;
  Le64 btime_sec;
  Le32 atime_nsec;
  Le32 mtime_nsec;
  Le32 ctime_nsec;
  Le32 btime_nsec;
  Le64 host_atime_sec;  // the host's time when atime was set explicitly
  Le64 host_mtime_sec;
  Le32 host_atime_nsec;
  Le32 host_mtime_nsec;
  Le64 xattrs;       // first block of the xattr blob, 0: none
  Le64 data;         // first extent block, or first blob block of a long symlink target; 0: none
  Le64 data_blocks;  // region blocks held as data (mapped by extents)
  Le64 entries;      // directory: number of entries
  Le64 parent;       // directory: the directory that holds it
  union {
    Extent extents[kInlineExtents];  // used while count ≠ 0
    char target[kInlineTarget];
    HostPlace host;
  };
  std::uint8_t reserved[12];
  Le32 crc;
};

// --- Extent blocks: a chain from Inode::data; slots in no order ----------------------------------

inline constexpr std::uint32_t kExtentMagic = 0x31545850;  // "PXT1"
inline constexpr std::uint32_t kExtentSlots = 126;

struct ExtentSlot {
  Extent extent;
  Le32 reserved;
  Le32 crc;
};

struct ExtentBlock {
  Le32 magic;
  Le32 reserved0;
  Le64 owner;  // inode
  Le64 generation;
  Le64 next;     // block, 0: last
  Le64 used[2];  // bit i: slot i holds an extent
  std::uint8_t reserved[12];
  Le32 crc;  // over the header alone
  ExtentSlot slots[kExtentSlots];
};

// --- Directory blocks: mapped by the directory's extents, block i at logical block i ------------
// 64 slots of 64 bytes; slot 0 is the header. An entry takes 1 to 5 slots in a row. The readdir
// position of an entry is logical block × 64 + first slot, for as long as the entry lives.

inline constexpr std::uint32_t kDirMagic = 0x31524450;  // "PDR1"
inline constexpr std::uint32_t kDirSlots = 64;
inline constexpr std::uint32_t kDirSlotSize = 64;

struct DirHeader {
  Le32 magic;
  Le32 reserved0;
  Le64 owner;  // inode of the directory
  Le64 generation;
  Le64 index;  // logical block
  Le64 used;   // bit i: slot i is taken (bit 0 always)
  Le64 heads;  // bit i: slot i starts an entry; a subset of used
  std::uint8_t reserved[12];
  Le32 crc;
};

struct Dentry {
  Le32 crc;   // over all that follows, to the end of the name
  Le32 hash;  // crc32c of the name, seed 0
  Le64 ino;
  std::uint8_t type;      // DT_*
  std::uint8_t name_len;  // 1 to 255
  std::uint8_t reserved[6];
  // the name follows, without a terminator
};

// --- Blobs: chains of blocks for xattrs and long symlink targets --------------------------------

inline constexpr std::uint32_t kBlobMagic = 0x31424C50;  // "PLB1"
inline constexpr std::uint32_t kBlobPayload = 4032;

struct BlobBlock {
  Le32 magic;
  Le32 length;  // bytes used of data
  Le64 owner;   // inode
  Le64 generation;
  Le64 next;   // block, 0: last
  Le64 total;  // bytes of the whole blob, the same in each block
  std::uint8_t reserved[20];
  Le32 crc;  // over the header before it, then over `length` bytes of data
  std::uint8_t data[kBlobPayload];
};

// An xattr blob is a sequence of these, each followed by its name and its value (unless the value
// is a blob of its own), unaligned.
struct XattrRecord {
  Le32 value_len;
  Le16 name_len;  // with the namespace prefix
  Le16 reserved;
  Le64 value_blob;  // first block of a blob that holds the value, 0: the value follows the name
};
inline constexpr std::uint32_t kXattrInlineMax = 1024;  // longer values get a blob of their own

// --- Snapshot: what a scan of the inode table would find, left by a clean unmount ---------------
// In a run of free blocks; void from the first transaction on. Header, then `free_runs` runs of
// free blocks and `free_inode_runs` runs of free inode numbers (both SnapshotRun, ascending).

inline constexpr std::uint32_t kSnapshotMagic = 0x314E5350;  // "PSN1"

struct SnapshotRun {
  Le64 start;
  Le64 count;
};

struct SnapshotHeader {
  Le32 magic;
  Le32 reserved0;
  Le64 update;  // Superblock::update of the superblock that points here
  Le64 free_runs;
  Le64 free_inode_runs;
  Le64 inodes_used;
  Le64 inode_limit;    // inode numbers below this have a chunk
  Le64 durable_bytes;  // sum of durable_len
  std::uint8_t reserved[4];
  Le32 crc;  // over the header before it, then over the runs
};

// --- Frozen layout -------------------------------------------------------------------------------

template <typename T, std::size_t kSize>
inline constexpr bool kOnMedia =
    sizeof(T) == kSize&& std::is_trivially_copyable_v<T>&& std::is_standard_layout_v<T>;

static_assert(kOnMedia<Superblock, kBlockSize> && offsetof(Superblock, crc) == 4092);
static_assert(offsetof(Superblock, uuid) == 40 && offsetof(Superblock, label) == 56);
static_assert(offsetof(Superblock, region_blocks) == 136 &&
              offsetof(Superblock, inode_root) == 160);
static_assert(offsetof(Superblock, state) == 192 && offsetof(Superblock, made_by) == 256);
static_assert(offsetof(Superblock, device_alignment) == 288 &&
              offsetof(Superblock, inode_root_copy) == 296 && offsetof(Superblock, bad) == 312);
static_assert(kOnMedia<BadRun, 16>);
static_assert(kOnMedia<LaneHeader, 64> && offsetof(LaneHeader, crc) == 60);
static_assert(kOnMedia<LaneRecord, 16>);
static_assert(kOnMedia<IndexBlock, kBlockSize> && offsetof(IndexBlock, child) == 64);
static_assert(kOnMedia<Extent, 24> && kOnMedia<HostPlace, 72>);
static_assert(kOnMedia<Inode, 256> && offsetof(Inode, crc) == 252);
static_assert(offsetof(Inode, size) == 40 && offsetof(Inode, atime_sec) == 56);
static_assert(offsetof(Inode, atime_nsec) == 88 && offsetof(Inode, host_atime_sec) == 104);
static_assert(offsetof(Inode, xattrs) == 128 && offsetof(Inode, extents) == 168);
static_assert(kOnMedia<ExtentSlot, 32> && kOnMedia<ExtentBlock, kBlockSize>);
static_assert(offsetof(ExtentBlock, slots) == 64);
static_assert(kOnMedia<DirHeader, kDirSlotSize> && offsetof(DirHeader, crc) == 60);
static_assert(kOnMedia<Dentry, 24>);
static_assert(kOnMedia<BlobBlock, kBlockSize> && offsetof(BlobBlock, data) == 64);
static_assert(kOnMedia<XattrRecord, 16>);
static_assert(kOnMedia<SnapshotRun, 16> && kOnMedia<SnapshotHeader, 64>);

}  // namespace pmemfs::format
