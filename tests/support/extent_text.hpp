// The text of user.pmemfs.extents on a region that keeps data in extents, taken apart.
#pragma once

#include <cstdint>
#include <cstdio>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace pmemfs::test {

// One line, in bytes.
struct ExtentLine {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  std::uint64_t at = 0;
  bool unwritten = false;

  bool operator==(const ExtentLine&) const = default;
};

inline std::vector<ExtentLine> parse_extents(const std::string& text) {
  std::vector<ExtentLine> lines;
  std::istringstream stream(text);
  std::string line;
  while (std::getline(stream, line)) {
    ExtentLine e;
    if (std::sscanf(line.c_str(), "%lu+%lu at %lu", &e.offset, &e.length, &e.at) != 3) {
      throw std::runtime_error("no line of extents: " + line);
    }
    e.unwritten = line.ends_with(" unwritten");
    lines.push_back(e);
  }
  return lines;
}

}  // namespace pmemfs::test
