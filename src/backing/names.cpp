#include "backing/names.hpp"

#include <charconv>
#include <cstdint>

namespace pmemfs::backing {
namespace {

constexpr std::string_view kDigits = "0123456789abcdef";

// A hex number without sign, capitals and leading zeros.
std::optional<std::uint64_t> parse_hex(std::string_view text) {
  if (text.empty() || text.find_first_not_of(kDigits) != std::string_view::npos ||
      (text[0] == '0' && text != "0")) {
    return std::nullopt;
  }
  std::uint64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value, 16);
  if (error != std::errc() || stop != end) {
    return std::nullopt;
  }
  return value;
}

}  // namespace

Leaf::Leaf(BackingName name) {
  char* const end = text_.data() + kMaxLeaf;
  char* at = std::to_chars(text_.data(), end, name.ino.value, 16).ptr;
  *at++ = '.';
  at = std::to_chars(at, end, name.gen, 16).ptr;
  length_ = static_cast<std::size_t>(at - text_.data());
}

unsigned directory_of(BackingName name) {
  return static_cast<unsigned>(name.ino.value % kDirectories);
}

std::string directory_name(unsigned directory) {
  return {kDigits[directory / 16 % 16], kDigits[directory % 16]};
}

std::string full_name(BackingName name) {
  return directory_name(directory_of(name)) + "/" + std::string(Leaf(name).view());
}

std::optional<unsigned> parse_directory(std::string_view text) {
  if (text.size() != 2) {
    return std::nullopt;
  }
  const std::size_t high = kDigits.find(text[0]);
  const std::size_t low = kDigits.find(text[1]);
  if (high == std::string_view::npos || low == std::string_view::npos) {
    return std::nullopt;
  }
  return static_cast<unsigned>(high * 16 + low);
}

std::optional<BackingName> parse_leaf(unsigned directory, std::string_view text) {
  const std::size_t dot = text.find('.');
  if (dot == std::string_view::npos) {
    return std::nullopt;
  }
  const auto ino = parse_hex(text.substr(0, dot));
  const auto gen = parse_hex(text.substr(dot + 1));
  if (!ino || !gen || *ino == 0) {
    return std::nullopt;
  }
  const BackingName name{InodeNo(*ino), *gen};
  if (directory_of(name) != directory) {
    return std::nullopt;
  }
  return name;
}

}  // namespace pmemfs::backing
