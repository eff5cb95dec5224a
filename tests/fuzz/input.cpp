#include "input.hpp"

#include <cstdio>
#include <cstdlib>

namespace pmemfs::fuzz {

void demand(bool ok, const char* what) {
  if (!ok) {
    std::fprintf(stderr, "wrong: %s\n", what);
    std::abort();
  }
}

void demand_equal(std::uint64_t expected, std::uint64_t found, const char* what) {
  if (expected != found) {
    std::fprintf(stderr, "wrong: %s: expected %llu, found %llu\n", what,
                 static_cast<unsigned long long>(expected), static_cast<unsigned long long>(found));
    std::abort();
  }
}

}  // namespace pmemfs::fuzz
