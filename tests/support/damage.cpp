#include "support/damage.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <bit>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>

#include "format/checks.hpp"

namespace pmemfs::test {
namespace {

using namespace pmemfs::format;  // NOLINT(google-build-using-namespace)
using Image = std::span<const std::byte>;

constexpr std::uint64_t kCopyAt = kSuperblockCopyBlock * kBlockSize;

bool inside(Image image, std::uint64_t at, std::uint64_t n) {
  return at <= image.size() && n <= image.size() - at;
}

template <typename T>
void reseal_as(std::span<std::byte> image, std::uint64_t at) {
  T t = load_as<T>(image, at);
  seal(t);
  std::memcpy(&image[at], &t, sizeof(T));
}

// A header whose crc goes on over `bytes` bytes behind it, of which at most `room` count.
template <typename T>
void reseal_with_tail(std::span<std::byte> image, std::uint64_t at, std::uint64_t bytes,
                      std::uint64_t room) {
  T t = load_as<T>(image, at);
  const std::uint64_t tail =
      std::min({bytes, room, static_cast<std::uint64_t>(image.size() - at - sizeof(T))});
  seal(t, image.data() + at + sizeof(T), tail);
  std::memcpy(&image[at], &t, sizeof(T));
}

void reseal_blob(std::span<std::byte> image, std::uint64_t at) {
  auto b = load_as<BlobBlock>(image, at);
  const std::uint32_t length = b.length.load();
  if (length <= kBlobPayload) {
    seal(b);
  }
  std::memcpy(&image[at], &b, sizeof(b));
}

void reseal_dentry(std::span<std::byte> image, std::uint64_t at) {
  auto d = load_as<Dentry>(image, at);
  const std::uint64_t block_end = (at / kBlockSize + 1) * kBlockSize;
  const std::size_t n = std::min<std::size_t>(d.name_len, block_end - at - sizeof(d));
  seal(d, {reinterpret_cast<const char*>(image.data()) + at + sizeof(d), n});
  std::memcpy(&image[at], &d, sizeof(d));
}

std::optional<Superblock> newest_superblock(Image image) {
  std::optional<Superblock> newest;
  for (const std::uint64_t at : {std::uint64_t{0}, kCopyAt}) {
    if (inside(image, at, kBlockSize)) {
      const auto s = load_as<Superblock>(image, at);
      if (valid(s) && (!newest || s.update.load() > newest->update.load())) {
        newest = s;
      }
    }
  }
  return newest;
}

// Follows pointers, to each block once.
class Survey {
 public:
  explicit Survey(Image image) : image_(image) {}

  std::vector<Structure> run() {
    for (const std::uint64_t at : {std::uint64_t{0}, kCopyAt}) {
      add(Kind::kSuperblock, at, 0);
    }
    const auto s = newest_superblock(image_);
    if (s) {
      lanes(*s);
      add(Kind::kIndexBlock, s->inode_root_copy.load() * kBlockSize, 0);
      index(s->inode_root.load(), kIndexLevels - 1, 0);
      snapshot(*s);
    }
    return std::move(found_);
  }

 private:
  void add(Kind kind, std::uint64_t at, std::uint64_t owner) {
    if (inside(image_, at, size_of(kind))) {
      found_.push_back({kind, at, at, kind, owner});
    }
  }
  void add_part(Kind kind, std::uint64_t at, Kind whole, std::uint64_t whole_at,
                std::uint64_t owner) {
    if (inside(image_, at, size_of(kind))) {
      found_.push_back({kind, at, whole_at, whole, owner});
    }
  }
  // A block that may be looked at, for the first time.
  bool enter(std::uint64_t block) {
    return block != 0 && block < image_.size() / kBlockSize && seen_.insert(block).second;
  }

  void lanes(const Superblock& s) {
    const std::uint64_t size = std::uint64_t{s.lane_blocks.load()} * kBlockSize;
    for (std::uint32_t i = 0; i < s.lane_count.load(); ++i) {
      const std::uint64_t at = s.lane_start.load() * kBlockSize + i * size;
      if (!inside(image_, at, size)) {
        return;
      }
      const auto header = load_as<LaneHeader>(image_, at);
      if (header.sequence.load() != 0) {
        add(Kind::kLaneHeader, at, 0);
        records(header, at, at + size);
      }
    }
  }

  void records(const LaneHeader& header, std::uint64_t lane, std::uint64_t end) {
    std::uint64_t at = lane + sizeof(header);
    for (std::uint32_t i = 0; i < header.count.load() && at + sizeof(LaneRecord) <= end; ++i) {
      add_part(Kind::kLaneRecord, at, Kind::kLaneHeader, lane, 0);
      const std::uint64_t length = load_as<LaneRecord>(image_, at).length.load();
      at += sizeof(LaneRecord) + (length + 7) / 8 * 8;
    }
  }

