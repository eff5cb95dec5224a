#include "fuse/counters.hpp"

#include <string_view>

namespace pmemfs::fuse {
namespace {

// Indexed by opcode (enum fuse_opcode of the kernel, protocol 7.45); empty: no such request.
constexpr std::array<std::string_view, 54> kNames = {
    "",
    "LOOKUP",
    "FORGET",
    "GETATTR",
    "SETATTR",
    "READLINK",
    "SYMLINK",
    "",
    "MKNOD",
    "MKDIR",
    "UNLINK",
    "RMDIR",
    "RENAME",
    "LINK",
    "OPEN",
    "READ",
    "WRITE",
    "STATFS",
    "RELEASE",
    "",
    "FSYNC",
    "SETXATTR",
    "GETXATTR",
    "LISTXATTR",
    "REMOVEXATTR",
    "FLUSH",
    "INIT",
    "OPENDIR",
    "READDIR",
    "RELEASEDIR",
    "FSYNCDIR",
    "GETLK",
    "SETLK",
    "SETLKW",
    "ACCESS",
    "CREATE",
    "INTERRUPT",
    "BMAP",
    "DESTROY",
    "IOCTL",
    "POLL",
    "NOTIFY_REPLY",
    "BATCH_FORGET",
    "FALLOCATE",
    "READDIRPLUS",
    "RENAME2",
    "LSEEK",
    "COPY_FILE_RANGE",
    "SETUPMAPPING",
    "REMOVEMAPPING",
    "SYNCFS",
    "TMPFILE",
    "STATX",
    "COPY_FILE_RANGE_64",
};

}  // namespace

std::string opcode_name(std::uint32_t opcode) {
  if (opcode < kNames.size() && !kNames[opcode].empty()) {
    return std::string(kNames[opcode]);
  }
  return "opcode " + std::to_string(opcode);
}

std::vector<std::pair<std::string, std::uint64_t>> Counters::snapshot() const {
  std::vector<std::pair<std::string, std::uint64_t>> result;
  for (std::uint32_t opcode = 0; opcode < counts_.size(); ++opcode) {
    const std::uint64_t count = counts_[opcode].load(std::memory_order_relaxed);
    if (count != 0) {
      result.emplace_back(opcode == kOther ? "other" : opcode_name(opcode), count);
    }
  }
  return result;
}

}  // namespace pmemfs::fuse
