#include "tools/background.hpp"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <sstream>

#include "tools/failure.hpp"

namespace pmemfs::tools {
namespace {

// Records are lines: "N text", "R", "F code text".
constexpr char kNotice = 'N';
constexpr char kReady = 'R';
constexpr char kFailed = 'F';

std::string one_line(std::string text) {
  for (char& c : text) {
    if (c == '\n') {
      c = ' ';
    }
  }
  return text;
}

void leave_terminal() {
  const base::UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!null) {
    return;
  }
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    ::dup2(null.get(), fd);
  }
}

// The exit code that a record decides, or nothing when more is to come.
std::optional<int> take_record(const std::string& program, const std::string& record) {
  switch (record.empty() ? '\0' : record.front()) {
    case kNotice:
      complain(program, record.substr(2));
      return std::nullopt;
    case kReady:
      return kExitOk;
    case kFailed: {
      std::istringstream fields(record.substr(1));
      int code = kExitFailure;
      std::string text;
      fields >> code >> std::ws;
      std::getline(fields, text);
      complain(program, text);
      return code;
    }
    default:
      return std::nullopt;
  }
}

int wait_for_report(const std::string& program, int pipe) {
  std::string pending;
  for (;;) {
    std::array<char, 4096> chunk{};
    const ssize_t n = ::read(pipe, chunk.data(), chunk.size());
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n <= 0) {
      complain(program, "the daemon died before the mount was ready; see the system's log");
      return kExitSystem;
    }
    pending.append(chunk.data(), static_cast<std::size_t>(n));
    for (std::size_t end = pending.find('\n'); end != std::string::npos; end = pending.find('\n')) {
      const auto code = take_record(program, pending.substr(0, end));
      pending.erase(0, end + 1);
      if (code) {
        return *code;
      }
    }
  }
}

}  // namespace

bool Starter::send(const std::string& record) {
  if (!pipe_) {
    return true;
  }
  const std::string line = record + "\n";
  ssize_t n = 0;
  do {
    n = ::write(pipe_.get(), line.data(), line.size());
  } while (n < 0 && errno == EINTR);
  return n == static_cast<ssize_t>(line.size());
}

void Starter::notice(const std::string& line) {
  send(std::string(1, kNotice) + " " + one_line(line));
}

bool Starter::ready() {
  const bool background = static_cast<bool>(pipe_);
  const bool heard = send(std::string(1, kReady));
  if (background) {
    pipe_.reset();
    leave_terminal();
  }
  return heard;
}

void Starter::failed(int exit_code, const std::string& line) {
  send(std::string(1, kFailed) + " " + std::to_string(exit_code) + " " + one_line(line));
}

int run_in_background(const std::string& program, const std::function<int(Starter&)>& body) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    fail(kExitSystem, "cannot make a pipe: {}", error_text(errno));
  }
  const base::UniqueFd reading(ends[0]);
  base::UniqueFd writing(ends[1]);
  const pid_t child = ::fork();
  if (child < 0) {
    fail(kExitSystem, "cannot fork: {}", error_text(errno));
  }
  if (child > 0) {
    writing.reset();
    return wait_for_report(program, reading.get());
  }
  ::setsid();
  Starter starter(std::move(writing));
  // exit: what is static (logger, sanitizers) ends in order; the parent has its own copy of stdio.
  std::exit(body(starter));
}

}  // namespace pmemfs::tools
