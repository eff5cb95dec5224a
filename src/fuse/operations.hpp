// The requests of the kernel as libfuse calls them: decode, one call of the core, answer. By theme:
// names.cpp, directories.cpp, attributes.cpp, xattrs.cpp, files.cpp.
#pragma once

#include <memory>

#include "fuse/afterwork.hpp"
#include "fuse/capabilities.hpp"
#include "fuse/guest_rights.hpp"
#include "fuse/libfuse.hpp"
#include "fuse/passthrough.hpp"
#include "fuse/view.hpp"
#include "pmemfs/filesystem.hpp"

namespace pmemfs::fuse {

// What the operations work on; libfuse's user data. Constant once INIT is answered.
struct Edge {
  Filesystem& fs;
  Wanted wanted;
  Granted granted{};                                   // set by INIT
  std::shared_ptr<PassthroughRegistry> passthrough{};  // null: not available
  View view{};
  ByWindow by_window = ByWindow::kNone;
  const GuestRights* rights = nullptr;  // a guest's; null: a mount of the host
  Reach reach = Reach::kMount;
  bool touch_atime = true;  // reading moves access times
};

[[nodiscard]] Edge& edge_of(fuse_req_t req);
[[nodiscard]] Caller caller_of(fuse_req_t req);

// Gives references of the kernel's back, registrations first (see PassthroughRegistry). At once.
void forget_inode(Edge& edge, InodeNo ino, std::uint64_t count);
// The registration goes when the worker has nothing better to do.
void drop_later(PassthroughRegistry& registry, InodeNo ino);
// Gives a handle back: on RELEASE, or when the kernel did not take it. The registration first, so
// that the core finds the host file free when it was deleted.
void close_handle(Edge& edge, InodeNo ino, std::uint64_t fh);
void do_afterwork(Edge& edge, const Afterwork::Item& item);
// Answers with an entry whose reference was counted, and gives that back if the kernel did not take
// it.
void answer_entry(fuse_req_t req, const Result<Attributes>& result);

void add_name_operations(fuse_lowlevel_ops& ops);
void add_directory_operations(fuse_lowlevel_ops& ops);
void add_attribute_operations(fuse_lowlevel_ops& ops);
void add_xattr_operations(fuse_lowlevel_ops& ops);
void add_file_operations(fuse_lowlevel_ops& ops);

// All of them and INIT. What is left out is answered by libfuse: success for OPENDIR and RELEASEDIR
// (no state is kept for an open directory), ENOSYS for FLUSH (once; close(2) has nothing to wait
// for), ACCESS, POLL, BMAP and locks.
[[nodiscard]] fuse_lowlevel_ops all_operations();

}  // namespace pmemfs::fuse
