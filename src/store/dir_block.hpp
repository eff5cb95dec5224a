// One block of a directory as it lies on media: what is checked before any of it is believed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "pmemfs/format.hpp"
#include "pmemfs/types.hpp"

namespace pmemfs::store {

// Bit i: slot i is taken; slot i starts an entry.
struct DirBits {
  std::uint64_t used = 1;
  std::uint64_t heads = 0;
};

struct DirSlots {
  InodeNo ino;
  std::uint8_t type = 0;
  std::uint32_t hash = 0;
  std::string_view name;  // points into the block
};

// What the header of the block at `at` says; nullopt when it is damaged, or another's.
[[nodiscard]] std::optional<DirBits> read_header(const std::byte* at, const format::Inode& dir,
                                                 std::uint64_t index);
// Not empty, not "." or "..", without '/' and zero. Others may not be passed to the kernel, which
// gives up on the whole listing.
[[nodiscard]] bool is_legal_name(std::string_view name);
// The entry that starts in `slot`; nullopt when it is damaged, or its name is not legal.
[[nodiscard]] std::optional<DirSlots> read_entry(const std::byte* at, const DirBits& bits,
                                                 std::uint32_t slot);

// `n` bits from `slot` on.
[[nodiscard]] constexpr std::uint64_t slot_bits(std::uint32_t slot, std::uint32_t n) {
  return ((1ULL << n) - 1) << slot;
}

}  // namespace pmemfs::store
