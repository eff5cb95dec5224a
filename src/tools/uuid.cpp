#include "tools/uuid.hpp"

#include <fmt/format.h>
#include <sys/random.h>

#include <cerrno>
#include <charconv>

#include "tools/failure.hpp"

namespace pmemfs::tools {
namespace {

constexpr std::size_t kTextLength = 36;

bool is_dash_position(std::size_t i) {
  return i == 8 || i == 13 || i == 18 || i == 23;
}

}  // namespace

format::Uuid make_uuid() {
  format::Uuid uuid{};
  if (::getrandom(uuid.data(), uuid.size(), 0) != static_cast<ssize_t>(uuid.size())) {
    fail(kExitSystem, "cannot get random bytes for a UUID: {}", error_text(errno));
  }
  uuid[6] = static_cast<std::uint8_t>((uuid[6] & 0x0FU) | 0x40U);
  uuid[8] = static_cast<std::uint8_t>((uuid[8] & 0x3FU) | 0x80U);
  return uuid;
}

std::optional<format::Uuid> parse_uuid(std::string_view text) {
  if (text.size() != kTextLength) {
    return std::nullopt;
  }
  format::Uuid uuid{};
  std::size_t byte = 0;
  for (std::size_t i = 0; i < kTextLength;) {
    if (is_dash_position(i)) {
      if (text[i++] != '-') {
        return std::nullopt;
      }
      continue;
    }
    const char* const start = text.data() + i;
    const auto [stop, error] = std::from_chars(start, start + 2, uuid.at(byte++), 16);
    if (error != std::errc{} || stop != start + 2) {
      return std::nullopt;
    }
    i += 2;
  }
  return uuid;
}

std::string show_uuid(const format::Uuid& uuid) {
  std::string text;
  for (const std::uint8_t byte : uuid) {
    if (is_dash_position(text.size())) {
      text += '-';
    }
    text += fmt::format("{:02x}", byte);
  }
  return text;
}

}  // namespace pmemfs::tools
