#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace pmemfs::fuse {

// The kernel's name of a request ("LOOKUP"), or "opcode N" for one that this version does not know.
[[nodiscard]] std::string opcode_name(std::uint32_t opcode);

// Requests by opcode. Thread-safe; a snapshot taken under load is not one moment's.
class Counters {
 public:
  void count(std::uint32_t opcode) noexcept {
    counts_[opcode < kOther ? opcode : kOther].fetch_add(1, std::memory_order_relaxed);
  }
  // What came at least once, in order of opcode.
  [[nodiscard]] std::vector<std::pair<std::string, std::uint64_t>> snapshot() const;

 private:
  static constexpr std::uint32_t kOther = 64;  // all larger opcodes together
  std::array<std::atomic<std::uint64_t>, kOther + 1> counts_{};
};

}  // namespace pmemfs::fuse
