#include "tools/size.hpp"

#include <fmt/format.h>

#include <array>
#include <charconv>

namespace pmemfs::tools {
namespace {

std::optional<std::uint64_t> parse_digits(std::string_view text, int base) {
  std::uint64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value, base);
  if (text.empty() || error != std::errc{} || stop != end) {
    return std::nullopt;
  }
  return value;
}

unsigned suffix_shift(char c) {
  switch (c) {
    case 'k':
    case 'K':
      return 10;
    case 'm':
    case 'M':
      return 20;
    case 'g':
    case 'G':
      return 30;
    case 't':
    case 'T':
      return 40;
    default:
      return 0;
  }
}

}  // namespace

std::optional<std::uint64_t> parse_number(std::string_view text) {
  return parse_digits(text, 10);
}

std::optional<std::uint64_t> parse_size(std::string_view text) {
  const unsigned shift = text.empty() ? 0 : suffix_shift(text.back());
  if (shift != 0) {
    text.remove_suffix(1);
  }
  const auto value = parse_number(text);
  if (!value || *value > UINT64_MAX >> shift) {
    return std::nullopt;
  }
  return *value << shift;
}

std::optional<std::uint32_t> parse_mode(std::string_view text) {
  const auto value = parse_digits(text, 8);
  if (!value || *value > 07777) {
    return std::nullopt;
  }
  return static_cast<std::uint32_t>(*value);
}

std::string show_size(std::uint64_t bytes) {
  constexpr std::array<std::string_view, 5> kUnits = {"bytes", "KiB", "MiB", "GiB", "TiB"};
  std::size_t unit = 0;
  auto value = static_cast<double>(bytes);
  while (value >= 1024 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  std::string number = fmt::format("{:.1f}", value);
  if (number.ends_with(".0")) {
    number.resize(number.size() - 2);
  }
  return fmt::format("{} {}", number, kUnits[unit]);
}

}  // namespace pmemfs::tools
