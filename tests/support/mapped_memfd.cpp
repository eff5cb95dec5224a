#include "support/mapped_memfd.hpp"

#include <sys/stat.h>

#include <fstream>
#include <sstream>
#include <string>

namespace pmemfs::test {
namespace {

// A line: "7f00-7f01 rw-s 00000000 00:01 1234 /memfd:backing (deleted)"
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

bool is_mapped(int fd) {
  struct stat file {};
  return ::fstat(fd, &file) == 0 && is_mapped(file.st_ino);
}

}  // namespace pmemfs::test
