#include "fuse/window_opener.hpp"

#include <fcntl.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <climits>
#include <utility>

#include "base/passed_descriptor.hpp"
#include "base/threads.hpp"

namespace pmemfs::fuse {
namespace {

using base::UniqueFd;

bool send_result(int socket, int code, int fd) {
  iovec piece{&code, sizeof(code)};
  msghdr header{};
  header.msg_iov = &piece;
  header.msg_iovlen = 1;
  base::PassedDescriptor passed;
  if (fd >= 0) {
    passed.send_with(header, fd);
  }
  return ::sendmsg(socket, &header, MSG_NOSIGNAL) >= 0;
}

// The descriptor is -1 where the thread has none to give.
Result<UniqueFd> receive_result(int socket) {
  int code = 0;
  iovec piece{&code, sizeof(code)};
  msghdr header{};
  header.msg_iov = &piece;
  header.msg_iovlen = 1;
  base::PassedDescriptor passed;
  passed.expect_with(header);
  ssize_t n = 0;
  do {
    n = ::recvmsg(socket, &header, MSG_CMSG_CLOEXEC);
  } while (n < 0 && errno == EINTR);
  if (n != sizeof(code)) {
    return Error(n < 0 ? errno : EIO);
  }
  UniqueFd fd = base::PassedDescriptor::received_with(header);
  return code != 0 ? Result<UniqueFd>(Error(code)) : Result<UniqueFd>(std::move(fd));
}

// Of this thread alone: a table of its own with these two and nothing else.
int keep_only(int one, int other) {
  if (::unshare(CLONE_FILES) != 0) {
    return errno;
  }
  unsigned first = 0;
  for (const int kept : {std::min(one, other), std::max(one, other), INT_MAX}) {
    const auto next = static_cast<unsigned>(kept);
    if (first < next && ::close_range(first, next - 1, 0) != 0) {
      return errno;
    }
    first = next + 1;
  }
  return 0;
}

// False: no more come.
bool receive_name(int socket, std::uint64_t& name) {
  ssize_t n = 0;
  do {
    n = ::read(socket, &name, sizeof(name));
  } while (n < 0 && errno == EINTR);
  return n == sizeof(name);
}

void serve(int socket, int mount) {
  const int code = keep_only(socket, mount);
  if (!send_result(socket, code, -1) || code != 0) {
    return;
  }
  for (std::uint64_t name = 0; receive_name(socket, name);) {
    std::array<char, 24> text{};
    std::to_chars(text.data(), text.data() + text.size() - 1, name);
    const int fd = ::openat(mount, text.data(), O_RDWR | O_CLOEXEC);
    const int failed = fd < 0 ? errno : 0;
    // Without a name it goes with its last descriptor.
    (void)::unlinkat(mount, text.data(), 0);
    const bool sent = send_result(socket, failed, fd);
    if (fd >= 0) {
      ::close(fd);
    }
    if (!sent) {
      break;
    }
  }
  // Whoever joins the thread would not wait for its table to go.
  ::close(mount);
  ::close(socket);
}

}  // namespace

// Ours of the two are closed when the thread has copies of its own.
Result<std::unique_ptr<WindowOpener>> WindowOpener::start(UniqueFd mount) {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    return Error(errno);
  }
  std::unique_ptr<WindowOpener> opener(new WindowOpener(UniqueFd(ends[0])));
  const UniqueFd other(ends[1]);
  PMEMFS_CHECK(base::start_thread(
      opener->thread_, [socket = other.get(), root = mount.get()] { serve(socket, root); }));
  PMEMFS_CHECK(receive_result(opener->socket_.get()));
  return opener;
}

WindowOpener::~WindowOpener() {
  ::shutdown(socket_.get(), SHUT_RDWR);
  if (thread_.joinable()) {
    thread_.join();
  }
}

Result<UniqueFd> WindowOpener::open(std::uint64_t name) {
  const std::lock_guard lock(mutex_);
  if (::send(socket_.get(), &name, sizeof(name), MSG_NOSIGNAL) != sizeof(name)) {
    return Error(errno);
  }
  PMEMFS_TRY(UniqueFd file, receive_result(socket_.get()));
  return file ? Result<UniqueFd>(std::move(file)) : Result<UniqueFd>(Error(EMFILE));
}

}  // namespace pmemfs::fuse
