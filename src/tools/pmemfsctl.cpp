// pmemfsctl: looks into a mount or region, and has its data arranged.
#include <unistd.h>

#include <chrono>
#include <cstdio>

#include <nlohmann/json.hpp>

#include "base/log.hpp"
#include "tools/ctl_migrate.hpp"
#include "tools/ctl_options.hpp"
#include "tools/ctl_progress.hpp"
#include "tools/ctl_rearrange.hpp"
#include "tools/failure.hpp"
#include "tools/live_daemon.hpp"
#include "tools/media_report.hpp"
#include "tools/mount_point.hpp"
#include "tools/mount_table.hpp"
#include "tools/opened_region.hpp"
#include "tools/report.hpp"

namespace pmemfs::tools {
namespace {

constexpr const char* kProgram = "pmemfsctl";
constexpr std::chrono::minutes kLongWork{10};

// What PATH stands for.
struct Target {
  std::string region;
  std::optional<control::Client> daemon;  // of a mounted one
};

Target find_target(const std::string& path) {
  if (const auto mount = find_mount_of(path)) {
    Target target{mount->source, connect_daemon(mount->source)};
    if (!target.daemon && is_dead_mount(mount->mount_point)) {
      fail(kExitFailure, "{0}: the daemon of this mount is gone; umount {0} and mount it again",
           mount->mount_point);
    }
    if (!target.daemon) {
      fail(kExitFailure, "{}: its daemon has no control socket; its log says why",
           mount->mount_point);
    }
    return target;
  }
  const auto region = canonical_path(path);
  if (!region || ::access(region->c_str(), F_OK) != 0) {
    fail(kExitFailure, "{}: does not exist", path);
  }
  return {*region, connect_daemon(*region)};
}

Json read_region(const std::string& command, const std::string& path) {
  OpenedRegion::Options options;
  options.read_only = true;
  options.filesystem = [](std::uint64_t /*capacity*/) {
    FilesystemOptions quiet;
    quiet.background = false;
    return quiet;
  };
  const auto opened = OpenedRegion::open(path, options);
  if (command == "durable") {
    auto files = opened->filesystem().durable_files();
    if (!files) {
      fail(kExitFailure, "{}: {}", path, error_text(files.code()));
    }
    return durable_report(*files);
  }
  if (command == "media") {
    auto bad = opened->filesystem().bad_memory();
    if (!bad) {
      fail(kExitFailure, "{}: {}", path, error_text(bad.code()));
    }
    return media_report(*bad);
  }
  const auto space = opened->filesystem().space();
  return status_report(opened->facts(), opened->filesystem().status(),
                       space ? *space : FilesystemSpace{});
}

Json get_report(const CtlOptions& options) {
  if (auto rearranged = rearrange(options)) {
    return *std::move(rearranged);
  }
  if (options.command == "migrate") {
    return migrate(options);
  }
  if (options.command == "scrub") {
    return ask_long(long_target_of(options.paths.front()), {{"command", "scrub"}}, "read");
  }
  Target target = find_target(options.paths.front());
  if (target.daemon) {
    return target.daemon->ask(options.reset ? "reset_counters" : options.command, kLongWork);
  }
  if (options.command == "counters") {
    fail(kExitFailure, "{}: is not mounted: only a daemon counts requests", options.paths.front());
  }
  return read_region(options.command, target.region);
}

std::string show(const std::string& command, const Json& report) {
  if (command == "status") {
    return show_status(report);
  }
  if (command == "defrag" || command == "evacuate" || command == "migrate") {
    return show_relocated(report);
  }
  if (command == "compact") {
    return show_relocated(report) + show_frames(report);
  }
  if (command == "grow") {
    return show_grown(report);
  }
  if (command == "shrink") {
    return show_relocated(report) + show_grown(report);
  }
  if (command == "media") {
    return show_media(report);
  }
  if (command == "scrub") {
    return show_scrub(report);
  }
  return command == "durable" ? show_durable(report) : show_counters(report);
}

int print_report(const CtlOptions& options) {
  if (::geteuid() != 0) {
    fail(kExitUsage, "only root may look into a region; run it as root");
  }
  base::log::init_stderr(kProgram, base::log::Level::kWarning);
  const Json report = get_report(options);
  const std::string text = options.json
                               ? report.dump(2, ' ', false, Json::error_handler_t::replace) + "\n"
                               : show(options.command, report);
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0) {
    fail(kExitSystem, "cannot write the report: {}", error_text(errno));
  }
  if (const auto line = options.command == "scrub" ? what_is_wrong(options.paths.front(), report)
                                                   : what_stays(options, report)) {
    complain(kProgram, *line);
    return kExitFailure;
  }
  return kExitOk;
}

}  // namespace
}  // namespace pmemfs::tools

int main(int argc, char** argv) {
  namespace tools = pmemfs::tools;
  return tools::run_program(tools::kProgram, [&] {
    const auto options = tools::parse_ctl_options(argc, argv);
    return options ? tools::print_report(*options) : tools::kExitOk;
  });
}
