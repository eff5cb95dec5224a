// The files that windows show.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <deque>
#include <mutex>
#include <set>

#include "pmemfs/result.hpp"
#include "virtiofs/file_id.hpp"

namespace pmemfs::virtiofs {

// A VMM tells what its guest's windows show as memory, to each of its devices. That must not be
// served as such: what it told last may be older than what is shown
// (docs/decisions/0009-qemu-memory-slots.md). Those of one file system need no memory; of others
// the last kMost are known, of which a window can hold a few at a time. Thread-safe.
class ShownFiles {
 public:
  // `filesystem`: st_dev of one whose files are all for windows; 0: there is none.
  static constexpr std::size_t kMost = 65536;

  explicit ShownFiles(dev_t filesystem = 0) : filesystem_(filesystem) {}

  // One that is going to be shown. statx(2)'s errors.
  Status add(int fd);
  // It was shown not long ago, or may be.
  [[nodiscard]] bool has(const FileId& file) const;

 private:
  const dev_t filesystem_;
  mutable std::mutex mutex_;
  std::set<FileId> files_;         // of other file systems
  std::deque<FileId> in_order_{};  // in which they were shown first
};

}  // namespace pmemfs::virtiofs
