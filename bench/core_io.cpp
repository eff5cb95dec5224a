// pmemfs-bench-core-io WORK [COUNT]: writes that are synced one by one, on an extents region in
// memory, in process and without FUSE; real flushes and fences. Prints what pmemfs-bench-work does.
#include <fcntl.h>
#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "pmemfs/filesystem.hpp"
#include "run_main.hpp"
#include "support/memory_filesystem.hpp"
#include "support/memory_region.hpp"

namespace pmemfs::bench {
namespace {

constexpr Caller kRoot{.uid = 0, .gid = 0, .pid = 1, .umask = 022};
constexpr std::uint64_t kMiB = 1ULL << 20U;
constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kFile = 256 * kMiB;

class File {
 public:
  explicit File(Filesystem& fs) : fs_(fs) {
    const auto made = fs.create(kRoot, kRootInode, "file", 0644, O_RDWR);
    require(made.ok(), "create");
    handle_ = made->opened.handle;
  }
  void write(std::uint64_t off, std::span<const std::byte> bytes) {
    require(fs_.write(handle_, off, bytes, false, false).ok(), "write");
  }
  void append(std::span<const std::byte> bytes) {
    require(fs_.write(handle_, 0, bytes, true, false).ok(), "append");
  }
  void sync() { require(fs_.fsync(handle_, true).ok(), "fsync"); }

 private:
  static void require(bool good, const char* what) {
    if (!good) {
      throw std::runtime_error(what);
    }
  }

  Filesystem& fs_;
  HandleId handle_ = 0;
};

template <typename Body>
double seconds_of(std::uint64_t count, const Body& body) {
  const auto start = std::chrono::steady_clock::now();
  for (std::uint64_t i = 0; i < count; ++i) {
    body(i);
  }
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double append_sync(File& file, std::uint64_t count) {
  const std::vector<std::byte> page(kPage, std::byte{'a'});
  return seconds_of(count, [&](std::uint64_t) {
    file.append(page);
    file.sync();
  });
}

double rewrite_sync(File& file, std::uint64_t count) {
  const std::vector<std::byte> chunk(kMiB, std::byte{'x'});
  for (std::uint64_t off = 0; off < kFile; off += kMiB) {
    file.write(off, chunk);
  }
  std::uint64_t random = 0x9E3779B97F4A7C15ULL;
  return seconds_of(count, [&](std::uint64_t) {
    random ^= random << 13U;
    random ^= random >> 7U;
    random ^= random << 17U;
    file.write(random % (kFile / kPage) * kPage, std::span(chunk).first(kPage));
    file.sync();
  });
}

int run(int argc, char** argv) {
  const std::string_view work = argc > 1 ? argv[1] : "";
  if (argc > 3 || (work != "append_sync" && work != "rewrite_sync")) {
    fmt::print(stderr, "usage: pmemfs-bench-core-io append_sync|rewrite_sync [COUNT]\n");
    return 2;
  }
  const std::uint64_t asked = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 0;
  const std::uint64_t count = asked != 0 ? asked : 50'000;
  const test::MemoryRegion memory(768 * kMiB);
  memory->stream_zeros(ByteOff(0), memory->size());  // persistent memory is there without a fault
  const auto fs = test::make_filesystem(*memory);
  File file(*fs);
  const double seconds =
      work == "append_sync" ? append_sync(file, count) : rewrite_sync(file, count);
  fmt::print(
      R"({{"work": "{0}", "figures": [{{"name": "{0}", "seconds": {1:.9f}, "count": {2}}}]}})"
      "\n",
      work, seconds, count);
  return 0;
}

}  // namespace
}  // namespace pmemfs::bench

int main(int argc, char** argv) {
  return pmemfs::bench::run_main("pmemfs-bench-core-io", pmemfs::bench::run, argc, argv);
}
