#include "virtiofs/socket.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "base/passed_descriptor.hpp"

namespace pmemfs::virtiofs {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

int left_until(Clock::time_point deadline) {
  const auto left = std::chrono::ceil<milliseconds>(deadline - Clock::now());
  return static_cast<int>(std::max<milliseconds::rep>(left.count(), 0));
}

// One for each descriptor too many to be seen as such, and not cut off.
constexpr std::size_t kControlSize = CMSG_SPACE((kMostFds + 1) * sizeof(int));

// Owns all that came; false when it is not descriptors, or too many.
bool take_fds(const msghdr& header, Message& message) {
  bool sound = (header.msg_flags & MSG_CTRUNC) == 0;
  // CMSG_NXTHDR wants a msghdr that may be changed.
  msghdr walk = header;
  for (cmsghdr* c = CMSG_FIRSTHDR(&walk); c != nullptr; c = CMSG_NXTHDR(&walk, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) {
      sound = false;
      continue;
    }
    const std::size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof fd);
      base::UniqueFd owned(fd);
      if (message.fd_count == kMostFds) {
        sound = false;
        continue;
      }
      message.fds[message.fd_count++] = std::move(owned);
    }
  }
  return sound;
}

// The first bytes of a message, and the descriptors. 0: the peer is gone.
Result<std::size_t> receive_first(int socket, Message& message) {
  alignas(cmsghdr) std::array<char, kControlSize> control{};
  iovec part{&message.header, sizeof message.header};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control.data();
  header.msg_controllen = control.size();
  const ssize_t n = ::recvmsg(socket, &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  if (n < 0) {
    return Error(errno);
  }
  if (!take_fds(header, message)) {
    return Error(EPROTO);
  }
  return static_cast<std::size_t>(n);
}

// As wait_readable. False: `interrupt` became readable.
Result<bool> await(int socket, int interrupt, milliseconds time) {
  switch (wait_readable(socket, interrupt, time)) {
    case Waited::kInterrupted:
      return false;
    case Waited::kTimeout:
      return Error(ETIMEDOUT);
    default:
      return true;
  }
}

// False: `interrupt` became readable.
Result<bool> receive_rest(int socket, int interrupt, std::span<std::byte> bytes,
                          Clock::time_point deadline) {
  while (!bytes.empty()) {
    const ssize_t n = ::recv(socket, bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (n > 0) {
      bytes = bytes.subspan(static_cast<std::size_t>(n));
      continue;
    }
    if (n == 0) {
      return Error(EPROTO);
    }
    if (errno != EAGAIN && errno != EINTR) {
      return Error(errno);
    }
    PMEMFS_TRY(const bool readable, await(socket, interrupt, milliseconds(left_until(deadline))));
    if (!readable) {
      return false;
    }
  }
  return true;
}

bool wait_writable(int socket, Clock::time_point deadline) {
  pollfd event{socket, POLLOUT, 0};
  const int n = ::poll(&event, 1, left_until(deadline));
  return n > 0 || (n < 0 && errno == EINTR);
}

}  // namespace

Waited wait_readable(int socket, int interrupt, milliseconds time) {
  const Clock::time_point deadline = Clock::now() + time;
  for (;;) {
    std::array<pollfd, 2> events{{{socket, POLLIN, 0}, {interrupt, POLLIN, 0}}};
    const int n =
        ::poll(events.data(), events.size(), time.count() < 0 ? -1 : left_until(deadline));
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (events[1].revents != 0) {
      return Waited::kInterrupted;
    }
    if (n == 0) {
      return Waited::kTimeout;
    }
    return Waited::kReadable;  // or an error, which reading tells
  }
}

Result<bool> receive(int socket, int interrupt, Message& message, milliseconds time) {
  const Clock::time_point end = Clock::now() + time;
  std::size_t have = 0;
  for (;;) {
    const milliseconds left = time.count() < 0 ? time : milliseconds(left_until(end));
    PMEMFS_TRY(const bool readable, await(socket, interrupt, left));
    if (!readable) {
      return false;
    }
    const auto first = receive_first(socket, message);
    if (first) {
      have = *first;
      break;
    }
    if (first.code() != EAGAIN && first.code() != EINTR) {
      return first.code() == ECONNRESET ? Result<bool>(false) : first.error();
    }
    if (time.count() >= 0 && Clock::now() >= end) {
      return Error(ETIMEDOUT);
    }
  }
  if (have == 0) {
    return false;
  }
  const Clock::time_point deadline = Clock::now() + kPeerPatience;
  const auto header = std::as_writable_bytes(std::span(&message.header, 1));
  PMEMFS_TRY(const bool whole, receive_rest(socket, interrupt, header.subspan(have), deadline));
  if (!whole) {
    return false;
  }
  const std::uint32_t flags = message.header.flags;
  if ((flags & wire::kVersionMask) != wire::kVersion || (flags & ~wire::kKnownFlags) != 0 ||
      message.header.size > kMostPayload) {
    return Error(EPROTO);
  }
  return receive_rest(socket, interrupt, std::span(message.payload).first(message.header.size),
                      deadline);
}

Status send(int socket, std::span<const std::byte> bytes, int fd) {
  const Clock::time_point deadline = Clock::now() + kPeerPatience;
  base::PassedDescriptor passed;
  while (!bytes.empty()) {
    // The kernel does not write what is sent.
    iovec part{const_cast<std::byte*>(bytes.data()), bytes.size()};  // NOLINT(*-const-cast)
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    if (fd >= 0) {
      passed.send_with(header, fd);
    }
    const ssize_t n = ::sendmsg(socket, &header, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n >= 0) {
      bytes = bytes.subspan(static_cast<std::size_t>(n));
      fd = -1;
    } else if (errno != EAGAIN && errno != EINTR) {
      return Error(errno);
    } else if (!wait_writable(socket, deadline)) {
      return Error(ETIMEDOUT);
    }
  }
  return {};
}

}  // namespace pmemfs::virtiofs
