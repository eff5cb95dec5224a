// POSIX access control lists in the kernel's xattr form (version 2): reading, checking, and their
// dealings with mode bits as POSIX.1e draft 17 and acl(5) tell.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "pmemfs/result.hpp"

namespace pmemfs::store {

inline constexpr std::string_view kAclAccess = "system.posix_acl_access";
inline constexpr std::string_view kAclDefault = "system.posix_acl_default";

enum class AclTag : std::uint16_t {
  kUserObj = 0x01,
  kUser = 0x02,
  kGroupObj = 0x04,
  kGroup = 0x08,
  kMask = 0x10,
  kOther = 0x20,
};

struct AclEntry {
  AclTag tag = AclTag::kOther;
  std::uint16_t perm = 0;  // rwx bits, 0 to 7
  std::uint32_t id = 0;    // of kUser and kGroup, else 0xFFFFFFFF
};

class Acl {
 public:
  // EINVAL for anything that is not a valid list: order, counts, missing mask.
  static Result<Acl> parse(std::span<const std::byte> xattr);
  [[nodiscard]] std::vector<std::byte> serialize() const;
  // Ascending by tag.
  [[nodiscard]] std::span<const AclEntry> entries() const { return entries_; }

  // True when the list says nothing that mode bits do not.
  [[nodiscard]] bool minimal() const;
  // The rwxrwxrwx bits that stand for the list: group is the mask where there is one.
  [[nodiscard]] std::uint32_t mode_bits() const;
  // chmod: owner, mask (or group), other take the bits of `mode`.
  void apply_mode(std::uint32_t mode);
  // A new object under a default list: the list masked by `mode`; returns the object's mode bits.
  std::uint32_t inherit(std::uint32_t mode);

 private:
  std::vector<AclEntry> entries_;

  [[nodiscard]] bool valid() const;
  AclEntry* find(AclTag tag);
  [[nodiscard]] const AclEntry* find(AclTag tag) const;
};

}  // namespace pmemfs::store
