#include "tools/ctl_rearrange.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <string_view>

#include <nlohmann/json.hpp>

#include "tools/ctl_progress.hpp"
#include "tools/failure.hpp"

namespace pmemfs::tools {
namespace {

namespace fs = std::filesystem;

int refusal(const Json& answer) {
  return answer.value("refused", 0);
}

// A refusal is a line about the path.
Json ask_or_fail(const LongTarget& target, const Json& request, std::string (*why)(int)) {
  Json answer = ask_long(target, request);
  if (const int code = refusal(answer); code != 0) {
    fail(kExitFailure, "{}: {}", target.path, why(code));
  }
  return answer;
}

std::string why_not_defragmented(int code) {
  switch (code) {
    case ETXTBSY:
      return "is durable: its data does not move";
    case EBUSY:
      return "is open, mapped or moving already; try again later";
    case EOPNOTSUPP:
      return "the filesystem below the region does not tell where data lie: nothing to be gained";
    case EINVAL:
      return "is no regular file";
    default:
      return error_text(code);
  }
}

std::string why_not_evacuated(int code) {
  switch (code) {
    case EBUSY:
      return "overlaps a range that is evacuated already; try again later";
    case EOPNOTSUPP:
      return "its data is not in extents of the region: there is no range to empty";
    case EINVAL:
      return "the range is empty or reaches beyond the region";
    default:
      return error_text(code);
  }
}

// What several answers say together.
class Sum {
 public:
  void add(const Json& report) {
    for (const char* key : {"files_moved", "bytes_moved", "metadata_moved", "metadata_left"}) {
      sum_[key] = sum_.value(key, std::uint64_t{0}) + report.value(key, std::uint64_t{0});
    }
    sum_["finished"] = sum_.value("finished", true) && report.value("finished", true);
    for (const Json& file : report.value("left", Json::array())) {
      sum_["left"].push_back(file);
    }
  }
  void leave(const std::string& path, const struct stat& st, int code) {
    LeftBehind left{InodeNo(st.st_ino), static_cast<std::uint64_t>(st.st_blocks) * 512, code, path};
    Relocated one;
    one.left.push_back(std::move(left));
    add(relocated_report(one));
  }
  [[nodiscard]] const Json& report() const { return sum_; }

