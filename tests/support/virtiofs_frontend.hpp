// The other side of a vhost-user device: what a VMM and the driver of its guest do, in a few lines.
// It throws std::runtime_error where the device does not do its part in time, and checks nothing of
// what it is told to send: tests and fuzzers let it lie.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "base/unique_fd.hpp"
#include "virtiofs/protocol.hpp"

namespace pmemfs::test {

namespace wire = virtiofs::wire;
using Bytes = std::vector<std::byte>;

// Memory of a guest that is seen at three addresses: here, in the guest, and in a VMM that has it
// elsewhere than here, so that mixing them up cannot go unseen.
class SharedMemory {
 public:
  explicit SharedMemory(std::uint64_t size, std::uint64_t guest = 0x4000'0000,
                        std::uint64_t user = 0x5000'0000'0000);
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;
  ~SharedMemory();

  [[nodiscard]] std::byte* data() const { return data_; }
  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] wire::MemoryRegion region() const { return {guest_, size_, user_, 0}; }
  [[nodiscard]] std::uint64_t guest(std::uint64_t off) const { return guest_ + off; }
  [[nodiscard]] std::uint64_t user(std::uint64_t off) const { return user_ + off; }

 private:
  base::UniqueFd fd_;
  std::uint64_t size_;
  std::uint64_t guest_;
  std::uint64_t user_;
  std::byte* data_;
};

// The driver's side of one ring, at an offset of the memory; room for requests is behind it. Each
// request takes a place of four descriptors, so that num / 4 of them can be under way.
class DriverRing {
 public:
  struct Options {
    std::uint16_t num = 64;
    std::size_t room = 4096;  // bytes of a place, for request and answer together
    bool indirect = false;
    bool event_idx = true;
  };
  struct Done {
    std::uint16_t place = 0;
    std::uint32_t written = 0;
    Bytes answer;
  };

  DriverRing(SharedMemory& memory, std::uint64_t offset, Options options);

  // Bytes of the memory that it takes.
  [[nodiscard]] std::uint64_t size() const;
  // More of a request, anywhere in the guest.
  struct Elsewhere {
    std::uint64_t guest = 0;  // address
    std::uint32_t len = 0;    // bytes
  };
  // Adds a request in two pieces and room for the answer in two pieces, or with `data` behind the
  // request and room in one piece; kicks if the device wants to.
  std::uint16_t submit(std::span<const std::byte> request, std::size_t room, Elsewhere data);
  std::uint16_t submit(std::span<const std::byte> request, std::size_t room) {
    return submit(request, room, {});
  }
  // The next answer; within 20 seconds, or it throws. Waits for the call as a driver does.
  Done wait();
  // An answer if there is one; looks without waiting.
  std::optional<Done> poll();

  // To lie with.
  [[nodiscard]] wire::Descriptor* descriptors() const;
  [[nodiscard]] std::uint16_t* available() const;  // flags, index, ring, used event
  [[nodiscard]] std::uint16_t* used() const;       // flags, index, ring, available event
  [[nodiscard]] std::uint64_t place_offset(std::uint16_t place) const;
  void expose(std::uint16_t head);  // makes it available, and kicks
  void kick() const;

  [[nodiscard]] int kick_fd() const { return kick_.get(); }
  [[nodiscard]] int call_fd() const { return call_.get(); }
  [[nodiscard]] wire::VringAddr addresses(std::uint32_t index) const;
  [[nodiscard]] const Options& options() const { return options_; }
  [[nodiscard]] std::uint64_t kicks() const { return kicks_; }

 private:
  [[nodiscard]] bool wants_kick(std::uint16_t before) const;

  SharedMemory& memory_;
  std::uint64_t offset_;
  Options options_;
  base::UniqueFd kick_;
  base::UniqueFd call_;
  std::vector<std::uint16_t> free_;
  std::vector<std::size_t> room_;  // by place
  std::uint16_t available_index_ = 0;
  std::uint16_t used_index_ = 0;
  std::uint64_t kicks_ = 0;
};

// What the VMM does when it is asked to map something.
enum class WindowMode { kAnswer, kRefuse, kHold, kNonsense };

class VirtiofsFrontend {
 public:
  static constexpr std::uint64_t kAllFeatures =
      wire::kVersion1 | wire::kRingIndirect | wire::kRingEventIdx | wire::kHasProtocolFeatures;

