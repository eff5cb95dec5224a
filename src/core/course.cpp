#include "core/course.hpp"

#include <algorithm>

#include "core/status.hpp"

namespace pmemfs::core {

std::uint64_t Course::bytes_left() const {
  std::uint64_t n = 0;
  for (const LeftBehind& file : done.left) {
    n += file.bytes;
  }
  return n;
}

bool Course::tell(std::uint64_t under_way) {
  const std::uint64_t moved = bytes() + under_way;
  if (watch_ && !watch_(moved, std::max(total_, moved))) {
    done.finished = false;
  }
  return done.finished;
}

Status check_movable(const Context& c) {
  if (c.has_backing()) {
    return Error(EOPNOTSUPP);
  }
  return c.read_only() ? Status(Error(EROFS)) : Status();
}

void name_left(Context& c, std::vector<LeftBehind>& left) {
  if (left.empty()) {
    return;
  }
  std::vector<InodeNo> inodes;
  inodes.reserve(left.size());
  for (const LeftBehind& file : left) {
    inodes.push_back(file.ino);
  }
  const auto paths = paths_of(c, inodes);
  for (LeftBehind& file : left) {
    const auto found = paths.find(file.ino);
    file.path = found == paths.end() ? std::string() : found->second;
  }
}

}  // namespace pmemfs::core