 private:
  Json sum_ = relocated_report({});
};

Json defrag_request(std::uint64_t inode) {
  return {{"command", "defrag"}, {"inode", inode}};
}

// Every regular file below, of this mount; what may not move is left behind.
void defrag_tree(const std::string& path, const struct stat& top, Sum& sum) {
  const LongTarget target = long_target_of(path);
  std::error_code error;
  fs::recursive_directory_iterator entry(path, fs::directory_options::skip_permission_denied,
                                         error);
  for (; !error && entry != fs::end(entry); entry.increment(error)) {
    struct stat st {};
    if (::lstat(entry->path().c_str(), &st) != 0 || st.st_dev != top.st_dev) {
      entry.disable_recursion_pending();
      continue;
    }
    if (!S_ISREG(st.st_mode)) {
      continue;
    }
    const Json answer = ask_long(target, defrag_request(st.st_ino));
    if (const int code = refusal(answer); code == EOPNOTSUPP) {
      fail(kExitFailure, "{}: {}", path, why_not_defragmented(code));
    } else if (code != 0) {
      sum.leave(entry->path().string(), st, code);
    } else {
      sum.add(answer);
    }
  }
  if (error) {
    fail(kExitFailure, "{}: cannot be walked: {}", path, error.message());
  }
}

Json defrag(const CtlOptions& options) {
  Sum sum;
  for (const std::string& path : options.paths) {
    struct stat st {};
    if (options.region) {
      sum.add(ask_or_fail(long_target_of(path), defrag_request(0), why_not_defragmented));
    } else if (::lstat(path.c_str(), &st) != 0) {
      fail(kExitFailure, "{}: {}", path, error_text(errno));
    } else if (S_ISDIR(st.st_mode)) {
      defrag_tree(path, st, sum);
    } else {
      sum.add(ask_or_fail(long_target_of(path), defrag_request(st.st_ino), why_not_defragmented));
    }
  }
  return sum.report();
}

Json evacuate(const CtlOptions& options) {
  return ask_or_fail(
      long_target_of(options.paths.front()),
      {{"command", "evacuate"}, {"offset", options.offset}, {"length", options.length}},
      why_not_evacuated);
}

std::string why_not_compacted(int code) {
  return code == EOPNOTSUPP ? "its data is not in extents of the region: it has no frames"
                            : error_text(code);
}

Json compact(const CtlOptions& options) {
  return ask_or_fail(long_target_of(options.paths.front()),
                     {{"command", "compact"}, {"size", options.size}}, why_not_compacted);
}

std::optional<std::string> frames_missing(const std::string& path, const Json& report) {
  const auto wanted = report.value("frames_wanted", std::uint64_t{0});
  const auto free = report.value("frames_free", std::uint64_t{0});
  if (free >= wanted) {
    return std::nullopt;
  }
  return fmt::format("{}: {} of {} frames of 2 MiB are free{}", path, free, wanted,
                     report.value("finished", true)
                         ? "; the rest is durable, metadata, or finds no room elsewhere"
                         : ": ended before it was done");
}

std::string why_not_larger(int code) {
  switch (code) {
    case EINVAL:
      return "is that large already; give a larger --size";
    case EOPNOTSUPP:
      return "cannot be made larger: a directory region grows by itself, a device does not";
    case ENOSPC:
      return "no space left on the filesystem of the region";
    default:
      return error_text(code);
  }
}

Json grow(const CtlOptions& options) {
  return ask_or_fail(long_target_of(options.paths.front()),
                     {{"command", "grow"}, {"size", options.size}}, why_not_larger);
}

std::string why_not_smaller(int code) {
  switch (code) {
    case EINVAL:
      return "the new size must be smaller than the region, at least 16 MiB, and a multiple of "
             "4096";
    case EOPNOTSUPP:
      return "a directory region does not shrink: its space is the host filesystem's";
    case ENOSPC:
      return "what lies beyond that size does not fit in the rest; remove files, or choose a "
             "larger "
             "size";
    case EBUSY:
      return "what lies beyond that size is in use all the time, or the size changed meanwhile; "
             "try "
             "again";
    case EUCLEAN:
      return "damage was found at mount, and what is damaged might be cut off; restore it first";
    default:
      return error_text(code);
  }
}

Json shrink(const CtlOptions& options) {
  return ask_or_fail(long_target_of(options.paths.front()),
                     {{"command", "shrink"}, {"size", options.size}}, why_not_smaller);
}

}  // namespace

std::optional<std::string> what_stays(const CtlOptions& options, const Json& report) {
  if (options.command == "compact") {
    return frames_missing(options.paths.front(), report);
  }
  if (options.command != "evacuate" && options.command != "shrink") {
    return std::nullopt;
  }
  const Json left = report.value("left", Json::array());
  const auto durable = std::count_if(left.begin(), left.end(), [](const Json& file) {
    return file.value("reason", std::string()) == "durable";
  });
  const char* const then = options.command == "shrink" ? "; the size is as it was" : "";
  const std::string& path = options.paths.front();
  if (durable > 0) {
    return fmt::format("{}: {} (ETXTBSY): {} durable files are there, and do not move{}", path,
                       error_text(ETXTBSY), durable, then);
  }
  if (!left.empty()) {
    return fmt::format("{}: {} files could not move{}", path, left.size(), then);
  }
  if (!report.value("finished", true)) {
    return fmt::format("{}: ended before it was done{}", path, then);
  }
  return std::nullopt;
}

std::optional<Json> rearrange(const CtlOptions& options) {
  static const std::map<std::string_view, Json (*)(const CtlOptions&)> kCommands{
      {"defrag", defrag},
      {"compact", compact},
      {"evacuate", evacuate},
      {"grow", grow},
      {"shrink", shrink}};
  const auto found = kCommands.find(options.command);
  return found == kCommands.end() ? std::nullopt : std::optional(found->second(options));
}

}  // namespace pmemfs::tools
