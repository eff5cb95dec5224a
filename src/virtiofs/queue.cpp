#include "virtiofs/queue.hpp"

#include <poll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <new>
#include <utility>

#include "base/log.hpp"
#include "base/threads.hpp"

namespace pmemfs::virtiofs {
namespace {

using Clock = std::chrono::steady_clock;
using Popped = Virtqueue::Popped;
using namespace std::chrono_literals;

// What messages and answers begin with.
struct MessageHead {
  std::uint32_t len;
  std::uint32_t kind;
  std::uint64_t unique;
};
struct AnswerHead {
  std::uint32_t len;
  std::int32_t error;
  std::uint64_t unique;
};
static_assert(sizeof(AnswerHead) == kAnswerHeader);

// How often a ring without kicks is looked at.
constexpr int kLookMillis = 1;
// How long to wait for memory that others may give back.
constexpr auto kMemoryPause = 1ms;

// Threads that gain by running at the same time: the guest wants one processor itself, since the
// first answers wake it.
unsigned useful(unsigned threads) {
  const unsigned processors = std::max(std::thread::hardware_concurrency(), 2U);
  return std::clamp(processors - 1, 1U, std::max(threads, 1U));
}

base::SpinPolicy::Duration window(std::chrono::microseconds spin) {
  return std::thread::hardware_concurrency() < 2 ? 0us : spin;
}

}  // namespace

Queue::Queue(QueueOptions options, QueueOwner owner)
    : options_(std::move(options)),
      owner_(std::move(owner)),
      useful_(useful(options_.threads)),
      policy_(window(options_.spin)) {}

Status Queue::start_threads() {
  PMEMFS_TRY(poke_, Event::create());
  const std::lock_guard lock(mutex_);
  return add_worker();
}

void Queue::stop_threads() {
  {
    const std::lock_guard lock(mutex_);
    leaving_ = true;
    call_parked_.notify_all();
    change();
  }
  for (Worker& worker : workers_) {
    worker.thread.join();
  }
  workers_.clear();
}

Status Queue::add_worker() {
  try {
    workers_.emplace_back();
  } catch (const std::bad_alloc&) {
    return Error(ENOMEM);
  }
  Worker& worker = workers_.back();
  if (auto made = worker.buffer.create(); !made) {
    workers_.pop_back();
    return made;
  }
  ++called_;
  auto started = base::start_thread(worker.thread, [this, &worker] { work(worker); });
  if (!started) {
    --called_;
    workers_.pop_back();
  }
  return started;
}

void Queue::work(Worker& worker) {
  {
    const std::lock_guard lock(mutex_);
    --called_;
  }
  while (take(worker)) {
    serve(worker);
  }
}

// The next request, and the end of the one before. False: the thread leaves.
bool Queue::take(Worker& worker) {
  std::unique_lock lock(mutex_);
  done(worker);
  while (!leaving_) {
    if (error_due_) {
      tell_error(lock, worker);
      continue;
    }
    const Popped popped = pop(worker);
    if (popped == Popped::kBroken) {
      continue;
    }
    if (popped == Popped::kNoMemory) {
      wait_for_memory(lock);
      continue;
    }
    if (popped == Popped::kNothing) {
      if (waiting_) {
        park(lock, worker);
      } else {
        wait(lock);
      }
      continue;
    }
    worker.serving = true;
    ++serving_;
    if (serving_ < useful_ && ring_.more()) {
      call_helper();
    }
    const bool alone = !waiting_ && called_ == 0;
    lock.unlock();
    if (alone) {
      owner_.watch();
    }
    return true;
  }
  return false;
}

void Queue::done(Worker& worker) {
  if (!std::exchange(worker.serving, false)) {
    return;
  }
  ++served_;
  worker.signalling.reset();
  if (--serving_ == 0) {
    idle_.notify_all();
  }
}

bool Queue::runs() const {
  return started_ && enabled_ && !broken_ && ring_.attached();
}

bool Queue::running() const {
  const std::lock_guard lock(mutex_);
  return runs();
}

Popped Queue::pop(Worker& worker) {
  if (!runs()) {
    return Popped::kNothing;
  }
  const Popped popped = ring_.pop(worker.chain);
  if (memory_->faulted()) {
    broken("a part of the guest's memory is gone");
    owner_.memory_lost();
    return Popped::kBroken;
  }
  if (popped == Popped::kBroken) {
    broken(ring_.wrong());
  }
  return popped;
}

// Until there may be a request, or something has changed.
void Queue::wait(std::unique_lock<std::mutex>& lock) {
  waiting_ = true;
  if (!spin(lock)) {
    sleep(lock);
  }
  waiting_ = false;
}

// True: look at the ring again.
bool Queue::spin(std::unique_lock<std::mutex>& lock) {
  if (!runs() || !policy_.hot()) {
    return false;
  }
  ring_.no_kicks();
  const Virtqueue::Peek peek = ring_.peek();
  const std::uint64_t changes = changes_.load();
  lock.unlock();
  Clock::time_point last = Clock::now();
  const Clock::time_point end = last + policy_.window();
  bool found = false;
  for (;;) {
    found = peek.more();
    if (found || changes_.load(std::memory_order_relaxed) != changes) {
      break;
    }
    const Clock::time_point time = Clock::now();
    if (time >= end || (time - last).count() > base::SpinPolicy::kDisturbed) {
      break;
    }
    last = time;
    base::relax();
  }
  if (found) {
    policy_.caught();
  } else {
    policy_.missed();
  }
  lock.lock();
  return found;
}

void Queue::sleep(std::unique_lock<std::mutex>& lock) {
  const bool looks = runs();
  if (looks && ring_.want_kick()) {
    ring_.no_kicks();
    return;
  }
  const std::shared_ptr<const Event> kick = looks ? kick_ : nullptr;
  lock.unlock();
  const Clock::time_point start = Clock::now();
  std::array<pollfd, 2> events{{{poke_.fd(), POLLIN, 0}, {kick ? kick->fd() : -1, POLLIN, 0}}};
  const int n = ::poll(events.data(), events.size(), looks && !kick ? kLookMillis : -1);
  if (n > 0 && events[0].revents != 0) {
    poke_.clear();
  }
  if (n > 0 && events[1].revents != 0) {
    kick->clear();
  }
  lock.lock();
  if (runs()) {
    ring_.no_kicks();
    if (ring_.more()) {
      policy_.slept(Clock::now() - start);
    }
  }
}

// Another thread waits; this one rests until it is called.
void Queue::park(std::unique_lock<std::mutex>& lock, Worker& worker) {
  lock.unlock();
  worker.chain.clear();
  worker.buffer.trim();
  lock.lock();
  if (!waiting_) {
    return;
  }
  ++parked_;
  call_parked_.wait(lock, [this] { return called_ > 0 || leaving_; });
  --parked_;
  if (!leaving_) {
    --called_;
  }
}

void Queue::wait_for_memory(std::unique_lock<std::mutex>& lock) {
  lock.unlock();
  std::this_thread::sleep_for(kMemoryPause);
  lock.lock();
}

// One more thread looks at the ring, if there is one.
void Queue::call_helper() {
  if (waiting_ || called_ > 0 || leaving_) {
    return;
  }
  if (parked_ > 0) {
    ++called_;
    owner_.counters.wakes.fetch_add(1, std::memory_order_relaxed);
    call_parked_.notify_one();
    return;
  }
  if (workers_.size() >= options_.threads) {
    return;
  }
  if (auto added = add_worker(); !added) {
    base::log::warn_once("virtiofs-threads", "{}: cannot start another thread: {}", options_.name,
                         std::strerror(added.code()));
  }
}

// What anybody looks at is read once, into memory of our own; the rest stays where it is.
std::span<std::byte> Queue::copy_message(Worker& worker) const {
  const Chain& chain = worker.chain;
  std::size_t size = chain.readable_bytes;
  const std::span<std::byte> header = worker.buffer.first(kMessageHeader);
  chain.gather(header);
  if (owner_.handler.copied) {
    size = std::clamp(owner_.handler.copied(header), kMessageHeader, size);
  }
  const std::span<std::byte> message = worker.buffer.first(size);
  chain.gather(message.subspan(kMessageHeader), kMessageHeader);
  chain.leave(size, worker.rest);
  return message;
}

// Parts of a request that is unreachable lie where nobody told us of memory: in a window, as when
// the guest writes from a mapped file with O_DIRECT. The request fails, and not the ring.
void Queue::serve(Worker& worker) {
  const Chain& chain = worker.chain;
  if (chain.unreachable) {
    owner_.counters.unreachable.fetch_add(1, std::memory_order_relaxed);
    refuse(worker, EFAULT);
    return;
  }
  if (chain.readable_bytes < kMessageHeader || chain.readable_bytes > kMostMessage) {
    owner_.counters.malformed.fetch_add(1, std::memory_order_relaxed);
    answer(worker, 0);
    return;
  }
  try {
    handle(worker);
  } catch (const std::bad_alloc&) {
    refuse(worker, ENOMEM);
  }
}

// Gives the request to the handler, and back what it answers.
void Queue::handle(Worker& worker) {
  const Chain& chain = worker.chain;
  const std::span<std::byte> message = copy_message(worker);
  if (chain.memory->faulted()) {
    owner_.memory_lost();
    answer(worker, 0);
    return;
  }
  if (owner_.handler.may_take_long && owner_.handler.may_take_long(message)) {
    const std::lock_guard lock(mutex_);
    call_helper();
  }
  struct Answer {
    const Chain& chain;
    std::size_t written = 0;
    bool given = false;
  } given{chain};
  const AnswerSink sink = [&given](std::span<const iovec> pieces) {
    if (given.given || !given.chain.scatter(pieces, given.written)) {
      return false;
    }
    return given.given = true;
  };
  worker.room.clear();
  for (const std::span<std::byte> piece : chain.writable) {
    worker.room.push_back({piece.data(), piece.size()});
  }
  owner_.handler.serve(message, worker.rest, worker.room, sink);
  owner_.counters.requests.fetch_add(1, std::memory_order_relaxed);
  if (chain.memory->faulted()) {
    owner_.memory_lost();
  }
  answer(worker, static_cast<std::uint32_t>(given.written));
}

// Answers with an error. The message has its header.
void Queue::refuse(Worker& worker, int code) {
  const Chain& chain = worker.chain;
  MessageHead head{};
  chain.gather(std::as_writable_bytes(std::span(&head, 1)));
  AnswerHead answer_head{sizeof(AnswerHead), -code, head.unique};
  const std::array<iovec, 1> pieces{{{&answer_head, sizeof answer_head}}};
  std::size_t written = 0;
  (void)chain.scatter(pieces, written);  // without room nobody wants an answer
  if (chain.memory->faulted()) {
    owner_.memory_lost();
  }
  answer(worker, static_cast<std::uint32_t>(written));
}

void Queue::answer(Worker& worker, std::uint32_t written) {
  {
    const std::lock_guard lock(mutex_);
    if (ring_.attached() && ring_.push(worker.chain.head, written)) {
      worker.signalling = call_;
    }
  }
  worker.chain.clear();  // keeps no memory of a guest that may be gone
  if (worker.signalling) {
    owner_.counters.calls.fetch_add(1, std::memory_order_relaxed);
    worker.signalling->signal();
  }
}

void Queue::tell_error(std::unique_lock<std::mutex>& lock, Worker& worker) {
  error_due_ = false;
  if (error_ == nullptr) {
    return;
  }
  worker.signalling = error_;
  worker.serving = true;  // stop() waits for it
  ++serving_;
  lock.unlock();
  worker.signalling->signal();
  lock.lock();
  done(worker);
}

bool Queue::look_after() {
  const std::lock_guard lock(mutex_);
  const bool progress = served_ != std::exchange(served_at_tick_, served_);
  if (serving_ > 0 && !progress) {
    call_helper();
  }
  return progress || (serving_ > 0 && !waiting_);
}

}  // namespace pmemfs::virtiofs
