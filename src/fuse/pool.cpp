#include "fuse/pool.hpp"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <semaphore>
#include <utility>

#include "base/log.hpp"
#include "base/threads.hpp"
#include "fuse/device.hpp"

namespace pmemfs::fuse {
namespace {

using Kind = Received::Kind;
using namespace std::chrono_literals;

// How often run() looks whether the only reader is held up: at first, and when all goes well.
constexpr int kShortTickMillis = 1;
constexpr int kLongTickMillis = 8;
constexpr int kQuietTicks = 16;       // so many without a request, and it looks no longer
constexpr int kUpkeepMillis = 2000;   // how often a pool that holds too much looks around
constexpr std::uint64_t kQuiet = 64;  // requests in that time that do not count as work

// Interrupts read(2) of the device; does nothing else.
int wake_signal() {
  return SIGRTMIN + 3;
}

void install_wake_signal() {
  struct sigaction action {};
  action.sa_handler = [](int) {
  };
  sigemptyset(&action.sa_mask);
  ::sigaction(wake_signal(), &action, nullptr);
}

// What the kernel takes to hand over a request of so many bytes: not time spent waiting for it.
std::chrono::nanoseconds copying(std::size_t bytes) {
  constexpr std::size_t kBytesPerNanosecond = 4;
  return std::chrono::nanoseconds(bytes / kBytesPerNanosecond);
}

std::unique_ptr<Poller> make_poller(const Channel& connection, std::chrono::microseconds spin) {
  if (spin.count() <= 0 || std::thread::hardware_concurrency() < 2) {
    return nullptr;
  }
  auto clone = connection.clone();
  if (!clone || !set_nonblocking((*clone)->device())) {
    return nullptr;
  }
  return std::make_unique<Poller>(std::move(*clone), spin);
}

}  // namespace

struct WorkerPool::Worker {
  Worker(Receiver r, Buffers b, const Afterwork::Do& later)
      : receiver(std::move(r)), buffers(std::move(b)), afterwork(later) {}

