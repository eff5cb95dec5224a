#include "virtiofs/device.hpp"

#include <fmt/core.h>
#include <sys/socket.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/chore.hpp"
#include "base/log.hpp"
#include "base/threads.hpp"
#include "virtiofs/socket.hpp"

namespace pmemfs::virtiofs {
namespace {

constexpr std::uint64_t kPage = 4096;

std::string what_is_wrong(const DeviceOptions& options) {
  if (options.tag.empty() || options.tag.size() > wire::kTagSize ||
      options.tag.find('\0') != std::string::npos) {
    return fmt::format("{}: the tag '{}' has not 1 to {} bytes; choose another one", options.socket,
                       options.tag, wire::kTagSize);
  }
  if (options.window != 0 &&
      (options.window < kMappingUnit || !std::has_single_bit(options.window))) {
    return fmt::format("{}: a window of {} bytes is no power of two of at least 2 MiB; round it up",
                       options.socket, options.window);
  }
  if (options.queues == 0 || options.queues > Device::kMostQueues || options.threads == 0) {
    return fmt::format("{}: {} queues of {} threads; use 1 to {} queues, and a thread at least",
                       options.socket, options.queues, options.threads, Device::kMostQueues);
  }
  return {};
}

wire::FsConfig config_of(const DeviceOptions& options) {
  wire::FsConfig config{};
  std::copy(options.tag.begin(), options.tag.end(), config.tag.begin());
  config.request_queues = options.queues;
  return config;
}

void call(const std::function<void()>& function) {
  if (function) {
    function();
  }
}

}  // namespace

Result<std::unique_ptr<Device>> Device::create(const DeviceOptions& options, DeviceHandler handler,
                                               std::string* why) {
  if (std::string wrong = what_is_wrong(options); !wrong.empty()) {
    if (why != nullptr) {
      *why = std::move(wrong);
    }
    return Error(EINVAL);
  }
  PMEMFS_TRY(Listener listener, Listener::listen(options.socket, why));
  return std::unique_ptr<Device>(new Device(options, std::move(handler), std::move(listener)));
}

Device::Device(const DeviceOptions& options, DeviceHandler handler, Listener listener)
    : options_(options),
      handler_(std::move(handler)),
      name_(fmt::format("virtiofs {}", options.tag)),
      listener_(std::move(listener)),
      shown_(options.shown ? options.shown : std::make_shared<ShownFiles>()),
      channel_(options.patience,
               [this] {
                 base::log::warn(
                     "{}: the VMM does not answer for its window; its connection is ended", name_);
                 hang_up();
               }),
      watchdog_([this] {
        bool busy = false;
        for (const auto& queue : queues_) {
          busy |= queue->look_after();
        }
        return busy;
      }) {
  add_queues();
}

// The first one is for messages that must not wait behind others: it has a thread of its own.
void Device::add_queues() {
  const QueueOwner owner{handler_, counters_, [this] { watchdog_.ask(); },
                         [this] {
                           memory_lost();
                         }};
  queues_.push_back(std::make_unique<Queue>(
      QueueOptions{fmt::format("{}, priority queue", name_), 1, {}}, owner));
  for (unsigned i = 0; i < options_.queues; ++i) {
    queues_.push_back(std::make_unique<Queue>(
        QueueOptions{fmt::format("{}, queue {}", name_, i + 1), options_.threads, options_.spin},
        owner));
  }
}

Status Device::start() {
  PMEMFS_TRY(stop_, Event::create());
  PMEMFS_CHECK(channel_.prepare());
  PMEMFS_CHECK(watchdog_.start());
  for (const auto& queue : queues_) {
    PMEMFS_CHECK(queue->start_threads());
  }
  return base::start_thread(listening_, [this] { listen(); });
}

void Device::stop() {
  if (listening_.joinable()) {
    stop_.signal();
    listening_.join();
  }
  for (const auto& queue : queues_) {
    queue->stop_threads();
  }
  watchdog_.stop();
  listener_.close();
}

void Device::listen() {
  for (;;) {
    if (wait_readable(listener_.fd(), stop_.fd(), std::chrono::milliseconds(-1)) !=
        Waited::kReadable) {
      return;
    }
    base::UniqueFd socket(::accept4(listener_.fd(), nullptr, nullptr, SOCK_CLOEXEC));
    if (socket) {
      serve(std::move(socket));
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
      // It stays in the queue; without a pause this would run in circles.
      wait_readable(-1, stop_.fd(), std::chrono::milliseconds(100));
    }
  }
}

void Device::serve(base::UniqueFd socket) {
  const int fd = socket.get();
  {
    const std::lock_guard lock(mutex_);
    connection_ = std::move(socket);
  }
  connections_.fetch_add(1);
  lost_.store(false);
  call(handler_.connected);
  base::do_chore([&] {
    Connection connection({name_, config_of(options_), options_.window, options_.memory_slots,
                           queues_, channel_, *shown_, [this] {
                             call(handler_.gone);
                             call(handler_.connected);
                           }});
    connection.serve(fd, stop_.fd());
  });
  call(handler_.gone);
  const std::lock_guard lock(mutex_);
  connection_.reset();
}

// From any thread: the connection ends as if the VMM had closed it.
void Device::hang_up() {
  const std::lock_guard lock(mutex_);
  if (connection_) {
    ::shutdown(connection_.get(), SHUT_RDWR);
  }
}

void Device::memory_lost() {
  if (!lost_.exchange(true)) {
    base::log::warn("{}: a part of the guest's memory is gone; its connection is ended", name_);
    hang_up();
  }
}

bool Device::in_window(std::uint64_t off, std::uint64_t len) const {
  return len > 0 && off % kPage == 0 && len % kPage == 0 && off < options_.window &&
         len <= options_.window - off;
}

Status Device::map(int fd, std::uint64_t fd_off, std::uint64_t window_off, std::uint64_t len) {
  if (fd < 0 || fd_off % kPage != 0 || !in_window(window_off, len)) {
    return Error(EINVAL);
  }
  PMEMFS_CHECK(shown_->add(fd));
  return channel_.map(fd, fd_off, window_off, len);
}

Status Device::unmap(std::uint64_t window_off, std::uint64_t len) {
  if (!in_window(window_off, len)) {
    return Error(EINVAL);
  }
  return channel_.unmap(window_off, len);
}

DeviceStatus Device::status() const {
  DeviceStatus status;
  {
    const std::lock_guard lock(mutex_);
    status.connected = static_cast<bool>(connection_);
  }
  status.running = static_cast<unsigned>(std::count_if(
      queues_.begin(), queues_.end(), [](const auto& queue) { return queue->running(); }));
  status.connections = connections_.load();
  status.requests = counters_.requests.load();
  status.malformed = counters_.malformed.load();
  status.unreachable = counters_.unreachable.load();
  status.broken = counters_.broken.load();
  status.wakes = counters_.wakes.load();
  status.calls = counters_.calls.load();
  return status;
}

}  // namespace pmemfs::virtiofs
