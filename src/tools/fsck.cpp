// fsck.pmemfs: checks a region at rest, and repairs it when asked.
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>

#include "backing/host_dir.hpp"
#include "backing/layout.hpp"
#include "check/check.hpp"
#include "check/undo_region.hpp"
#include "region/region_handle.hpp"
#include "store/store.hpp"
#include "tools/failure.hpp"
#include "tools/fsck_options.hpp"
#include "tools/fsck_report.hpp"
#include "tools/region_access.hpp"
#include "tools/stop_signals.hpp"
#include "tools/uuid.hpp"

namespace pmemfs::tools {
namespace {

using Mode = FsckOptions::Mode;

// As fsck(8) documents them.
constexpr int kClean = 0;
constexpr int kCorrected = 1;
constexpr int kLeft = 4;
constexpr int kOperational = 8;
constexpr int kWrongUsage = 16;
constexpr int kCanceled = 32;

std::atomic<bool> stopped{false};

// How far the work is: one line that is written over on a terminal, or lines for a program, as
// those of e2fsck: phase, done, total, region.
class Progress {
 public:
  explicit Progress(const FsckOptions& options)
      : options_(options), terminal_(options.progress_fd < 0 && ::isatty(STDERR_FILENO) != 0) {}
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  ~Progress() {
    if (terminal_) {
      fmt::print(stderr, "\r\x1b[K");
    }
  }

  void show(check::Phase phase, std::uint64_t done, std::uint64_t total) {
    if (terminal_) {
      fmt::print(stderr, "\r{}: {} of {}\x1b[K", to_string(phase), done, total);
    } else if (options_.progress_fd >= 0) {
      const std::string line =
          fmt::format("{} {} {} {}\n", static_cast<int>(phase) + 1, done, total, options_.path);
      (void)!::write(options_.progress_fd, line.data(), line.size());
    }
  }

