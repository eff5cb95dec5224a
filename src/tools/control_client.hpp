#pragma once

#include <functional>
#include <optional>
#include <string>

#include "base/unique_fd.hpp"
#include "tools/control_protocol.hpp"

namespace pmemfs::tools::control {

// One connection to a daemon, for one request.
class Client {
 public:
  // Nothing when no daemon listens at `path`. Throws Failure when it may not be asked (EACCES).
  static std::optional<Client> connect(const std::string& path);

  // The daemon's process id.
  [[nodiscard]] int pid() const { return pid_; }

  using OnProgress = std::function<void(const Json&)>;

  // The result. Throws Failure with the daemon's error, or when nothing comes for `patience`.
  Json request(const Json& what, std::chrono::seconds patience = kPatience,
               const OnProgress& on_progress = {});
  Json ask(const std::string& command, std::chrono::seconds patience = kPatience);

 private:
  Client(base::UniqueFd socket, int pid) : socket_(std::move(socket)), pid_(pid) {}

  base::UniqueFd socket_;
  int pid_;
};

}  // namespace pmemfs::tools::control
