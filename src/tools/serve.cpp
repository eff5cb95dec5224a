#include "tools/serve.hpp"

#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <memory>
#include <semaphore>

#include "base/log.hpp"
#include "fuse/session.hpp"
#include "tools/daemon_control.hpp"
#include "tools/failure.hpp"
#include "tools/guest_server.hpp"
#include "tools/mount_point.hpp"
#include "tools/mount_table.hpp"
#include "tools/opened_region.hpp"
#include "tools/stop_signals.hpp"

namespace pmemfs::tools {
namespace {

namespace log = base::log;

constexpr unsigned kLockPatience = 10;  // seconds for the last daemon to shut down

void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
  }
}

FilesystemOptions filesystem_options(const MountOptions& mount, std::uint64_t capacity) {
  FilesystemOptions options;
  options.durable.uids = mount.durable_uids;
  options.durable.gids = mount.durable_gids;
  options.durable.all = mount.durable_all;
  options.durable.max_bytes = mount.durable_max.of(capacity);
  options.durable.fast_io = mount.durable_fast_io;
  options.passthrough = mount.passthrough;
  options.directory_index_bytes = mount.index_memory;
  options.update_atime = (mount.flags() & MS_NOATIME) == 0;
  options.update_directory_atime = (mount.flags() & MS_NODIRATIME) == 0;
  return options;
}

std::unique_ptr<OpenedRegion> open_for(const DaemonOptions& options) {
  OpenedRegion::Options open;
  open.read_only = options.mount.read_only();
  open.keep_atime = (options.mount.flags() & MS_NOATIME) != 0;
  open.wait_seconds = kLockPatience;
  open.filesystem = [&options](std::uint64_t capacity) {
    return filesystem_options(options.mount, capacity);
  };
  return OpenedRegion::open(options.region, open);
}

fuse::SessionOptions session_options(const DaemonOptions& options, const OpenedRegion& region) {
  fuse::SessionOptions session;
  session.source = options.region;  // the other programs find the region by it
  session.mountpoint = options.mount_point;
  session.kernel_options = options.mount.kernel;
  session.kernel_options.emplace_back("allow_other");
  session.read_only = region.read_only();
  session.debug = options.debug;
  session.threads = options.mount.threads;
  session.passthrough = options.mount.passthrough;
  session.region_is_stacked = region.handle().host().filesystem == "overlay";
  session.shared = !options.guests.empty();
  session.spin = std::chrono::microseconds(options.mount.spin);
  session.idle_backing = std::chrono::seconds(options.mount.idle_backing);
  return session;
}

std::unique_ptr<fuse::Session> mount(const DaemonOptions& options, OpenedRegion& region) {
  std::string why;
  auto session = fuse::Session::mount(region.filesystem(), session_options(options, region), &why);
  if (!session) {
    if (const Status closed = region.filesystem().close(); !closed) {
      log::error("closing {}: {}", options.region, error_text(closed.code()));
    }
    fail(session.code() == EPERM ? kExitUsage : kExitFailure, "{}",
         why.empty() ? options.mount_point + ": cannot mount: " + error_text(session.code()) : why);
  }
  return std::move(session).value();
}

void say(const DaemonOptions& options, Starter& starter, const std::string& line) {
  log::warn("{}", line);
  if (options.verbose) {
    starter.notice(line);
  }
}

// Serves until the end; false when the device failed.
bool serve_mount(const DaemonOptions& options, OpenedRegion& region, fuse::Session& session,
                 Starter& starter) {
  const StopSignals signals([&session] { session.stop(); });
  const Status served = session.run([&] {
    log::info("{} is mounted on {}", options.region, options.mount_point);
    if (!starter.ready()) {
      log::warn("who asked for the mount of {} has gone: unmounting", options.region);
      session.stop();
    }
  });
  if (!served) {
    log::error("serving {} ended: {}", region.handle().path(), error_text(served.code()));
  }
  return static_cast<bool>(served);
}

// Until SIGTERM or SIGINT.
void serve_guests_alone(Starter& starter) {
  std::counting_semaphore<> asked(0);
  const StopSignals signals([&asked] { asked.release(); });
  if (starter.ready()) {
    asked.acquire();
  }
}

void prepare_place(const DaemonOptions& options, Starter& starter) {
  const MountPoint place = prepare_mount_point(options.mount_point);
  if (place.dead_mount_detached) {
    const std::string line = place.path + ": a dead mount, whose daemon is gone, was detached";
    log::warn("{}", line);
    starter.notice(line);
  }
}

int open_and_run(const DaemonOptions& options, Starter& starter) {
  const bool mounting = !options.mount_point.empty();
  if (mounting) {
    prepare_place(options, starter);
  }
  const std::unique_ptr<OpenedRegion> region = open_for(options);
  for (const std::string& warning : region->warnings()) {
    say(options, starter, warning);
  }
  Filesystem& filesystem = region->filesystem();
  filesystem.set_passthrough(false);  // a mount knows better
  Guests guests(*region, options.guests, options.debug);
  std::unique_ptr<fuse::Session> session = mounting ? mount(options, *region) : nullptr;
  // Ends last, so that those who wait for this process can ask until then.
  DaemonControl control(*region, session.get(), guests, {options.mount_point, options.mount.own});
  control.start();
  guests.start();
  bool served = true;
  if (session) {
    served = serve_mount(options, *region, *session, starter);
  } else {
    serve_guests_alone(starter);
  }
  control.stopping();
  guests.stop();
  const bool users_gone = !session || session->users_gone();
  session.reset();
  const Status closed = filesystem.close(users_gone);
  if (!closed) {
    log::error("closing {}: {}", options.region, error_text(closed.code()));
  }
  log::info("{} is {}", options.region, mounting ? "unmounted" : "served no more");
  return served && closed ? kExitOk : kExitFailure;
}

DaemonOptions with_absolute_paths(DaemonOptions options) {
  const auto region = canonical_path(options.region);
  if (!region) {
    fail(kExitFailure, "{0}: does not exist; make a region with mkfs.pmemfs {0}", options.region);
  }
  options.region = *region;
  const auto place =
      options.mount_point.empty() ? std::nullopt : canonical_path(options.mount_point);
  if (place) {
    options.mount_point = *place;
  }
  return options;
}

}  // namespace

int serve(const DaemonOptions& options, Starter& starter) {
  if (!options.mount_point.empty()) {
    require_mount_privilege();
    require_fuse_device();
  }
  const DaemonOptions absolute = with_absolute_paths(options);
  if (::chdir("/") != 0) {
    fail(kExitSystem, "/: {}", error_text(errno));
  }
  ::umask(077);
  raise_descriptor_limit();
  block_stop_signals();
  return open_and_run(absolute, starter);
}

}  // namespace pmemfs::tools
