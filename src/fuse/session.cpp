#include "fuse/session.hpp"

#include <poll.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>

#include "base/log.hpp"
#include "base/media_faults.hpp"
#include "fuse/buffers.hpp"
#include "fuse/channel.hpp"
#include "fuse/counters.hpp"
#include "fuse/device.hpp"
#include "fuse/kernel_mount.hpp"
#include "fuse/operations.hpp"
#include "fuse/passthrough.hpp"
#include "fuse/pool.hpp"

namespace pmemfs::fuse {
namespace {

using namespace std::chrono_literals;

constexpr unsigned kMostThreads = 64;
constexpr unsigned kLeastThreads = 2;
constexpr int kInitMillis = 10'000;         // the kernel sends INIT as soon as it has mounted
constexpr auto kUnmountPatience = 1'000ms;  // from umount(2) to the last thread's hearing of it

std::string device_failure(int error) {
  switch (error) {
    case ENOENT:
    case ENODEV:
    case ENXIO:
      return "/dev/fuse is missing: load the kernel module with modprobe fuse";
    case EACCES:
    case EPERM:
      return "no permission to open /dev/fuse: run it as root";
    default:
      return std::string("cannot open /dev/fuse: ") + std::strerror(error);
  }
}

}  // namespace

struct Session::Impl {
  Impl(Filesystem& fs, const SessionOptions& o)
      : options(o), edge{fs, {o.passthrough, o.region_is_stacked, o.shared}} {
    if (o.shared) {
      edge.view = view_of(CachePolicy::kAuto);
    }
  }
  ~Impl();

  Status mount(std::string* why);
  Status answer_init(std::string* why);
  void set_up_edge();
  void serve(const Request& request, Channel& channel);
  WorkerPool::Options pool_options() const;

