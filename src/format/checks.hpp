// Checksums of the structures in pmemfs/format.hpp. seal() computes and stores a crc, valid() tells
// whether the stored one is right. Neither looks at anything but the crc and, for structures of
// variable size, the length it depends on. Pure functions: thread-safe as memory is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "pmemfs/format.hpp"

namespace pmemfs::format {

void seal(Superblock& s);
[[nodiscard]] bool valid(const Superblock& s);

void seal(Inode& i);
[[nodiscard]] bool valid(const Inode& i);

void seal(IndexBlock& b);
[[nodiscard]] bool valid(const IndexBlock& b);

void seal(ExtentSlot& s);
[[nodiscard]] bool valid(const ExtentSlot& s);

// The header of an extent block; its slots have crcs of their own.
void seal(ExtentBlock& b);
[[nodiscard]] bool valid(const ExtentBlock& b);

void seal(DirHeader& h);
[[nodiscard]] bool valid(const DirHeader& h);

// `name` are the bytes after the Dentry. valid() does not compare its length with name_len.
void seal(Dentry& d, std::string_view name);
[[nodiscard]] bool valid(const Dentry& d, std::string_view name);

// valid() is false when `length` exceeds the payload.
void seal(BlobBlock& b);
[[nodiscard]] bool valid(const BlobBlock& b);

// `records` are the `bytes` bytes after the header.
void seal(LaneHeader& h, const void* records, std::size_t bytes);
[[nodiscard]] bool valid(const LaneHeader& h, const void* records, std::size_t bytes);

// `runs` are the `bytes` bytes after the header.
void seal(SnapshotHeader& h, const void* runs, std::size_t bytes);
[[nodiscard]] bool valid(const SnapshotHeader& h, const void* runs, std::size_t bytes);

// Dentry::hash.
[[nodiscard]] std::uint32_t name_hash(std::string_view name);

// Slots of a directory block that an entry with a name of `length` bytes takes: 1 to 5.
[[nodiscard]] constexpr std::uint32_t dentry_slots(std::size_t length) {
  return static_cast<std::uint32_t>((sizeof(Dentry) + length + kDirSlotSize - 1) / kDirSlotSize);
}
static_assert(dentry_slots(1) == 1 && dentry_slots(kMaxName) == 5);

}  // namespace pmemfs::format
