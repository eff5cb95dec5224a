#include "tools/stop_signals.hpp"

#include <pthread.h>

#include <csignal>
#include <utility>

namespace pmemfs::tools {
namespace {

constexpr int kEnd = SIGUSR1;  // ends the waiting thread

sigset_t stop_set() {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGTERM);
  ::sigaddset(&set, SIGINT);
  ::sigaddset(&set, kEnd);
  return set;
}

}  // namespace

void block_stop_signals() {
  const sigset_t set = stop_set();
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  for (const int ignored : {SIGPIPE, SIGIO, SIGHUP, SIGXFSZ}) {
    std::signal(ignored, SIG_IGN);
  }
}

StopSignals::StopSignals(std::function<void()> stop)
    : stop_(std::move(stop)), thread_([this] {
        const sigset_t set = stop_set();
        for (int number = 0; ::sigwait(&set, &number) == 0 && !done_;) {
          if (number != kEnd) {
            stop_();
          }
        }
      }) {}

StopSignals::~StopSignals() {
  done_ = true;
  ::pthread_kill(thread_.native_handle(), kEnd);
  thread_.join();
}

}  // namespace pmemfs::tools
