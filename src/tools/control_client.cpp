#include "tools/control_client.hpp"

#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>

#include <nlohmann/json.hpp>

#include "tools/failure.hpp"

namespace pmemfs::tools::control {

std::optional<Client> Client::connect(const std::string& path) {
  base::UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (!socket || path.size() >= sizeof address.sun_path) {
    return std::nullopt;
  }
  std::memcpy(static_cast<char*>(address.sun_path), path.c_str(), path.size() + 1);
  set_patience(socket.get(), kPatience);
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    if (errno == EACCES || errno == EPERM) {
      fail(kExitUsage, "{}: {}; only root may ask the daemon", path, error_text(errno));
    }
    return std::nullopt;
  }
  const auto peer = peer_of(socket.get());
  if (!peer) {
    return std::nullopt;
  }
  return Client(std::move(socket), peer->pid);
}

Json Client::ask(const std::string& command, std::chrono::seconds patience) {
  return request(Json{{"command", command}}, patience);
}

Json Client::request(const Json& what, std::chrono::seconds patience,
                     const OnProgress& on_progress) {
  set_patience(socket_.get(), patience);
  LineSocket lines(socket_.get());
  if (!lines.write_line(what.dump())) {
    fail(kExitFailure, "the daemon (process {}) does not take requests", pid_);
  }
  while (const auto line = lines.read_line(kMaxAnswerLine)) {
    const Json answer = Json::parse(*line, nullptr, false);
    if (answer.is_discarded() || !answer.is_object()) {
      break;
    }
    if (answer.contains("progress") && on_progress) {
      on_progress(answer["progress"]);
    }
    if (answer.contains("result")) {
      return answer["result"];
    }
    if (answer.contains("error")) {
      fail(kExitFailure, "{}",
           answer["error"].is_string() ? answer["error"].get<std::string>()
                                       : answer["error"].dump());
    }
  }
  fail(kExitFailure, "the daemon (process {}) does not answer", pid_);
}

}  // namespace pmemfs::tools::control
