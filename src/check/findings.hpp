// What a check found, bounded.
#pragma once

#include <fmt/format.h>

#include <string>
#include <utility>

#include "check/check.hpp"

namespace pmemfs::check {

// Not thread-safe.
class Findings {
 public:
  // A point in time, for what was found since.
  struct Mark {
    std::size_t kept = 0;
    std::uint64_t found = 0;
  };

  explicit Findings(std::size_t most) : most_(most) {}

  template <typename... Args>
  void add(Problem problem, InodeNo ino, BlockNo block, fmt::format_string<Args...> format,
           Args&&... args) {
    ++found_;
    if (kept_.size() < most_) {
      kept_.push_back(
          {problem, ino, block, {}, fmt::format(format, std::forward<Args>(args)...), false});
    }
  }

  [[nodiscard]] Mark mark() const { return {kept_.size(), found_}; }
  [[nodiscard]] bool since(Mark mark) const { return found_ != mark.found; }
  [[nodiscard]] std::uint64_t found() const { return found_; }
  [[nodiscard]] std::uint64_t repaired() const { return repaired_; }
  // All that was found since is as it should be now.
  void repaired_since(Mark mark);
  // This problem of an inode, once, whenever it was found.
  void repaired(Problem problem, InodeNo ino);
  // Nothing was found since.
  void forget_since(Mark mark);
  // What is not repaired is forgotten: it will be found again.
  void keep_repaired();

  [[nodiscard]] std::vector<Finding>& kept() { return kept_; }

 private:
  std::size_t most_;
  std::vector<Finding> kept_;
  std::uint64_t found_ = 0;
  std::uint64_t repaired_ = 0;
};

}  // namespace pmemfs::check
