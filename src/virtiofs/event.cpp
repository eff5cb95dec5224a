#include "virtiofs/event.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <string_view>

namespace pmemfs::virtiofs {
namespace {

bool is_eventfd(int fd) {
  std::array<char, 64> target{};
  const ssize_t n =
      ::readlink(fmt::format("/proc/self/fd/{}", fd).c_str(), target.data(), target.size());
  return n > 0 &&
         std::string_view(target.data(), static_cast<std::size_t>(n)) == "anon_inode:[eventfd]";
}

}  // namespace

Result<Event> Event::take(base::UniqueFd fd) {
  if (!is_eventfd(fd.get())) {
    return Error(EINVAL);
  }
  const int flags = ::fcntl(fd.get(), F_GETFL);
  if (flags < 0 || ::fcntl(fd.get(), F_SETFL, flags | O_NONBLOCK) != 0) {
    return Error(errno);
  }
  Event event;
  event.fd_ = std::move(fd);
  return event;
}

Result<Event> Event::create() {
  Event event;
  event.fd_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  return event.fd_ ? Result<Event>(std::move(event)) : Error(errno);
}

void Event::signal() const {
  const std::uint64_t one = 1;
  // EAGAIN: it is signalled more than enough.
  while (::write(fd_.get(), &one, sizeof one) < 0 && errno == EINTR) {
  }
}

void Event::clear() const {
  std::uint64_t count = 0;
  iovec part{&count, sizeof count};
  // The flag of this call, since others may take that of the descriptor away.
  while (::preadv2(fd_.get(), &part, 1, -1, RWF_NOWAIT) < 0 && errno == EINTR) {
  }
}

}  // namespace pmemfs::virtiofs
