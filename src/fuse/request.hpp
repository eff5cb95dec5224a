// One request as it came from the kernel: the few facts that libfuse does not hand on, or only in
// its newest versions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "pmemfs/types.hpp"

namespace pmemfs::fuse {

// A view; the bytes belong to the thread that serves the request. Short or foreign input gives
// false and 0, never more.
class Request {
 public:
  Request() = default;
  explicit Request(std::span<const std::byte> bytes) : bytes_(bytes) {}

  [[nodiscard]] std::span<const std::byte> bytes() const { return bytes_; }
  [[nodiscard]] bool complete() const;  // a whole header, and as long as the header says
  [[nodiscard]] std::uint32_t opcode() const;
  [[nodiscard]] InodeNo node() const;  // of names: the directory's
  // Its work may take long or wait for another request: it allocates, fills, syncs or moves data.
  [[nodiscard]] bool may_take_long() const;
  // It needs no space and tells nobody how much there is: it may be served before what Afterwork
  // would give back.
  [[nodiscard]] bool may_overtake() const;

  // WRITE, OPEN, CREATE: the caller lacks CAP_FSETID, set-id bits must go
  // (FUSE_HANDLE_KILLPRIV_V2).
  [[nodiscard]] bool kills_suid_sgid() const;
  // SETXATTR of an ACL by one who is not in the file's group. Only when FUSE_SETXATTR_EXT was
  // granted.
  [[nodiscard]] bool kills_sgid() const;

 private:
  std::span<const std::byte> bytes_;
};

}  // namespace pmemfs::fuse
