// A libfuse session whose requests come from memory and whose answers go to a function.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <utility>

#include "fuse/libfuse_session.hpp"
#include "pmemfs/result.hpp"

namespace pmemfs::fuse {

// Thread-safe once INIT was served.
class GuestChannel {
 public:
  // Takes the answer of the request that is served, at most once, and all that it carries; what
  // libfuse made may be altered.
  using Take = std::function<void(std::span<iovec>)>;

  // ENOTSUP: this libfuse was built without custom I/O.
  static Result<std::unique_ptr<GuestChannel>> create(Edge& edge, bool debug);

  // `message` has passed GuestMessage::check. Answers by `take`, before it returns or by a later
  // call within the same Taking.
  void serve(std::span<std::byte> message);

  // While it lives, answers that this thread makes go to `take`.
  class Taking {
   public:
    explicit Taking(const Take& take);
    ~Taking();
    Taking(const Taking&) = delete;
    Taking& operator=(const Taking&) = delete;
  };

 private:
  explicit GuestChannel(LibfuseSession session) : session_(std::move(session)) {}

  LibfuseSession session_;
};

}  // namespace pmemfs::fuse
