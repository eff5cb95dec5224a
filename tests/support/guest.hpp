// A guest's kernel in a few lines, and a session that serves it.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "fuse/guest_session.hpp"
#include "support/guest_messages.hpp"

namespace pmemfs::test {

// Room for an answer, or data to be written: in pieces that lie apart, as a guest's pages do, or
// without saying where.
class GuestRoom {
 public:
  GuestRoom(std::size_t size, bool known);

  // Where it is known.
  void fill(std::span<const std::byte> bytes);

  [[nodiscard]] std::span<const iovec> pieces() const { return pieces_; }

 private:
  std::vector<char> memory_{};
  std::vector<iovec> pieces_{};
};

// Room for each answer is large unless `room` is set. Throws std::runtime_error when there is no
// session. Thread-safe but for `room` and `takes`.
class Guest : public GuestKernel {
 public:
  explicit Guest(Filesystem& fs, fuse::GuestOptions options = {});

  GuestReply ask(GuestRequest request) override;
  // With more behind it that is not copied; the length in the header counts it.
  GuestReply ask(GuestRequest request, std::span<const iovec> rest);

  fuse::GuestSession& session() { return *session_; }

  std::size_t room = std::size_t{4} << 20U;
  bool takes = true;  // answers are taken

 private:
  GuestReply serve(std::span<std::byte> bytes, std::span<const iovec> rest, bool reads);

  std::unique_ptr<fuse::GuestSession> session_;
};

}  // namespace pmemfs::test
