#pragma once

#include <chrono>
#include <mutex>
#include <unordered_map>

namespace pmemfs::base {

// How many lines of one kind a log takes: what a user, a guest or a damaged file makes happen again
// and again does not fill it. Thread-safe.
class LogPace {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr unsigned kMost = 100;  // lines of one kind within kTime
  static constexpr std::chrono::seconds kTime{60};

  enum class Verdict { kWrite, kWriteLast, kLeaveOut };

  // One more line of the kind, which is told apart by its address. kWriteLast: those that follow
  // before kTime is over are left out.
  Verdict ask(const void* kind, Clock::time_point now);
  void forget();

 private:
  struct Kind {
    Clock::time_point since;
    unsigned lines = 0;
  };
  std::mutex mutex_;
  std::unordered_map<const void*, Kind> kinds_;
};

}  // namespace pmemfs::base