  Receiver receiver;
  Buffers buffers;
  Afterwork afterwork;
  std::thread thread;
  std::binary_semaphore called{0};  // ends parking
  bool reads = false;               // called to read, not to leave or to give memory back
  bool finished = false;            // under the pool's mutex
};

WorkerPool::WorkerPool(Channel& connection, const Options& options, Serve serve,
                       Afterwork::Do afterwork)
    : connection_(connection),
      options_(options),
      serve_(std::move(serve)),
      afterwork_(std::move(afterwork)),
      event_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      poller_(make_poller(connection, options.spin)),
      staffing_(std::clamp(std::thread::hardware_concurrency(), 1U, std::max(options.most, 1U))) {
  options_.most = std::max(options_.most, 1U);
  options_.least = std::min(options_.least, options_.most);
}

WorkerPool::~WorkerPool() {
  shut_down(0ms);
}

Result<WorkerPool::End> WorkerPool::run(const std::function<void()>& on_ready) {
  install_wake_signal();
  for (unsigned i = 0; i < options_.least; ++i) {
    if (auto started = start_worker(); !started && total_.load() == 0) {
      return started.error();
    }
  }
  if (on_ready) {
    on_ready();
  }
  while (!gone_.load() && !stop_.load()) {
    const bool watched = watched_.load();
    pollfd event{event_.get(), POLLIN, 0};
    const int n = ::poll(&event, 1, watched ? tick_millis_ : upkeep_.load() ? kUpkeepMillis : -1);
    if (n > 0) {
      std::uint64_t count = 0;
      [[maybe_unused]] const ssize_t got = ::read(event_.get(), &count, sizeof(count));
      tick_millis_ = kShortTickMillis;
    } else if (n == 0 && watched) {
      look_after();
    } else if (n == 0) {
      housekeeping();
    }
  }
  // Nobody looks after the only reader from here on. Those who see stop_ call the next one
  // themselves (serve()); one that did not is seen here.
  if (readers_.load() == 0) {
    call_reader();
  }
  if (const int error = error_.load(); error != 0) {
    return Error(error);
  }
  return gone_.load() ? End::kUnmounted : End::kStopped;
}

void WorkerPool::stop() {
  stop_.store(true);
  wake_main();
}

void WorkerPool::wake_main() {
  const int saved = errno;
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = ::write(event_.get(), &one, sizeof(one));
  errno = saved;
}

void WorkerPool::shut_down(std::chrono::milliseconds patience) {
  std::unique_lock lock(mutex_);
  const auto all_finished = [this] {
    return std::all_of(workers_.begin(), workers_.end(),
                       [](const Worker& worker) { return worker.finished; });
  };
  finished_.wait_for(lock, patience, all_finished);
  leaving_.store(true);
  release_parked();
  // A signal that comes just before read(2) is lost, so it is sent until it was heard.
  while (!all_finished()) {
    poke_all();
    finished_.wait_for(lock, 2ms);
  }
  join_finished(lock);
}

// With mutex_. They look at leaving_ and resting_.
void WorkerPool::release_parked() {
  for (Worker* worker : std::exchange(parked_, {})) {
    worker->called.release();
  }
}

// With mutex_.
void WorkerPool::poke_all() {
  for (Worker& worker : workers_) {
    if (!worker.finished) {
      ::pthread_kill(worker.thread.native_handle(), wake_signal());
    }
  }
}

Status WorkerPool::start_worker() {
  PMEMFS_TRY(Buffers buffers, Buffers::create());
  auto clone = connection_.clone();
  std::unique_ptr<Channel> own = clone ? std::move(*clone) : nullptr;
  std::unique_lock lock(mutex_);
  join_finished(lock);
  if (leaving_.load() || total_.load() >= options_.most) {
    return {};
  }
  Worker& worker = workers_.emplace_back(Receiver(std::move(own), connection_, poller_.get()),
                                         std::move(buffers), afterwork_);
  total_.fetch_add(1);
  readers_.fetch_add(1);
  auto started = base::start_thread(worker.thread, [this, &worker] { work(worker); });
  if (!started) {
    total_.fetch_sub(1);
    readers_.fetch_sub(1);
    workers_.pop_back();
  }
  return started;
}

void WorkerPool::join_finished(std::unique_lock<std::mutex>& /*held*/) {
  workers_.remove_if([](Worker& worker) {
    if (worker.finished) {
      worker.thread.join();
    }
    return worker.finished;
  });
}

void WorkerPool::work(Worker& worker) {
  base::block_signals({wake_signal()});
  this_thread().buffers = &worker.buffers;
  this_thread().afterwork = &worker.afterwork;
  while (serve_one(worker)) {
  }
  worker.afterwork.do_all();
  const std::lock_guard lock(mutex_);
  worker.finished = true;
  finished_.notify_all();
}

// False: the worker leaves. What was read is served in any case, so that no caller is left waiting.
bool WorkerPool::serve_one(Worker& worker) {
  const Received received = worker.receiver.receive(worker.buffers.request(), worker.afterwork);
  switch (received.kind) {
    case Kind::kRequest:
      if (staffing_.waited(received.waited - copying(received.size))) {
        call_reader();
      }
      serve(worker, received);
      return go_on(worker);
    case Kind::kNothing:
      if (resting_.load(std::memory_order_relaxed)) {
        worker.buffers.trim();
      }
      return !leaving_.load(std::memory_order_relaxed);
    case Kind::kUnmounted:
    case Kind::kFailed:
      break;
  }
  ended(received);
  return false;
}

void WorkerPool::serve(Worker& worker, const Received& received) {
  const Request request(worker.buffers.request().first(received.size));
  worker.buffers.used(received.size);
  if (readers_.fetch_sub(1) == 1) {
    if (request.may_take_long() || stop_.load()) {
      call_reader();
    } else {
      watch();
    }
  }
  worker.afterwork.make_way_for(request);
  ThreadContext& context = this_thread();
  context.request = request;
  serve_(request, *received.channel);
  served_.fetch_add(1, std::memory_order_relaxed);
  if (worker.buffers.dirty()) {
    ask_for_upkeep();
  }
}

// After a request: the worker reads the next one, or parks when enough others do. False: it leaves.
bool WorkerPool::go_on(Worker& worker) {
  if (leaving_.load(std::memory_order_relaxed)) {
    return false;
  }
  unsigned readers = readers_.load();
  while (readers < staffing_.wanted()) {
    if (readers_.compare_exchange_weak(readers, readers + 1)) {
      return true;
    }
  }
  return park(worker);
}

// Until the worker is called to read. Never the last reader: another one reads now, and comes by
// go_on() itself. False: it leaves.
bool WorkerPool::park(Worker& worker) {
  worker.afterwork.do_all();
  for (;;) {
    {
      const std::lock_guard lock(mutex_);
      if (leaving_.load() || (resting_.load() && total_.load() > options_.least)) {
        total_.fetch_sub(1);
        return false;
      }
      parked_.push_back(&worker);
    }
    if (total_.load() > options_.least) {
      ask_for_upkeep();
    }
    worker.called.acquire();
    if (std::exchange(worker.reads, false)) {
      return true;
    }
    worker.buffers.trim();
  }
}

// One more thread waits for requests: a parked one, else a new one.
void WorkerPool::call_reader() {
  {
    const std::lock_guard lock(mutex_);
    if (!parked_.empty()) {
      Worker& worker = *parked_.back();
      parked_.pop_back();
      readers_.fetch_add(1);
      worker.reads = true;
      worker.called.release();
      return;
    }
  }
  if (total_.load() >= options_.most) {
    return;
  }
  if (auto started = start_worker(); !started) {
    base::log::warn_once("fuse-threads", "cannot start another thread: {}",
                         std::strerror(started.code()));
  }
}

// Nobody reads while the calling worker serves: run() looks after it.
void WorkerPool::watch() {
  if (!watched_.load() && !watched_.exchange(true)) {
    wake_main();
  }
}

// A request that holds up the only reader, for a lock or for the host, must not hold up the others.
void WorkerPool::look_after() {
  const std::uint64_t served = served_.load(std::memory_order_relaxed);
  const bool progress = served != std::exchange(served_at_tick_, served);
  if (!progress && readers_.load() == 0) {
    call_reader();
    tick_millis_ = kShortTickMillis;
    return;
  }
  tick_millis_ = std::min(tick_millis_ * 2, kLongTickMillis);
  quiet_ticks_ = progress ? 0 : quiet_ticks_ + 1;
  if (quiet_ticks_ < kQuietTicks) {
    return;
  }
  // Looked at again after the flag is down: a worker that saw it up did not call.
  quiet_ticks_ = 0;
  watched_.store(false);
  if (readers_.load() == 0) {
    watched_.store(true);
  }
}

void WorkerPool::ended(const Received& received) {
  if (received.kind == Kind::kFailed) {
    int none = 0;
    error_.compare_exchange_strong(none, received.error);
  }
  {
    const std::lock_guard lock(mutex_);
    leaving_.store(true);
    release_parked();
  }
  if (received.kind == Kind::kUnmounted && received.error == ENODEV) {
    users_gone_.store(true);
  }
  gone_.store(true);
  wake_main();
}

void WorkerPool::ask_for_upkeep() {
  if (!upkeep_.load() && !upkeep_.exchange(true)) {
    wake_main();
  }
}

// Once the work is over: workers give back their large buffers, and surplus ones leave.
void WorkerPool::housekeeping() {
  const std::uint64_t served = served_.load(std::memory_order_relaxed);
  if (served - std::exchange(served_at_upkeep_, served) > kQuiet) {
    return;
  }
  std::unique_lock lock(mutex_);
  join_finished(lock);
  upkeep_.store(false);
  resting_.store(true);
  release_parked();
  poke_all();
  finished_.wait_for(lock, 20ms, [this] { return total_.load() <= options_.least; });
  poke_all();
  finished_.wait_for(lock, 5ms);
  resting_.store(false);
  join_finished(lock);
  if (total_.load() > options_.least) {
    upkeep_.store(true);
  }
}

}  // namespace pmemfs::fuse
