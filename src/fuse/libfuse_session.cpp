#include "fuse/libfuse_session.hpp"

#include <algorithm>
#include <array>
#include <cstdarg>
#include <cstdio>
#include <string_view>

#include "base/log.hpp"

namespace pmemfs::fuse {
namespace {

// What libfuse has to say goes to our log: one line without its end.
[[gnu::format(printf, 2, 0)]] void log_libfuse(fuse_log_level level, const char* format,
                                               va_list arguments) {
  std::array<char, 1024> text{};
  const int length = std::vsnprintf(text.data(), text.size(), format, arguments);
  std::string_view line(text.data(),
                        std::min(text.size() - 1, static_cast<std::size_t>(std::max(length, 0))));
  while (line.ends_with('\n')) {
    line.remove_suffix(1);
  }
  if (level <= FUSE_LOG_ERR) {
    base::log::error("libfuse: {}", line);
  } else if (level <= FUSE_LOG_WARNING) {
    base::log::warn("libfuse: {}", line);
  } else {
    base::log::debug("libfuse: {}", line);
  }
}

}  // namespace

LibfuseSession new_libfuse_session(Edge& edge, bool debug) {
  static const fuse_lowlevel_ops kOps = [] {
    fuse_set_log_func(log_libfuse);
    return all_operations();
  }();
  std::array<char, 7> program{"pmemfs"};
  std::array<char, 8> debug_option{"-odebug"};
  std::array<char*, 2> argv{program.data(), debug_option.data()};
  fuse_args args = FUSE_ARGS_INIT(debug ? 2 : 1, argv.data());
  LibfuseSession session(fuse_session_new(&args, &kOps, sizeof(kOps), &edge));
  fuse_opt_free_args(&args);
  return session;
}

}  // namespace pmemfs::fuse
