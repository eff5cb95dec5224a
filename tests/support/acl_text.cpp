#include "support/acl_text.hpp"

#include <array>
#include <cstring>
#include <sstream>
#include <stdexcept>
#include <vector>

namespace pmemfs::test {
namespace {

constexpr std::uint32_t kVersion = 2;
constexpr std::size_t kHeader = 4;
constexpr std::size_t kEntry = 8;

struct TagLetter {
  AclTag tag;
  char letter;
  bool named;
};
constexpr std::array<TagLetter, 6> kLetters{{{AclTag::kUserObj, 'u', false},
                                             {AclTag::kUser, 'u', true},
                                             {AclTag::kGroupObj, 'g', false},
                                             {AclTag::kGroup, 'g', true},
                                             {AclTag::kMask, 'm', false},
                                             {AclTag::kOther, 'o', false}}};

void append_le(std::string& out, std::uint32_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) {
    out.push_back(static_cast<char>((value >> (8 * i)) & 0xffU));
  }
}

std::uint32_t read_le(const std::string& in, std::size_t at, std::size_t bytes) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < bytes; ++i) {
    value |= static_cast<std::uint32_t>(static_cast<unsigned char>(in[at + i])) << (8 * i);
  }
  return value;
}

void append_entry(std::string& out, const AclEntry& entry) {
  append_le(out, static_cast<std::uint32_t>(entry.tag), 2);
  append_le(out, entry.permissions, 2);
  append_le(out, entry.id, 4);
}

std::string header() {
  std::string out;
  append_le(out, kVersion, 4);
  return out;
}

std::uint16_t permissions_of(const std::string& text) {
  std::uint16_t bits = 0;
  for (const char c : text) {
    bits = static_cast<std::uint16_t>(bits | (c == 'r' ? 4 : c == 'w' ? 2 : c == 'x' ? 1 : 0));
  }
  return bits;
}

AclEntry parse_entry(const std::string& word) {
  const std::size_t first = word.find(':');
  const std::size_t second = word.find(':', first + 1);
  if (second == std::string::npos) {
    throw std::invalid_argument("not an ACL entry: " + word);
  }
  const std::string id = word.substr(first + 1, second - first - 1);
  for (const TagLetter& letter : kLetters) {
    if (letter.letter == word[0] && letter.named == !id.empty()) {
      return {letter.tag, permissions_of(word.substr(second + 1)),
              id.empty() ? 0xffffffff : static_cast<std::uint32_t>(std::stoul(id))};
    }
  }
  throw std::invalid_argument("not an ACL entry: " + word);
}

std::string entry_text(std::uint32_t tag, std::uint32_t bits, std::uint32_t id) {
  for (const TagLetter& letter : kLetters) {
    if (static_cast<std::uint32_t>(letter.tag) == tag) {
      return std::string(1, letter.letter) + ":" + (letter.named ? std::to_string(id) : "") + ":" +
             ((bits & 4U) != 0 ? "r" : "-") + ((bits & 2U) != 0 ? "w" : "-") +
             ((bits & 1U) != 0 ? "x" : "-");
    }
  }
  return "unknown-tag";
}

}  // namespace

std::string encode_acl(std::initializer_list<AclEntry> entries) {
  std::string out = header();
  for (const AclEntry& entry : entries) {
    append_entry(out, entry);
  }
  return out;
}

std::string decode_acl(const std::string& binary) {
  if (binary.size() < kHeader || (binary.size() - kHeader) % kEntry != 0 ||
      read_le(binary, 0, 4) != kVersion) {
    return "malformed";
  }
  std::string text;
  for (std::size_t at = kHeader; at < binary.size(); at += kEntry) {
    text +=
        (text.empty() ? "" : " ") +
        entry_text(read_le(binary, at, 2), read_le(binary, at + 2, 2), read_le(binary, at + 4, 4));
  }
  return text;
}

std::string acl(const std::string& text) {
  std::istringstream words(text);
  std::string out = header();
  for (std::string word; words >> word;) {
    append_entry(out, parse_entry(word));
  }
  return out;
}

}  // namespace pmemfs::test
