#include "tools/control_protocol.hpp"

#include <sys/socket.h>
#include <sys/time.h>

#include <array>
#include <cerrno>

#include "tools/uuid.hpp"

namespace pmemfs::tools::control {

std::string socket_path(const format::Uuid& uuid) {
  return std::string(PMEMFS_RUN_DIR) + "/" + show_uuid(uuid) + ".sock";
}

std::optional<std::string> LineSocket::read_line(std::size_t limit) {
  for (std::size_t searched = 0;;) {
    const std::size_t newline = buffer_.find('\n', searched);
    if (newline != std::string::npos) {
      std::string line = buffer_.substr(0, newline);
      buffer_.erase(0, newline + 1);
      return line;
    }
    searched = buffer_.size();
    if (searched > limit) {
      return std::nullopt;
    }
    std::array<char, 16384> chunk{};
    const ssize_t n = ::recv(fd_, chunk.data(), chunk.size(), 0);
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n <= 0) {
      return std::nullopt;
    }
    buffer_.append(chunk.data(), static_cast<std::size_t>(n));
  }
}

bool LineSocket::write_line(std::string line) const {
  line += '\n';
  for (std::size_t sent = 0; sent < line.size();) {
    const ssize_t n = ::send(fd_, line.data() + sent, line.size() - sent, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n <= 0) {
      return false;
    }
    sent += static_cast<std::size_t>(n);
  }
  return true;
}

bool LineSocket::is_there() const {
  char next = 0;
  return ::recv(fd_, &next, sizeof next, MSG_PEEK | MSG_DONTWAIT) != 0;
}

void set_patience(int fd, std::chrono::seconds patience) {
  timeval limit{};
  limit.tv_sec = patience.count();
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
}

std::optional<Peer> peer_of(int fd) {
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) {
    return std::nullopt;
  }
  return Peer{credentials.uid, credentials.pid};
}

}  // namespace pmemfs::tools::control
