// One queue of the device: its ring, and the threads that serve it. One thread waits for requests,
// the others serve or are parked. A thread that has taken a request serves it itself: nothing is
// handed over. Another one is called to wait when more is there already, when the request may take
// long, or when the watchdog sees that nothing moves.
#pragma once

#include <sys/uio.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/spin_policy.hpp"
#include "virtiofs/event.hpp"
#include "virtiofs/handler.hpp"
#include "virtiofs/message_buffer.hpp"
#include "virtiofs/virtqueue.hpp"

namespace pmemfs::virtiofs {

// Of all queues of a device since its beginning.
struct QueueCounters {
  std::atomic<std::uint64_t> requests{0};
  std::atomic<std::uint64_t> malformed{0};    // chains that are no message
  std::atomic<std::uint64_t> unreachable{0};  // requests in memory that was not told
  std::atomic<std::uint64_t> broken{0};       // rings that had to be stopped
  std::atomic<std::uint64_t> wakes{0};        // threads that were called to help
  std::atomic<std::uint64_t> calls{0};        // interrupts of the guest
};

struct QueueOptions {
  std::string name;  // for the log
  unsigned threads = 1;
  std::chrono::microseconds spin{0};
};

// What a queue needs of its device.
struct QueueOwner {
  const DeviceHandler& handler;
  QueueCounters& counters;
  std::function<void()> watch;        // a request is served and nobody waits: look_after() please
  std::function<void()> memory_lost;  // a part of the guest's memory is gone
};

// Thread-safe, but what the VMM tells (setup to stop) is told by one thread.
class Queue {
 public:
  Queue(QueueOptions options, QueueOwner owner);
  Queue(const Queue&) = delete;
  Queue& operator=(const Queue&) = delete;
  ~Queue() { stop_threads(); }

  // The first thread; others come when they are needed. EAGAIN and others: none can be had.
  Status start_threads();
  void stop_threads();

  // EBUSY: the ring is started.
  Status set_num(std::uint32_t num);
  Status set_base(std::uint16_t index);
  // Where the ring would go on.
  [[nodiscard]] std::uint16_t next() const;
  // Both may be told anew while the ring runs.
  void set_addresses(std::uint64_t descriptors, std::uint64_t available, std::uint64_t used);
  void set_memory(std::shared_ptr<const GuestMemory> memory);
  void set_features(bool indirect, bool event_idx);
  // An empty one: there is none, and the ring is looked at now and then.
  void set_call(Event event);
  void set_error(Event event);
  void enable(bool on);

  // Starts the ring; it runs once it is enabled, too. Without `kick` it is looked at now and then.
  void start(std::optional<Event> kick);
  // As it was started before it was stopped.
  void start_again();
  [[nodiscard]] bool started() const;
  // Waits for the requests that are under way. The index where the ring would go on.
  std::uint16_t stop();
  // As before the VMM came.
  void reset();

  [[nodiscard]] bool running() const;

  // By the watchdog, again and again. Calls a thread when all are held up. False: all is quiet.
  bool look_after();

 private:
  struct Worker {
    Chain chain;
    MessageBuffer buffer;
    std::vector<iovec> rest;  // of the message
    std::vector<iovec> room;
    bool serving = false;  // counted in serving_
    // What the thread writes at the end; it may wait there for as long as the VMM likes.
    std::shared_ptr<const Event> signalling;
    std::thread thread;
  };

  void work(Worker& worker);
  bool take(Worker& worker);
  Virtqueue::Popped pop(Worker& worker);
  void wait(std::unique_lock<std::mutex>& lock);
  bool spin(std::unique_lock<std::mutex>& lock);
  void sleep(std::unique_lock<std::mutex>& lock);
  void park(std::unique_lock<std::mutex>& lock, Worker& worker);
  static void wait_for_memory(std::unique_lock<std::mutex>& lock);
  void done(Worker& worker);
  void tell_error(std::unique_lock<std::mutex>& lock, Worker& worker);
  void serve(Worker& worker);
  void handle(Worker& worker);
  std::span<std::byte> copy_message(Worker& worker) const;
  void refuse(Worker& worker, int code);
  void answer(Worker& worker, std::uint32_t written);
  // Under the mutex:
  [[nodiscard]] bool runs() const;
  void call_helper();
  Status add_worker();
  void change();
  void attach();
  void start_ring();
  void broken(const char* why);

  const QueueOptions options_;
  const QueueOwner owner_;
  const unsigned useful_;  // threads at a time
  Event poke_;             // ends the waiting thread's sleep
  base::SpinPolicy policy_;
  std::atomic<std::uint64_t> changes_{0};  // of what a thread that looks must know

  mutable std::mutex mutex_;  // all below
  Virtqueue ring_;
  RingSetup setup_;
  std::shared_ptr<const GuestMemory> memory_;
  std::shared_ptr<const Event> kick_;
  std::shared_ptr<const Event> call_;
  std::shared_ptr<const Event> error_;
  bool started_ = false;
  bool enabled_ = false;
  bool broken_ = false;
  bool error_due_ = false;  // the VMM is to be told that the ring is broken
  bool leaving_ = false;
  bool waiting_ = false;  // one thread waits for requests
  unsigned serving_ = 0;  // threads that serve
  unsigned called_ = 0;   // parked threads that were called and are not there yet
  unsigned parked_ = 0;
  std::uint64_t served_ = 0;
  std::uint64_t served_at_tick_ = 0;
  std::condition_variable call_parked_;
  std::condition_variable idle_;  // serving_ is 0
  std::list<Worker> workers_;
};

}  // namespace pmemfs::virtiofs
