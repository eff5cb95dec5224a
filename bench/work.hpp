// Workloads on one directory of any filesystem. Each prepares what it needs untimed, and returns
// what it timed.
#pragma once

#include <chrono>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/unique_fd.hpp"

namespace pmemfs::bench {

struct Figure {
  std::string name;
  double seconds = 0;
  std::uint64_t count = 0;  // operations
};

struct Job {
  std::string dir;
  std::uint64_t count = 0;  // operations asked for; 0: the workload's own number
  std::string archive;      // tree alone
};
using Figures = std::vector<Figure>;
using Work = Figures (*)(const Job&);

// Mapped files.
Figures store_flush(const Job& job);
Figures memcpy4k(const Job& job);
Figures first_touch(const Job& job);
// read(2) and write(2).
Figures read1m(const Job& job);
Figures write1m(const Job& job);
Figures read4k(const Job& job);
Figures write4k(const Job& job);
// With an fsync or fdatasync after each.
Figures append_sync(const Job& job);
Figures rewrite_sync(const Job& job);
// What is to be compared with: copies in memory, of a mapping of the file; one question to the
// filesystem.
Figures copy_out1m(const Job& job);
Figures copy_in1m(const Job& job);
Figures round_trip(const Job& job);
// Names.
Figures names(const Job& job);
Figures fill(const Job& job);
Figures readdir_stat(const Job& job);
Figures tree(const Job& job);
Figures many_in_one(const Job& job);
Figures many_in_1000(const Job& job);

[[noreturn]] void fail(const std::string& what);  // std::system_error with errno
inline void require(bool good, const std::string& what) {
  if (!good) {
    fail(what);
  }
}

class Stopwatch {
 public:
  [[nodiscard]] double seconds() const {
    return std::chrono::duration<double>(Clock::now() - start_).count();
  }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point start_ = Clock::now();
};

// Small, fast, the same on every run.
class Random {
 public:
  std::uint64_t below(std::uint64_t bound) {
    state_ ^= state_ << 13U;
    state_ ^= state_ >> 7U;
    state_ ^= state_ << 17U;
    return state_ % bound;
  }

 private:
  std::uint64_t state_ = 0x9E3779B97F4A7C15ULL;
};

inline std::uint64_t or_default(std::uint64_t asked, std::uint64_t usual) {
  return asked != 0 ? asked : usual;
}

inline constexpr std::uint64_t kMiB = 1ULL << 20U;
inline constexpr std::uint64_t kPage = 4096;

// `name` in the directory, with `size` bytes written; kept for the next run.
base::UniqueFd written_file(const std::string& dir, const std::string& name, std::uint64_t size);

// Times `body(i)` for i in [from, to).
template <typename Body>
Figure timed_loop(const std::string& name, std::uint64_t from, std::uint64_t to, Body&& body) {
  const Stopwatch watch;
  for (std::uint64_t i = from; i < to; ++i) {
    body(i);
  }
  return {name, watch.seconds(), to - from};
}

}  // namespace pmemfs::bench
