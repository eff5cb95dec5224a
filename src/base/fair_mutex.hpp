#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace pmemfs::base {

// Taken in the order in which it was asked for: who takes it again and again does not keep out who
// wants it once, as with std::mutex. For what is held long. For std::lock_guard.
class FairMutex {
 public:
  void lock() {
    std::unique_lock lock(mutex_);
    const std::uint64_t ticket = next_++;
    called_.wait(lock, [&] { return ticket == serving_; });
  }
  void unlock() {
    {
      const std::lock_guard lock(mutex_);
      ++serving_;
    }
    called_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable called_;
  std::uint64_t next_ = 0;
  std::uint64_t serving_ = 0;
};

}  // namespace pmemfs::base
