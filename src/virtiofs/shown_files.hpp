// The files that windows show.
#pragma once

#include <sys/types.h>

#include <mutex>
#include <set>

#include "pmemfs/result.hpp"
#include "virtiofs/file_id.hpp"

namespace pmemfs::virtiofs {

// A VMM tells what its guest's windows show as memory, to each of its devices. That must not be
// served as such: what it told last may be older than what is shown
// (docs/decisions/0009-qemu-memory-slots.md). None is forgotten: they are few, or on one file
// system.
// Thread-safe.
class ShownFiles {
 public:
  // `filesystem`: st_dev of one whose files are all for windows; 0: there is none.
  explicit ShownFiles(dev_t filesystem = 0) : filesystem_(filesystem) {}

  // One that is going to be shown. statx(2)'s errors.
  Status add(int fd);
  // It was shown, or may be.
  [[nodiscard]] bool has(const FileId& file) const;

 private:
  const dev_t filesystem_;
  mutable std::mutex mutex_;
  std::set<FileId> files_;  // of other file systems
};

}  // namespace pmemfs::virtiofs