  void index(std::uint64_t block, std::uint32_t level, std::uint64_t first) {
    if (!enter(block)) {
      return;
    }
    add(Kind::kIndexBlock, block * kBlockSize, 0);
    const auto b = load_as<IndexBlock>(image_, block * kBlockSize);
    std::uint64_t inodes = kInodesPerChunk;  // below one pointer
    for (std::uint32_t i = 0; i < level; ++i) {
      inodes *= kIndexFanout;
    }
    for (std::uint64_t i = 0; i < kIndexFanout; ++i) {
      if (level > 0) {
        index(b.child[i].load(), level - 1, first + i * inodes);
      } else if (enter(b.child[i].load())) {
        chunk(b.child[i].load() * kBlockSize);
      }
    }
  }

  void chunk(std::uint64_t chunk_at) {
    for (std::uint64_t i = 0; i < kInodesPerChunk; ++i) {
      const std::uint64_t at = chunk_at + i * sizeof(Inode);
      if (!inside(image_, at, sizeof(Inode))) {
        return;
      }
      const auto inode = load_as<Inode>(image_, at);
      if (inode.mode.load() != 0 && inode.ino.load() != 0) {
        add(Kind::kInode, at, inode.ino.load());
        parts(inode);
      }
    }
  }

  void parts(const Inode& i) {
    const std::uint64_t owner = i.ino.load();
    blob(i.xattrs.load(), owner, true);
    if (S_ISLNK(i.mode.load())) {
      blob(i.data.load(), owner, false);
      return;
    }
    const bool directory = S_ISDIR(i.mode.load());
    if (directory) {
      for (const Extent& e : i.extents) {
        dentry_blocks(e, owner);
      }
    }
    for (std::uint64_t block = i.data.load(); enter(block);) {
      block = extent_block(block, owner, directory);
    }
  }

  std::uint64_t extent_block(std::uint64_t block, std::uint64_t owner, bool directory) {
    const std::uint64_t at = block * kBlockSize;
    add(Kind::kExtentBlock, at, owner);
    const auto b = load_as<ExtentBlock>(image_, at);
    for (std::uint64_t i = 0; i < kExtentSlots; ++i) {
      if ((b.used[i / 64].load() >> (i % 64) & 1U) != 0) {
        add(Kind::kExtentSlot, at + offsetof(ExtentBlock, slots) + i * sizeof(ExtentSlot), owner);
        if (directory) {
          dentry_blocks(b.slots[i].extent, owner);
        }
      }
    }
    return b.next.load();
  }

  void dentry_blocks(const Extent& e, std::uint64_t owner) {
    for (std::uint64_t i = 0; i < e.count.load() && enter(e.physical.load() + i); ++i) {
      const std::uint64_t at = (e.physical.load() + i) * kBlockSize;
      add(Kind::kDirHeader, at, owner);
      std::uint64_t heads = load_as<DirHeader>(image_, at).heads.load();
      for (; heads != 0; heads &= heads - 1) {
        const auto slot = static_cast<std::uint64_t>(std::countr_zero(heads));
        add(Kind::kDentry, at + slot * kDirSlotSize, owner);
      }
    }
  }

  // `records`: the blob is a list of xattrs.
  void blob(std::uint64_t first, std::uint64_t owner, bool records) {
    std::uint64_t skip = 0;  // bytes of a record that began in the block before
    std::vector<std::uint64_t> values;
    for (std::uint64_t block = first; enter(block);) {
      const std::uint64_t at = block * kBlockSize;
      add(Kind::kBlobBlock, at, owner);
      const auto b = load_as<BlobBlock>(image_, at);
      if (records) {
        skip = xattr_records(b, at, owner, skip, values);
      }
      block = b.next.load();
    }
    for (const std::uint64_t value : values) {
      blob(value, owner, false);
    }
  }

  // Returns how much of the last record lies in the next block. A header that crosses over ends it.
  std::uint64_t xattr_records(const BlobBlock& b, std::uint64_t block_at, std::uint64_t owner,
                              std::uint64_t skip, std::vector<std::uint64_t>& values) {
    const std::uint64_t length = std::min(b.length.load(), kBlobPayload);
    std::uint64_t at = skip;
    while (at + sizeof(XattrRecord) < length) {
      add_part(Kind::kXattrRecord, block_at + offsetof(BlobBlock, data) + at, Kind::kBlobBlock,
               block_at, owner);
      XattrRecord r{};
      std::memcpy(&r, b.data + at, sizeof(r));
      if (r.value_blob.load() != 0) {
        values.push_back(r.value_blob.load());
      }
      const std::uint64_t value = r.value_blob.load() != 0 ? 0 : r.value_len.load();
      at += sizeof(r) + r.name_len.load() + value;
    }
    return at >= length ? at - length : UINT64_MAX / 2;
  }

