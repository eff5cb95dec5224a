#pragma once

#include <cstddef>
#include <span>

namespace pmemfs::core {

// What is to be written, in pieces, one after the other.
using Parts = std::span<const std::span<const std::byte>>;

inline std::size_t size_of(Parts parts) {
  std::size_t sum = 0;
  for (const std::span<const std::byte> part : parts) {
    sum += part.size();
  }
  return sum;
}

}  // namespace pmemfs::core
