#pragma once

#include <atomic>
#include <functional>
#include <list>
#include <map>
#include <mutex>
#include <string>
#include <thread>

#include "base/unique_fd.hpp"
#include "tools/control_protocol.hpp"

namespace pmemfs::tools::control {

// Sends one {"progress":…} line, or with null looks only; false when the other side is gone.
using Progress = std::function<bool(const Json&)>;
// Gives the result, or throws std::exception, whose text becomes the error.
using Command = std::function<Json(const Json& request, const Progress& progress)>;

// Answers requests on the socket of one region, in threads of its own. Only root and the daemon's
// own user are heard.
class Server {
 public:
  Server() = default;
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  ~Server() { stop(); }

  // Commands are added before start() and may run on several threads at once.
  void add(const std::string& name, Command command);

  // Listens at `path`, replacing a socket that a dead daemon left. Throws Failure.
  void start(const std::string& path);

  // Ends the connections, waits for commands under way and removes the socket.
  void stop();

 private:
  struct Connection {
    base::UniqueFd socket;
    std::atomic<bool> done{false};
    std::thread thread;
  };

  void accept_loop();
  void accept_one();
  void reap(bool all);
  void serve(Connection& connection);
  [[nodiscard]] Json answer(const std::string& line, const Progress& progress) const;

  std::map<std::string, Command> commands_;
  std::string path_;
  base::UniqueFd listener_;
  base::UniqueFd wakeup_;  // eventfd, readable once the server is to stop
  std::thread acceptor_;
  std::list<Connection> connections_;  // touched by the acceptor, and by stop() after it ended
};

}  // namespace pmemfs::tools::control