  void snapshot(const Superblock& s) {
    const std::uint64_t at = s.snapshot.load() * kBlockSize;
    if (!enter(s.snapshot.load())) {
      return;
    }
    add(Kind::kSnapshotHeader, at, 0);
    const auto header = load_as<SnapshotHeader>(image_, at);
    const std::uint64_t room =
        (s.snapshot_blocks.load() * kBlockSize - sizeof(header)) / sizeof(SnapshotRun);
    const std::uint64_t runs = header.free_runs.load() + header.free_inode_runs.load();
    for (std::uint64_t i = 0; i < std::min(room, runs); ++i) {
      add_part(Kind::kSnapshotRun, at + sizeof(header) + i * sizeof(SnapshotRun),
               Kind::kSnapshotHeader, at, 0);
    }
  }

  Image image_;
  std::set<std::uint64_t> seen_;
  std::vector<Structure> found_;
};

}  // namespace

std::vector<Structure> survey(std::span<const std::byte> image) {
  return Survey(image).run();
}

std::vector<Structure> structures_of(std::span<const std::byte> image, Kind kind,
                                     std::uint64_t owner) {
  std::vector<Structure> all = survey(image);
  std::erase_if(
      all, [&](const Structure& s) { return s.kind != kind || (owner != 0 && s.owner != owner); });
  return all;
}

Structure find_structure(std::span<const std::byte> image, Kind kind, std::uint64_t owner) {
  return structures_of(image, kind, owner).at(0);
}

Structure find_dentry(std::span<const std::byte> image, std::uint64_t dir, std::string_view name) {
  for (const Structure& s : structures_of(image, Kind::kDentry, dir)) {
    const auto length = std::to_integer<std::size_t>(image[s.at + offsetof(Dentry, name_len)]);
    const auto* text = reinterpret_cast<const char*>(image.data() + s.at + sizeof(Dentry));
    if (std::string_view(text, length) == name) {
      return s;
    }
  }
  throw std::out_of_range("no entry " + std::string(name));
}

void reseal(std::span<std::byte> image, const Structure& s) {
  const std::uint64_t at = s.sealed_at;
  switch (s.sealed_kind) {
    case Kind::kSuperblock:
      return reseal_as<Superblock>(image, at);
    case Kind::kIndexBlock:
      return reseal_as<IndexBlock>(image, at);
    case Kind::kInode:
      return reseal_as<Inode>(image, at);
    case Kind::kExtentBlock:
      return reseal_as<ExtentBlock>(image, at);
    case Kind::kExtentSlot:
      return reseal_as<ExtentSlot>(image, at);
    case Kind::kDirHeader:
      return reseal_as<DirHeader>(image, at);
    case Kind::kDentry:
      return reseal_dentry(image, at);
    case Kind::kBlobBlock:
      return reseal_blob(image, at);
    case Kind::kLaneHeader: {
      const auto h = load_as<LaneHeader>(image, at);
      return reseal_with_tail<LaneHeader>(image, at, h.bytes.load(),
                                          kLaneBlocks * kBlockSize - sizeof(h));
    }
    case Kind::kSnapshotHeader: {
      const auto h = load_as<SnapshotHeader>(image, at);
      const std::uint64_t most = image.size() / sizeof(SnapshotRun);
      const std::uint64_t runs =
          std::min(h.free_runs.load(), most) + std::min(h.free_inode_runs.load(), most);
      return reseal_with_tail<SnapshotHeader>(image, at, runs * sizeof(SnapshotRun), image.size());
    }
    case Kind::kLaneRecord:
    case Kind::kXattrRecord:
    case Kind::kSnapshotRun:
      throw std::out_of_range("a structure without a crc of its own");
  }
}

std::uint64_t load_number(std::span<const std::byte> image, std::uint64_t at, std::size_t size) {
  std::uint64_t value = 0;
  std::memcpy(&value, image.subspan(at, size).data(), size);
  return value;
}

void store_number(std::span<std::byte> image, std::uint64_t at, std::size_t size,
                  std::uint64_t value) {
  std::memcpy(image.subspan(at, size).data(), &value, size);
}

}  // namespace pmemfs::test
