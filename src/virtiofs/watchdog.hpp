#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

#include "pmemfs/result.hpp"

namespace pmemfs::virtiofs {

// A thread that looks after others for a while, every one or two milliseconds, once it was asked
// to; it sleeps when there is nothing to see. Thread-safe, but start() and stop().
class Watchdog {
 public:
  // `look` gives false when all is quiet.
  explicit Watchdog(std::function<bool()> look) : look_(std::move(look)) {}
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;
  ~Watchdog() { stop(); }

  Status start();
  void stop();

  // Costs a load as long as it looks anyway.
  void ask() {
    if (!asked_.load(std::memory_order_relaxed) && !asked_.exchange(true)) {
      wake();
    }
  }

 private:
  void wake();
  void run();
  void look_until_quiet(std::unique_lock<std::mutex>& lock);

  const std::function<bool()> look_;
  std::atomic<bool> asked_{false};
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace pmemfs::virtiofs
