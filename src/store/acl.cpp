#include "store/acl.hpp"

#include <algorithm>
#include <array>
#include <cstring>

namespace pmemfs::store {

namespace {

constexpr std::uint32_t kVersion = 2;
constexpr std::uint32_t kNoId = 0xFFFFFFFF;
constexpr std::size_t kHeaderSize = 4;
constexpr std::size_t kEntrySize = 8;

struct WireEntry {
  std::uint16_t tag;
  std::uint16_t perm;
  std::uint32_t id;
};
static_assert(sizeof(WireEntry) == kEntrySize);

bool has_id(AclTag tag) {
  return tag == AclTag::kUser || tag == AclTag::kGroup;
}

bool known(std::uint16_t tag) {
  constexpr std::array<std::uint16_t, 6> kTags{0x01, 0x02, 0x04, 0x08, 0x10, 0x20};
  return std::find(kTags.begin(), kTags.end(), tag) != kTags.end();
}

}  // namespace

Result<Acl> Acl::parse(std::span<const std::byte> xattr) {
  std::uint32_t version = 0;
  if (xattr.size() < kHeaderSize || (xattr.size() - kHeaderSize) % kEntrySize != 0) {
    return Error(EINVAL);
  }
  std::memcpy(&version, xattr.data(), sizeof version);
  if (version != kVersion) {
    return Error(EOPNOTSUPP);
  }
  Acl acl;
  for (std::size_t at = kHeaderSize; at < xattr.size(); at += kEntrySize) {
    WireEntry wire{};
    std::memcpy(&wire, xattr.data() + at, sizeof wire);
    if (!known(wire.tag) || wire.perm > 7) {
      return Error(EINVAL);
    }
    const auto tag = static_cast<AclTag>(wire.tag);
    acl.entries_.push_back({tag, wire.perm, has_id(tag) ? wire.id : kNoId});
  }
  if (!acl.valid()) {
    return Error(EINVAL);
  }
  return acl;
}

// Ascending by tag (the kernel's order), one of each of the obligatory entries, a mask when there
// are named ones. Named entries may come in any order of ids.
bool Acl::valid() const {
  if (entries_.empty()) {
    return true;  // "no list": setxattr of an empty one removes it
  }
  const auto count = [this](AclTag tag) {
    return std::count_if(entries_.begin(), entries_.end(),
                         [tag](const AclEntry& e) { return e.tag == tag; });
  };
  const bool ordered =
      std::is_sorted(entries_.begin(), entries_.end(),
                     [](const AclEntry& a, const AclEntry& b) { return a.tag < b.tag; });
  const bool named = count(AclTag::kUser) + count(AclTag::kGroup) != 0;
  const auto masks = count(AclTag::kMask);
  return ordered && count(AclTag::kUserObj) == 1 && count(AclTag::kGroupObj) == 1 &&
         count(AclTag::kOther) == 1 && masks <= 1 && (!named || masks == 1);
}

std::vector<std::byte> Acl::serialize() const {
  std::vector<std::byte> out(kHeaderSize + entries_.size() * kEntrySize);
  std::memcpy(out.data(), &kVersion, sizeof kVersion);
  std::byte* at = out.data() + kHeaderSize;
  for (const AclEntry& e : entries_) {
    const WireEntry wire{static_cast<std::uint16_t>(e.tag), e.perm, e.id};
    std::memcpy(at, &wire, sizeof wire);
    at += kEntrySize;
  }
  return out;
}

AclEntry* Acl::find(AclTag tag) {
  const auto found = std::find_if(entries_.begin(), entries_.end(),
                                  [tag](const AclEntry& e) { return e.tag == tag; });
  return found == entries_.end() ? nullptr : &*found;
}

const AclEntry* Acl::find(AclTag tag) const {
  return const_cast<Acl*>(this)->find(tag);
}

bool Acl::minimal() const {
  return std::all_of(entries_.begin(), entries_.end(), [](const AclEntry& e) {
    return e.tag == AclTag::kUserObj || e.tag == AclTag::kGroupObj || e.tag == AclTag::kOther;
  });
}

std::uint32_t Acl::mode_bits() const {
  const AclEntry* group = find(AclTag::kMask);
  if (group == nullptr) {
    group = find(AclTag::kGroupObj);
  }
  const AclEntry* user = find(AclTag::kUserObj);
  const AclEntry* other = find(AclTag::kOther);
  if (user == nullptr || group == nullptr || other == nullptr) {
    return 0;
  }
  return static_cast<std::uint32_t>(user->perm << 6 | group->perm << 3 | other->perm);
}

void Acl::apply_mode(std::uint32_t mode) {
  if (entries_.empty()) {
    return;
  }
  AclEntry* group = find(AclTag::kMask);
  if (group == nullptr) {
    group = find(AclTag::kGroupObj);
  }
  find(AclTag::kUserObj)->perm = static_cast<std::uint16_t>(mode >> 6U & 7U);
  group->perm = static_cast<std::uint16_t>(mode >> 3U & 7U);
  find(AclTag::kOther)->perm = static_cast<std::uint16_t>(mode & 7U);
}

std::uint32_t Acl::inherit(std::uint32_t mode) {
  apply_mode(mode & mode_bits());
  return mode_bits();
}

}  // namespace pmemfs::store
