// Measures, does not judge: run store_test "[.bench]". Nothing here runs by default.
#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "harness/catch.hpp"
#include "small_fs.hpp"
#include "store/impl.hpp"
#include "support/memory_region.hpp"

using namespace pmemfs;
using test::MemoryRegion;
using test::SmallFs;

namespace {

// Processor time of this thread: other work on the machine counts little.
double seconds_of(const std::function<void()>& work) {
  const auto now = [] {
    timespec t{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
  };
  const double start = now();
  work();
  return now() - start;
}

}  // namespace

TEST_CASE("create and unlink of one name", "[.bench]") {
  const MemoryRegion region(64U << 20U);
  SmallFs::format(*region, format::RegionKind::kFile);
  SmallFs fs(*region);
  constexpr int kPairs = 20000;
  double t = 1e9;
  for (int round = 0; round < 50; ++round) {  // the best: the others were disturbed
    t = std::min(t, seconds_of([&] {
                   for (int i = 0; i < kPairs; ++i) {
                     test::must(fs.create("name"));
                     test::must(fs.unlink("name"));
                   }
                 }));
  }
  fmt::print("create + unlink: {:.0f} ns a pair, {:.0f} pairs/s\n", t / kPairs * 1e9, kPairs / t);
}

TEST_CASE("the parts of a pair", "[.bench]") {
  const MemoryRegion region(64U << 20U);
  SmallFs::format(*region, format::RegionKind::kFile);
  SmallFs fs(*region);
  constexpr int kRounds = 1000000;
  for (const std::size_t bytes : {64U, 256U, 640U}) {
    const std::vector<std::byte> buffer(bytes);
    const ByteOff off(4096U * 400U);
    const double t = seconds_of([&] {
      for (int i = 0; i < kRounds; ++i) {
        journal::Transaction tx(fs.store().impl().journal);
        tx.write(off, buffer.data(), buffer.size());
        test::must(tx.commit());
      }
    });
    fmt::print("commit of one record of {} bytes: {:.0f} ns\n", bytes, t / kRounds * 1e9);
  }
  const InodeNo ino = test::must(fs.create("name"));
  std::uint64_t sum = 0;
  const double t = seconds_of([&] {
    for (int i = 0; i < kRounds; ++i) {
      sum += fs.inode(ino).mode.load();
    }
  });
  const double f = seconds_of([&] {
    for (int i = 0; i < kRounds; ++i) {
      sum += fs.find("name").value;
    }
  });
  fmt::print("inode(): {:.0f} ns, find(): {:.0f} ns ({})\n", t / kRounds * 1e9, f / kRounds * 1e9,
             sum);
}

TEST_CASE("a million files", "[.bench]") {
  const MemoryRegion region(2048ULL << 20U);
  SmallFs::format(*region);
  constexpr int kFiles = 1000000;
  constexpr int kStep = 10000;
  {
    SmallFs fs(*region);
    double first = 0;
    double last = 0;
    for (int i = 0; i < kFiles; i += kStep) {
      last = seconds_of([&] {
        for (int k = i; k < i + kStep; ++k) {
          test::must(fs.create("file-" + std::to_string(k)));
        }
      });
      first = i == 0 ? last : first;
    }
    fmt::print("create: first {} {:.0f} ns each, last {:.0f} ns; index {} bytes an entry\n", kStep,
               first / kStep * 1e9, last / kStep * 1e9, fs.root().memory_bytes() / kFiles);
  }
  const auto open = [&](const char* what, bool close) {
    std::unique_ptr<store::Store> store;
    store::OpenReport report;
    const double t = seconds_of([&] { store = test::must(store::Store::open(*region, &report)); });
    fmt::print("open {}: {:.4f} s, snapshot {}, damaged {}\n", what, t, report.used_snapshot,
               report.damaged_structures);
    if (close) {
      const double c = seconds_of([&] { test::must(store->close(false)); });
      fmt::print("close: {:.4f} s\n", c);
    }
  };
  open("after a crash", true);
  open("after close", false);
  SmallFs fs(*region);
  const double load = seconds_of([&] { fs.reload_root(); });
  std::mt19937_64 rng(1);
  const double find = seconds_of([&] {
    for (int i = 0; i < kFiles; ++i) {
      (void)fs.find("file-" + std::to_string(rng() % kFiles));
    }
  });
  const double churn = seconds_of([&] {
    for (int i = 0; i < kStep; ++i) {
      const std::string name = "file-" + std::to_string(rng() % kFiles);
      if (fs.find(name)) {
        test::must(fs.unlink(name));
        test::must(fs.create("new-" + std::to_string(i)));
      }
    }
  });
  fmt::print("load of the index {:.3f} s, find {:.0f} ns, random unlink + create {:.0f} ns\n", load,
             find / kFiles * 1e9, churn / kStep * 1e9);
}
