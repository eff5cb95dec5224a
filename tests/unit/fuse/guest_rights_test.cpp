// What a guest may do to an inode when its users are not the filesystem's, against the same of one
// user after the other.
#include "fuse/guest_rights.hpp"

#include <sys/stat.h>

#include <random>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fuse/id_map.hpp"
#include "store/acl.hpp"
#include "support/acl_text.hpp"
#include "unit/fuse/guest_rig.hpp"

namespace pmemfs::test {
namespace {

using fuse::GuestRights;
using fuse::IdMap;

// The search of acl(5), for one user.
bool one_may(const Permissions& inode, std::uint32_t uid, std::uint32_t gid, unsigned rights) {
  const auto grants = [&](unsigned perm) {
    return (perm & rights) == rights;
  };
  if (uid == inode.uid) {
    return grants(inode.mode >> 6U);
  }
  if (inode.acl.empty()) {
    return grants(gid == inode.gid ? inode.mode >> 3U : inode.mode);
  }
  const store::Acl acl = store::Acl::parse(inode.acl).value();
  unsigned mask = 7;
  for (const store::AclEntry& entry : acl.entries()) {
    mask = entry.tag == store::AclTag::kMask ? entry.perm : mask;
  }
  bool in_group = false;
  for (const store::AclEntry& entry : acl.entries()) {
    if (entry.tag == store::AclTag::kUser && entry.id == uid) {
      return grants(entry.perm & mask);
    }
    const bool fits = (entry.tag == store::AclTag::kGroupObj && gid == inode.gid) ||
                      (entry.tag == store::AclTag::kGroup && gid == entry.id);
    in_group = in_group || fits;
    if (fits && grants(entry.perm & mask)) {
      return true;
    }
  }
  return !in_group && grants(inode.mode);
}

class RandomInodes {
 public:
  Permissions next() {
    Permissions inode{S_IFREG | number(0777), number(6), number(6), {}};
    if (number(1) == 0) {
      return inode;
    }
    std::string text = "u::" + triple(inode.mode >> 6U);
    const auto named = [&](std::string_view tag) {
      for (std::uint32_t i = number(2); i > 0; --i) {
        text += " " + std::string(tag) + ":" + std::to_string(number(6)) + ":" + triple(number(7));
      }
    };
    named("u");
    text += " g::" + triple(number(7));
    named("g");
    text += " m::" + triple(inode.mode >> 3U) + " o::" + triple(inode.mode);
    const std::string list = acl(text);
    const auto bytes = std::as_bytes(std::span(list));
    inode.acl.assign(bytes.begin(), bytes.end());
    return inode;
  }
  IdMap map() {
    const std::uint32_t first = number(5);
    switch (number(2)) {
      case 0:
        return {{}, number(6)};
      case 1:
        return {{{0, first, 1}, {1, 6, 1}}, {}};
      default:
        return {{{0, first, 1 + number(5 - first)}}, {}};
    }
  }
  std::uint32_t number(std::uint32_t most) {
    return std::uniform_int_distribution<std::uint32_t>(0, most)(random_);
  }

 private:
  static std::string triple(std::uint32_t perm) {
    return {(perm & 4U) != 0 ? 'r' : '-', (perm & 2U) != 0 ? 'w' : '-',
            (perm & 1U) != 0 ? 'x' : '-'};
  }

  std::mt19937 random_{20261129};  // NOLINT: the same ones each time
};

TEST_CASE("a guest may what one of its users may, and all with what is wholly theirs") {
  const GuestRig rig;
  RandomInodes random;
  int granted = 0;
  for (int i = 0; i < 20'000; ++i) {
    const IdMap users = random.map();
    const IdMap groups = random.map();
    const GuestRights rights(*rig.fs, users, groups);
    const Permissions inode = random.next();
    const unsigned wanted = random.number(7);
    bool expected = users.reaches(inode.uid) && groups.reaches(inode.gid);
    for (std::uint32_t uid = 0; uid < 7; ++uid) {
      for (std::uint32_t gid = 0; gid < 7; ++gid) {
        expected = expected ||
                   (users.reaches(uid) && groups.reaches(gid) && one_may(inode, uid, gid, wanted));
      }
    }
    INFO("mode " << inode.mode << " of " << inode.uid << ":" << inode.gid << ", wanted " << wanted);
    REQUIRE(rights.may(inode, wanted) == expected);
    granted += expected ? 1 : 0;
  }
  CHECK(granted > 5'000);
  CHECK(granted < 18'000);
}

TEST_CASE("a damaged list grants nothing") {
  const GuestRig rig;
  const IdMap one{{}, 5};
  const GuestRights rights(*rig.fs, one, one);
  const Permissions inode{0777, 0, 0, std::vector<std::byte>(7)};
  CHECK_FALSE(rights.may(inode, fuse::kRead));
}

}  // namespace
}  // namespace pmemfs::test
