// A device whose handler echoes, and a VMM for it.
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>

#include "base/log.hpp"
#include "harness/catch.hpp"
#include "support/temp_dir.hpp"
#include "support/virtiofs_frontend.hpp"
#include "virtiofs/device.hpp"

namespace pmemfs::virtiofs {

using test::Bytes;
using test::DriverRing;
using test::SharedMemory;
using test::VirtiofsFrontend;
using test::WindowMode;
using wire::Request;

// What the handler does with a message.
enum class Op : std::uint32_t {
  kEcho,     // answers with the message
  kForget,   // no answer
  kHold,     // echoes once release() was called
  kLong,     // as kHold, and says so before
  kTwice,    // tries to answer twice
  kPlaced,   // puts the echo behind its first 16 bytes where it goes, and gives it as it lies
  kHuge,     // tries to answer more than there is room for, then echoes
  kInPlace,  // echoes, from where the guest has it what is behind the first kCopied bytes
};

constexpr std::size_t kHeader = 40;
constexpr std::size_t kCopied = 50;  // of kInPlace

// A message of `size` bytes whose content follows from `number`.
inline Bytes message(Op op, std::uint32_t number, std::size_t size = kHeader) {
  Bytes bytes(size);
  for (std::size_t i = 0; i < size; ++i) {
    bytes[i] = static_cast<std::byte>(number * 7 + i);
  }
  const std::array<std::uint32_t, 3> head{static_cast<std::uint32_t>(size),
                                          static_cast<std::uint32_t>(op), number};
  std::memcpy(bytes.data(), head.data(), sizeof head);
  return bytes;
}

template <typename Condition>
bool eventually(Condition condition) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) {
      return false;
    }
    std::this_thread::yield();
  }
  return true;
}

class Rig {
 public:
  static DeviceOptions defaults() {
    DeviceOptions options;
    options.tag = "pmem";
    options.window = 8U << 20U;
    return options;
  }

  // One that takes single regions of memory.
  static DeviceOptions no_window() {
    DeviceOptions options = defaults();
    options.window = 0;
    options.memory_slots = true;
    return options;
  }

  explicit Rig(DeviceOptions options = defaults()) {
    base::log::init_callback([this](base::log::Level, const std::string& line) {
      const std::lock_guard lock(mutex_);
      lines_ += line + "\n";
    });
    options.socket = socket();
    std::string why;
    auto made = Device::create(options, handler(), &why);
    INFO(why);
    REQUIRE(made.ok());
    device_ = std::move(*made);
    REQUIRE(device_->start().ok());
  }
  ~Rig() {
    release();
    frontend_.reset();
    device_->stop();
    CHECK(wrong_pieces == 0);
    base::log::init_stderr("virtiofs_test");
  }

  [[nodiscard]] std::string socket() const { return dir_ / "vm.sock"; }
  Device& device() { return *device_; }

  // A VMM that has agreed on everything and told its memory.
  VirtiofsFrontend& connect(std::uint64_t without = 0) {
    frontend_ = std::make_unique<VirtiofsFrontend>(socket());
    frontend_->handshake(without);
    frontend_->add_memory(memory_);
    return *frontend_;
  }
  VirtiofsFrontend& frontend() { return *frontend_; }
  SharedMemory& memory() { return memory_; }

  // A ring for queue `index`, started. Queues do not share memory.
  DriverRing& start(std::uint32_t index, DriverRing::Options options = {}, std::uint16_t base = 0) {
    while (rings_.size() <= index) {
      rings_.emplace_back();
    }
    rings_[index] = std::make_unique<DriverRing>(memory_, index * kQueueMemory, options);
    REQUIRE(rings_[index]->size() <= kQueueMemory);
    frontend_->start_ring(index, *rings_[index], base);
    return *rings_[index];
  }
  DriverRing& ring(std::uint32_t index) { return *rings_.at(index); }
  void disconnect() {
    frontend_.reset();
    REQUIRE(eventually([this] { return !device_->status().connected; }));
  }

  // What is held goes on, now and later.
  void release() {
    const std::lock_guard lock(mutex_);
    released_ = true;
    changed_.notify_all();
  }
  void hold_again() {
    const std::lock_guard lock(mutex_);
    released_ = false;
  }
  [[nodiscard]] bool wait_held(unsigned count) {
    return eventually([this, count] { return held_.load() == count; });
  }
  [[nodiscard]] std::string log() {
    const std::lock_guard lock(mutex_);
    return lines_;
  }
  [[nodiscard]] std::size_t threads_seen() {
    const std::lock_guard lock(mutex_);
    return threads_.size();
  }

