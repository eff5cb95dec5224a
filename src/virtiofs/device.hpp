// A virtio file system device for one virtual machine: a vhost-user back end at a socket. What the
// guest's messages mean is the handler's business.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "pmemfs/result.hpp"
#include "virtiofs/backend_channel.hpp"
#include "virtiofs/connection.hpp"
#include "virtiofs/handler.hpp"
#include "virtiofs/listener.hpp"
#include "virtiofs/queue.hpp"
#include "virtiofs/shown_files.hpp"
#include "virtiofs/watchdog.hpp"

namespace pmemfs::virtiofs {

struct DeviceOptions {
  std::string socket;
  std::string tag;                      // what the guest mounts: 1 to 36 bytes, no zeros
  std::uint64_t window = 0;             // bytes; 0: none, else a power of two of 2 MiB or more
  unsigned queues = 2;                  // request queues; the VMM must have as many, and one more
  unsigned threads = 8;                 // for each request queue, at most
  std::chrono::microseconds spin{100};  // how long the next request of a busy guest is looked for
  std::chrono::milliseconds patience{10'000};  // with a VMM that does not answer
  // The VMM may add and remove regions of memory one by one, more than 8. Not for QEMU 11.1 where
  // any device of the machine has a window: it counts each mapping there among the regions, tells
  // every back end of all, and ends by an assertion at the 510th, 1 GiB. A back end that does not
  // take them hears of those beyond 8 no more, which it has no need of; QEMU says so on stderr.
  bool memory_slots = false;
  // Shared by all devices that one VMM may have; null: this is the only one.
  std::shared_ptr<ShownFiles> shown;
};

struct DeviceStatus {
  bool connected = false;         // a VMM is there
  unsigned running = 0;           // queues that the guest uses
  std::uint64_t connections = 0;  // VMMs that came so far
  std::uint64_t requests = 0;
  std::uint64_t malformed = 0;    // chains that were no message
  std::uint64_t unreachable = 0;  // requests in memory that was not told: answered with EFAULT
  std::uint64_t broken = 0;       // rings that had to be stopped
  std::uint64_t wakes = 0;        // threads that were called to help
  std::uint64_t calls = 0;        // interrupts of the guest
};

// Thread-safe, but start() and stop().
class Device {
 public:
  static constexpr unsigned kMostQueues = 64;  // request queues

  // Binds the socket; nobody is served yet. EINVAL: the options make no sense; else
  // Listener::listen's. `why`: one line, what, why and way out.
  static Result<std::unique_ptr<Device>> create(const DeviceOptions& options, DeviceHandler handler,
                                                std::string* why);
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;
  ~Device() { stop(); }

  // Once. EAGAIN and others: no thread or descriptor can be had.
  Status start();
  // Ends the connection after the requests that are under way, and removes the socket.
  void stop();

  // The window, through the VMM; waits for its answer. EINVAL: not whole pages, or beyond the
  // window. Else BackendChannel's errors: after EAGAIN it may be mapped or not, and must be
  // unmapped before it is used again (which says EIO if it was not).
  Status map(int fd, std::uint64_t fd_off, std::uint64_t window_off, std::uint64_t len);
  // Exactly what one map() has mapped.
  Status unmap(std::uint64_t window_off, std::uint64_t len);

  // Whether the VMM that is there can be asked to map anything. One that cannot may still show its
  // guest a window, of messages of its own.
  [[nodiscard]] bool has_window() const { return channel_.understood(); }

  [[nodiscard]] DeviceStatus status() const;

 private:
  Device(const DeviceOptions& options, DeviceHandler handler, Listener listener);

  void add_queues();
  void listen();
  void serve(base::UniqueFd socket);
  void hang_up();
  void memory_lost();
  [[nodiscard]] bool in_window(std::uint64_t off, std::uint64_t len) const;

  const DeviceOptions options_;
  const DeviceHandler handler_;
  const std::string name_;
  Listener listener_;
  Event stop_;
  QueueCounters counters_;
  const std::shared_ptr<ShownFiles> shown_;
  BackendChannel channel_;
  std::vector<std::unique_ptr<Queue>> queues_;
  Watchdog watchdog_;
  std::thread listening_;
  std::atomic<std::uint64_t> connections_{0};
  std::atomic<bool> lost_{false};  // memory of the VMM that is there

  mutable std::mutex mutex_;
  base::UniqueFd connection_;  // the VMM's socket, under the mutex
};

}  // namespace pmemfs::virtiofs
