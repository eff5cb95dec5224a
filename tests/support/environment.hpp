// What makes a test longer, or repeats it, from outside.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <string>

namespace pmemfs::test {

// A number from the environment, or `otherwise`.
inline std::uint64_t number_from(const char* variable, std::uint64_t otherwise) {
  const char* text = std::getenv(variable);
  return text != nullptr && *text != '\0' ? std::stoull(text) : otherwise;
}

}  // namespace pmemfs::test
