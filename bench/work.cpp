// pmemfs-bench-work WORK DIRECTORY [COUNT [ARCHIVE]]: runs one workload and prints one line of
// JSON.
#include "work.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <system_error>
#include <utility>

#include "run_main.hpp"

namespace pmemfs::bench {

void fail(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

base::UniqueFd written_file(const std::string& dir, const std::string& name, std::uint64_t size) {
  const std::string path = dir + "/" + name;
  base::UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  require(static_cast<bool>(fd), path);
  struct stat st {};
  require(::fstat(fd.get(), &st) == 0, path);
  if (static_cast<std::uint64_t>(st.st_size) == size) {
    return fd;
  }
  const std::vector<char> chunk(std::min(size, kMiB), 'x');
  for (std::uint64_t off = 0; off < size; off += chunk.size()) {
    const std::size_t n = std::min<std::uint64_t>(chunk.size(), size - off);
    require(::pwrite(fd.get(), chunk.data(), n, static_cast<off_t>(off)) == static_cast<ssize_t>(n),
            path);
  }
  return fd;
}

namespace {

constexpr std::array<std::pair<std::string_view, Work>, 18> kWorks{{
    {"store_flush", store_flush},
    {"memcpy4k", memcpy4k},
    {"first_touch", first_touch},
    {"read1m", read1m},
    {"write1m", write1m},
    {"read4k", read4k},
    {"write4k", write4k},
    {"append_sync", append_sync},
    {"rewrite_sync", rewrite_sync},
    {"copy_out1m", copy_out1m},
    {"copy_in1m", copy_in1m},
    {"round_trip", round_trip},
    {"names", names},
    {"fill", fill},
    {"readdir_stat", readdir_stat},
    {"tree", tree},
    {"many_in_one", many_in_one},
    {"many_in_1000", many_in_1000},
}};

int usage() {
  fmt::print(stderr, "usage: pmemfs-bench-work WORK DIRECTORY [COUNT [ARCHIVE]]\nworks:");
  for (const auto& [name, work] : kWorks) {
    fmt::print(stderr, " {}", name);
  }
  fmt::print(stderr, "\n");
  return 2;
}

void print(std::string_view work, const Figures& figures) {
  std::string list;
  for (const Figure& f : figures) {
    list += fmt::format(R"({}{{"name": "{}", "seconds": {:.9f}, "count": {}}})",
                        list.empty() ? "" : ", ", f.name, f.seconds, f.count);
  }
  fmt::print("{{\"work\": \"{}\", \"figures\": [{}]}}\n", work, list);
}

int run(int argc, char** argv) {
  if (argc < 3 || argc > 5) {
    return usage();
  }
  const auto* const found = std::find_if(kWorks.begin(), kWorks.end(),
                                         [&](const auto& entry) { return entry.first == argv[1]; });
  if (found == kWorks.end()) {
    return usage();
  }
  Job job;
  job.dir = argv[2];
  job.count = argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 0;
  job.archive = argc > 4 ? argv[4] : "";
  print(found->first, found->second(job));
  return 0;
}

}  // namespace
}  // namespace pmemfs::bench

int main(int argc, char** argv) {
  return pmemfs::bench::run_main("pmemfs-bench-work", pmemfs::bench::run, argc, argv);
}
