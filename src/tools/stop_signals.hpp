#pragma once

#include <atomic>
#include <functional>
#include <thread>

namespace pmemfs::tools {

// Signals of the daemon: SIGTERM and SIGINT ask for an orderly end, SIGPIPE, SIGIO, SIGHUP and
// SIGUSR1 mean nothing.
//
// Called before there are other threads: from then on only StopSignals takes the first two.
void block_stop_signals();

// Calls `stop` for each SIGTERM or SIGINT, in a thread of its own, until destroyed.
class StopSignals {
 public:
  explicit StopSignals(std::function<void()> stop);
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;
  ~StopSignals();

 private:
  std::function<void()> stop_;
  std::atomic<bool> done_{false};
  std::thread thread_;
};

}  // namespace pmemfs::tools
