#include "base/crc32c.hpp"

#include <array>
#include <numeric>
#include <string_view>

#include "harness/catch.hpp"

using pmemfs::base::crc32c;

TEST_CASE("crc32c gives the published values") {
  // The check value of the CRC catalogue, and three of RFC 3720, appendix B.4.
  CHECK(crc32c(0, "123456789", 9) == 0xe3069283);
  std::array<unsigned char, 32> bytes{};
  CHECK(crc32c(0, bytes.data(), bytes.size()) == 0x8a9136aa);
  bytes.fill(0xff);
  CHECK(crc32c(0, bytes.data(), bytes.size()) == 0x62a8ab43);
  std::iota(bytes.begin(), bytes.end(), static_cast<unsigned char>(0));
  CHECK(crc32c(0, bytes.data(), bytes.size()) == 0x46dd794e);
}

TEST_CASE("crc32c of nothing is its seed") {
  CHECK(crc32c(0, nullptr, 0) == 0);
  CHECK(crc32c(0x12345678, nullptr, 0) == 0x12345678);
}

TEST_CASE("crc32c continues from any cut") {
  constexpr std::string_view kText =
      "persistent memory keeps what is stored in it, flushed and fenced";
  const std::uint32_t whole = crc32c(0, kText.data(), kText.size());
  for (std::size_t cut = 0; cut <= kText.size(); ++cut) {
    CHECK(crc32c(crc32c(0, kText.data(), cut), kText.data() + cut, kText.size() - cut) == whole);
  }
}

TEST_CASE("crc32c is one function, whichever way pieces of a length are taken") {
  std::array<unsigned char, 700> bytes{};
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<unsigned char>(i * 131 + i / 7);
  }
  for (std::size_t size = 0; size <= bytes.size(); ++size) {
    std::uint32_t byte_by_byte = 0;
    for (std::size_t i = 0; i < size; ++i) {
      byte_by_byte = crc32c(byte_by_byte, &bytes[i], 1);
    }
    CHECK(crc32c(0, bytes.data(), size) == byte_by_byte);
  }
}
