#pragma once

#include <cstdint>

namespace pmemfs::core {

// A range of a file in bytes.
struct Range {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

}  // namespace pmemfs::core