  SessionOptions options;
  Counters counters;
  Edge edge;
  std::unique_ptr<Channel> connection;
  KernelMount kernel_mount;
  std::unique_ptr<WorkerPool> pool;
  std::atomic<bool> unmounted{false};
};

Session::Impl::~Impl() {
  pool.reset();
  if (connection) {
    kernel_mount.unmount(connection->device());
  }
  if (edge.passthrough) {
    edge.passthrough->shut_down();  // the core's hooks may outlive us
  }
}

Status Session::Impl::mount(std::string* why) {
  auto opened = open_device();
  if (!opened) {
    *why = device_failure(opened.code());
    return opened.error();
  }
  auto created = Channel::create(std::move(*opened), edge, options.debug);
  if (!created) {
    *why = "libfuse refuses to set up a session";
    return created.error();
  }
  connection = std::move(*created);
  const MountArguments arguments = mount_arguments(options.kernel_options, options.read_only);
  PMEMFS_CHECK(
      kernel_mount.mount(connection->device(), options.source, options.mountpoint, arguments, why));
  PMEMFS_CHECK(answer_init(why));
  set_up_edge();
  // Here and not in run(), since stop() may come any time after mount().
  pool = std::make_unique<WorkerPool>(
      *connection, pool_options(),
      [this](const Request& request, Channel& channel) { serve(request, channel); },
      [this](const Afterwork::Item& item) { do_afterwork(edge, item); });
  return {};
}

WorkerPool::Options Session::Impl::pool_options() const {
  WorkerPool::Options result;
  result.least = kLeastThreads;
  result.most = options.threads == 0 ? kMostThreads : options.threads;
  result.spin = options.spin;
  return result;
}

// INIT comes first and alone, twice when the kernel's protocol is of a newer major version.
Status Session::Impl::answer_init(std::string* why) {
  PMEMFS_TRY(Buffers buffers, Buffers::create());
  for (int round = 0; round < 2; ++round) {
    pollfd ready{connection->device(), POLLIN, 0};
    if (::poll(&ready, 1, kInitMillis) <= 0) {
      break;
    }
    const ssize_t size =
        ::read(connection->device(), buffers.request().data(), buffers.request().size());
    if (size < 0) {
      break;
    }
    this_thread() = {};
    serve(Request(buffers.request().first(static_cast<std::size_t>(size))), *connection);
    if (edge.granted.answered) {
      return {};
    }
  }
  *why = "the kernel's FUSE and this libfuse do not understand each other";
  return Error(EPROTO);
}

void Session::Impl::set_up_edge() {
  bool available = edge.granted.passthrough;
  if (available) {
    if (auto works = probe_backing(connection->device()); !works) {
      base::log::warn("backing files cannot be registered with the kernel ({})",
                      std::strerror(works.code()));
      available = false;
    }
  }
  if (options.passthrough && !available) {
    base::log::warn(
        "no FUSE passthrough here (it needs Linux 6.9 and root): files are served through the "
        "daemon, and durable files "
        "refuse shared mappings");
  }
  EdgeHooks hooks;
  hooks.name_gone = [this](InodeNo dir, InodeNo child, std::string_view name) {
    connection->name_gone(dir, child, name);
  };
  if (available) {
    const int fd = connection->device();
    edge.passthrough = std::make_shared<PassthroughRegistry>(
        PassthroughRegistry::Device{[fd](int backing) { return register_backing(fd, backing); },
                                    [fd](int id) {
                                      unregister_backing(fd, id);
                                    }},
        PassthroughRegistry::Limits{options.idle_backing, options.max_idle_backing});
    hooks.drop_backing = [registry = edge.passthrough](InodeNo ino) {
      return registry->drop(ino);
    };
    hooks.backing_unneeded = [registry = edge.passthrough](InodeNo ino) {
      drop_later(*registry, ino);
    };
    hooks.drop_all_idle_backing = [registry = edge.passthrough] {
      registry->drop_all_idle();
    };
  }
  edge.fs.set_hooks(std::move(hooks));
  edge.fs.set_passthrough(available);
}

void Session::Impl::serve(const Request& request, Channel& channel) {
  if (!request.complete()) {
    base::log::warn_once("fuse-short-request",
                         "a malformed request came from the kernel; it is dropped");
    return;
  }
  counters.count(request.opcode());
  this_thread().media_errors_met = base::media_errors_met();
  channel.serve(request);
}

Result<std::unique_ptr<Session>> Session::mount(Filesystem& fs, const SessionOptions& options,
                                                std::string* why) {
  std::string ignored;
  auto impl = std::make_unique<Impl>(fs, options);
  PMEMFS_CHECK(impl->mount(why != nullptr ? why : &ignored));
  return std::unique_ptr<Session>(new Session(std::move(impl)));
}

Session::Session(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Session::~Session() = default;

Status Session::run(const std::function<void()>& on_ready) {
  Impl& impl = *impl_;
  if (impl.edge.passthrough) {
    impl.edge.passthrough->start_reaper();
  }
  const auto end = impl.pool->run(on_ready);
  impl.unmounted.store(end.ok() && *end == WorkerPool::End::kUnmounted);
  // Served until the last: unmounting may have the kernel write data back.
  const bool users_left = impl.kernel_mount.unmount(impl.connection->device());
  impl.pool->shut_down(users_left ? 0ms : kUnmountPatience);
  return end ? Status() : Status(end.error());
}

void Session::stop() {
  impl_->pool->stop();
}

bool Session::unmounted() const {
  return impl_->unmounted.load();
}

bool Session::users_gone() const {
  return impl_->pool->users_gone();
}

bool Session::passthrough() const {
  return impl_->edge.passthrough != nullptr;
}

SessionStatus Session::status() const {
  SessionStatus status;
  status.passthrough = passthrough();
  status.threads = impl_->pool->threads();
  status.backing_files = impl_->edge.passthrough ? impl_->edge.passthrough->size() : 0;
  status.requests = impl_->counters.snapshot();
  return status;
}

}  // namespace pmemfs::fuse
