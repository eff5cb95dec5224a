#pragma once

#include <fmt/core.h>

#include <functional>
#include <string>
#include <string_view>
#include <utility>

// Log lines: one line each, no trailing newline, in the words of the docs. Error codes travel in
// Result<T>; the log carries their context. Until one of the init functions is called lines of
// level kInfo and up go to stderr.
//
//   log::warn("backing file {} is missing", name);
//   log::warn_once("no-passthrough", "this kernel has no FUSE passthrough; durable files refuse
//   shared mappings");
//
// Of lines of one kind, which have one format, 100 are written in a minute, whatever repeats
// (log_pace.hpp). Writing is thread-safe and never throws. The init functions are for main(),
// before other threads exist.
namespace pmemfs::base::log {

enum class Level { kDebug, kInfo, kWarning, kError };

// To stderr as "program: text", "program: warning: text" and so on: for the foreground and for
// tools.
void init_stderr(std::string_view program, Level threshold = Level::kInfo);

// To syslog, facility daemon, under the program's name and pid: for the daemon in the background.
void init_syslog(std::string_view program, Level threshold = Level::kInfo);

// To a function, called by one thread at a time: for tests that look at what is said.
void init_callback(std::function<void(Level, const std::string&)> sink,
                   Level threshold = Level::kDebug);

// Thread-safe, unlike the init functions.
void set_threshold(Level threshold) noexcept;

// True when a line of this level would be written: to guard text that is costly to make.
[[nodiscard]] bool enabled(Level level) noexcept;

void write(Level level, fmt::string_view format, fmt::format_args args) noexcept;

// True for the first call with `key` in this process (since the last init), false afterwards.
[[nodiscard]] bool first_time(std::string_view key) noexcept;

template <typename... Args>
void debug(fmt::format_string<Args...> format, Args&&... args) noexcept {
  if (enabled(Level::kDebug)) {
    write(Level::kDebug, format, fmt::make_format_args(args...));
  }
}

template <typename... Args>
void info(fmt::format_string<Args...> format, Args&&... args) noexcept {
  write(Level::kInfo, format, fmt::make_format_args(args...));
}

template <typename... Args>
void warn(fmt::format_string<Args...> format, Args&&... args) noexcept {
  write(Level::kWarning, format, fmt::make_format_args(args...));
}

template <typename... Args>
void error(fmt::format_string<Args...> format, Args&&... args) noexcept {
  write(Level::kError, format, fmt::make_format_args(args...));
}

// A warning that is written once for each `key`, however often its cause comes back.
template <typename... Args>
void warn_once(std::string_view key, fmt::format_string<Args...> format, Args&&... args) noexcept {
  if (first_time(key)) {
    write(Level::kWarning, format, fmt::make_format_args(args...));
  }
}

}  // namespace pmemfs::base::log
