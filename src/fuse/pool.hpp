// The threads that serve requests: one waits and serves again and again, others help while requests
// pile up or one takes long, and leave when there is little to do.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "base/unique_fd.hpp"
#include "fuse/afterwork.hpp"
#include "fuse/buffers.hpp"
#include "fuse/receiver.hpp"
#include "fuse/request.hpp"
#include "fuse/staffing.hpp"
#include "pmemfs/result.hpp"

namespace pmemfs::fuse {

// Thread-safe but for run(), which is called once, by one thread.
class WorkerPool {
 public:
  struct Options {
    unsigned least = 2;  // threads that stay: one that waits for requests, one that can help
    unsigned most = 64;  // threads at any time
    std::chrono::microseconds spin{0};
  };
  // Serves one request through the channel; the thread's context is set. Must not throw.
  using Serve = std::function<void(const Request&, Channel&)>;

  // `connection` is mounted and past INIT; it outlives the pool. `afterwork` does what Serve left
  // for later.
  WorkerPool(Channel& connection, const Options& options, Serve serve, Afterwork::Do afterwork);
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  enum class End : std::uint8_t { kUnmounted, kStopped };
  // Starts the threads, calls `on_ready`, returns when the connection is gone or failed or stop()
  // was called. After kStopped the threads still serve, until shut_down().
  Result<End> run(const std::function<void()>& on_ready);

  // Async-signal-safe; before run() too.
  void stop();

  // Waits up to `patience` for the connection's end, then makes every thread finish its request and
  // leave.
  void shut_down(std::chrono::milliseconds patience);

  // The kernel took the filesystem down: it is unmounted everywhere, no file of it is open or
  // mapped. False when the connection was cut off instead.
  [[nodiscard]] bool users_gone() const { return users_gone_.load(); }

  [[nodiscard]] unsigned threads() const { return total_.load(std::memory_order_relaxed); }

 private:
  struct Worker;

  Status start_worker();
  void join_finished(std::unique_lock<std::mutex>& lock);
  void work(Worker& worker);
  bool serve_one(Worker& worker);
  void serve(Worker& worker, const Received& received);
  bool go_on(Worker& worker);
  bool park(Worker& worker);
  void call_reader();
  void watch();
  void look_after();
  void ended(const Received& received);
  void housekeeping();
  void release_parked();  // with mutex_
  void poke_all();        // with mutex_
  void ask_for_upkeep();
  void wake_main();

  Channel& connection_;
  Options options_;
  Serve serve_;
  Afterwork::Do afterwork_;
  base::UniqueFd event_;  // wakes run()
  std::unique_ptr<Poller> poller_;
  Staffing staffing_;

  std::atomic<bool> stop_{false};     // stop() was called
  std::atomic<bool> leaving_{false};  // workers leave
  std::atomic<bool> resting_{false};  // workers give memory back, surplus ones leave
  std::atomic<bool> gone_{false};     // the connection ended
  std::atomic<bool> users_gone_{false};
  std::atomic<int> error_{0};         // it ended with this errno
  std::atomic<bool> upkeep_{false};   // there is something to give back later
  std::atomic<bool> watched_{false};  // run() looks whether the only reader is held up
  std::atomic<unsigned> total_{0};    // threads that have not decided to leave
  std::atomic<unsigned> readers_{0};  // of these, how many wait for a request
  std::atomic<std::uint64_t> served_{0};

  // Of run() alone.
  std::uint64_t served_at_tick_ = 0;
  std::uint64_t served_at_upkeep_ = 0;
  int tick_millis_ = 1;
  int quiet_ticks_ = 0;

  std::mutex mutex_;
  std::condition_variable finished_;
  std::list<Worker> workers_;    // under mutex_
  std::vector<Worker*> parked_;  // under mutex_; the last one parked is the first to be called
};

}  // namespace pmemfs::fuse