  std::atomic<int> connected{0};
  std::atomic<int> gone{0};
  std::atomic<int> serving{0};
  std::atomic<int> serving_when_gone{0};
  std::atomic<int> refused_answers{0};
  std::atomic<int> wrong_pieces{0};  // of messages
  // Of kInPlace. Under a mutex, so that what one thread wrote before is seen by the next.
  void before_echo(std::function<void()> change) {
    const std::lock_guard lock(mutex_);
    before_echo_ = std::move(change);
  }

 private:
  std::function<void()> before_echo_ = [] {
  };
  static constexpr std::uint64_t kQueueMemory = 4U << 20U;

  DeviceHandler handler() {
    DeviceHandler handler;
    handler.serve = [this](std::span<std::byte> m, std::span<const iovec> rest,
                           std::span<const iovec> room, const AnswerSink& sink) {
      ++serving;
      serve(m, rest, room, sink);
      --serving;
    };
    handler.copied = [this](std::span<const std::byte> header) {
      wrong_pieces += header.size() == kHeader ? 0 : 1;
      return op_of(header) == Op::kInPlace ? kCopied : std::numeric_limits<std::size_t>::max();
    };
    handler.may_take_long = [](std::span<const std::byte> m) {
      return op_of(m) == Op::kLong;
    };
    handler.connected = [this] {
      ++connected;
    };
    handler.gone = [this] {
      serving_when_gone += serving;
      ++gone;
    };
    return handler;
  }
  static Op op_of(std::span<const std::byte> m) {
    std::uint32_t op = 0;
    std::memcpy(&op, m.data() + 4, sizeof op);
    return static_cast<Op>(op);
  }
  // All but the first 16 bytes.
  static std::vector<iovec> place(std::span<std::byte> m, std::span<const iovec> room) {
    std::vector<iovec> parts{{m.data(), 16}};
    std::size_t skip = 16;
    std::size_t at = 16;
    for (const iovec& piece : room) {
      const std::size_t begin = std::min(skip, piece.iov_len);
      const std::size_t size = std::min(piece.iov_len - begin, m.size() - at);
      skip -= begin;
      parts.push_back({static_cast<std::byte*>(piece.iov_base) + begin, size});
      std::memcpy(parts.back().iov_base, m.data() + at, size);
      at += size;
    }
    return parts;
  }
  void serve(std::span<std::byte> m, std::span<const iovec> rest, std::span<const iovec> room,
             const AnswerSink& sink) {
    const Op op = op_of(m);
    if (op == Op::kInPlace) {
      {
        const std::lock_guard lock(mutex_);
        before_echo_();
      }
      std::vector<iovec> parts{{m.data(), m.size()}};
      parts.insert(parts.end(), rest.begin(), rest.end());
      refused_answers += sink(parts) ? 0 : 1;
      return;
    }
    wrong_pieces += rest.empty() ? 0 : 1;
    {
      std::unique_lock lock(mutex_);
      threads_.insert(std::this_thread::get_id());
      if (op == Op::kHold || op == Op::kLong) {
        ++held_;
        changed_.wait(lock, [this] { return released_; });
        --held_;
      }
    }
    if (op == Op::kForget) {
      return;
    }
    // In two pieces, as a header and data are.
    const std::array<iovec, 2> pieces{{{m.data(), 16}, {m.data() + 16, m.size() - 16}}};
    if (op == Op::kPlaced) {
      const std::vector<iovec> parts = place(m, room);
      std::fill_n(m.data() + 16, m.size() - 16, std::byte{'!'});  // it is not read again
      refused_answers += sink(parts) ? 0 : 1;
      return;
    }
    if (op == Op::kHuge) {
      std::size_t size = 0;
      for (const iovec& piece : room) {
        size += piece.iov_len;
      }
      const Bytes more(size + 1);
      const std::array<iovec, 1> huge{
          {{const_cast<std::byte*>(more.data()), more.size()}}};  // NOLINT(*-const-cast)
      refused_answers += sink(huge) ? 0 : 1;
    }
    if (!sink(pieces)) {
      ++refused_answers;
    }
    if (op == Op::kTwice) {
      refused_answers += sink(pieces) ? 0 : 1;
    }
  }

  test::TempDir dir_;
  SharedMemory memory_{16U << 20U};
  std::mutex mutex_;
  std::condition_variable changed_;
  bool released_ = false;
  std::atomic<unsigned> held_{0};
  std::string lines_;
  std::set<std::thread::id> threads_;
  std::unique_ptr<Device> device_;
  std::vector<std::unique_ptr<DriverRing>> rings_;
  std::unique_ptr<VirtiofsFrontend> frontend_;
};

// Sends a message and gives its answer.
inline Bytes echo(DriverRing& ring, const Bytes& request) {
  ring.submit(request, request.size());
  return ring.wait().answer;
}

}  // namespace pmemfs::virtiofs
