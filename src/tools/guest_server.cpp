#include "tools/guest_server.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <nlohmann/json.hpp>

#include "base/log.hpp"
#include "fuse/guest_session.hpp"
#include "fuse/window_files.hpp"
#include "tools/failure.hpp"
#include "virtiofs/device.hpp"
#include "virtiofs/window.hpp"

namespace pmemfs::tools {

using control::Json;

// QEMU 11.1 maps no descriptor that cannot be written, and one that can would be no read-only
// export.
GuestOptions as_served(GuestOptions options, bool read_only) {
  if (read_only && options.window != 0) {
    base::log::warn("'{}': read-only, and so without a window: monitors map nothing read-only",
                    options.tag);
    options.window = 0;
  }
  return options;
}

class GuestServer {
 public:
  // `files`: of directory regions; may be null. `shown`: of all servers.
  GuestServer(Filesystem& fs, fuse::WindowFiles* files, std::shared_ptr<virtiofs::ShownFiles> shown,
              const GuestOptions& options, bool read_only, bool debug)
      : options_(as_served(options, read_only)),
        files_(files),
        window_(fs, options_.window,
                {[this](int fd, std::uint64_t fd_off, std::uint64_t window_off, std::uint64_t len) {
                   return map(fd, fd_off, window_off, len);
                 },
                 [this](std::uint64_t window_off, std::uint64_t len) {
                   return device_->unmap(window_off, len);
                 }}) {
    make_session(fs, read_only, debug);
    make_device(std::move(shown));
  }

  void start() {
    if (const Status started = device_->start(); !started) {
      fail(kExitSystem, "{}: cannot be served: {}", options_.socket, error_text(started.code()));
    }
    base::log::info("'{}' is served at {}", options_.tag, options_.socket);
  }
  void stop() { device_->stop(); }
  void unmap_beyond(InodeNo ino, std::uint64_t size) { window_.unmap_beyond(ino, size); }
  void map_again(InodeNo ino) { (void)window_.map_again(ino, UINT64_MAX); }

  [[nodiscard]] Json status() const {
    const fuse::GuestStatus guest = session_->status();
    const virtiofs::DeviceStatus device = device_->status();
    Json requests = Json::object();
    for (const auto& [name, count] : guest.requests) {
      requests[name] = count;
    }
    return {{"socket", options_.socket},
            {"tag", options_.tag},
            {"connected", device.connected},
            {"mounted", guest.mounted},
            {"direct", guest.direct},
            {"window_bytes", options_.window},
            {"window_mapped", window_.mapped()},
            {"nodes", guest.nodes},
            {"handles", guest.handles},
            {"connections", device.connections},
            {"malformed", device.malformed},
            {"unreachable", device.unreachable},
            {"stopped_rings", device.broken},
            {"requests", std::move(requests)}};
  }

 private:
  Status map(int fd, std::uint64_t fd_off, std::uint64_t window_off, std::uint64_t len) {
    if (files_ == nullptr) {
      return device_->map(fd, fd_off, window_off, len);
    }
    PMEMFS_TRY(const base::UniqueFd own, files_->open(fd));
    return device_->map(own.get(), fd_off, window_off, len);
  }

  void make_session(Filesystem& fs, bool read_only, bool debug) {
    fuse::GuestOptions guest;
    guest.cache = options_.cache;
    guest.read_only = read_only;
    guest.uids = options_.uids;
    guest.gids = options_.gids;
    guest.window = options_.window != 0;
    guest.debug = debug;
    guest.map = [this](const fuse::MappingRequest& request) {
      return window_.map(request.ino, request.file_off, request.window_off, request.len);
    };
    guest.can_map = [this] {
      return device_->has_window();
    };
    guest.unmap = [this](std::uint64_t window_off, std::uint64_t len) {
      return window_.unmap(window_off, len);
    };
    guest.reach = [this](InodeNo ino, std::uint64_t size) {
      return window_.reach(ino, size);
    };
    guest.unmap_all = [this] {
      window_.unmap_all();
    };
    auto session = fuse::GuestSession::create(fs, std::move(guest));
    if (!session) {
      fail(kExitFailure, "option '--virtiofs': {}",
           session.code() == ENOTSUP
               ? "the libfuse of this build takes requests from /dev/fuse alone; build pmemfs with "
                 "one that has custom I/O (scripts/setup makes it)"
               : error_text(session.code()));
    }
    session_ = std::move(*session);
  }

