// vhost-user messages over a stream socket, with the descriptors that come along. Nothing here
// trusts the peer, and nothing waits for it without end.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <span>
#include <type_traits>

#include "base/unique_fd.hpp"
#include "pmemfs/result.hpp"
#include "virtiofs/protocol.hpp"

namespace pmemfs::virtiofs {

constexpr std::size_t kMostFds = wire::kTableRegions;
constexpr std::size_t kMostPayload = 4096;  // bytes; more than any message that is understood

// How long a peer may leave a message half sent, or not take one.
constexpr std::chrono::seconds kPeerPatience{10};

struct Message {
  wire::Header header{};
  std::array<std::byte, kMostPayload> payload{};
  std::array<base::UniqueFd, kMostFds> fds;
  std::size_t fd_count = 0;

  // The payload's beginning, zeros where it is shorter.
  template <typename T>
  [[nodiscard]] T as() const {
    static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= kMostPayload);
    T value{};
    std::memcpy(&value, payload.data(), std::min<std::size_t>(sizeof(T), header.size));
    return value;
  }
};

enum class Waited { kReadable, kInterrupted, kTimeout };

// Until `socket` has something to read or is closed by its peer, `interrupt` (may be -1) is
// readable, or the time is over; a negative one never is. Several may wait.
Waited wait_readable(int socket, int interrupt, std::chrono::milliseconds time);

// The next message. False: the peer closed the socket between two messages, or `interrupt` became
// readable. EPROTO: not a message: wrong version or flags, too long, more descriptors than any
// message has, or its end is missing. ETIMEDOUT: half a message came, and then nothing for long; or
// none within `time`, unless that is negative.
Result<bool> receive(int socket, int interrupt, Message& message,
                     std::chrono::milliseconds time = std::chrono::milliseconds(-1));

// The whole of `bytes`, `fd` (or -1) with its first one. ETIMEDOUT: the peer does not read; then a
// part may be sent, and the socket is of no more use. Other errors: sendmsg(2)'s; no SIGPIPE.
Status send(int socket, std::span<const std::byte> bytes, int fd = -1);

template <typename T>
std::span<const std::byte> bytes_of(const T& value) {
  static_assert(std::is_trivially_copyable_v<T>);
  return std::as_bytes(std::span(&value, 1));
}

}  // namespace pmemfs::virtiofs
