// Whose files they are, as a guest counts and as the filesystem counts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace pmemfs::fuse {

inline constexpr std::uint32_t kNoId = UINT32_MAX;  // nobody at all: has no rights, owns nothing
inline constexpr std::uint32_t kOverflowId =
    65'534;  // shown for an owner that the guest has no id for

// Users or groups of one guest. Ids are the same on both sides unless ranges or `squash` are set.
struct IdMap {
  struct Range {
    std::uint32_t guest = 0;
    std::uint32_t host = 0;
    std::uint32_t count = 0;  // guest + count and host + count do not exceed 2^32 - 1
  };
  std::vector<Range> ranges{};            // not overlapping on either side
  std::optional<std::uint32_t> squash{};  // everybody in the guest is this one; ranges do not count

  [[nodiscard]] bool identity() const { return ranges.empty() && !squash; }
  // Whether somebody in the guest is this one, and how many there are of whom that can be said.
  [[nodiscard]] bool reaches(std::uint32_t host) const;
  [[nodiscard]] std::uint64_t reach() const;
  // kNoId when the guest's id is in no range.
  [[nodiscard]] std::uint32_t to_host(std::uint32_t guest) const;
  // kOverflowId when the id is in no range. Squashed guests see the owners as they are.
  [[nodiscard]] std::uint32_t to_guest(std::uint32_t host) const;
};

// The ids in a list of the kernel's xattr form (system.posix_acl_*), in place. False, and
// unfinished, when one has no counterpart; what is no such list is left alone.
enum class Direction : std::uint8_t { kToHost, kToGuest };
bool translate_acl(std::span<std::byte> list, const IdMap& users, const IdMap& groups,
                   Direction direction);

}  // namespace pmemfs::fuse
