// Vocabulary shared by all layers: strong indices, times, callers.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>

namespace pmemfs {

// A 64-bit index that does not mix with others. Tag only names the kind.
template <typename Tag>
struct Index {
  std::uint64_t value = 0;

  constexpr Index() = default;
  constexpr explicit Index(std::uint64_t v) : value(v) {}
  constexpr auto operator<=>(const Index&) const = default;  // NOLINT(modernize-use-nullptr)
  constexpr explicit operator bool() const { return value != 0; }
};

using BlockNo = Index<struct BlockNoTag>;  // 4 KiB block of the region; 0 (a superblock) means none
using InodeNo = Index<struct InodeNoTag>;  // 0 means none, 1 is the root directory
using ByteOff = Index<struct ByteOffTag>;  // bytes from the start of the region

inline constexpr InodeNo kRootInode{1};

// A run of blocks, `count` ≥ 1 unless empty.
struct BlockRun {
  BlockNo start;
  std::uint64_t count = 0;

  [[nodiscard]] constexpr bool empty() const { return count == 0; }
  [[nodiscard]] constexpr BlockNo end() const { return BlockNo(start.value + count); }
  [[nodiscard]] constexpr bool contains(BlockNo b) const { return b >= start && b < end(); }
  [[nodiscard]] constexpr bool overlaps(const BlockRun& o) const {
    return start < o.end() && o.start < end();
  }
  constexpr bool operator==(const BlockRun&) const = default;
};

// Seconds since 1970 (negative before) and 0 ≤ nsec < 1e9, as struct timespec.
struct Timestamp {
  std::int64_t sec = 0;
  std::uint32_t nsec = 0;

  constexpr auto operator<=>(const Timestamp&) const = default;  // NOLINT(modernize-use-nullptr)
};

// Who asks: the fsuid, fsgid, pid and umask of a request. pid 0 means unknown.
struct Caller {
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::int32_t pid = 0;
  std::uint32_t umask = 0;
};

}  // namespace pmemfs

template <typename Tag>
struct std::hash<pmemfs::Index<Tag>> {
  std::size_t operator()(pmemfs::Index<Tag> i) const noexcept {
    return static_cast<std::size_t>(i.value * 0x9E3779B97F4A7C15ULL >> 16U);
  }
};
