#include "store/directory.hpp"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstring>
#include <utility>
#include <vector>

#include "base/log.hpp"
#include "format/checks.hpp"
#include "store/dir_block.hpp"
#include "store/dir_index.hpp"
#include "store/impl.hpp"

namespace pmemfs::store {
namespace {

using format::Dentry;
using format::DirHeader;
using format::Inode;
using format::kBlockSize;
using format::kDirSlots;
using format::kDirSlotSize;

constexpr std::uint64_t kMaxBlocks = 1ULL << 26U;  // positions have 32 bits
constexpr std::uint64_t kMaxGrowth = 64;           // blocks at a time
constexpr std::uint64_t kMaxMoved = 512;
constexpr std::size_t kKeepEmpty = 8;  // an emptied directory of more blocks gives them back
constexpr std::uint8_t kLongestEntry = format::dentry_slots(format::kMaxName);
constexpr std::size_t kHeaderFrom = offsetof(DirHeader, used);  // what changes in a header
constexpr std::size_t kHeaderBytes = sizeof(DirHeader) - kHeaderFrom;

// A block as it will be once the changes under way are committed.
struct Block {
  BlockNo physical;
  std::uint64_t used = 1;
  std::uint64_t heads = 0;
};

// Bit i: slots i to i+n-1 are free.
std::uint64_t free_runs(std::uint64_t used, std::uint32_t n) {
  std::uint64_t free = ~used;
  for (std::uint32_t i = 1; i < n; ++i) {
    free &= free >> 1U;
  }
  return free;
}

// Longest run of free slots, as far as it matters.
std::uint8_t room_of(std::uint64_t used) {
  std::uint64_t free = ~used;
  std::uint8_t n = 0;
  for (; free != 0 && n < kLongestEntry; ++n) {
    free &= free >> 1U;
  }
  return n;
}

std::uint32_t position_of(std::size_t block, std::uint32_t slot) {
  return static_cast<std::uint32_t>(block * kDirSlots + slot);
}

}  // namespace

struct Directory::Impl {
  explicit Impl(Store& s) : store(s) {}

  Status load(const Inode& dir);
  Status load_block(const Inode& dir, BlockNo physical);

  [[nodiscard]] const std::byte* slot_at(std::uint32_t position) const {
    return store.region().data() + offset_of(position).value;
  }
  [[nodiscard]] ByteOff offset_of(std::uint32_t position) const {
    return format::byte_off(blocks[position / kDirSlots].physical,
                            std::uint64_t{position % kDirSlots} * kDirSlotSize);
  }

  // The entry at the head `position`; nullopt when it is damaged.
  [[nodiscard]] std::optional<DirEntry> entry_at(std::uint32_t position) const;
  [[nodiscard]] Result<DirEntry> find(std::string_view name, std::uint32_t hash) const;

  Status grow(Change& change, Inode& dir);
  void append(Change& change, const Inode& dir, BlockRun run);
  void put_header(Change& change, std::size_t block);
  [[nodiscard]] DirHeader header_of(std::size_t block) const;
  Status drop_blocks(Change& change, Inode& dir);
  // Moves the blocks from `block` on that follow each other on media and lie in `range`, as far as
  // one free run takes them; returns how many.
  Result<std::uint64_t> move_front(Change& change, Inode& dir, std::size_t block, BlockRun range);

