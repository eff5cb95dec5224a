// One block of a directory, read without trust.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "check/pass.hpp"

namespace pmemfs::check {

// A whole entry. Small: a directory has many.
struct Entry {
  std::uint64_t ino = 0;
  std::uint32_t hash = 0;  // what it should be
  std::uint8_t slot = 0;
  std::uint8_t slots = 0;
  std::uint8_t type = 0;
};

// The entry whose head is this slot of the block; nullopt: there is no whole one, whatever the
// header says.
[[nodiscard]] std::optional<Entry> read_entry(const Pass& p, BlockNo block, std::uint32_t slot);
[[nodiscard]] ByteOff entry_at(BlockNo block, std::uint32_t slot);
// The name of a whole entry, in the region.
[[nodiscard]] std::string_view name_of(const Pass& p, BlockNo block, std::uint32_t slot);

// A block of a directory: its entries, and what its header says of them.
class DirBlock {
 public:
  // `index`: the logical block at which it is mapped.
  DirBlock(const Pass& p, const format::Inode& dir, BlockNo block, std::uint64_t index);

  [[nodiscard]] BlockNo block() const { return block_; }
  // Why the header cannot be this block's; null.
  [[nodiscard]] const char* fault() const { return fault_; }
  // Heads, by the header, that start no whole entry.
  [[nodiscard]] std::uint64_t damaged() const { return damaged_; }
  // Slots are taken that belong to no entry.
  [[nodiscard]] bool leaks() const;
  // Where the header cannot be trusted: what looks like entries.
  [[nodiscard]] std::vector<Entry>& entries() { return entries_; }
  [[nodiscard]] const std::vector<Entry>& entries() const { return entries_; }
  // The header as entries() has it, for this place in the directory; sealed.
  [[nodiscard]] format::DirHeader header(std::uint64_t index) const;

 private:
  void read_heads(const Pass& p, std::uint64_t heads);
  void salvage(const Pass& p);

  BlockNo block_;
  std::uint64_t ino_;
  std::uint64_t generation_;
  std::uint64_t used_ = 1;
  const char* fault_ = nullptr;
  std::uint64_t damaged_ = 0;
  std::vector<Entry> entries_;
};

}  // namespace pmemfs::check
