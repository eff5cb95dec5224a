#include "check/dir_block.hpp"

#include <bit>

#include "format/checks.hpp"

namespace pmemfs::check {
namespace {

using format::Dentry;
using format::DirHeader;
using format::kDirSlots;
using format::kDirSlotSize;

constexpr std::uint64_t bits(std::uint32_t slot, std::uint32_t n) {
  return ((1ULL << n) - 1) << slot;
}

bool is_whole(const DirHeader& header) {
  return header.magic.load() == format::kDirMagic && format::valid(header);
}

}  // namespace

ByteOff entry_at(BlockNo block, std::uint32_t slot) {
  return format::byte_off(block, std::uint64_t{slot} * kDirSlotSize);
}

std::string_view name_of(const Pass& p, BlockNo block, std::uint32_t slot) {
  const ByteOff at = entry_at(block, slot);
  const auto dentry = p.load<Dentry>(at);
  const auto* name = reinterpret_cast<const char*>(p.region.data() + at.value + sizeof(dentry));
  return {name, dentry.name_len};
}

std::optional<Entry> read_entry(const Pass& p, BlockNo block, std::uint32_t slot) {
  const auto dentry = p.load<Dentry>(entry_at(block, slot));
  const std::uint32_t n = format::dentry_slots(dentry.name_len);
  if (dentry.name_len == 0 || slot + n > kDirSlots) {
    return std::nullopt;
  }
  const std::string_view name = name_of(p, block, slot);
  if (!format::valid(dentry, name)) {
    return std::nullopt;
  }
  return Entry{dentry.ino.load(), format::name_hash(name), static_cast<std::uint8_t>(slot),
               static_cast<std::uint8_t>(n), dentry.type};
}

DirBlock::DirBlock(const Pass& p, const format::Inode& dir, BlockNo block, std::uint64_t index)
    : block_(block), ino_(dir.ino.load()), generation_(dir.generation.load()) {
  const auto media = p.load<DirHeader>(format::byte_off(block));
  const std::uint64_t heads = media.heads.load();
  used_ = media.used.load();
  if (!is_whole(media)) {
    fault_ = "is damaged";
  } else if (media.owner.load() != ino_ || media.generation.load() != generation_) {
    fault_ = "belongs to another directory";
    return;
  } else if ((used_ & 1U) == 0 || (heads & (~used_ | 1U)) != 0) {
    fault_ = "contradicts itself";
  } else if (media.index.load() != index) {
    fault_ = "belongs elsewhere in it";
  }
  used_ |= 1U;
  read_heads(p, heads & ~std::uint64_t{1});
  // What is wrong may lie elsewhere in the header: its slots count while all of them hold entries.
  // Else all that looks like an entry is one, those too that were removed once.
  if (!is_whole(media) && (damaged_ != 0 || entries_.empty())) {
    salvage(p);
  }
}

void DirBlock::read_heads(const Pass& p, std::uint64_t heads) {
  for (std::uint64_t left = heads; left != 0; left &= left - 1) {
    const auto slot = static_cast<std::uint32_t>(std::countr_zero(left));
    const auto entry = read_entry(p, block_, slot);
    const std::uint64_t own = entry ? bits(slot, entry->slots) : 0;
    if (!entry || (used_ & own) != own || (heads & own) != bits(slot, 1)) {
      damaged_ |= bits(slot, 1);
    } else {
      entries_.push_back(*entry);
    }
  }
}

void DirBlock::salvage(const Pass& p) {
  entries_.clear();
  damaged_ = 0;
  for (std::uint32_t slot = 1; slot < kDirSlots;) {
    const auto entry = read_entry(p, block_, slot);
    if (entry) {
      entries_.push_back(*entry);
    }
    slot += entry ? entry->slots : 1U;
  }
}

bool DirBlock::leaks() const {
  std::uint64_t known = 1;
  for (const Entry& entry : entries_) {
    known |= bits(entry.slot, entry.slots);
  }
  return fault_ == nullptr && damaged_ == 0 && (used_ & ~known) != 0;
}

DirHeader DirBlock::header(std::uint64_t index) const {
  DirHeader header{};
  std::uint64_t used = 1;
  std::uint64_t heads = 0;
  for (const Entry& entry : entries_) {
    used |= bits(entry.slot, entry.slots);
    heads |= bits(entry.slot, 1);
  }
  header.magic.store(format::kDirMagic);
  header.owner.store(ino_);
  header.generation.store(generation_);
  header.index.store(index);
  header.used.store(used);
  header.heads.store(heads);
  format::seal(header);
  return header;
}

}  // namespace pmemfs::check
