#include "virtiofs/watchdog.hpp"

#include <cerrno>
#include <chrono>
#include <system_error>

#include "base/threads.hpp"

namespace pmemfs::virtiofs {
namespace {

using namespace std::chrono_literals;

constexpr auto kShortTick = 1ms;
constexpr auto kLongTick = 2ms;  // while all goes well
constexpr int kQuietTicks = 16;  // so many without anything to see, and it sleeps

}  // namespace

Status Watchdog::start() {
  stop_ = false;
  return base::start_thread(thread_, [this] { run(); });
}

void Watchdog::stop() {
  if (!thread_.joinable()) {
    return;
  }
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
    changed_.notify_all();
  }
  thread_.join();
}

void Watchdog::wake() {
  const std::lock_guard lock(mutex_);
  changed_.notify_all();
}

void Watchdog::run() {
  std::unique_lock lock(mutex_);
  while (!stop_) {
    changed_.wait(lock, [this] { return stop_ || asked_.load(); });
    look_until_quiet(lock);
  }
}

void Watchdog::look_until_quiet(std::unique_lock<std::mutex>& lock) {
  auto tick = kShortTick;
  for (int quiet = 0; !stop_;) {
    changed_.wait_for(lock, tick, [this] { return stop_; });
    lock.unlock();
    const bool seen = look_();
    lock.lock();
    quiet = seen ? 0 : quiet + 1;
    tick = seen ? kLongTick : kShortTick;
    if (quiet < kQuietTicks) {
      continue;
    }
    // Looked at again after the flag is down: who saw it up did not ask.
    asked_.store(false);
    lock.unlock();
    const bool more = look_();
    lock.lock();
    if (!more) {
      return;
    }
    asked_.store(true);
    quiet = 0;
  }
}

}  // namespace pmemfs::virtiofs
