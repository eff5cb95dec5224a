#pragma once

#include <fmt/format.h>

#include <functional>
#include <stdexcept>
#include <string>
#include <utility>

// How programs end when they cannot do what was asked: one line, one exit code.
namespace pmemfs::tools {

// As mount(8) and umount(8) document them; the other programs use the same.
inline constexpr int kExitOk = 0;
inline constexpr int kExitUsage = 1;     // wrong invocation or no permission
inline constexpr int kExitSystem = 2;    // out of memory, cannot fork, …
inline constexpr int kExitInternal = 4;  // a bug of ours
inline constexpr int kExitFailure = 32;  // the mount, unmount or command itself failed

// The line has no newline and no program name: "what: why; way out".
class Failure : public std::runtime_error {
 public:
  Failure(int exit_code, const std::string& line) : std::runtime_error(line), code_(exit_code) {}
  [[nodiscard]] int exit_code() const { return code_; }

 private:
  int code_;
};

template <typename... Args>
[[noreturn]] void fail(int exit_code, fmt::format_string<Args...> format, Args&&... args) {
  throw Failure(exit_code, fmt::format(format, std::forward<Args>(args)...));
}

// strerror without its thread-unsafety.
[[nodiscard]] std::string error_text(int code);

// Runs the body of main(): its result, or that of a Failure after "program: line" went to stderr.
int run_program(const std::string& program, const std::function<int()>& body);

// "program: line" on stderr.
void complain(const std::string& program, const std::string& line);

}  // namespace pmemfs::tools
