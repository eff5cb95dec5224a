#include "tools/ctl_progress.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>

#include <nlohmann/json.hpp>

#include "tools/failure.hpp"
#include "tools/live_daemon.hpp"
#include "tools/mount_table.hpp"
#include "tools/size.hpp"

namespace pmemfs::tools {
namespace {

constexpr std::chrono::minutes kSilence{10};  // longer without a word is taken for no answer

}  // namespace

void show_progress(std::uint64_t moved, std::uint64_t total, std::string_view done) {
  if (::isatty(STDERR_FILENO) != 0) {
    fmt::print(stderr, "\r{} of {} {}\x1b[K", show_size(moved), show_size(total), done);
  }
}

void end_progress() {
  if (::isatty(STDERR_FILENO) != 0) {
    fmt::print(stderr, "\r\x1b[K");
  }
}

LongTarget long_target_of(const std::string& path) {
  const auto mount = find_mount_of(path);
  return {path, mount ? std::optional(mount->source) : canonical_path(path)};
}

Json ask_long(const LongTarget& target, const Json& request, std::string_view done) {
  auto daemon = target.region ? connect_daemon(*target.region) : std::nullopt;
  if (!daemon) {
    fail(kExitFailure, "{}: is not mounted: only a daemon does this", target.path);
  }
  Json result = daemon->request(request, kSilence, [done](const Json& progress) {
    show_progress(progress.value("moved", std::uint64_t{0}),
                  progress.value("total", std::uint64_t{0}), done);
  });
  end_progress();
  return result;
}

}  // namespace pmemfs::tools
