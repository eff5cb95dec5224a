#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "pmemfs/result.hpp"

namespace pmemfs::test {

// Gathers the answers of a filesystem and the first that should not be.
class Answers {
 public:
  // Any errno that a local filesystem gives, EIO or EUCLEAN. True when it was a success.
  bool plain(int code, std::string_view call);
  bool plain(const Status& status, std::string_view call) { return plain(status.code(), call); }
  template <typename T>
  bool plain(const Result<T>& result, std::string_view call) {
    return plain(result.code(), call);
  }
  void wrong(const std::string& what);

  [[nodiscard]] const std::string& complaint() const { return complaint_; }
  // The first call that was answered by EUCLEAN or EIO; empty: none.
  [[nodiscard]] const std::string& damage() const { return damage_; }

 private:
  std::string complaint_;
  std::string damage_;
};

}  // namespace pmemfs::test
