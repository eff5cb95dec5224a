#include "tools/ctl_progress.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>

#include "tools/size.hpp"

namespace pmemfs::tools {

void show_progress(std::uint64_t moved, std::uint64_t total) {
  if (::isatty(STDERR_FILENO) != 0) {
    fmt::print(stderr, "\r{} of {} moved\x1b[K", show_size(moved), show_size(total));
  }
}

void end_progress() {
  if (::isatty(STDERR_FILENO) != 0) {
    fmt::print(stderr, "\r\x1b[K");
  }
}

}  // namespace pmemfs::tools
