// One descriptor of the connection and what answers through it.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>
#include <vector>

#include "base/unique_fd.hpp"
#include "fuse/libfuse_session.hpp"
#include "fuse/operations.hpp"
#include "fuse/request.hpp"
#include "pmemfs/result.hpp"

namespace pmemfs::fuse {

// The kernel wants the answer to a request through the descriptor that it was read from, and a
// libfuse session answers through one descriptor. So each clone of the connection has a session of
// its own; all but the first learn what was agreed upon by being given the first one's INIT again
// (the kernel waits for no answer to it, and says so with ENOENT, which libfuse expects).
//
// serve() is thread-safe once INIT was served.
class Channel {
 public:
  // `device` need not be mounted yet. EIO when libfuse refuses, which it logs.
  static Result<std::unique_ptr<Channel>> create(base::UniqueFd device, Edge& edge, bool debug);
  ~Channel();
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  // Another descriptor of the same connection. INIT must have been served. Thread-safe.
  Result<std::unique_ptr<Channel>> clone() const;

  [[nodiscard]] int device() const { return device_; }

  // Calls the operation and answers. Does not throw.
  void serve(const Request& request);

  // Has the kernel forget a name that is gone, and what it knows of the attributes of the inode.
  // Waits for requests under way in the directory: no locks of the core may be held. Thread-safe.
  void name_gone(InodeNo dir, InodeNo child, std::string_view name);

 private:
  Channel(LibfuseSession session, int device, Edge& edge, bool debug);

  LibfuseSession session_;  // owns the descriptor
  int device_;
  Edge& edge_;
  bool debug_;
  std::vector<std::byte> init_;  // the INIT request, for clones
};

}  // namespace pmemfs::fuse
