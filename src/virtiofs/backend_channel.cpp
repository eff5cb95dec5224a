#include "virtiofs/backend_channel.hpp"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "virtiofs/socket.hpp"

namespace pmemfs::virtiofs {
namespace {

struct RangeMessage {
  wire::Header header;
  std::array<std::byte, sizeof(wire::ShmemRange)> range;
};
static_assert(sizeof(RangeMessage) == sizeof(wire::Header) + sizeof(wire::ShmemRange));

// The window is the shared memory of this identifier: the DAX cache of a virtio file system.
constexpr std::uint8_t kWindow = 0;

}  // namespace

BackendChannel::BackendChannel(std::chrono::milliseconds patience, std::function<void()> failed)
    : patience_(patience), failed_(std::move(failed)) {}

Status BackendChannel::prepare() {
  PMEMFS_TRY(interrupt_, Event::create());
  interrupt_.signal();
  return {};
}

void BackendChannel::open(base::UniqueFd socket) {
  // What waits for an answer over the old one must not keep us.
  const bool suspended = suspended_.load();
  suspend();
  {
    const std::lock_guard lock(mutex_);
    socket_ = std::move(socket);
    stale_ = 0;
  }
  if (!suspended) {
    resume();
  }
}

void BackendChannel::negotiated(bool shmem, bool reply_ack) {
  understood_.store(shmem && reply_ack);
}

void BackendChannel::resume() {
  if (suspended_.exchange(false)) {
    interrupt_.clear();
  }
}

void BackendChannel::suspend() {
  if (!suspended_.exchange(true)) {
    interrupt_.signal();
  }
}

void BackendChannel::close() {
  suspend();
  const std::lock_guard lock(mutex_);
  socket_.reset();
  understood_.store(false);
  stale_ = 0;
}

Status BackendChannel::map(int fd, std::uint64_t fd_offset, std::uint64_t window_off,
                           std::uint64_t len) {
  wire::ShmemRange range{};
  range.shmid = kWindow;
  range.fd_offset = fd_offset;
  range.shm_offset = window_off;
  range.len = len;
  range.flags = wire::kMapWritable;
  return ask(wire::BackendRequest::kShmemMap, range, fd);
}

Status BackendChannel::unmap(std::uint64_t window_off, std::uint64_t len) {
  wire::ShmemRange range{};
  range.shmid = kWindow;
  range.shm_offset = window_off;
  range.len = len;
  return ask(wire::BackendRequest::kShmemUnmap, range, -1);
}

Status BackendChannel::ask(wire::BackendRequest request, const wire::ShmemRange& range, int fd) {
  const std::lock_guard lock(mutex_);
  if (!socket_ || !understood_.load() || suspended_.load()) {
    return Error(ENOTCONN);
  }
  RangeMessage message{};
  message.header = {static_cast<std::uint32_t>(request), wire::kVersion | wire::kNeedReply,
                    sizeof range};
  std::memcpy(message.range.data(), &range, sizeof range);
  if (auto sent = send(socket_.get(), bytes_of(message), fd); !sent) {
    return give_up(sent.code());
  }
  return answer(request);
}

Status BackendChannel::answer(wire::BackendRequest request) {
  const auto deadline = std::chrono::steady_clock::now() + patience_;
  for (;;) {
    const auto left = std::max(
        std::chrono::milliseconds(0),
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()));
    switch (wait_readable(socket_.get(), interrupt_.fd(), left)) {
      case Waited::kInterrupted:
        ++stale_;
        return Error(EAGAIN);
      case Waited::kTimeout:
        return give_up(ETIMEDOUT);
      case Waited::kReadable:
        break;
    }
    bool refused = false;
    PMEMFS_CHECK(take_answer(request, left, refused));
    if (stale_ == 0) {
      return refused ? Status(Error(EIO)) : Status();
    }
    --stale_;
  }
}

// One answer, perhaps one that nobody waits for. It is there, unless the VMM, which may have our
// end of the socket, too, has read it itself.
Status BackendChannel::take_answer(wire::BackendRequest request, std::chrono::milliseconds time,
                                   bool& refused) {
  Message message;
  const auto got = receive(socket_.get(), -1, message, time);
  if (!got || !*got) {
    return give_up(got ? ENOTCONN : got.code());
  }
  const auto number = static_cast<std::uint32_t>(request);
  const wire::Header& header = message.header;
  if ((stale_ == 0 && header.request != number) || (header.flags & wire::kIsReply) == 0 ||
      header.size != sizeof(std::uint64_t) || message.fd_count != 0) {
    return give_up(EPROTO);
  }
  refused = message.as<std::uint64_t>() != 0;
  return {};
}

// Nothing can be said over the socket any more.
Status BackendChannel::give_up(int code) {
  socket_.reset();
  failed_();
  return Error(code);
}

}  // namespace pmemfs::virtiofs