  // Connects to a socket that a device listens at.
  explicit VirtiofsFrontend(const std::string& path);
  // Speaks over a socket that is connected already.
  explicit VirtiofsFrontend(base::UniqueFd socket) : socket_(std::move(socket)) {}
  VirtiofsFrontend(const VirtiofsFrontend&) = delete;
  VirtiofsFrontend& operator=(const VirtiofsFrontend&) = delete;
  ~VirtiofsFrontend();

  // One message, whatever it is. False: the device has closed the socket.
  bool send_raw(std::span<const std::byte> bytes, std::span<const int> fds = {});
  bool send(wire::Request request, std::span<const std::byte> payload = {},
            std::span<const int> fds = {}, std::uint32_t flags = wire::kVersion);
  template <typename T>
  bool send_value(wire::Request request, const T& value, std::span<const int> fds = {}) {
    return send(request, std::as_bytes(std::span(&value, 1)), fds);
  }
  // The payload of the answer to `request`; throws when there is none, or the socket is closed.
  Bytes receive(wire::Request request);
  // Asks and gives the number that is answered.
  std::uint64_t ask(wire::Request request);
  // Sends with the wish for an answer, and gives it: 0 is well.
  template <typename T>
  std::uint64_t acknowledged(wire::Request request, const T& value, std::span<const int> fds = {}) {
    return acknowledged_bytes(request, std::as_bytes(std::span(&value, 1)), fds);
  }
  std::uint64_t acknowledged_bytes(wire::Request request, std::span<const std::byte> payload,
                                   std::span<const int> fds = {});
  // Waits until the device has closed the socket; false after 20 seconds.
  bool hung_up();
  void close() { socket_.reset(); }

  // Agrees on all that is offered, but for `without` of the features, and of those of the protocol.
  void handshake(std::uint64_t without = 0, std::uint64_t protocol_without = 0);
  // As a region of its own, or in a table with those before, which live as long; whatever the
  // device has agreed to.
  void add_memory(const SharedMemory& memory);
  // In place of all that was told; the device's answer: 0 is well.
  std::uint64_t set_memory(std::vector<const SharedMemory*> memory);
  // Tells a ring and starts it at `base`.
  void start_ring(std::uint32_t index, const DriverRing& ring, std::uint16_t base = 0);
  // Stops it; where it would go on.
  std::uint32_t stop_ring(std::uint32_t index);

  // Gives the device a channel, and answers there in a thread.
  void open_channel(std::uint64_t window);
  void set_window_mode(WindowMode mode) { mode_ = mode; }
  // What the guest sees; only where something is mapped.
  [[nodiscard]] std::byte* window() const {
    performed_.load();  // sees what the channel's thread has mapped
    return window_;
  }
  [[nodiscard]] std::uint64_t window_requests() const { return window_requests_; }
  // Sees each of them in the channel's thread, before it is done; no more when another is set, or
  // none, and what it has seen is the caller's then.
  using Watch = std::function<void(wire::BackendRequest, const wire::ShmemRange&)>;
  void watch_window(Watch watch) {
    const std::lock_guard lock(watch_mutex_);
    watch_ = std::move(watch);
  }

 private:
  void answer_channel();
  bool answer_one();
  static std::uint64_t length_in_file(int fd, const wire::ShmemRange& range);
  bool perform(std::uint32_t request, const wire::ShmemRange& range, int fd);
  void close_channel();

  base::UniqueFd socket_;
  std::uint64_t protocol_ = 0;  // features of it that were agreed on
  std::vector<const SharedMemory*> told_;
  base::UniqueFd channel_;
  std::thread channel_thread_;
  std::atomic<WindowMode> mode_{WindowMode::kAnswer};
  std::atomic<bool> closing_{false};
  std::atomic<std::uint64_t> window_requests_{0};
  std::atomic<std::uint64_t> performed_{0};
  static constexpr std::uint64_t kAlignment = 2U << 20U;
  std::byte* reserved_ = nullptr;
  std::byte* window_ = nullptr;
  std::uint64_t window_size_ = 0;
  std::mutex watch_mutex_;
  Watch watch_;
  std::vector<wire::ShmemRange> mapped_;
};

}  // namespace pmemfs::test
