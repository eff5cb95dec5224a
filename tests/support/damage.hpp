// Damage to the structures of a region, for tests: finds them in a well-formed image, changes them
// and makes the checksums right again, so that the damage lies behind a crc that holds.
//
// An image is the plain bytes of a region. All offsets are bytes from its start. Nothing here asks
// whether the result makes sense; whatever lies outside the image is left out, so an image that is
// damaged already may be surveyed again. Pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

#include "pmemfs/format.hpp"
#include "pmemfs/types.hpp"

namespace pmemfs::test {

enum class Kind : std::uint8_t {
  kSuperblock,
  kLaneHeader,  // of lanes in use
  kLaneRecord,
  kIndexBlock,
  kInode,  // in use
  kExtentBlock,
  kExtentSlot,  // in use
  kDirHeader,
  kDentry,
  kBlobBlock,
  kXattrRecord,  // those that do not cross from one blob block into the next
  kSnapshotHeader,
  kSnapshotRun,
};
[[nodiscard]] std::string_view to_string(Kind kind);

// Where one structure lies, and the one that begins with what its crc covers: itself, or the lane
// header, blob block or snapshot header that it is part of.
struct Structure {
  Kind kind{};
  std::uint64_t at = 0;
  std::uint64_t sealed_at = 0;
  Kind sealed_kind{};
  std::uint64_t owner = 0;  // inode that it is or belongs to; 0: none
};

// A member of a structure. Arrays have an entry for each element that stands for others.
struct Field {
  std::string_view name;
  std::size_t offset = 0;
  std::size_t size = 0;  // bytes; numbers have 1, 2, 4 or 8
};

// All members but the crc, which reseal() would undo.
[[nodiscard]] std::span<const Field> fields_of(Kind kind);
[[nodiscard]] std::size_t size_of(Kind kind);
[[nodiscard]] std::size_t crc_offset(Kind kind);  // of one that is sealed by itself

// Everything that the newest superblock leads to, each structure once, in the order in which it is
// found: superblocks, lanes, index, then inode by inode with what belongs to it, the snapshot.
[[nodiscard]] std::vector<Structure> survey(std::span<const std::byte> image);

// The first of this kind that belongs to `owner` (0: whomever). Throws std::out_of_range.
[[nodiscard]] Structure find_structure(std::span<const std::byte> image, Kind kind,
                                       std::uint64_t owner = 0);
[[nodiscard]] std::vector<Structure> structures_of(std::span<const std::byte> image, Kind kind,
                                                   std::uint64_t owner = 0);
// The entry `name` of directory `dir`. Throws std::out_of_range.
[[nodiscard]] Structure find_dentry(std::span<const std::byte> image, std::uint64_t dir,
                                    std::string_view name);

// Makes the crc right that covers the structure. Lengths that decide what a crc covers are taken
// as far as there is room.
void reseal(std::span<std::byte> image, const Structure& s);

// Numbers of 1 to 8 bytes, little-endian.
[[nodiscard]] std::uint64_t load_number(std::span<const std::byte> image, std::uint64_t at,
                                        std::size_t size);
void store_number(std::span<std::byte> image, std::uint64_t at, std::size_t size,
                  std::uint64_t value);

template <typename T>
[[nodiscard]] T load_as(std::span<const std::byte> image, std::uint64_t at) {
  T t{};
  std::memcpy(&t, image.subspan(at, sizeof(T)).data(), sizeof(T));
  return t;
}

// f(T&) changes the structure, whose crc is then made right.
template <typename T, typename F>
void alter(std::span<std::byte> image, const Structure& s, F&& f) {
  T t = load_as<T>(image, s.at);
  f(t);
  std::memcpy(image.subspan(s.at, sizeof(T)).data(), &t, sizeof(T));
  reseal(image, s);
}

// Both superblocks alike.
template <typename F>
void alter_superblocks(std::span<std::byte> image, F&& f) {
  for (const Structure& s : structures_of(image, Kind::kSuperblock)) {
    alter<format::Superblock>(image, s, f);
  }
}

}  // namespace pmemfs::test
