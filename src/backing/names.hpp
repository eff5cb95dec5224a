#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "pmemfs/backing_dir.hpp"

// Names of backing files below `data`: the low byte of the inode number in two hex digits, a slash,
// inode number, a dot, generation; lower case, no leading zeros: inode 0x12ab of generation 7 is
// "ab/12ab.7". One spelling for each name: what parses here formats back to the same text.
// Thread-safe.
namespace pmemfs::backing {

inline constexpr unsigned kDirectories = 256;
// Two hex numbers of 16 digits and a dot.
inline constexpr std::size_t kMaxLeaf = 33;

// The part behind the slash, zero-terminated; on the stack, since every open makes one.
class Leaf {
 public:
  explicit Leaf(BackingName name);
  [[nodiscard]] const char* c_str() const { return text_.data(); }
  [[nodiscard]] std::string_view view() const { return {text_.data(), length_}; }

 private:
  std::array<char, kMaxLeaf + 1> text_{};
  std::size_t length_ = 0;
};

// Which of the 256 directories holds the name.
[[nodiscard]] unsigned directory_of(BackingName name);
// "00" to "ff".
[[nodiscard]] std::string directory_name(unsigned directory);
// "ab/12ab.7"
[[nodiscard]] std::string full_name(BackingName name);

// Nothing unless the text is exactly what the functions above make; inode 0 does not exist.
[[nodiscard]] std::optional<unsigned> parse_directory(std::string_view text);
[[nodiscard]] std::optional<BackingName> parse_leaf(unsigned directory, std::string_view text);

}  // namespace pmemfs::backing
