// pmemfs-bench-core [PAIRS [ROUNDS]]: create + unlink pairs on an extents region in memory, by one
// thread, without FUSE. Flushes and fences are real instructions. A second, smaller run counts
// them.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "pmemfs/filesystem.hpp"
#include "run_main.hpp"
#include "support/memory_filesystem.hpp"
#include "support/memory_region.hpp"

namespace pmemfs::bench {
namespace {

constexpr Caller kRoot{.uid = 0, .gid = 0, .pid = 1, .umask = 022};
constexpr std::uint64_t kRegionBytes = 256ULL << 20U;

struct Counts {
  std::uint64_t stores = 0;
  std::uint64_t streams = 0;
  std::uint64_t lines = 0;  // flushed or streamed, 64 bytes each
  std::uint64_t fences = 0;
};

// Passes everything on and counts; or leaves flushes and fences out, so that the difference is what
// they cost.
class CountingRegion final : public Region {
 public:
  enum class Durability : std::uint8_t { kReal, kLeftOut };

  CountingRegion(Region& below, Durability durability)
      : real_(durability == Durability::kReal), below_(below), base_(&bytes(below)) {
    set_extent(base_, below.size());
  }
  [[nodiscard]] Granularity granularity() const override { return below_.granularity(); }
  [[nodiscard]] bool read_only() const override { return below_.read_only(); }
  void store(ByteOff off, const void* src, std::size_t n) override {
    ++counts.stores;
    below_.store(off, src, n);
  }
  void store_u64(ByteOff off, std::uint64_t value) override {
    ++counts.stores;
    below_.store_u64(off, value);
  }
  void stream(ByteOff off, const void* src, std::size_t n) override {
    ++counts.streams;
    counts.lines += lines(off, n);
    if (real_) {
      below_.stream(off, src, n);
    } else {
      below_.store(off, src, n);
    }
  }
  void stream_zeros(ByteOff off, std::uint64_t n) override {
    ++counts.streams;
    counts.lines += lines(off, n);
    below_.stream_zeros(off, n);
  }
  void flush(ByteOff off, std::size_t n) override {
    counts.lines += lines(off, n);
    if (real_) {
      below_.flush(off, n);
    }
  }
  void fence() override {
    ++counts.fences;
    if (real_) {
      below_.fence();
    }
  }
  Status grow(std::uint64_t new_size) override {
    const Status grown = below_.grow(new_size);
    if (grown) {
      set_extent(base_, below_.size());
    }
    return grown;
  }
  Status shrink(std::uint64_t new_size) override {
    const Status shrunk = below_.shrink(new_size);
    set_extent(base_, below_.size());
    return shrunk;
  }

  Counts counts;

 private:
  static std::uint64_t lines(ByteOff off, std::uint64_t n) {
    return n == 0 ? 0 : (off.value + n - 1) / kCacheLineSize - off.value / kCacheLineSize + 1;
  }
  // The seam hands out const bytes and stores through functions; the base class wants the address
  // as it is.
  static std::byte& bytes(Region& below) { return const_cast<std::byte&>(*below.data()); }

