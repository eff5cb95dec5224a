#include "tools/daemon_control.hpp"

#include <unistd.h>

#include <chrono>
#include <stdexcept>
#include <type_traits>

#include <nlohmann/json.hpp>

#include "base/log.hpp"
#include "tools/failure.hpp"
#include "tools/media_report.hpp"

namespace pmemfs::tools {

namespace log = base::log;
using control::Json;

template <typename Body>
control::Command DaemonControl::guarded(Body body) {
  return [this, body](const Json& request, const control::Progress& progress) -> Json {
    const std::shared_lock lock(gate_);
    if (stopping_) {
      throw std::runtime_error("the filesystem is being unmounted");
    }
    if constexpr (std::is_invocable_v<Body>) {
      return body();
    } else if constexpr (std::is_invocable_v<Body, const Json&>) {
      return body(request);
    } else {
      return body(request, progress);
    }
  };
}

void DaemonControl::start() {
  server_.add("state", [this](const Json&, const control::Progress&) { return state(); });
  server_.add("status", guarded([this] { return status(); }));
  server_.add("counters", guarded([this] { return counters(); }));
  server_.add("reset_counters", guarded([this] { return reset_counters(); }));
  server_.add("durable", guarded([this]() -> Json {
                auto files = region_.filesystem().durable_files();
                if (!files) {
                  throw std::runtime_error(error_text(files.code()));
                }
                return durable_report(*files);
              }));
  server_.add("defrag", guarded([this](const Json& request, const control::Progress& progress) {
                return defrag(request, progress);
              }));
  server_.add("grow", guarded([this](const Json& request) { return grow(request); }));
  server_.add("stamp_to_move",
              guarded([this](const Json& request) { return stamp_to_move(request); }));
  server_.add("unlink_moved",
              guarded([this](const Json& request) { return unlink_moved(request); }));
  server_.add("shrink", guarded([this](const Json& request, const control::Progress& progress) {
                return shrink(request, progress);
              }));
  server_.add("compact", guarded([this](const Json& request, const control::Progress& progress) {
                return compact(request, progress);
              }));
  server_.add("evacuate", guarded([this](const Json& request, const control::Progress& progress) {
                return evacuate(request, progress);
              }));
  server_.add("media", guarded([this] { return media(); }));
  server_.add("scrub", guarded([this](const Json&, const control::Progress& progress) {
                return scrub(progress);
              }));
  try {
    server_.start(control::socket_path(region_.facts().superblock.uuid));
  } catch (const Failure& failure) {
    log::warn("{}; pmemfsctl cannot reach this mount", failure.what());
  }
}

void DaemonControl::stopping() {
  ending_ = true;
  const std::unique_lock lock(gate_);
  stopping_ = true;
}

Json DaemonControl::state() const {
  const std::shared_lock lock(gate_);
  return {{"state", stopping_ ? "stopping" : "serving"},
          {"pid", ::getpid()},
          {"mount_point", identity_.mount_point},
          {"read_only", region_.read_only()},
          {"options", identity_.options}};
}

Json DaemonControl::status() const {
  const auto space = region_.filesystem().space();
  const fuse::SessionStatus session = session_status();
  Json report = status_report(region_.facts(), region_.filesystem().status(),
                              space ? *space : FilesystemSpace{});
  report["mounted"] = session_ != nullptr;
  report["served"] = true;
  report["clean"] = false;
  report["pid"] = ::getpid();
  report["mount_point"] = identity_.mount_point;
  report["options"] = identity_.options;
  report["passthrough"] = session.passthrough;
  report["threads"] = session.threads;
  report["registered_files"] = session.backing_files;
  report["virtiofs"] = guests_.status();
  return report;
}

fuse::SessionStatus DaemonControl::session_status() const {
  return session_ != nullptr ? session_->status() : fuse::SessionStatus{};
}

Json DaemonControl::counters() const {
  const std::lock_guard lock(baseline_mutex_);
  Json requests = Json::object();
  for (const auto& [name, count] : session_status().requests) {
    const auto before = baseline_.find(name);
    const std::uint64_t since = count - (before == baseline_.end() ? 0 : before->second);
    if (since != 0) {
      requests[name] = since;
    }
  }
  return {{"requests", std::move(requests)}};
}

Json DaemonControl::reset_counters() {
  Json last = counters();
  const std::lock_guard lock(baseline_mutex_);
  for (const auto& [name, count] : session_status().requests) {
    baseline_[name] = count;
  }
  return last;
}

// Says how far it is ten times a second at most, and looks each time whether somebody listens.
RelocationWatch DaemonControl::watch(const control::Progress& progress) const {
  using Clock = std::chrono::steady_clock;
  return [this, progress, next = Clock::now()](std::uint64_t moved, std::uint64_t total) mutable {
    if (Clock::now() < next) {
      return progress(nullptr) && !ending_;
    }
    next = Clock::now() + std::chrono::milliseconds(100);
    return progress({{"moved", moved}, {"total", total}}) && !ending_;
  };
}

Json DaemonControl::defrag(const Json& request, const control::Progress& progress) {
  const InodeNo ino(request.at("inode").get<std::uint64_t>());
  const auto done = region_.filesystem().defrag(ino, watch(progress));
  if (!done) {
    return {{"refused", done.code()}};
  }
  return relocated_report(*done);
}

Json DaemonControl::compact(const Json& request, const control::Progress& progress) {
  Filesystem& filesystem = region_.filesystem();
  const std::uint64_t bytes = request.at("size").get<std::uint64_t>();
  const std::uint64_t wanted = bytes / format::kFrameSize + (bytes % format::kFrameSize != 0);
  const auto done = filesystem.make_frames(wanted, watch(progress));
  if (!done) {
    return {{"refused", done.code()}};
  }
  Json report = relocated_report(*done);
  report["frames_wanted"] = wanted;
  report["frames_free"] = filesystem.status().region_frames_free;
  return report;
}

Json DaemonControl::media() {
  const auto bad = region_.filesystem().bad_memory();
  if (!bad) {
    throw std::runtime_error(error_text(bad.code()));
  }
  return media_report(*bad);
}

Json DaemonControl::scrub(const control::Progress& progress) {
  const auto done = region_.filesystem().scrub(watch(progress));
  if (!done) {
    throw std::runtime_error(error_text(done.code()));
  }
  return scrub_report(*done);
}

Json DaemonControl::grow(const Json& request) {
  const auto size = region_.filesystem().grow(request.at("size").get<std::uint64_t>());
  if (!size) {
    return {{"refused", size.code()}};
  }
  return {{"region_bytes", *size}};
}

namespace {

Json as_json(const FileStamp& stamp) {
  return {{"inode", stamp.ino.value},
          {"generation", stamp.generation},
          {"size", stamp.size},
          {"ctime", {stamp.ctime.sec, stamp.ctime.nsec}},
          {"mtime", {stamp.mtime.sec, stamp.mtime.nsec}}};
}

FileStamp stamp_from(const Json& json) {
  const auto time = [&json](const char* key) {
    return Timestamp{json.at(key).at(0).get<std::int64_t>(),
                     json.at(key).at(1).get<std::uint32_t>()};
  };
  return {InodeNo(json.at("inode").get<std::uint64_t>()),
          json.at("generation").get<std::uint64_t>(), json.at("size").get<std::uint64_t>(),
          time("ctime"), time("mtime")};
}

}  // namespace

Json DaemonControl::stamp_to_move(const Json& request) {
  const auto stamp =
      region_.filesystem().stamp_to_move(InodeNo(request.at("inode").get<std::uint64_t>()));
  if (!stamp) {
    return {{"refused", stamp.code()}};
  }
  return {{"stamp", as_json(*stamp)}};
}

Json DaemonControl::unlink_moved(const Json& request) {
  const auto name = request.at("name").get<std::vector<unsigned char>>();
  const Status done = region_.filesystem().unlink_moved(
      InodeNo(request.at("directory").get<std::uint64_t>()), std::string(name.begin(), name.end()),
      stamp_from(request.at("stamp")));
  return done ? Json::object() : Json{{"refused", done.code()}};
}

Json DaemonControl::shrink(const Json& request, const control::Progress& progress) {
  Filesystem& filesystem = region_.filesystem();
  const auto done =
      filesystem.shrink_region(request.at("size").get<std::uint64_t>(), watch(progress));
  if (!done) {
    return {{"refused", done.code()}};
  }
  Json report = relocated_report(*done);
  report["region_bytes"] = filesystem.status().region_bytes;
  return report;
}

Json DaemonControl::evacuate(const Json& request, const control::Progress& progress) {
  const auto done =
      region_.filesystem().evacuate(request.at("offset").get<std::uint64_t>(),
                                    request.at("length").get<std::uint64_t>(), watch(progress));
  if (!done) {
    return {{"refused", done.code()}};
  }
  return relocated_report(*done);
}

}  // namespace pmemfs::tools
