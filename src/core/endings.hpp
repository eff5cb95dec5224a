// Inodes whose end is under way.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

namespace pmemfs::core {

// A kernel says after unlink(2) has returned that it is done with an inode, so its space comes back
// while others may be asking for some already. Thread-safe.
class Endings {
 public:
  class Ending {
   public:
    explicit Ending(Endings& all) : all_(all) { all_.begin(); }
    Ending(const Ending&) = delete;
    Ending& operator=(const Ending&) = delete;
    ~Ending() { all_.end(); }

   private:
    Endings& all_;
  };

  // Until none is under way, but no longer than a second: what ends may be large, or wait for what
  // the caller has locked.
  void wait() {
    std::unique_lock lock(mutex_);
    none_.wait_for(lock, std::chrono::seconds(1), [this] { return under_way_ == 0; });
  }

 private:
  void begin() {
    const std::lock_guard lock(mutex_);
    ++under_way_;
  }
  void end() {
    const std::lock_guard lock(mutex_);
    if (--under_way_ == 0) {
      none_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable none_;
  int under_way_ = 0;
};

}  // namespace pmemfs::core