  void make_device(std::shared_ptr<virtiofs::ShownFiles> shown) {
    virtiofs::DeviceOptions device;
    device.socket = options_.socket;
    device.tag = options_.tag;
    device.window = options_.window;
    device.shown = std::move(shown);
    device.queues = options_.queues;
    device.threads = options_.threads;
    device.memory_slots = options_.memory_slots;
    virtiofs::DeviceHandler handler;
    handler.serve = [this](std::span<std::byte> message, std::span<const iovec> rest,
                           std::span<const iovec> room, const virtiofs::AnswerSink& sink) {
      session_->serve(message, rest, room, sink);
    };
    handler.copied = fuse::GuestSession::copied;
    handler.may_take_long = fuse::GuestSession::may_take_long;
    handler.connected = [this] {
      base::log::info("'{}': a machine is there", options_.tag);
    };
    handler.gone = [this] {
      session_->end();
      window_.clear();
      base::log::info("'{}': the machine is gone", options_.tag);
    };
    std::string why;
    auto made = virtiofs::Device::create(device, std::move(handler), &why);
    if (!made) {
      fail(kExitFailure, "{}",
           why.empty() ? options_.socket + ": " + error_text(made.code()) : why);
    }
    device_ = std::move(*made);
  }

  const GuestOptions options_;
  fuse::WindowFiles* const files_;
  virtiofs::Window window_;
  std::unique_ptr<fuse::GuestSession> session_;
  std::unique_ptr<virtiofs::Device> device_;  // goes first: it calls into the others
};

namespace {

// How host files are given to VMMs: null where they are given as they are.
std::unique_ptr<fuse::WindowFiles> window_files(const OpenedRegion& region) {
  auto files = fuse::WindowFiles::create(region.handle().host().filesystem == "overlay");
  if (!files) {
    base::log::warn(
        "no FUSE passthrough for windows ({}; it needs Linux 6.9 and root): QEMU maps of a file no "
        "more than whole places of 2 MiB",
        error_text(files.code()));
    return nullptr;
  }
  return std::move(*files);
}

}  // namespace

Guests::Guests(OpenedRegion& region, const std::vector<GuestOptions>& options, bool debug)
    : fs_(region.filesystem()) {
  const bool windows = std::any_of(options.begin(), options.end(),
                                   [](const GuestOptions& one) { return one.window != 0; });
  if (windows && region.handle().kind() == region::HostKind::kDirectory) {
    files_ = window_files(region);
  }
  const auto shown = std::make_shared<virtiofs::ShownFiles>(files_ ? files_->device() : 0);
  for (const GuestOptions& one : options) {
    servers_.push_back(std::make_unique<GuestServer>(fs_, files_.get(), shown, one,
                                                     region.read_only() || one.read_only, debug));
  }
  fs_.set_window_hooks({[this](InodeNo ino, std::uint64_t size) {
                          for (const auto& server : servers_) {
                            server->unmap_beyond(ino, size);
                          }
                        },
                        [this](InodeNo ino) {
                          for (const auto& server : servers_) {
                            server->map_again(ino);
                          }
                        }});
}

Guests::~Guests() {
  stop();
  fs_.set_window_hooks({});
}

void Guests::start() {
  for (const auto& server : servers_) {
    server->start();
  }
}

void Guests::stop() {
  for (const auto& server : servers_) {
    server->stop();
  }
}

Json Guests::status() const {
  Json all = Json::array();
  for (const auto& server : servers_) {
    all.push_back(server->status());
  }
  return all;
}

}  // namespace pmemfs::tools
