// The course of long work on where data lies: how far it is, whether it goes on, what it leaves.
#pragma once

#include <mutex>
#include <vector>

#include "core/context.hpp"

namespace pmemfs::core {

class Course {
 public:
  // `total`: bytes that are to move, as far as is known.
  Course(const RelocationWatch& watch, std::uint64_t total) : watch_(watch), total_(total) {}

  void expect(std::uint64_t total) { total_ = total; }
  // False: to be ended.
  bool moved(std::uint64_t blocks) {
    done.bytes += blocks * format::kBlockSize;
    return tell();
  }
  bool moved_metadata(std::uint64_t blocks) {
    done.metadata_moved += blocks * format::kBlockSize;
    return tell();
  }
  // The same for a file that moves as a whole, when so many bytes of it are there.
  bool under_way(std::uint64_t bytes) { return tell(bytes); }
  void leave(InodeNo ino, std::uint64_t bytes, int reason) {
    done.left.push_back({ino, bytes, reason, std::string()});
  }
  [[nodiscard]] std::uint64_t bytes() const { return done.bytes + done.metadata_moved; }
  [[nodiscard]] std::uint64_t bytes_left() const;

  Relocated done;

 private:
  bool tell(std::uint64_t under_way = 0);

  const RelocationWatch& watch_;
  std::uint64_t total_;
};

// What moves with a step.
enum class Moving : std::uint8_t { kData, kMetadata };

// Takes `step`, which moves some blocks under the node's lock, until it moves none. The reason for
// which it could not go on, or 0. No locks held.
template <typename Step>
int in_steps(Context& c, InodeNo ino, Course& course, Moving what, const Step& step) {
  const NodeRef node = c.nodes.get(ino);
  bool any = false;
  int reason = 0;
  for (bool more = true; more;) {
    std::unique_lock lock(node->lock);
    const Result<std::uint64_t> moved = step(*node);
    lock.unlock();
    reason = moved.code();
    more = moved && *moved > 0;
    any = any || more;
    if (more) {
      more = what == Moving::kData ? course.moved(*moved) : course.moved_metadata(*moved);
    }
  }
  course.done.files += any && what == Moving::kData ? 1 : 0;
  return reason;
}

// EOPNOTSUPP on regions with backing files, EROFS.
Status check_movable(const Context& c);
// Finds the paths of what was left. No locks held.
void name_left(Context& c, std::vector<LeftBehind>& left);

}  // namespace pmemfs::core
