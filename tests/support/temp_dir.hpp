#pragma once

#include <string>

namespace pmemfs::test {

// A new directory, 0700, removed with all it holds at the end. Throws std::system_error.
class TempDir {
 public:
  // Below `parent`; without one, below the directory for temporary files (TMPDIR).
  explicit TempDir(const std::string& parent = "");
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  ~TempDir();

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

// Where tests find memory without a disk below.
inline constexpr const char* kTmpfs = "/dev/shm";

}  // namespace pmemfs::test
