// What one kernel is told beside the facts: how long they hold.
#pragma once

#include <cstdint>

namespace pmemfs::fuse {

// For kernels behind whose back others change the filesystem: how much of that they may miss.
enum class CachePolicy : std::uint8_t {
  kNone,    // nothing is cached, data included
  kAuto,    // names and attributes for a second; data until the file is seen to have changed
  kAlways,  // as if there were no others
};

// Seconds.
struct View {
  double names = 86'400;       // missing ones included
  double stable = 86'400;      // attributes that nothing changes but a request
  double unstable = 1;         // attributes that a mapping may move unseen
  bool keep_pages = true;      // cached data outlive the last close
  bool compare = false;        // cached data go when size or mtime are seen to have changed
  bool direct = false;         // no data are cached
  bool marks_durable = false;  // see to_stat
};

[[nodiscard]] constexpr View view_of(CachePolicy policy) {
  switch (policy) {
    case CachePolicy::kNone:
      return {.names = 0, .stable = 0, .unstable = 0, .keep_pages = false, .direct = true};
    case CachePolicy::kAuto:
      return {.names = 1, .stable = 1, .unstable = 1, .keep_pages = false, .compare = true};
    case CachePolicy::kAlways:
      break;
  }
  return {};
}

}  // namespace pmemfs::fuse
