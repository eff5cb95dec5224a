#include "store/used_map.hpp"

#include <algorithm>
#include <bit>

namespace pmemfs::store {
namespace {

constexpr std::uint64_t kWord = 64;

// Bits [from, to) of a word, 0 ≤ from < to ≤ 64.
constexpr std::uint64_t bits_between(std::uint64_t from, std::uint64_t to) {
  return (~0ULL >> (kWord - (to - from))) << from;
}

}  // namespace

UsedMap::UsedMap(std::uint64_t blocks) : blocks_(blocks), words_((blocks + kWord - 1) / kWord) {
  void* memory = std::calloc(words_, sizeof(std::uint64_t));
  if (memory == nullptr) {
    throw std::bad_alloc();
  }
  bits_.reset(static_cast<std::uint64_t*>(memory));
}

bool UsedMap::mark(BlockRun run) {
  std::uint64_t at = run.start.value;
  const std::uint64_t end = run.end().value;
  while (at < end) {
    const std::uint64_t from = at % kWord;
    const std::uint64_t to = std::min(kWord, from + (end - at));
    const std::uint64_t mask = bits_between(from, to);
    std::atomic_ref<std::uint64_t> word(bits_[at / kWord]);
    if ((word.fetch_or(mask, std::memory_order_relaxed) & mask) != 0) {
      return false;
    }
    at += to - from;
  }
  return true;
}

bool UsedMap::any(BlockRun run) const {
  std::uint64_t at = run.start.value;
  const std::uint64_t end = run.end().value;
  while (at < end) {
    const std::uint64_t from = at % kWord;
    const std::uint64_t to = std::min(kWord, from + (end - at));
    if ((bits_[at / kWord] & bits_between(from, to)) != 0) {
      return true;
    }
    at += to - from;
  }
  return false;
}

std::vector<BlockRun> UsedMap::unmarked(std::uint64_t first) const {
  std::vector<BlockRun> runs;
  std::uint64_t at = first;
  while (at < blocks_) {
    const std::uint64_t free = ~bits_[at / kWord] >> (at % kWord);
    if (free == 0) {
      at = (at / kWord + 1) * kWord;
      continue;
    }
    at += static_cast<std::uint64_t>(std::countr_zero(free));
    const std::uint64_t start = at;
    while (at < blocks_) {
      const std::uint64_t here = std::min(kWord - at % kWord, blocks_ - at);
      const auto n =
          static_cast<std::uint64_t>(std::countr_zero(bits_[at / kWord] >> (at % kWord)));
      at += std::min(n, here);
      if (n < here) {
        break;
      }
    }
    if (start < blocks_) {
      runs.push_back({BlockNo(start), std::min(at, blocks_) - start});
    }
  }
  return runs;
}

}  // namespace pmemfs::store
