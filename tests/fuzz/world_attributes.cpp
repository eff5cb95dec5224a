#include <sys/stat.h>
#include <sys/xattr.h>

#include <array>
#include <cerrno>

#include "world.hpp"

namespace pmemfs::fuzz {
namespace {

constexpr const char* kDurable = "user.pmemfs.mmap_durable";

void same_code(int expected, int found, const char* what) {
  demand_equal(static_cast<std::uint64_t>(expected), static_cast<std::uint64_t>(found), what);
}

std::span<const std::byte> bytes(std::string_view text) {
  return std::as_bytes(std::span(text));
}

std::string xattr_name(Input& input) {
  static const std::array<std::string, 5> kNames{"user.a", "user.b", "trusted.c", "security.d",
                                                 "user." + std::string(200, 'n')};
  return kNames[input.below(kNames.size())];
}

}  // namespace

void World::chmod() {
  const NodePtr n = node();
  if (S_ISLNK(n->mode)) {
    return;
  }
  const std::uint32_t mode = input_.word() & 07777U;
  AttributeChange change;
  change.mode = mode;
  const auto done = fs().setattr(kRoot, InodeNo(n->ino), change);
  same_code(0, done.code(), "chmod");
  n->mode = (n->mode & static_cast<std::uint32_t>(S_IFMT)) | mode;
  compare_attributes(*n);
}

void World::set_xattr() {
  const NodePtr n = node();
  const std::string name = xattr_name(input_);
  constexpr int kFlags[] = {0, 0, XATTR_CREATE, XATTR_REPLACE};
  const int flags = kFlags[input_.below(4)];
  const std::size_t longest = input_.byte() % 8 == 0 ? 9000 : 300;
  const std::string value(input_.word() % longest, static_cast<char>('A' + input_.below(26)));
  const bool present = n->xattrs.contains(name);
  int expected = 0;
  if (flags == XATTR_CREATE && present) {
    expected = EEXIST;
  } else if (flags == XATTR_REPLACE && !present) {
    expected = ENODATA;
  }
  const Status done = fs().setxattr(kRoot, InodeNo(n->ino), name, bytes(value), flags, false);
  same_code(expected, done.code(), "setxattr");
  if (done) {
    n->xattrs[name] = value;
  }
}

void World::remove_xattr() {
  const NodePtr n = node();
  const std::string name = xattr_name(input_);
  const Status done = fs().removexattr(kRoot, InodeNo(n->ino), name);
  same_code(n->xattrs.erase(name) == 1 ? 0 : ENODATA, done.code(), "removexattr");
}

// Of closed files: where they must not be open it waits for them.
void World::durable() {
  const NodePtr n = node();
  const bool on = input_.byte() % 3 != 0;
  if (n->opens > 0) {
    return;
  }
  const Status done =
      fs().setxattr(kRoot, InodeNo(n->ino), kDurable, bytes(on ? "1" : "0"), 0, false);
  const bool can = n->regular() || n->directory();
  same_code(can || !on ? 0 : EOPNOTSUPP, done.code(), "the durable flag");
  if (done) {
    n->durable = on;
  }
}

}  // namespace pmemfs::fuzz
