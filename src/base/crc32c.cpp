#include "base/crc32c.hpp"

#include <algorithm>

extern "C" {
#include <isa-l/crc.h>
}

namespace pmemfs::base {

std::uint32_t crc32c(std::uint32_t seed, const void* data, std::size_t size) noexcept {
  // ISA-L takes an int length and a pointer that lacks its const, and leaves both inversions to the
  // caller.
  constexpr std::size_t kPiece = std::size_t{1} << 30;
  auto* bytes = static_cast<unsigned char*>(const_cast<void*>(data));
  std::uint32_t state = ~seed;
  while (size > 0) {
    const std::size_t piece = std::min(size, kPiece);
    state = crc32_iscsi(bytes, static_cast<int>(piece), state);
    bytes += piece;
    size -= piece;
  }
  return ~state;
}

}  // namespace pmemfs::base
