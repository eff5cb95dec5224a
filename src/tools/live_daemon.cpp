#include "tools/live_daemon.hpp"

#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <fstream>
#include <utility>

#include <nlohmann/json.hpp>

#include "tools/failure.hpp"
#include "tools/region_access.hpp"

namespace pmemfs::tools {
namespace {

constexpr std::chrono::seconds kStatePatience{2};
constexpr std::chrono::milliseconds kPollStep{200};

bool is_daemon(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/comm");
  std::string name;
  return std::getline(file, name) && name == "pmemfs";
}

pid_t find_daemon(const std::string& region) {
  if (const auto client = connect_daemon(region)) {
    return client->pid();
  }
  const auto superblock = peek_superblock(region);
  const auto pid = superblock ? static_cast<pid_t>(superblock->owner_pid.load()) : 0;
  return pid > 0 && is_daemon(pid) ? pid : 0;
}

}  // namespace

std::optional<control::Client> connect_daemon(const std::string& region) {
  const auto superblock = peek_superblock(region);
  if (!superblock) {
    return std::nullopt;
  }
  return control::Client::connect(control::socket_path(superblock->uuid));
}

std::optional<DaemonState> ask_state(const std::string& region) {
  try {
    auto client = connect_daemon(region);
    if (!client) {
      return std::nullopt;
    }
    const control::Json answer = client->ask("state", kStatePatience);
    DaemonState state;
    state.stopping = answer.value("state", std::string()) == "stopping";
    state.read_only = answer.value("read_only", false);
    state.mount_point = answer.value("mount_point", std::string());
    state.options = answer.value("options", std::vector<std::string>());
    return state;
  } catch (const Failure&) {
    return std::nullopt;
  }
}

DaemonWatch::DaemonWatch(std::string region) : region_(std::move(region)) {
  const pid_t pid = find_daemon(region_);
  if (pid > 0) {
    process_.reset(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  }
}

bool DaemonWatch::ended(std::chrono::milliseconds wait) const {
  pollfd event{process_.get(), POLLIN, 0};
  return ::poll(&event, 1, static_cast<int>(wait.count())) > 0;
}

bool DaemonWatch::wait_for_end(std::chrono::milliseconds grace) const {
  if (!process_) {
    return true;
  }
  const auto start = std::chrono::steady_clock::now();
  while (!ended(kPollStep)) {
    if (std::chrono::steady_clock::now() - start < grace) {
      continue;
    }
    const auto state = ask_state(region_);
    if (state && !state->stopping) {
      return false;
    }
  }
  return true;
}

}  // namespace pmemfs::tools
