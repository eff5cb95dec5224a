#include "base/crc32c.hpp"

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

#include <cstring>

extern "C" {
#include <isa-l/crc.h>
}

namespace pmemfs::base {
namespace {

#if defined(__x86_64__)
// ISA-L folds wide vectors, which pays from some 300 bytes on; a few bytes take it 20 ns. Most
// structures of a transaction are shorter (docs/decisions/0003-libraries.md).
constexpr std::size_t kShort = 256;

[[gnu::target("sse4.2")]] std::uint32_t by_words(std::uint32_t state, const std::byte* bytes,
                                                 std::size_t size) {
  std::uint64_t wide = state;
  for (; size >= sizeof(wide); size -= sizeof(wide), bytes += sizeof(wide)) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes, sizeof(word));
    wide = _mm_crc32_u64(wide, word);
  }
  state = static_cast<std::uint32_t>(wide);
  for (; size > 0; --size, ++bytes) {
    state = _mm_crc32_u8(state, static_cast<unsigned char>(*bytes));
  }
  return state;
}

bool short_pieces_by_words(std::size_t size) {
  return size <= kShort && __builtin_cpu_supports("sse4.2") != 0;
}
#endif

std::uint32_t by_library(std::uint32_t state, const void* data, std::size_t size) {
  // It takes an int length and a pointer that lacks its const.
  constexpr std::size_t kPiece = std::size_t{1} << 30;
  auto* bytes = static_cast<unsigned char*>(const_cast<void*>(data));
  for (; size > kPiece; size -= kPiece, bytes += kPiece) {
    state = crc32_iscsi(bytes, static_cast<int>(kPiece), state);
  }
  return crc32_iscsi(bytes, static_cast<int>(size), state);
}

}  // namespace

std::uint32_t crc32c(std::uint32_t seed, const void* data, std::size_t size) noexcept {
#if defined(__x86_64__)
  if (short_pieces_by_words(size)) {
    return ~by_words(~seed, static_cast<const std::byte*>(data), size);
  }
#endif
  return ~by_library(~seed, data, size);
}

}  // namespace pmemfs::base
