#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace pmemfs::fuzz {

// Reads numbers from the bytes that a fuzzer gives. Past the end there are zeros.
class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) : rest_(data, size) {}

  [[nodiscard]] bool empty() const { return rest_.empty(); }

  template <typename T>
  T number() {
    T value = 0;
    const std::size_t n = std::min(sizeof(T), rest_.size());
    if (n > 0) {
      std::memcpy(&value, rest_.data(), n);
    }
    rest_ = rest_.subspan(n);
    return value;
  }
  std::uint8_t byte() { return number<std::uint8_t>(); }
  std::uint16_t word() { return number<std::uint16_t>(); }
  // 0 to n - 1.
  std::size_t below(std::size_t n) { return n <= 1 ? 0 : (n > 256 ? word() : byte()) % n; }
  // At most `n` bytes.
  std::span<const std::uint8_t> bytes(std::size_t n) {
    const auto taken = rest_.first(std::min(n, rest_.size()));
    rest_ = rest_.subspan(taken.size());
    return taken;
  }

 private:
  std::span<const std::uint8_t> rest_;
};

// Ends the program with what is wrong, unless `ok`.
void demand(bool ok, const char* what);
// The same with what was expected and what was found.
void demand_equal(std::uint64_t expected, std::uint64_t found, const char* what);

}  // namespace pmemfs::fuzz
