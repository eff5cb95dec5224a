#include "support/open_files.hpp"

#include <sys/stat.h>

#include <charconv>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

namespace pmemfs::test {
namespace {

bool same(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

bool is_open(const struct stat& file, int fd, int also) {
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    const std::string text = entry.path().filename().string();
    int other = -1;
    std::from_chars(text.data(), text.data() + text.size(), other);
    struct stat st {};
    if (other != fd && other != also && ::fstat(other, &st) == 0 && same(st, file)) {
      return true;
    }
  }
  return false;
}

// "7f00-7f01 rw-s 00000000 00:01 1234 /memfd:backing (deleted)"
bool is_mapped(ino_t inode) {
  std::ifstream maps("/proc/self/maps");
  std::string line;
  while (std::getline(maps, line)) {
    std::istringstream fields(line);
    std::string skipped;
    ino_t mapped = 0;
    fields >> skipped >> skipped >> skipped >> skipped >> mapped;
    if (mapped == inode && line.find("/memfd:") != std::string::npos) {
      return true;
    }
  }
  return false;
}

}  // namespace

bool is_in_use(int fd, int also) {
  struct stat file {};
  return ::fstat(fd, &file) == 0 && (is_open(file, fd, also) || is_mapped(file.st_ino));
}

}  // namespace pmemfs::test
