#include "fuse/request.hpp"

#include <linux/fuse.h>

#include <cstring>
#include <optional>

namespace pmemfs::fuse {
namespace {

// The structure at `offset`, if all of it is there.
template <typename T>
std::optional<T> load(std::span<const std::byte> bytes, std::size_t offset) {
  if (bytes.size() < offset || bytes.size() - offset < sizeof(T)) {
    return std::nullopt;
  }
  T value{};
  std::memcpy(&value, bytes.data() + offset, sizeof(T));
  return value;
}

template <typename T>
std::optional<T> load_argument(std::span<const std::byte> bytes) {
  return load<T>(bytes, sizeof(fuse_in_header));
}

}  // namespace

bool Request::complete() const {
  const auto header = load<fuse_in_header>(bytes_, 0);
  return header && header->len == bytes_.size();
}

std::uint32_t Request::opcode() const {
  const auto header = load<fuse_in_header>(bytes_, 0);
  return header ? header->opcode : 0;
}

InodeNo Request::node() const {
  const auto header = load<fuse_in_header>(bytes_, 0);
  return InodeNo(header ? header->nodeid : 0);
}

bool Request::may_take_long() const {
  switch (opcode()) {
    case FUSE_FSYNC:
    case FUSE_FSYNCDIR:
    case FUSE_SYNCFS:
    case FUSE_FALLOCATE:
    case FUSE_COPY_FILE_RANGE:
    case FUSE_SETXATTR:  // making a file durable allocates it, and waits for handles to be released
    case FUSE_REMOVEXATTR:
      return true;
    default:
      return false;
  }
}

bool Request::may_overtake() const {
  switch (opcode()) {
    case FUSE_LOOKUP:
    case FUSE_FORGET:
    case FUSE_BATCH_FORGET:
    case FUSE_GETATTR:
    case FUSE_READLINK:
    case FUSE_UNLINK:
    case FUSE_RMDIR:
    case FUSE_GETXATTR:
    case FUSE_LISTXATTR:
    case FUSE_OPENDIR:
    case FUSE_READDIR:
    case FUSE_READDIRPLUS:
    case FUSE_RELEASE:
    case FUSE_RELEASEDIR:
      return true;
    default:
      return false;
  }
}

bool Request::kills_suid_sgid() const {
  switch (opcode()) {
    case FUSE_WRITE: {
      const auto in = load_argument<fuse_write_in>(bytes_);
      return in && (in->write_flags & FUSE_WRITE_KILL_SUIDGID) != 0;
    }
    case FUSE_OPEN: {
      const auto in = load_argument<fuse_open_in>(bytes_);
      return in && (in->open_flags & FUSE_OPEN_KILL_SUIDGID) != 0;
    }
    case FUSE_CREATE: {
      const auto in = load_argument<fuse_create_in>(bytes_);
      return in && (in->open_flags & FUSE_OPEN_KILL_SUIDGID) != 0;
    }
    default:
      return false;
  }
}

bool Request::kills_sgid() const {
  if (opcode() != FUSE_SETXATTR) {
    return false;
  }
  const auto in = load_argument<fuse_setxattr_in>(bytes_);
  return in && (in->setxattr_flags & FUSE_SETXATTR_ACL_KILL_SGID) != 0;
}

}  // namespace pmemfs::fuse
