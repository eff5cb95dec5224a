#include "base/log.hpp"

#include <fmt/format.h>
#include <spdlog/logger.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/sinks/syslog_sink.h>
#include <syslog.h>

#include <iterator>
#include <memory>
#include <mutex>
#include <set>

#include "base/log_pace.hpp"

namespace pmemfs::base::log {
namespace {

spdlog::level::level_enum to_spdlog(Level level) noexcept {
  switch (level) {
    case Level::kDebug:
      return spdlog::level::debug;
    case Level::kInfo:
      return spdlog::level::info;
    case Level::kWarning:
      return spdlog::level::warn;
    case Level::kError:
      break;
  }
  return spdlog::level::err;
}

Level from_spdlog(spdlog::level::level_enum level) noexcept {
  switch (level) {
    case spdlog::level::trace:
    case spdlog::level::debug:
      return Level::kDebug;
    case spdlog::level::info:
      return Level::kInfo;
    case spdlog::level::warn:
      return Level::kWarning;
    default:
      return Level::kError;
  }
}

// "%*" of the pattern: how a line of this level begins. Plain information needs no word.
class LevelPrefix final : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm& /*time*/,
              spdlog::memory_buf_t& out) override {
    std::string_view prefix;
    switch (from_spdlog(message.level)) {
      case Level::kDebug:
        prefix = "debug: ";
        break;
      case Level::kInfo:
        break;
      case Level::kWarning:
        prefix = "warning: ";
        break;
      case Level::kError:
        prefix = "error: ";
        break;
    }
    out.append(prefix.data(), prefix.data() + prefix.size());
  }
  [[nodiscard]] std::unique_ptr<custom_flag_formatter> clone() const override {
    return std::make_unique<LevelPrefix>();
  }
};

class CallbackSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit CallbackSink(std::function<void(Level, const std::string&)> callback)
      : callback_(std::move(callback)) {}

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    callback_(from_spdlog(message.level),
              std::string(message.payload.data(), message.payload.size()));
  }
  void flush_() override {}

 private:
  std::function<void(Level, const std::string&)> callback_;
};

std::shared_ptr<spdlog::logger> make_logger(std::string_view program, spdlog::sink_ptr sink,
                                            Level threshold) {
  auto logger = std::make_shared<spdlog::logger>(std::string(program), std::move(sink));
  auto formatter = std::make_unique<spdlog::pattern_formatter>();
  formatter->add_flag<LevelPrefix>('*').set_pattern("%n: %*%v");
  logger->set_formatter(std::move(formatter));
  logger->set_level(to_spdlog(threshold));
  logger->flush_on(spdlog::level::debug);
  return logger;
}

std::shared_ptr<spdlog::logger> make_stderr_logger(std::string_view program, Level threshold) {
  return make_logger(program, std::make_shared<spdlog::sinks::stderr_sink_mt>(), threshold);
}

struct State {
  std::shared_ptr<spdlog::logger> logger = make_stderr_logger("pmemfs", Level::kInfo);
  std::mutex said_mutex;
  std::set<std::string, std::less<>> said;  // under said_mutex
  LogPace pace;
};

// Never destroyed: threads and destructors of statics may log until the very end.
State& state() {
  static auto* const kState = new State;
  return *kState;
}

void replace_logger(std::shared_ptr<spdlog::logger> logger) {
  State& s = state();
  s.logger = std::move(logger);
  s.pace.forget();
  const std::lock_guard lock(s.said_mutex);
  s.said.clear();
}

// Formats are literals: lines of one place in the program are of one kind. Who wants to see what
// happens (kDebug) sees all.
LogPace::Verdict pace_of(Level level, fmt::string_view format) {
  return level == Level::kDebug ? LogPace::Verdict::kWrite
                                : state().pace.ask(format.data(), LogPace::Clock::now());
}

}  // namespace

void init_stderr(std::string_view program, Level threshold) {
  replace_logger(make_stderr_logger(program, threshold));
}

void init_syslog(std::string_view program, Level threshold) {
  auto sink = std::make_shared<spdlog::sinks::syslog_sink_mt>(std::string(program), LOG_PID,
                                                              LOG_DAEMON, false);
  replace_logger(make_logger(program, std::move(sink), threshold));
}

void init_callback(std::function<void(Level, const std::string&)> sink, Level threshold) {
  replace_logger(make_logger("pmemfs", std::make_shared<CallbackSink>(std::move(sink)), threshold));
}

void set_threshold(Level threshold) noexcept {
  state().logger->set_level(to_spdlog(threshold));
}

bool enabled(Level level) noexcept {
  return state().logger->should_log(to_spdlog(level));
}

void write(Level level, fmt::string_view format, fmt::format_args args) noexcept {
  try {
    if (!enabled(level)) {
      return;
    }
    const LogPace::Verdict verdict = pace_of(level, format);
    if (verdict == LogPace::Verdict::kLeaveOut) {
      return;
    }
    fmt::memory_buffer text;
    fmt::vformat_to(std::back_inserter(text), format, args);
    state().logger->log(to_spdlog(level), spdlog::string_view_t(text.data(), text.size()));
    if (verdict == LogPace::Verdict::kWriteLast) {
      state().logger->log(to_spdlog(level),
                          "lines like the last one are left out for up to a minute");
    }
  } catch (...) {
    // A line that cannot be written is lost; its caller goes on.
  }
}

bool first_time(std::string_view key) noexcept {
  try {
    State& s = state();
    const std::lock_guard lock(s.said_mutex);
    return s.said.emplace(key).second;
  } catch (...) {
    return true;
  }
}

}  // namespace pmemfs::base::log
