#include "fuse/id_map.hpp"

#include <algorithm>
#include <cstring>

#include "store/acl.hpp"

namespace pmemfs::fuse {
namespace {

// One entry of the list, after a header of four bytes.
struct WireEntry {
  std::uint16_t tag;
  std::uint16_t perm;
  std::uint32_t id;
};
constexpr std::size_t kListHeader = 4;

bool holds(std::uint32_t begin, std::uint32_t count, std::uint32_t id) {
  return id >= begin && id - begin < count;
}

}  // namespace

bool IdMap::reaches(std::uint32_t host) const {
  if (squash) {
    return host == *squash;
  }
  return ranges.empty() || std::any_of(ranges.begin(), ranges.end(), [host](const Range& range) {
           return holds(range.host, range.count, host);
         });
}

std::uint64_t IdMap::reach() const {
  if (squash) {
    return 1;
  }
  std::uint64_t sum = 0;
  for (const Range& range : ranges) {
    sum += range.count;
  }
  return ranges.empty() ? kNoId : sum;
}

std::uint32_t IdMap::to_host(std::uint32_t guest) const {
  if (squash) {
    return *squash;
  }
  if (ranges.empty()) {
    return guest;
  }
  for (const Range& range : ranges) {
    if (holds(range.guest, range.count, guest)) {
      return range.host + (guest - range.guest);
    }
  }
  return kNoId;
}

std::uint32_t IdMap::to_guest(std::uint32_t host) const {
  if (squash || ranges.empty()) {
    return host;
  }
  for (const Range& range : ranges) {
    if (holds(range.host, range.count, host)) {
      return range.guest + (host - range.host);
    }
  }
  return kOverflowId;
}

bool translate_acl(std::span<std::byte> list, const IdMap& users, const IdMap& groups,
                   Direction direction) {
  for (std::size_t at = kListHeader;
       list.size() >= sizeof(WireEntry) && at <= list.size() - sizeof(WireEntry);
       at += sizeof(WireEntry)) {
    WireEntry entry{};
    std::memcpy(&entry, list.data() + at, sizeof entry);
    const bool user = entry.tag == static_cast<std::uint16_t>(store::AclTag::kUser);
    if (!user && entry.tag != static_cast<std::uint16_t>(store::AclTag::kGroup)) {
      continue;
    }
    const IdMap& map = user ? users : groups;
    entry.id = direction == Direction::kToHost ? map.to_host(entry.id) : map.to_guest(entry.id);
    if (entry.id == kNoId) {
      return false;
    }
    std::memcpy(list.data() + at, &entry, sizeof entry);
  }
  return true;
}

}  // namespace pmemfs::fuse
