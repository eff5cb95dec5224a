// A guest's kernel in a few lines: FUSE messages by bytes, and what comes back.
#pragma once

#include <linux/fuse.h>
#include <sys/uio.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fuse/guest_session.hpp"

namespace pmemfs::test {

// A message that is being made.
class GuestRequest {
 public:
  explicit GuestRequest(std::uint32_t opcode, std::uint64_t node = 1);

  template <typename T>
  GuestRequest& add(const T& value) {
    return add_bytes({reinterpret_cast<const char*>(&value), sizeof(T)});
  }
  GuestRequest& add_bytes(std::string_view bytes);
  GuestRequest& add_name(std::string_view name);  // with its NUL
  GuestRequest& as(std::uint32_t uid, std::uint32_t gid);
  GuestRequest& by_process(std::uint32_t pid);

  fuse_in_header header{};
  std::optional<std::uint32_t> length{};  // instead of the true one

  // Valid until the next call.
  [[nodiscard]] std::span<std::byte> bytes();

 private:
  std::string payload_{};
  std::vector<std::byte> bytes_{};
};

// Room for an answer: in pieces that lie apart, as a guest's pages do, or without saying where.
class GuestRoom {
 public:
  GuestRoom(std::size_t size, bool known);

  [[nodiscard]] std::span<const iovec> pieces() const { return pieces_; }

 private:
  std::vector<char> memory_{};
  std::vector<iovec> pieces_{};
};

struct GuestReply {
  bool came = false;
  int error = 0;  // errno
  std::uint64_t unique = 0;
  std::string body{};

  // The structure at `at`; zeros where there is less.
  template <typename T>
  [[nodiscard]] T get(std::size_t at = 0) const {
    T value{};
    if (at < body.size()) {
      std::memcpy(&value, body.data() + at, std::min(sizeof(T), body.size() - at));
    }
    return value;
  }
};

struct GuestFile {
  std::uint64_t node = 0;
  std::uint64_t fh = 0;
  int error = 0;
};

// What a kernel does, in short forms. Room for each answer is large unless `room` is set. Throws
// std::runtime_error when there is no session. Thread-safe but for `room` and `takes`.
class Guest {
 public:
  explicit Guest(Filesystem& fs, fuse::GuestOptions options = {});

  GuestReply ask(GuestRequest request);

  // INIT as a kernel with everything sends it.
  static constexpr std::uint64_t kAllFlags = ~std::uint64_t{0};
  GuestReply init(std::uint64_t flags = kAllFlags, std::uint32_t minor = 38);

  GuestReply lookup(std::string_view name, std::uint64_t dir = 1);
  GuestReply getattr(std::uint64_t node);
  GuestFile create(std::string_view name, std::uint64_t dir = 1, std::uint32_t mode = 0644,
                   std::uint32_t flags = 2);
  GuestFile open(std::uint64_t node, std::uint32_t flags = 2);
  GuestReply read(const GuestFile& file, std::uint64_t off, std::uint32_t size);
  GuestReply write(const GuestFile& file, std::uint64_t off, std::string_view data);
  GuestReply release(const GuestFile& file);
  void forget(std::uint64_t node, std::uint64_t count = 1);
  GuestReply setxattr(std::uint64_t node, std::string_view name, std::string_view value);
  GuestReply getxattr(std::uint64_t node, std::string_view name, std::uint32_t size);

  fuse::GuestSession& session() { return *session_; }

  std::size_t room = std::size_t{4} << 20U;
  bool takes = true;  // answers are taken

 private:
  std::unique_ptr<fuse::GuestSession> session_;
};

}  // namespace pmemfs::test
