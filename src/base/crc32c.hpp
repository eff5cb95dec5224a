#pragma once

#include <cstddef>
#include <cstdint>

namespace pmemfs::base {

// Castagnoli CRC of `size` bytes at `data`, continuing from `seed`, which is 0 for a first piece
// and the previous result for the next: crc32c(crc32c(0, a), b) is the checksum of a followed by b.
// crc32c(0, "123456789", 9) is 0xe3069283. Thread-safe; `data` may be null when `size` is 0.
[[nodiscard]] std::uint32_t crc32c(std::uint32_t seed, const void* data, std::size_t size) noexcept;

}  // namespace pmemfs::base
