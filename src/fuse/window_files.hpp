// Host files as a VMM takes them for a guest's window. No libfuse types here.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>

#include "base/unique_fd.hpp"
#include "pmemfs/result.hpp"

namespace pmemfs::fuse {

// QEMU maps of a descriptor no more than the size of its file says, and a place of a window reaches
// beyond the end of most files; what is mapped there must be the file when it grows. So the VMM is
// given another file: one of a FUSE mount that has no place in any tree, which says of each of its
// files that it is as large as can be, and has the kernel pass mappings through to the host file.
// What is mapped is the host file itself, as by passthrough on the mount, and lives on when the
// mount ends. With the descriptor a VMM can do nothing else to the file than read, write and map
// it.
//
// Thread-safe. Needs no mount point; needs Linux 6.9 and CAP_SYS_ADMIN.
class WindowFiles {
 public:
  // EOPNOTSUPP: the kernel has no passthrough; else why there is no mount. `region_is_stacked`: as
  // SessionOptions.
  static Result<std::unique_ptr<WindowFiles>> create(bool region_is_stacked);
  ~WindowFiles();
  WindowFiles(const WindowFiles&) = delete;
  WindowFiles& operator=(const WindowFiles&) = delete;

  // `backing`, a host file open to read and write, as the VMM gets it; `backing` stays the
  // caller's. Errors as open(2); EIO: the kernel does not pass through to it; ENOTCONN,
  // ECONNABORTED: the mount has ended by an error, for good.
  Result<base::UniqueFd> open(int backing);

  // st_dev of what open() gives, and of nothing else.
  [[nodiscard]] dev_t device() const;

 private:
  struct Impl;
  explicit WindowFiles(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace pmemfs::fuse