  const bool real_;
  Region& below_;
  std::byte* base_;
};

template <typename T>
T checked(Result<T> result, const char* what) {
  if (!result) {
    throw std::runtime_error(fmt::format("{}: errno {}", what, result.code()));
  }
  return std::move(result).value();
}

void checked(const Status& status, const char* what) {
  if (!status) {
    throw std::runtime_error(fmt::format("{}: errno {}", what, status.code()));
  }
}

// Which comes first: the kernel forgets after the unlink; an application that never looked forgets
// before.
enum class Order : std::uint8_t { kForgetFirst, kUnlinkFirst };

void one_pair(Filesystem& fs, InodeNo dir, const std::string& name, Order order) {
  const Attributes made = checked(fs.mknod(kRoot, dir, name, S_IFREG | 0644U, 0), "mknod");
  if (order == Order::kForgetFirst) {
    fs.forget(made.ino, 1);
  }
  checked(fs.unlink(dir, name), "unlink");
  if (order == Order::kUnlinkFirst) {
    fs.forget(made.ino, 1);
  }
}

// Of one run. The processor's time is what a busy machine does not disturb much.
struct Took {
  double wall = 0;
  double cpu = 0;
};

double cpu_seconds() {
  timespec t{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

Took run_pairs(Filesystem& fs, InodeNo dir, std::uint64_t pairs, Order order) {
  std::string name = "file0000";
  const double cpu = cpu_seconds();
  const auto start = std::chrono::steady_clock::now();
  for (std::uint64_t i = 0; i < pairs; ++i) {
    name.back() = static_cast<char>('0' + i % 10);
    name[name.size() - 2] = static_cast<char>('0' + i / 10 % 10);
    one_pair(fs, dir, name, order);
  }
  return {std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(),
          cpu_seconds() - cpu};
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

InodeNo make_dir(Filesystem& fs) {
  return checked(fs.mkdir(kRoot, kRootInode, "dir", 0755), "mkdir").ino;
}

const char* name_of(Order order) {
  return order == Order::kForgetFirst ? "create, forget, unlink" : "create, unlink, forget";
}

void time_order(Region& region, const std::string& what, std::uint64_t pairs, int rounds,
                Order order) {
  const auto fs = test::make_filesystem(region);
  const InodeNo dir = make_dir(*fs);
  run_pairs(*fs, dir, pairs / 10, order);  // warm
  std::vector<double> wall;
  std::vector<double> cpu;
  for (int i = 0; i < rounds; ++i) {
    const Took took = run_pairs(*fs, dir, pairs, order);
    wall.push_back(took.wall);
    cpu.push_back(took.cpu);
  }
  const auto n = static_cast<double>(pairs);
  fmt::print("{}{}: {:.0f} pairs/s, {:.0f} ns per pair, {:.0f} ns of them on the processor\n",
             name_of(order), what, n / median(wall), median(wall) / n * 1e9, median(cpu) / n * 1e9);
}

void time_with_and_without(std::uint64_t pairs, int rounds, Order order) {
  const test::MemoryRegion memory(kRegionBytes);
  time_order(*memory, "", pairs, rounds, order);
  const test::MemoryRegion other(kRegionBytes);
  CountingRegion region(*other, CountingRegion::Durability::kLeftOut);
  time_order(region, " (flushes and fences left out)", pairs, rounds, order);
}

void count_order(Order order) {
  constexpr std::uint64_t kPairs = 10'000;
  const test::MemoryRegion memory(kRegionBytes);
  CountingRegion region(*memory, CountingRegion::Durability::kReal);
  const auto fs = test::make_filesystem(region);
  const InodeNo dir = make_dir(*fs);
  run_pairs(*fs, dir, kPairs / 10, order);
  region.counts = {};
  run_pairs(*fs, dir, kPairs, order);
  const auto each = [](std::uint64_t count) {
    return static_cast<double>(count) / static_cast<double>(kPairs);
  };
  const Counts& c = region.counts;
  fmt::print("{}: per pair {:.2f} fences, {:.2f} lines, {:.2f} stores, {:.2f} streams\n",
             name_of(order), each(c.fences), each(c.lines), each(c.stores), each(c.streams));
}

int run(int argc, char** argv) {
  const std::uint64_t pairs = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 500'000;
  const int rounds = argc > 2 ? std::atoi(argv[2]) : 5;
  if (argc > 3 || pairs < 10 || rounds < 1) {
    fmt::print(stderr, "usage: pmemfs-bench-core [PAIRS [ROUNDS]]\n");
    return 2;
  }
  for (const Order order : {Order::kForgetFirst, Order::kUnlinkFirst}) {
    time_with_and_without(pairs, rounds, order);
    count_order(order);
  }
  return 0;
}

}  // namespace
}  // namespace pmemfs::bench

int main(int argc, char** argv) {
  return pmemfs::bench::run_main("pmemfs-bench-core", pmemfs::bench::run, argc, argv);
}
