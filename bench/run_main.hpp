// What the programs' main() have in common.
#pragma once

#include <fmt/format.h>

#include <cstdio>
#include <exception>

namespace pmemfs::bench {

// The exit status of `run`; what it throws is one line on stderr, and 1.
inline int run_main(const char* program, int (*run)(int, char**), int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& e) {
    fmt::print(stderr, "{}: {}\n", program, e.what());
    return 1;
  }
}

}  // namespace pmemfs::bench
