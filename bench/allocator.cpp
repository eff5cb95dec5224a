// pmemfs-bench-allocator [THREADS [ROUNDS]]: 1, 2, … THREADS threads, doubled each time, take runs
// of 1 to 16 blocks and give them back, each with a few hundred at hand: with one group and with
// the groups of a region of 16 GiB. Waits are how often a thread found a group's mutex locked.
#include "store/allocator.hpp"

#include <fmt/format.h>

#include <chrono>
#include <cstdlib>
#include <thread>
#include <vector>

namespace pmemfs::bench {
namespace {

constexpr std::uint64_t kBlocks = (16ULL << 30U) / 4096;
constexpr unsigned kOneGroup = 34;  // log2 of the blocks of the largest region
constexpr std::size_t kAtHand = 256;

void work(store::Allocator& allocator, std::uint64_t rounds) {
  std::vector<BlockRun> mine(kAtHand);
  std::uint64_t random = 1;
  for (std::uint64_t i = 0; i < rounds; ++i) {
    random = random * 6364136223846793005ULL + 1442695040888963407ULL;
    BlockRun& run = mine[(random >> 32U) % kAtHand];
    allocator.add(run);  // empty at first: nothing to do
    run = allocator.take(1 + (random >> 48U) % 16, {}).value_or(BlockRun{});
  }
}

void measure(const char* name, unsigned shift, unsigned count, std::uint64_t rounds) {
  store::Allocator allocator(shift);
  allocator.add({BlockNo(1), kBlocks - 1});
  const auto begin = std::chrono::steady_clock::now();
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < count; ++i) {
    threads.emplace_back([&] { work(allocator, rounds); });
  }
  for (std::thread& t : threads) {
    t.join();
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  const auto all = static_cast<double>(rounds * count);
  fmt::print("{:>4} threads, {:<10} {:>12.0f}/s {:>10} waits\n", count, name, all / took.count(),
             allocator.waits());
}

}  // namespace
}  // namespace pmemfs::bench

int main(int argc, char** argv) {
  const unsigned long most = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 2;
  const std::uint64_t rounds = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1'000'000;
  for (unsigned n = 1; n <= most; n *= 2) {
    pmemfs::bench::measure("one group", pmemfs::bench::kOneGroup, n, rounds);
    pmemfs::bench::measure("groups", pmemfs::store::Allocator::shift_for(pmemfs::bench::kBlocks), n,
                           rounds);
  }
  return 0;
}
