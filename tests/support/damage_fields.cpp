// The members of each structure, by name.
#include <array>
#include <stdexcept>

#include "support/damage.hpp"

namespace pmemfs::test {
namespace {

using namespace pmemfs::format;  // NOLINT(google-build-using-namespace)

// offsetof of a member, with its size.
#define PMEMFS_FIELD(type, member)                        \
  Field {                                                 \
#member, offsetof(type, member), sizeof(type::member) \
  }
#define PMEMFS_ELEMENT(type, member, i)                                         \
  Field {                                                                       \
#member "[" #i "]", offsetof(type, member) + (i) * sizeof(type::member[0]), \
        sizeof(type::member[0])                                                 \
  }

constexpr std::array kSuperblockFields{PMEMFS_FIELD(Superblock, magic),
                                       PMEMFS_FIELD(Superblock, version),
                                       PMEMFS_FIELD(Superblock, block_size),
                                       PMEMFS_FIELD(Superblock, compat),
                                       PMEMFS_FIELD(Superblock, ro_compat),
                                       PMEMFS_FIELD(Superblock, incompat),
                                       PMEMFS_FIELD(Superblock, uuid),
                                       PMEMFS_FIELD(Superblock, label),
                                       PMEMFS_FIELD(Superblock, update),
                                       PMEMFS_FIELD(Superblock, kind),
                                       PMEMFS_FIELD(Superblock, flags),
                                       PMEMFS_FIELD(Superblock, region_blocks),
                                       PMEMFS_FIELD(Superblock, lane_start),
                                       PMEMFS_FIELD(Superblock, lane_count),
                                       PMEMFS_FIELD(Superblock, lane_blocks),
                                       PMEMFS_FIELD(Superblock, inode_root),
                                       PMEMFS_FIELD(Superblock, inode_root_copy),
                                       PMEMFS_FIELD(Superblock, next_generation),
                                       PMEMFS_FIELD(Superblock, snapshot),
                                       PMEMFS_FIELD(Superblock, snapshot_blocks),
                                       PMEMFS_FIELD(Superblock, state),
                                       PMEMFS_FIELD(Superblock, owner_pid),
                                       PMEMFS_FIELD(Superblock, owner_boot),
                                       PMEMFS_FIELD(Superblock, suspect_boot),
                                       PMEMFS_FIELD(Superblock, mount_count),
                                       PMEMFS_FIELD(Superblock, made_at),
                                       PMEMFS_FIELD(Superblock, mounted_at),
                                       PMEMFS_FIELD(Superblock, made_by),
                                       PMEMFS_FIELD(Superblock, device_alignment),
                                       PMEMFS_FIELD(Superblock, reserved)};

constexpr std::array kLaneHeaderFields{
    PMEMFS_FIELD(LaneHeader, sequence), PMEMFS_FIELD(LaneHeader, magic),
    PMEMFS_FIELD(LaneHeader, count), PMEMFS_FIELD(LaneHeader, bytes),
    PMEMFS_FIELD(LaneHeader, reserved)};

constexpr std::array kLaneRecordFields{PMEMFS_FIELD(LaneRecord, offset),
                                       PMEMFS_FIELD(LaneRecord, length),
                                       PMEMFS_FIELD(LaneRecord, reserved)};

constexpr std::array kIndexBlockFields{
    PMEMFS_FIELD(IndexBlock, magic),      PMEMFS_FIELD(IndexBlock, level),
    PMEMFS_FIELD(IndexBlock, reserved),   PMEMFS_ELEMENT(IndexBlock, child, 0),
    PMEMFS_ELEMENT(IndexBlock, child, 1), PMEMFS_ELEMENT(IndexBlock, child, 503)};

constexpr std::array kInodeFields{PMEMFS_FIELD(Inode, ino),
                                  PMEMFS_FIELD(Inode, generation),
                                  PMEMFS_FIELD(Inode, mode),
                                  PMEMFS_FIELD(Inode, flags),
                                  PMEMFS_FIELD(Inode, uid),
                                  PMEMFS_FIELD(Inode, gid),
                                  PMEMFS_FIELD(Inode, nlink),
                                  PMEMFS_FIELD(Inode, rdev),
                                  PMEMFS_FIELD(Inode, size),
                                  PMEMFS_FIELD(Inode, durable_len),
                                  PMEMFS_FIELD(Inode, atime_sec),
                                  PMEMFS_FIELD(Inode, mtime_sec),
                                  PMEMFS_FIELD(Inode, ctime_sec),
                                  PMEMFS_FIELD(Inode, btime_sec),
                                  PMEMFS_FIELD(Inode, atime_nsec),
                                  PMEMFS_FIELD(Inode, mtime_nsec),
                                  PMEMFS_FIELD(Inode, ctime_nsec),
                                  PMEMFS_FIELD(Inode, btime_nsec),
                                  PMEMFS_FIELD(Inode, host_atime_sec),
                                  PMEMFS_FIELD(Inode, host_mtime_sec),
                                  PMEMFS_FIELD(Inode, host_atime_nsec),
                                  PMEMFS_FIELD(Inode, host_mtime_nsec),
                                  PMEMFS_FIELD(Inode, xattrs),
                                  PMEMFS_FIELD(Inode, data),
                                  PMEMFS_FIELD(Inode, data_blocks),
                                  PMEMFS_FIELD(Inode, entries),
                                  PMEMFS_FIELD(Inode, parent),
                                  PMEMFS_FIELD(Inode, extents[0].logical),
                                  PMEMFS_FIELD(Inode, extents[0].physical),
                                  PMEMFS_FIELD(Inode, extents[0].count),
                                  PMEMFS_FIELD(Inode, extents[0].flags),
                                  PMEMFS_FIELD(Inode, extents[1].logical),
                                  PMEMFS_FIELD(Inode, extents[1].physical),
                                  PMEMFS_FIELD(Inode, extents[1].count),
                                  PMEMFS_FIELD(Inode, extents[2].physical),
                                  PMEMFS_FIELD(Inode, extents[2].count),
                                  PMEMFS_FIELD(Inode, reserved)};

constexpr std::array kExtentBlockFields{
    PMEMFS_FIELD(ExtentBlock, magic),     PMEMFS_FIELD(ExtentBlock, reserved0),
    PMEMFS_FIELD(ExtentBlock, owner),     PMEMFS_FIELD(ExtentBlock, generation),
    PMEMFS_FIELD(ExtentBlock, next),      PMEMFS_ELEMENT(ExtentBlock, used, 0),
    PMEMFS_ELEMENT(ExtentBlock, used, 1), PMEMFS_FIELD(ExtentBlock, reserved)};

constexpr std::array kExtentSlotFields{
    PMEMFS_FIELD(ExtentSlot, extent.logical), PMEMFS_FIELD(ExtentSlot, extent.physical),
    PMEMFS_FIELD(ExtentSlot, extent.count), PMEMFS_FIELD(ExtentSlot, extent.flags),
    PMEMFS_FIELD(ExtentSlot, reserved)};

constexpr std::array kDirHeaderFields{
    PMEMFS_FIELD(DirHeader, magic), PMEMFS_FIELD(DirHeader, reserved0),
    PMEMFS_FIELD(DirHeader, owner), PMEMFS_FIELD(DirHeader, generation),
    PMEMFS_FIELD(DirHeader, index), PMEMFS_FIELD(DirHeader, used),
    PMEMFS_FIELD(DirHeader, heads), PMEMFS_FIELD(DirHeader, reserved)};

// What follows is the first byte of the name.
constexpr std::array kDentryFields{
    PMEMFS_FIELD(Dentry, hash),     PMEMFS_FIELD(Dentry, ino),
    PMEMFS_FIELD(Dentry, type),     PMEMFS_FIELD(Dentry, name_len),
    PMEMFS_FIELD(Dentry, reserved), Field{"name[0]", sizeof(Dentry), 1}};

constexpr std::array kBlobBlockFields{
    PMEMFS_FIELD(BlobBlock, magic),    PMEMFS_FIELD(BlobBlock, length),
    PMEMFS_FIELD(BlobBlock, owner),    PMEMFS_FIELD(BlobBlock, generation),
    PMEMFS_FIELD(BlobBlock, next),     PMEMFS_FIELD(BlobBlock, total),
    PMEMFS_FIELD(BlobBlock, reserved), PMEMFS_ELEMENT(BlobBlock, data, 0)};

// What follows is the first byte of the name.
constexpr std::array kXattrRecordFields{
    PMEMFS_FIELD(XattrRecord, value_len), PMEMFS_FIELD(XattrRecord, name_len),
    PMEMFS_FIELD(XattrRecord, reserved), PMEMFS_FIELD(XattrRecord, value_blob),
    Field{"name[0]", sizeof(XattrRecord), 1}};

constexpr std::array kSnapshotHeaderFields{
    PMEMFS_FIELD(SnapshotHeader, magic),           PMEMFS_FIELD(SnapshotHeader, reserved0),
    PMEMFS_FIELD(SnapshotHeader, update),          PMEMFS_FIELD(SnapshotHeader, free_runs),
    PMEMFS_FIELD(SnapshotHeader, free_inode_runs), PMEMFS_FIELD(SnapshotHeader, inodes_used),
    PMEMFS_FIELD(SnapshotHeader, inode_limit),     PMEMFS_FIELD(SnapshotHeader, durable_bytes),
    PMEMFS_FIELD(SnapshotHeader, reserved)};

constexpr std::array kSnapshotRunFields{PMEMFS_FIELD(SnapshotRun, start),
                                        PMEMFS_FIELD(SnapshotRun, count)};

#undef PMEMFS_FIELD
#undef PMEMFS_ELEMENT

struct Shape {
  std::string_view name;
  std::span<const Field> fields;
  std::size_t size;
  std::size_t crc;
};

constexpr std::size_t kNoCrc = SIZE_MAX;

// In the order of Kind.
constexpr std::array kShapes{
    Shape{"superblock", kSuperblockFields, sizeof(Superblock), offsetof(Superblock, crc)},
    Shape{"lane header", kLaneHeaderFields, sizeof(LaneHeader), offsetof(LaneHeader, crc)},
    Shape{"lane record", kLaneRecordFields, sizeof(LaneRecord), kNoCrc},
    Shape{"index block", kIndexBlockFields, sizeof(IndexBlock), offsetof(IndexBlock, crc)},
    Shape{"inode", kInodeFields, sizeof(Inode), offsetof(Inode, crc)},
    Shape{"extent block", kExtentBlockFields, sizeof(ExtentBlock), offsetof(ExtentBlock, crc)},
    Shape{"extent slot", kExtentSlotFields, sizeof(ExtentSlot), offsetof(ExtentSlot, crc)},
    Shape{"directory header", kDirHeaderFields, sizeof(DirHeader), offsetof(DirHeader, crc)},
    Shape{"directory entry", kDentryFields, sizeof(Dentry), offsetof(Dentry, crc)},
    Shape{"blob block", kBlobBlockFields, sizeof(BlobBlock), offsetof(BlobBlock, crc)},
    Shape{"xattr record", kXattrRecordFields, sizeof(XattrRecord), kNoCrc},
    Shape{"snapshot header", kSnapshotHeaderFields, sizeof(SnapshotHeader),
          offsetof(SnapshotHeader, crc)},
    Shape{"snapshot run", kSnapshotRunFields, sizeof(SnapshotRun), kNoCrc}};

const Shape& shape(Kind kind) {
  return kShapes.at(static_cast<std::size_t>(kind));
}

}  // namespace

std::string_view to_string(Kind kind) {
  return shape(kind).name;
}

std::span<const Field> fields_of(Kind kind) {
  return shape(kind).fields;
}

std::size_t size_of(Kind kind) {
  return shape(kind).size;
}

std::size_t crc_offset(Kind kind) {
  const std::size_t offset = shape(kind).crc;
  return offset != kNoCrc ? offset
                          : throw std::out_of_range("a structure without a crc of its own");
}

}  // namespace pmemfs::test