  Store& store;
  std::uint64_t ino = 0;
  std::uint64_t generation = 0;
  std::unique_ptr<ExtentMap> extents;
  std::vector<Block> blocks;
  DirIndex index;
  RoomMap room;
};

Status Directory::Impl::load(const Inode& dir) {
  ino = dir.ino.load();
  generation = dir.generation.load();
  PMEMFS_TRY(extents, ExtentMap::load(store, dir));
  const std::uint64_t count = dir.size.load() / kBlockSize;
  if (dir.size.load() % kBlockSize != 0 || count != dir.data_blocks.load() || count > kMaxBlocks) {
    return Error(EUCLEAN);
  }
  if (count > 0 && dir.entries.load() / kDirSlots <= count) {
    index.reserve(dir.entries.load());
  }
  for (const Mapping& m : extents->all()) {
    if (m.logical != blocks.size() || m.unwritten) {
      return Error(EUCLEAN);
    }
    for (std::uint64_t i = 0; i < m.count; ++i) {
      PMEMFS_CHECK(load_block(dir, BlockNo(m.physical.value + i)));
    }
  }
  return index.size() == dir.entries.load() ? Status{} : Error(EUCLEAN);
}

Status Directory::Impl::load_block(const Inode& dir, BlockNo physical) {
  const std::byte* at = store.region().data() + format::byte_off(physical).value;
  const bool lost = store.region().lost(format::byte_off(physical), kBlockSize);
  const auto bits = lost ? std::nullopt : read_header(at, dir, blocks.size());
  if (!bits) {
    base::log::error("directory {}: block {} is damaged", ino, blocks.size());
    return store.region().damage(format::byte_off(physical), format::kBlockSize);
  }
  for (std::uint64_t heads = bits->heads; heads != 0; heads &= heads - 1) {
    const auto slot = static_cast<std::uint32_t>(std::countr_zero(heads));
    Dentry dentry{};
    std::memcpy(&dentry, at + std::size_t{slot} * kDirSlotSize, sizeof(dentry));
    index.insert(dentry.hash.load(), position_of(blocks.size(), slot));
  }
  blocks.push_back({physical, bits->used, bits->heads});
  room.push_back(room_of(bits->used));
  return {};
}

std::optional<DirEntry> Directory::Impl::entry_at(std::uint32_t position) const {
  const Block& block = blocks[position / kDirSlots];
  const std::uint32_t slot = position % kDirSlots;
  const auto entry = read_entry(slot_at(position - slot), {block.used, block.heads}, slot);
  if (!entry) {
    return std::nullopt;
  }
  return DirEntry{entry->ino, entry->type, position, entry->hash, entry->name};
}

// EUCLEAN or EIO when the name is not found but an entry with its hash is damaged: it may be it.
Result<DirEntry> Directory::Impl::find(std::string_view name, std::uint32_t hash) const {
  std::optional<DirEntry> found;
  int missing = ENOENT;
  index.find(hash, [&](std::uint32_t candidate) {
    const auto entry = entry_at(candidate);
    if (!entry) {
      missing = store.region().damage(offset_of(candidate), kDirSlotSize).code();
    }
    if (entry && entry->name == name) {
      found = entry;
    }
    return found.has_value();
  });
  if (found) {
    return *found;
  }
  return Error(missing);
}

DirHeader Directory::Impl::header_of(std::size_t block) const {
  DirHeader header{};
  header.magic.store(format::kDirMagic);
  header.owner.store(ino);
  header.generation.store(generation);
  header.index.store(block);
  header.used.store(blocks[block].used);
  header.heads.store(blocks[block].heads);
  format::seal(header);
  return header;
}

// Its bytes that have no meaning yet stay what they are: the crc covers them, too.
void Directory::Impl::put_header(Change& change, std::size_t block) {
  DirHeader header{};
  const ByteOff at = format::byte_off(blocks[block].physical);
  std::memcpy(&header, store.region().data() + at.value, sizeof(header));
  header.used.store(blocks[block].used);
  header.heads.store(blocks[block].heads);
  format::seal(header);
  change.write(format::byte_off(blocks[block].physical, kHeaderFrom),
               reinterpret_cast<const std::byte*>(&header) + kHeaderFrom, kHeaderBytes);
  room.set(block, room_of(blocks[block].used));
}

// More blocks, an eighth of what there is: the steps stay rare and their blocks together.
Status Directory::Impl::grow(Change& change, Inode& dir) {
  const std::uint64_t count = blocks.size();
  const std::uint64_t wanted = std::clamp<std::uint64_t>(count / 8, 1, kMaxGrowth);
  if (count + wanted > kMaxBlocks) {
    return Error(ENOSPC);
  }
  const std::size_t mark = change.mark();
  AllocationHint hint;
  hint.near = count > 0 ? BlockNo(blocks.back().physical.value + 1) : BlockNo();
  PMEMFS_TRY(const BlockRun run, change.allocate(wanted, hint));
  if (const Status mapped = extents->insert(change, dir, {count, run.start, run.count}); !mapped) {
    change.give_back_since(mark);
    return mapped;
  }
  for (std::uint64_t i = 0; i < run.count; ++i) {
    blocks.push_back({BlockNo(run.start.value + i)});
    room.push_back(room_of(1));
    const DirHeader header = header_of(blocks.size() - 1);
    change.write_fresh(format::byte_off(blocks.back().physical), &header, sizeof(header));
  }
  dir.size.store(blocks.size() * kBlockSize);
  return {};
}

Status Directory::Impl::drop_blocks(Change& change, Inode& dir) {
  PMEMFS_CHECK(extents->remove(change, dir, 0, blocks.size()));
  blocks = {};
  room.clear();
  index.clear();
  dir.size.store(0);
  return {};
}

Result<std::uint64_t> Directory::Impl::move_front(Change& change, Inode& dir, std::size_t block,
                                                  BlockRun range) {
  const std::uint64_t first = blocks[block].physical.value;
  std::uint64_t n = 1;
  while (n < kMaxMoved && block + n < blocks.size() &&
         blocks[block + n].physical.value == first + n && range.contains(BlockNo(first + n))) {
    ++n;
  }
  AllocationHint hint;
  hint.near = block > 0 ? BlockNo(blocks[block - 1].physical.value + 1) : BlockNo();
  PMEMFS_TRY(const BlockRun to, change.allocate(n, hint));
  change.write_fresh(format::byte_off(to.start),
                     store.region().data() + format::byte_off(BlockNo(first)).value,
                     to.count * kBlockSize);
  PMEMFS_CHECK(extents->remove(change, dir, block, to.count));
  PMEMFS_CHECK(extents->insert(change, dir, {block, to.start, to.count}));
  for (std::uint64_t i = 0; i < to.count; ++i) {
    blocks[block + i].physical = BlockNo(to.start.value + i);
  }
  return to.count;
}

Directory::Directory(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Directory::~Directory() = default;

Result<std::unique_ptr<Directory>> Directory::load(Store& store, const Inode& dir) {
  auto impl = std::make_unique<Impl>(store);
  PMEMFS_CHECK(impl->load(dir));
  return std::unique_ptr<Directory>(new Directory(std::move(impl)));
}

Result<DirEntry> Directory::find(std::string_view name) const {
  return impl_->find(name, format::name_hash(name));
}

Result<std::optional<DirEntry>> Directory::next(std::uint64_t position) const {
  std::uint32_t slot = position % kDirSlots;
  for (std::uint64_t b = position / kDirSlots; b < impl_->blocks.size(); ++b, slot = 0) {
    for (std::uint64_t heads = impl_->blocks[b].heads >> slot << slot; heads != 0;
         heads &= heads - 1) {
      const auto head = static_cast<std::uint32_t>(std::countr_zero(heads));
      if (auto entry = impl_->entry_at(position_of(b, head))) {
        return entry;
      }
      if (impl_->store.region().lost(impl_->offset_of(position_of(b, head)), kDirSlotSize)) {
        return Error(EIO);
      }
      base::log::error("directory {}: the entry at {} is damaged", impl_->ino,
                       position_of(b, head));
    }
  }
  return std::optional<DirEntry>{};
}

std::uint64_t Directory::entries() const {
  return impl_->index.size();
}

std::size_t Directory::memory_bytes() const {
  constexpr std::size_t kMapNode = 80;  // of the extent map, with the allocator's share
  return sizeof(Directory) + sizeof(Impl) + sizeof(ExtentMap) +
         impl_->blocks.capacity() * sizeof(Block) + impl_->index.memory_bytes() +
         impl_->room.memory_bytes() + impl_->extents->size() * kMapNode;
}

Status Directory::insert(Change& change, Inode& dir, std::string_view name, InodeNo ino,
                         std::uint8_t type) {
  assert(!name.empty() && name.size() <= format::kMaxName && ino);
  const std::uint32_t n = format::dentry_slots(name.size());
  impl_->index.reserve(impl_->index.size() + 1);
  std::size_t block = impl_->room.find(static_cast<std::uint8_t>(n));
  if (block == RoomMap::kNone) {
    block = impl_->blocks.size();
    PMEMFS_CHECK(impl_->grow(change, dir));
  }
  Block& place = impl_->blocks[block];
  const auto slot = static_cast<std::uint32_t>(std::countr_zero(free_runs(place.used, n)));
  const std::uint32_t position = position_of(block, slot);
  std::byte bytes[sizeof(Dentry) + format::kMaxName];
  Dentry dentry{};
  dentry.ino.store(ino.value);
  dentry.hash.store(format::name_hash(name));
  dentry.type = type;
  dentry.name_len = static_cast<std::uint8_t>(name.size());
  format::seal(dentry, name);
  std::memcpy(bytes, &dentry, sizeof(dentry));
  std::memcpy(bytes + sizeof(dentry), name.data(), name.size());
  change.write(impl_->offset_of(position), bytes, sizeof(dentry) + name.size());
  place.used |= slot_bits(slot, n);
  place.heads |= slot_bits(slot, 1);
  impl_->put_header(change, block);
  impl_->index.insert(dentry.hash.load(), position);
  dir.entries.store(impl_->index.size());
  return {};
}

Status Directory::remove(Change& change, Inode& dir, const DirEntry& entry) {
  const auto position = static_cast<std::uint32_t>(entry.position);
  dir.entries.store(impl_->index.size() - 1);
  if (impl_->index.size() == 1 && impl_->blocks.size() > kKeepEmpty) {
    return impl_->drop_blocks(change, dir);
  }
  const std::size_t block = position / kDirSlots;
  const std::uint32_t slot = position % kDirSlots;
  impl_->blocks[block].used &= ~slot_bits(slot, format::dentry_slots(entry.name.size()));
  impl_->blocks[block].heads &= ~slot_bits(slot, 1);
  impl_->put_header(change, block);
  impl_->index.erase(entry.hash, position);
  return {};
}

Status Directory::replace(Change& change, Inode& dir, std::string_view name, InodeNo ino,
                          std::uint8_t type) {
  (void)dir;  // unchanged but for the times that the caller sets
  const std::uint32_t hash = format::name_hash(name);
  PMEMFS_TRY(const DirEntry entry, impl_->find(name, hash));
  const auto position = static_cast<std::uint32_t>(entry.position);
  Dentry dentry{};
  dentry.ino.store(ino.value);
  dentry.hash.store(hash);
  dentry.type = type;
  dentry.name_len = static_cast<std::uint8_t>(name.size());
  format::seal(dentry, name);
  change.write(impl_->offset_of(position), &dentry, sizeof(dentry));
  return {};
}

Result<std::uint64_t> Directory::move_out_of(Change& change, Inode& dir, BlockRun range) {
  const std::uint64_t room = change.log_left() / 2;
  std::uint64_t moved = 0;
  for (std::size_t block = 0; block < impl_->blocks.size() && moved < kMaxMoved; ++block) {
    if (!range.contains(impl_->blocks[block].physical)) {
      continue;
    }
    if (change.log_left() < room) {
      break;
    }
    PMEMFS_TRY(const std::uint64_t n, impl_->move_front(change, dir, block, range));
    moved += n;
    block += n - 1;
  }
  if (moved == 0) {
    return impl_->extents->move_chain(change, dir, range);
  }
  return moved;
}

Result<std::uint64_t> check_directory(const Store& store, const Inode& dir,
                                      const ExtentMap& extents, std::uint64_t from,
                                      std::uint64_t count) {
  std::uint64_t checked = 0;
  for (std::uint64_t block = from; block < from + count; ++block) {
    const Mapping m = extents.at(block);
    if (!m.physical || m.unwritten) {
      return Error(EUCLEAN);
    }
    const ByteOff at = format::byte_off(m.physical);
    const auto bits = store.region().lost(at, kBlockSize)
                          ? std::nullopt
                          : read_header(store.region().data() + at.value, dir, block);
    if (!bits) {
      return store.region().damage(at, kBlockSize);
    }
    ++checked;
    for (std::uint64_t heads = bits->heads; heads != 0; heads &= heads - 1) {
      const auto slot = static_cast<std::uint32_t>(std::countr_zero(heads));
      if (!read_entry(store.region().data() + at.value, *bits, slot)) {
        return store.region().damage(at, kBlockSize);
      }
      ++checked;
    }
  }
  return checked;
}

}  // namespace pmemfs::store
