#pragma once

#include <cstdint>
#include <string>

#include "pmemfs/result.hpp"

namespace pmemfs::test {

// Gathers the answers of a filesystem and the first that should not be.
class Answers {
 public:
  // Any errno that a local filesystem gives, EIO or EUCLEAN. True when it was a success.
  bool plain(int code, const char* call);
  bool plain(const Status& status, const char* call) { return plain(status.code(), call); }
  template <typename T>
  bool plain(const Result<T>& result, const char* call) {
    return plain(result.code(), call);
  }
  void wrong(const std::string& what);

  [[nodiscard]] const std::string& complaint() const { return complaint_; }
  [[nodiscard]] std::uint64_t successes() const { return successes_; }

 private:
  std::string complaint_;
  std::uint64_t successes_ = 0;
};

}  // namespace pmemfs::test
