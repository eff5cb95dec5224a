#include "base/crc32c.hpp"

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
  for (; size > kPiece; size -= kPiece, bytes += kPiece) {
    state = crc32_iscsi(bytes, static_cast<int>(kPiece), state);
  }
  return ~crc32_iscsi(bytes, static_cast<int>(size), state);
}

}  // namespace pmemfs::base
