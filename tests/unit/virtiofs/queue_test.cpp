// The threads of a queue, without a watchdog, and what the two sides ask each other for.
#include "rig.hpp"

namespace pmemfs::virtiofs {
namespace {

// A queue whose ring runs, and nobody looks after it.
class QueueRig {
 public:
  explicit QueueRig(unsigned threads, DriverRing::Options options = {})
      : ring_(memory_, 0, options),
        queue_({"queue", threads, {}}, {handler_, counters_, [this] { ++asked; },
                                        [] {
                                        }}) {
    handler_.serve = [this](std::span<std::byte> m, std::span<const iovec>, std::span<const iovec>,
                            const AnswerSink& sink) {
      serve(m, sink);
    };
    handler_.may_take_long = [](std::span<const std::byte> m) {
      return op_of(m) == Op::kLong;
    };
    REQUIRE(map_.add(memory_.region(), memory_.fd()).ok());
    REQUIRE(queue_.start_threads().ok());
    const wire::VringAddr at = ring_.addresses(0);
    queue_.set_memory(map_.picture());
    REQUIRE(queue_.set_num(options.num).ok());
    queue_.set_addresses(at.descriptors, at.available, at.used);
    queue_.set_features(false, options.event_idx);
    queue_.set_call(event(ring_.call_fd()));
    queue_.start(event(ring_.kick_fd()));
    queue_.enable(true);
  }
  ~QueueRig() {
    release();
    queue_.reset();
    queue_.stop_threads();
  }

  DriverRing& ring() { return ring_; }
  Queue& queue() { return queue_; }
  QueueCounters& counters() { return counters_; }
  void release() {
    const std::lock_guard lock(mutex_);
    released_ = true;
    changed_.notify_all();
  }
  [[nodiscard]] bool wait_held(unsigned count) {
    return eventually([&] { return held_.load() == count; });
  }

  [[nodiscard]] std::size_t threads_seen() {
    const std::lock_guard lock(mutex_);
    return threads_.size();
  }

  std::atomic<int> asked{0};

 private:
  static Event event(int fd) {
    auto made = Event::take(base::UniqueFd(::dup(fd)));
    REQUIRE(made.ok());
    return std::move(*made);
  }
  static Op op_of(std::span<const std::byte> m) {
    std::uint32_t op = 0;
    std::memcpy(&op, m.data() + 4, sizeof op);
    return static_cast<Op>(op);
  }
  void serve(std::span<std::byte> m, const AnswerSink& sink) {
    std::unique_lock lock(mutex_);
    threads_.insert(std::this_thread::get_id());
    if (op_of(m) != Op::kEcho) {
      ++held_;
      changed_.wait(lock, [this] { return released_; });
      --held_;
    }
    lock.unlock();
    const std::array<iovec, 1> pieces{{{m.data(), m.size()}}};
    sink(pieces);
  }

  SharedMemory memory_{2U << 20U};
  DriverRing ring_;
  ShownFiles shown_;
  GuestMemoryMap map_{shown_};
  DeviceHandler handler_;
  QueueCounters counters_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool released_ = false;
  std::set<std::thread::id> threads_;
  std::atomic<unsigned> held_{0};
  Queue queue_;
};

TEST_CASE("what may take long leaves the queue to another thread at once") {
  QueueRig rig(2);
  rig.ring().submit(message(Op::kLong, 1), kHeader);
  REQUIRE(rig.wait_held(1));
  CHECK(echo(rig.ring(), message(Op::kEcho, 2)) == message(Op::kEcho, 2));
}

TEST_CASE("what takes long all the same is noticed by whoever looks after the queue") {
  QueueRig rig(2);
  rig.ring().submit(message(Op::kHold, 1), kHeader);
  REQUIRE(rig.wait_held(1));
  CHECK(rig.asked > 0);
  rig.ring().submit(message(Op::kEcho, 2), kHeader);
  CHECK_FALSE(rig.ring().poll().has_value());
  rig.queue().look_after();  // sees that something was served before, or not
  rig.queue().look_after();  // sees that nothing was served since
  CHECK(rig.ring().wait().answer == message(Op::kEcho, 2));
  // Now one waits, and all is quiet.
  REQUIRE(eventually([&] { return !rig.queue().look_after(); }));
}

TEST_CASE("a queue has no more threads than it may") {
  QueueRig rig(2);
  for (std::uint32_t i = 0; i < 4; ++i) {
    rig.ring().submit(message(Op::kLong, i), kHeader);
  }
  REQUIRE(rig.wait_held(2));
  for (int i = 0; i < 10; ++i) {
    rig.queue().look_after();
  }
  rig.ring().submit(message(Op::kEcho, 9), kHeader);
  CHECK_FALSE(rig.ring().poll().has_value());
  rig.release();
  for (int i = 0; i < 5; ++i) {
    CHECK(rig.ring().wait().written == kHeader);
  }
  CHECK(rig.threads_seen() <= 2);
}

TEST_CASE("a busy guest need not kick, and is not called for each answer") {
  const bool event_idx = GENERATE(true, false);
  QueueRig rig(1, {.event_idx = event_idx});
  DriverRing& ring = rig.ring();
  ring.submit(message(Op::kHold, 0), kHeader);
  REQUIRE(rig.wait_held(1));
  const std::uint64_t kicks = ring.kicks();
  for (std::uint32_t i = 1; i < 16; ++i) {
    ring.submit(message(Op::kEcho, i), kHeader);
  }
  CHECK(ring.kicks() == kicks);
  if (!event_idx) {
    ring.available()[0] = wire::kNoInterrupt;
  }
  rig.release();
  for (int done = 0; done < 16;) {
    done += ring.poll().has_value() ? 1 : 0;  // without asking for more calls
  }
  // One for the first, if it was asked for.
  CHECK(rig.counters().calls == (event_idx ? 1 : 0));
  CHECK(rig.counters().wakes == 0);
}

TEST_CASE("a sleeping queue asks for a kick with the next request alone") {
  const bool event_idx = GENERATE(true, false);
  QueueRig rig(1, {.event_idx = event_idx});
  for (std::uint32_t i = 0; i < 10; ++i) {
    REQUIRE(echo(rig.ring(), message(Op::kEcho, i)) == message(Op::kEcho, i));
  }
  CHECK(rig.ring().kicks() <= 10);
  CHECK(rig.counters().requests == 10);
}

}  // namespace
}  // namespace pmemfs::virtiofs