 private:
  const FsckOptions& options_;
  bool terminal_;
};

// The host files of a directory region; null on others.
// Repair leaves them alone, too.
std::unique_ptr<backing::HostDir> open_host(const region::RegionHandle& handle) {
  if (handle.kind() != region::HostKind::kDirectory) {
    return nullptr;
  }
  auto host = backing::HostDir::open_at(handle.data_fd(), true, true);
  if (!host) {
    fail(kOperational, "{}/{}: {}; restore the region from a copy", handle.path(),
         region::kDataName,
         host.code() == EUCLEAN ? "its directories are missing or open to others"
                                : error_text(host.code()));
  }
  return std::move(host).value();
}

// A region of which one superblock at least can be read must be what it says.
std::optional<format::Superblock> superblock_of(const region::RegionHandle& handle) {
  store::SuperblockFault fault = store::SuperblockFault::kNone;
  (void)store::read_superblock(handle.region(), &fault, nullptr);
  if (fault == store::SuperblockFault::kDamaged || fault == store::SuperblockFault::kUnreadable ||
      fault == store::SuperblockFault::kSize) {
    return std::nullopt;  // the check says so
  }
  return check_superblock(handle).superblock;
}

check::Report run_check(const FsckOptions& options, const region::RegionHandle& handle,
                        Region& region) {
  const bool repair = options.mode == Mode::kRepair;
  const auto host = open_host(handle);
  Progress progress(options);
  check::Options how;
  how.repair = repair;
  if (host) {
    how.host_owner = backing::read_owner(handle.data_fd());
  }
  how.remake = facts_for_superblock(handle);
  how.remake->uuid = how.host_owner && how.host_owner->ok() ? **how.host_owner : make_uuid();
  how.watch = [&](check::Phase phase, std::uint64_t done, std::uint64_t total) {
    progress.show(phase, done, total);
    return !stopped.load();
  };
  auto report = check::check(region, host.get(), how);
  if (report.code() == EINTR) {
    fail(kCanceled, "{}: interrupted{}", options.path,
         repair ? "; what was repaired stays so, and the same command goes on" : "");
  }
  if (report.code() == EROFS) {
    fail(kOperational, "{}: has features that this version ({}) may only read; use a newer pmemfs",
         options.path, PMEMFS_VERSION);
  }
  if (!report) {
    fail(kOperational, "{}", media_failure(options.path, report.code()));
  }
  return std::move(report).value();
}

check::Report check_with_undo(const FsckOptions& options, const region::RegionHandle& handle) {
  if (options.undo_file.empty()) {
    return run_check(options, handle, handle.region());
  }
  auto undo = check::UndoRegion::create(handle.region(), options.undo_file);
  if (!undo) {
    fail(kOperational, "{}: cannot be made: {}; nothing was changed", options.undo_file,
         error_text(undo.code()));
  }
  check::Report report = run_check(options, handle, **undo);
  if (const Status finished = (*undo)->finish(); !finished) {
    fail(kOperational,
         "{}: cannot be written: {}; the repair ended there, and can be undone as far as it came",
         options.undo_file, error_text(finished.code()));
  }
  if ((*undo)->saved() == 0) {
    (void)::unlink(options.undo_file.c_str());
  }
  return report;
}

// Repair may free blocks, undoing it brings old ones back: nothing for memory that others store to.
void require_no_exports(const FsckOptions& options, const region::RegionHandle& handle) {
  if (handle.region().any_exported()) {
    fail(kOperational,
         "{}: a virtual machine still maps files of it; shut the machine down, or mount the region "
         "as it is",
         options.path);
  }
}

int apply_undo(const FsckOptions& options) {
  const auto handle = open_region(options.path, false, 0);
  require_no_exports(options, *handle);
  check::UndoFault fault = check::UndoFault::kNone;
  const Status done = check::apply_undo(handle->region(), options.undo_file, &fault);
  switch (fault) {
    case check::UndoFault::kNotUndo:
      fail(kOperational, "{}: is not an undo file of fsck.pmemfs, or is damaged",
           options.undo_file);
    case check::UndoFault::kForeign:
      fail(kOperational, "{}: belongs to another region than {}", options.undo_file, options.path);
    case check::UndoFault::kUsed:
      fail(kOperational, "{}: was mounted or repaired after {} was written; it stays as it is",
           options.path, options.undo_file);
    case check::UndoFault::kNone:
      break;
  }
  if (!done) {
    fail(kOperational, "{}: {}", options.undo_file, error_text(done.code()));
  }
  fmt::print("{}: is as it was before the repair\n", options.path);
  return kClean;
}

int check_region(const FsckOptions& options) {
  const auto handle = open_region(options.path, options.mode != Mode::kRepair, 0);
  if (options.mode == Mode::kRepair) {
    require_no_exports(options, *handle);
  }
  const auto superblock = superblock_of(*handle);
  const bool unmounted = superblock && superblock->state.load() ==
                                           static_cast<std::uint32_t>(format::RegionState::kClean);
  if (options.mode == Mode::kPreen && unmounted && !options.force && !options.json) {
    fmt::print("{}: was unmounted in order\n", options.path);
    return kClean;
  }
  const check::Report report = check_with_undo(options, *handle);
  const std::string text = options.json ? fsck_json(options.path, report)
                                        : fsck_text(options.path, report, options.verbose);
  std::fwrite(text.data(), 1, text.size(), stdout);
  if (report.stays_damaged()) {
    return kLeft;
  }
  return report.clean() ? kClean : kCorrected;
}

// The other programs' exit codes mean other things here: what fails is said, and is `code`.
int with_code(int code, const std::function<int()>& body) {
  int result = code;
  (void)run_program("fsck.pmemfs", [&] {
    try {
      result = body();
    } catch (const Failure& failure) {
      result = failure.exit_code() == kCanceled && stopped.load() ? kCanceled : code;
      throw;
    }
    return 0;
  });
  return result;
}

}  // namespace
}  // namespace pmemfs::tools

int main(int argc, char** argv) {
  namespace tools = pmemfs::tools;
  std::optional<tools::FsckOptions> options;
  const int parsed = tools::with_code(tools::kWrongUsage, [&] {
    options = tools::parse_fsck_options(argc, argv);
    return tools::kClean;
  });
  if (!options) {
    return parsed;
  }
  return tools::with_code(tools::kOperational, [&] {
    tools::block_stop_signals();
    const tools::StopSignals signals([] { tools::stopped = true; });
    return options->mode == tools::FsckOptions::Mode::kUndo ? tools::apply_undo(*options)
                                                            : tools::check_region(*options);
  });
}
