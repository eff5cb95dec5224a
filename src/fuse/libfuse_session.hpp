// A libfuse session with our operations, not yet connected to anything.
#pragma once

#include <memory>

#include "fuse/operations.hpp"

namespace pmemfs::fuse {

struct DestroySession {
  void operator()(fuse_session* session) const { fuse_session_destroy(session); }
};
// Closes the descriptor that the session was given.
using LibfuseSession = std::unique_ptr<fuse_session, DestroySession>;

// Null when libfuse refuses, which it logs. `edge` outlives the session.
[[nodiscard]] LibfuseSession new_libfuse_session(Edge& edge, bool debug);

}  // namespace pmemfs::fuse
