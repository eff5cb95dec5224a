// Store::format: an empty filesystem.
#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <ctime>

#include "format/checks.hpp"
#include "format/layout.hpp"
#include "store/impl.hpp"

namespace pmemfs::store {
namespace {

using format::IndexBlock;
using format::Inode;
using format::Superblock;

// The first blocks after the lanes: one index block of each level, then the first chunk.
constexpr std::uint64_t kIndexStart =
    format::kLaneStart + std::uint64_t{format::kLaneCount} * format::kLaneBlocks;
constexpr std::uint64_t kRootCopy = format::kSuperblockCopyBlock - 1;
constexpr std::uint64_t kChunkStart = kIndexStart + format::kIndexLevels;

template <std::size_t kSize>
void copy_text(char (&to)[kSize], const std::string& from) {
  std::memcpy(to, from.data(), std::min(from.size(), kSize - 1));
}

void write_index(Region& region) {
  for (std::uint32_t i = 0; i < format::kIndexLevels; ++i) {
    IndexBlock block{};
    block.magic.store(format::kIndexMagic);
    block.level.store(format::kIndexLevels - 1 - i);
    block.child[0].store(kIndexStart + i + 1);
    format::seal(block);
    region.stream(format::byte_off(BlockNo(kIndexStart + i)), &block, sizeof(block));
    if (i == 0) {
      region.stream(format::byte_off(BlockNo(kRootCopy)), &block, sizeof(block));
    }
  }
  region.stream_zeros(format::byte_off(BlockNo(kChunkStart)),
                      std::uint64_t{format::kChunkBlocks} * format::kBlockSize);
}

void write_root(Region& region, const FormatOptions& options) {
  timespec t{};
  ::clock_gettime(CLOCK_REALTIME, &t);
  const Timestamp now{t.tv_sec, static_cast<std::uint32_t>(t.tv_nsec)};
  Inode root{};
  root.ino.store(kRootInode.value);
  root.generation.store(1);
  root.mode.store(S_IFDIR | (options.root_mode & 07777U));
  root.uid.store(options.root_uid);
  root.gid.store(options.root_gid);
  root.nlink.store(2);
  root.parent.store(kRootInode.value);
  set_atime(root, now);
  set_mtime(root, now);
  set_ctime(root, now);
  set_btime(root, now);
  format::seal(root);
  const std::uint64_t inside = kRootInode.value * sizeof(Inode);
  region.stream(format::byte_off(BlockNo(kChunkStart), inside), &root, sizeof(root));
}

}  // namespace

Superblock new_superblock(const Region& region, const FormatOptions& options) {
  Superblock s{};
  s.magic.store(format::kSuperblockMagic);
  s.version.store(format::kFormatVersion);
  s.block_size.store(format::kBlockSize);
  s.uuid = options.uuid;
  copy_text(s.label, options.label);
  s.kind.store(static_cast<std::uint32_t>(options.kind));
  s.flags.store(options.emulated ? format::kSbEmulated : 0);
  s.region_blocks.store(region.size() / format::kBlockSize);
  s.lane_start.store(format::kLaneStart);
  s.lane_count.store(format::kLaneCount);
  s.lane_blocks.store(format::kLaneBlocks);
  s.inode_root.store(kIndexStart);
  s.inode_root_copy.store(kRootCopy);
  s.next_generation.store(2);  // the root directory has 1
  s.state.store(static_cast<std::uint32_t>(format::RegionState::kClean));
  s.made_at.store(static_cast<std::uint64_t>(std::time(nullptr)));
  copy_text(s.made_by, options.made_by);
  s.device_alignment.store(options.device_alignment);
  return s;
}

Status Store::format(Region& region, const FormatOptions& options) {
  if (region.size() < format::kMinRegionSize || region.size() > format::kMaxRegionSize ||
      options.label.size() >= sizeof(Superblock::label)) {
    return Error(EINVAL);
  }
  if (region.read_only()) {
    return Error(EROFS);
  }
  // What was here is gone first, so that a crash leaves no superblock over half a filesystem.
  region.stream_zeros(ByteOff(0), format::kBlockSize);
  region.stream_zeros(format::byte_off(BlockNo(format::kSuperblockCopyBlock)), format::kBlockSize);
  region.fence();
  Superblock s = new_superblock(region, options);
  journal::format_lanes(region, lanes_of(s));
  write_index(region);
  write_root(region, options);
  region.fence();
  PMEMFS_CHECK(write_superblock(region, s));
  return region.media_events() == 0 ? Status() : Status(Error(EIO));
}

}  // namespace pmemfs::store
