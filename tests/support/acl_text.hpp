#pragma once

// POSIX ACLs as the kernel takes them in system.posix_acl_access and system.posix_acl_default.

#include <cstdint>
#include <initializer_list>
#include <string>

namespace pmemfs::test {

inline constexpr const char* kAccessAcl = "system.posix_acl_access";
inline constexpr const char* kDefaultAcl = "system.posix_acl_default";

enum class AclTag : std::uint16_t {
  kUserObj = 0x01,
  kUser = 0x02,
  kGroupObj = 0x04,
  kGroup = 0x08,
  kMask = 0x10,
  kOther = 0x20,
};

struct AclEntry {
  AclTag tag = AclTag::kUserObj;
  std::uint16_t permissions = 0;  // 0 to 7
  std::uint32_t id = 0xffffffff;
};

// The binary form, entries as given (the kernel wants them sorted by tag, then id).
std::string encode_acl(std::initializer_list<AclEntry> entries);
// Readable: "u::rw- u:2001:r-- g::r-- m::rw- o::---". "malformed" when it is not an ACL.
std::string decode_acl(const std::string& binary);
// From the readable form.
std::string acl(const std::string& text);

}  // namespace pmemfs::test
