#include "virtiofs/listener.hpp"

#include <fmt/core.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace pmemfs::virtiofs {
namespace {

// VMMs that come while another is served wait here.
constexpr int kBacklog = 16;

Error because(std::string* why, int code, std::string text) {
  if (why != nullptr) {
    *why = std::move(text);
  }
  return Error(code);
}

// Whether somebody accepts, or would once there is room.
bool answers(const sockaddr_un& address) {
  const base::UniqueFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  return !probe ||
         ::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 ||
         errno != ECONNREFUSED;
}

Status make_room(const std::string& path, const sockaddr_un& address, std::string* why) {
  struct stat st {};
  if (::lstat(path.c_str(), &st) != 0) {
    if (errno == ENOENT) {
      return {};
    }
    return because(why, errno, fmt::format("{}: {}", path, std::strerror(errno)));
  }
  if (!S_ISSOCK(st.st_mode)) {
    return because(
        why, EEXIST,
        fmt::format("{}: exists and is not a socket; remove it or name another path", path));
  }
  if (answers(address)) {
    return because(
        why, EADDRINUSE,
        fmt::format("{}: another program listens there; stop it or name another path", path));
  }
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
    return because(why, errno,
                   fmt::format("{}: a left-over socket that cannot be removed: {}", path,
                               std::strerror(errno)));
  }
  return {};
}

}  // namespace

Listener::Listener(Listener&& other) noexcept {
  *this = std::move(other);
}

Listener& Listener::operator=(Listener&& other) noexcept {
  close();
  socket_ = std::move(other.socket_);
  path_ = std::exchange(other.path_, {});
  device_ = other.device_;
  inode_ = other.inode_;
  return *this;
}

Result<Listener> Listener::listen(const std::string& path, std::string* why) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    return because(why, ENAMETOOLONG,
                   fmt::format("'{}': a socket's path has 1 to {} bytes; name a shorter one", path,
                               sizeof address.sun_path - 1));
  }
  std::memcpy(static_cast<char*>(address.sun_path), path.c_str(), path.size() + 1);
  PMEMFS_CHECK(make_room(path, address, why));
  Listener made;
  made.socket_.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  // The mode of a socket that is not bound yet becomes that of its file: no moment is open to
  // others, and the process's umask is left alone.
  if (!made.socket_ || ::fchmod(made.socket_.get(), 0600) != 0 ||
      ::bind(made.socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) !=
          0) {
    return because(why, errno,
                   fmt::format("{}: no socket can be made there: {}; name another path, in a "
                               "directory that is there and can be written",
                               path, std::strerror(errno)));
  }
  made.path_ = path;
  struct stat st {};
  if (::lstat(path.c_str(), &st) != 0 || ::listen(made.socket_.get(), kBacklog) != 0) {
    return because(why, errno, fmt::format("{}: {}", path, std::strerror(errno)));
  }
  made.device_ = st.st_dev;
  made.inode_ = st.st_ino;
  return made;
}

void Listener::close() {
  if (!socket_) {
    return;
  }
  struct stat st {};
  if (!path_.empty() && ::lstat(path_.c_str(), &st) == 0 && st.st_dev == device_ &&
      st.st_ino == inode_) {
    ::unlink(path_.c_str());
  }
  socket_.reset();
}

}  // namespace pmemfs::virtiofs
