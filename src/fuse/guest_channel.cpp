#include "fuse/guest_channel.hpp"

#include <fcntl.h>

#include <cerrno>
#include <numeric>

#include "base/unique_fd.hpp"

namespace pmemfs::fuse {
namespace {

const GuestChannel::Take*& taker() {
  thread_local const GuestChannel::Take* take = nullptr;
  return take;
}

// In place of writev(2) to the device.
ssize_t answer(int /*fd*/, iovec* parts, int count, void* /*userdata*/) {
  const std::span<iovec> whole(parts, static_cast<std::size_t>(count));
  if (taker() == nullptr) {
    errno = ENOENT;  // what libfuse expects of a kernel that waits no longer
    return -1;
  }
  (*taker())(whole);
  return std::accumulate(
      whole.begin(), whole.end(), ssize_t{0},
      [](ssize_t sum, const iovec& part) { return sum + static_cast<ssize_t>(part.iov_len); });
}

// Nobody has libfuse read: it is given its requests.
ssize_t receive(int /*fd*/, void* /*buffer*/, std::size_t /*size*/, void* /*userdata*/) {
  errno = ENODEV;
  return -1;
}

}  // namespace

GuestChannel::Taking::Taking(const Take& take) {
  taker() = &take;
}

GuestChannel::Taking::~Taking() {
  taker() = nullptr;
}

Result<std::unique_ptr<GuestChannel>> GuestChannel::create(Edge& edge, bool debug) {
  LibfuseSession session = new_libfuse_session(edge, debug);
  if (!session) {
    return Error(EIO);
  }
  // A descriptor it wants, to close at the end.
  base::UniqueFd nothing(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!nothing) {
    return Error(errno);
  }
  fuse_custom_io io{};
  io.writev = answer;
  io.read = receive;
  const int code = fuse_session_custom_io(session.get(), &io, sizeof(io), nothing.get());
  if (code != 0) {
    return Error(code < 0 ? -code : code);
  }
  (void)nothing.release();
  return std::unique_ptr<GuestChannel>(new GuestChannel(std::move(session)));
}

void GuestChannel::serve(std::span<std::byte> message) {
  fuse_buf buffer{};
  buffer.size = message.size();
  buffer.mem = message.data();
  fuse_session_process_buf(session_.get(), &buffer);
}

}  // namespace pmemfs::fuse
