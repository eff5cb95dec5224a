// What the VMM tells of a queue.
#include <bit>
#include <cerrno>
#include <chrono>
#include <utility>

#include "base/log.hpp"
#include "virtiofs/queue.hpp"

namespace pmemfs::virtiofs {
namespace {

// When nothing was answered for so long, threads may wait to write an event that the VMM keeps
// full.
constexpr std::chrono::milliseconds kSuspicious{20};

}  // namespace

// The waiting thread looks at everything again.
void Queue::change() {
  changes_.fetch_add(1);
  if (waiting_) {
    poke_.signal();
  }
}

void Queue::attach() {
  if (const char* why = ring_.attach(setup_, memory_); why != nullptr) {
    broken(why);
  }
}

void Queue::broken(const char* why) {
  broken_ = true;
  error_due_ = true;
  owner_.counters.broken.fetch_add(1, std::memory_order_relaxed);
  base::log::warn(
      "{}: the guest or its VMM broke a rule: {}; the queue stands still until the guest resets "
      "the "
      "device",
      options_.name, why);
}

Status Queue::set_num(std::uint32_t num) {
  const std::lock_guard lock(mutex_);
  if (started_) {
    return Error(EBUSY);
  }
  setup_.num = num;
  return {};
}

Status Queue::set_base(std::uint16_t index) {
  const std::lock_guard lock(mutex_);
  if (started_) {
    return Error(EBUSY);
  }
  ring_.start_at(index);
  return {};
}

std::uint16_t Queue::next() const {
  const std::lock_guard lock(mutex_);
  return ring_.next();
}

void Queue::set_addresses(std::uint64_t descriptors, std::uint64_t available, std::uint64_t used) {
  const std::lock_guard lock(mutex_);
  setup_.descriptors = descriptors;
  setup_.available = available;
  setup_.used = used;
  if (runs()) {
    attach();
    change();
  }
}

void Queue::set_memory(std::shared_ptr<const GuestMemory> memory) {
  const std::lock_guard lock(mutex_);
  if (memory == memory_) {
    return;
  }
  memory_ = std::move(memory);
  if (!ring_.attached() || broken_) {
    return;
  }
  const std::uint16_t* const looked_at = ring_.peek().index;
  attach();
  if (broken_ || ring_.peek().index != looked_at) {
    change();
  }
}

void Queue::set_features(bool indirect, bool event_idx) {
  const std::lock_guard lock(mutex_);
  setup_.indirect = indirect;
  setup_.event_idx = event_idx;
}

void Queue::set_call(Event event) {
  const std::lock_guard lock(mutex_);
  call_ = event.fd() < 0 ? nullptr : std::make_shared<const Event>(std::move(event));
}

void Queue::set_error(Event event) {
  const std::lock_guard lock(mutex_);
  error_ = event.fd() < 0 ? nullptr : std::make_shared<const Event>(std::move(event));
}

void Queue::enable(bool on) {
  const std::lock_guard lock(mutex_);
  enabled_ = on;
  change();
}

void Queue::start(std::optional<Event> kick) {
  const std::lock_guard lock(mutex_);
  kick_ = kick ? std::make_shared<const Event>(std::move(*kick)) : nullptr;
  start_ring();
}

void Queue::start_again() {
  const std::lock_guard lock(mutex_);
  start_ring();
}

bool Queue::started() const {
  const std::lock_guard lock(mutex_);
  return started_;
}

// With the mutex.
void Queue::start_ring() {
  if (!started_) {
    started_ = true;
    broken_ = false;
    attach();
    if (ring_.attached()) {
      ring_.continue_used();
      ring_.no_kicks();  // until a thread sleeps
    }
  }
  change();
}

std::uint16_t Queue::stop() {
  std::unique_lock lock(mutex_);
  started_ = false;
  change();
  for (std::uint64_t served = served_;
       !idle_.wait_for(lock, kSuspicious, [this] { return serving_ == 0; }); served = served_) {
    for (const Worker& worker : workers_) {
      if (worker.signalling && served_ == served) {
        worker.signalling->clear();
      }
    }
  }
  ring_.detach();
  return ring_.next();
}

void Queue::reset() {
  stop();
  const std::lock_guard lock(mutex_);
  enabled_ = false;
  broken_ = false;
  error_due_ = false;
  setup_ = {};
  memory_.reset();
  kick_.reset();
  call_.reset();
  error_.reset();
  ring_.start_at(0);
}

}  // namespace pmemfs::virtiofs
