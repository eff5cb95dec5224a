#include "tools/control_server.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include <nlohmann/json.hpp>

#include "base/chore.hpp"
#include "base/threads.hpp"
#include "tools/control_client.hpp"
#include "tools/failure.hpp"

namespace pmemfs::tools::control {
namespace {

constexpr std::size_t kMaxConnections = 16;
constexpr int kBacklog = 16;

// 0700 and ours, or nothing is put there.
void make_run_directory() {
  if (::mkdir(PMEMFS_RUN_DIR, 0700) != 0 && errno != EEXIST) {
    fail(kExitSystem, "{}: cannot be made: {}", PMEMFS_RUN_DIR, error_text(errno));
  }
  struct stat st {};
  if (::lstat(PMEMFS_RUN_DIR, &st) != 0 || !S_ISDIR(st.st_mode) || st.st_uid != ::geteuid() ||
      (st.st_mode & 077U) != 0) {
    fail(kExitSystem, "{}: must be a directory of this user that nobody else can enter",
         PMEMFS_RUN_DIR);
  }
}

base::UniqueFd bind_socket(const std::string& path) {
  base::UniqueFd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (!listener || path.size() >= sizeof address.sun_path) {
    fail(kExitSystem, "{}: cannot make a socket: {}", path, error_text(listener ? EINVAL : errno));
  }
  std::memcpy(static_cast<char*>(address.sun_path), path.c_str(), path.size() + 1);
  ::unlink(path.c_str());
  // The directory is closed to others, so that nobody comes between bind and chmod.
  if (::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::chmod(path.c_str(), 0600) != 0 || ::listen(listener.get(), kBacklog) != 0) {
    fail(kExitSystem, "{}: {}", path, error_text(errno));
  }
  return listener;
}

bool may_ask(int socket) {
  const auto peer = peer_of(socket);
  return peer && (peer->uid == 0 || peer->uid == ::geteuid());
}

}  // namespace

void Server::add(const std::string& name, Command command) {
  commands_[name] = std::move(command);
}

void Server::start(const std::string& path) {
  make_run_directory();
  if (Client::connect(path)) {
    fail(kExitSystem, "{}: another daemon answers there; do two regions have the same UUID?", path);
  }
  base::UniqueFd wakeup(::eventfd(0, EFD_CLOEXEC));
  if (!wakeup) {
    fail(kExitSystem, "{}: {}", path, error_text(errno));
  }
  listener_ = bind_socket(path);
  wakeup_ = std::move(wakeup);
  path_ = path;
  acceptor_ = std::thread([this] { accept_loop(); });
}

void Server::stop() {
  if (!acceptor_.joinable()) {
    return;
  }
  const std::uint64_t one = 1;
  while (::write(wakeup_.get(), &one, sizeof one) < 0 && errno == EINTR) {
  }
  acceptor_.join();
  ::unlink(path_.c_str());
  listener_.reset();
  for (Connection& connection : connections_) {
    ::shutdown(connection.socket.get(), SHUT_RD);
  }
  reap(true);
}

void Server::accept_loop() {
  std::array<pollfd, 2> events{};
  events[0] = {listener_.get(), POLLIN, 0};
  events[1] = {wakeup_.get(), POLLIN, 0};
  for (;;) {
    if (::poll(events.data(), events.size(), -1) < 0 && errno != EINTR) {
      return;
    }
    if (events[1].revents != 0) {
      return;
    }
    if ((events[0].revents & POLLIN) != 0) {
      base::do_chore([this] { accept_one(); });
    }
  }
}

void Server::accept_one() {
  base::UniqueFd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  reap(false);
  if (!socket || connections_.size() >= kMaxConnections || !may_ask(socket.get())) {
    return;
  }
  set_patience(socket.get(), kPatience);
  Connection& connection = connections_.emplace_back();
  connection.socket = std::move(socket);
  const Status started = base::start_thread(connection.thread, [this, &connection] {
    base::do_chore([&] { serve(connection); });
    ::shutdown(connection.socket.get(), SHUT_RDWR);  // closed by the acceptor, which owns the list
    connection.done = true;
  });
  if (!started) {
    connections_.pop_back();  // too many threads: who asked is hung up on
  }
}

void Server::reap(bool all) {
  for (auto it = connections_.begin(); it != connections_.end();) {
    if (all || it->done) {
      it->thread.join();
      it = connections_.erase(it);
    } else {
      ++it;
    }
  }
}

void Server::serve(Connection& connection) {
  LineSocket lines(connection.socket.get());
  const std::optional<std::string> request = lines.read_line(kMaxRequest);
  if (!request) {
    return;
  }
  const Progress progress = [&lines](const Json& event) {
    return event.is_null() ? lines.is_there()
                           : lines.write_line(Json{{"progress", event}}.dump(
                                 -1, ' ', false, Json::error_handler_t::replace));
  };
  lines.write_line(answer(*request, progress).dump(-1, ' ', false, Json::error_handler_t::replace));
}

Json Server::answer(const std::string& line, const Progress& progress) const {
  try {
    const Json request = Json::parse(line);
    const auto found = commands_.find(request.at("command").get<std::string>());
    if (found == commands_.end()) {
      return {{"error", "this daemon does not know that command"}};
    }
    return {{"result", found->second(request, progress)}};
  } catch (const Json::exception&) {
    return {{"error", "malformed request"}};
  } catch (const std::exception& error) {
    return {{"error", error.what()}};
  }
}

}  // namespace pmemfs::tools::control
