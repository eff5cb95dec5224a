#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

// Numbers as people write and read them.
namespace pmemfs::tools {

// A decimal number without sign, spaces or anything behind it. Nothing when it does not fit.
std::optional<std::uint64_t> parse_number(std::string_view text);

// Bytes: a number, or one with K, M, G or T behind it (powers of 1024, either case; "KiB" and "kB"
// are not understood). Nothing when malformed or beyond 64 bits.
std::optional<std::uint64_t> parse_size(std::string_view text);

// Permission bits in octal, at most 07777.
std::optional<std::uint32_t> parse_mode(std::string_view text);

// "512 bytes", "16 MiB", "1.5 GiB".
std::string show_size(std::uint64_t bytes);

}  // namespace pmemfs::tools
