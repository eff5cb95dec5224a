// Files in windows of virtual machines: their memory given to other processes, and what that asks
// of everything else.
//
// Where data lie in extents a file's blocks are its own, and stay where they are, from the first
// mapping on until the kernel says that the last one is gone: gate.hpp's exported(). Truncated and
// unlinked meanwhile, it keeps them; settle_exports() frees them later. A mapped range is filled as
// a whole, beyond the end of the file too, so that growth within it needs no new mapping. Host
// files are kept by the host's filesystem for as long as anybody maps them.
#pragma once

#include "core/context.hpp"

namespace pmemfs::core {

// See Filesystem::map_window.
Result<WindowMapping> map_window(Context& c, InodeNo ino, Range range);

// Made before a truncation and kept until it is done: has windows unmap what lies wholly beyond
// `size` of a host file, whose pages go at once: a machine that touches them ends. Not of a durable
// file, which is not cut. While this lives the file does not become one, and nothing beyond `size`
// is mapped (EAGAIN); then windows map again what the file has. No locks held.
class Cut {
 public:
  Cut(Context& c, InodeNo ino, std::uint64_t size);
  Cut(const Cut&) = delete;
  Cut& operator=(const Cut&) = delete;
  ~Cut();

 private:
  Context& c_;
  const InodeNo ino_;
  const std::uint64_t size_;
  bool begun_ = false;
  bool unmapped_ = false;
};

// What guests have stored through mappings becomes persistent: fsync, where data lie in extents. No
// locks held.
Status sync_windows(Context& c, Node& node);

// At the begin of a mount: what machines map still, of daemons before this one, recorded or not.
// Nothing is freed before this has returned.
Status adopt_exports(Context& c);

// Looks which files that wait (Exports) are mapped no more: their flags are cleared, blocks beyond
// their ends and unlinked files freed. No locks held.
void settle_exports(Context& c);

}  // namespace pmemfs::core
