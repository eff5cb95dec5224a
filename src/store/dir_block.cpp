#include "store/dir_block.hpp"

#include <cstring>

#include "format/checks.hpp"

namespace pmemfs::store {

using format::Dentry;
using format::DirHeader;
using format::kDirSlots;

std::optional<DirBits> read_header(const std::byte* at, const format::Inode& dir,
                                   std::uint64_t index) {
  DirHeader header{};
  std::memcpy(&header, at, sizeof(header));
  const DirBits bits{header.used.load(), header.heads.load()};
  if (header.magic.load() != format::kDirMagic || !format::valid(header) ||
      header.owner.load() != dir.ino.load() || header.generation.load() != dir.generation.load() ||
      header.index.load() != index || (bits.used & 1U) == 0 ||
      (bits.heads & (~bits.used | 1U)) != 0) {
    return std::nullopt;
  }
  return bits;
}

bool is_legal_name(std::string_view name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == std::string_view::npos &&
         name.find('\0') == std::string_view::npos;
}

std::optional<DirSlots> read_entry(const std::byte* at, const DirBits& bits, std::uint32_t slot) {
  at += std::size_t{slot} * format::kDirSlotSize;
  Dentry dentry{};
  std::memcpy(&dentry, at, sizeof(dentry));
  const std::uint32_t n = format::dentry_slots(dentry.name_len);
  if (dentry.name_len == 0 || slot + n > kDirSlots ||
      (bits.used & slot_bits(slot, n)) != slot_bits(slot, n) ||
      (bits.heads & slot_bits(slot, n)) != slot_bits(slot, 1)) {
    return std::nullopt;
  }
  const std::string_view name(reinterpret_cast<const char*>(at + sizeof(dentry)), dentry.name_len);
  const std::uint64_t target = dentry.ino.load();
  if (!format::valid(dentry, name) || !is_legal_name(name) || target == 0 ||
      target > format::kMaxInode) {
    return std::nullopt;
  }
  return DirSlots{InodeNo(target), dentry.type, dentry.hash.load(), name};
}

}  // namespace pmemfs::store
