#include "store/blob.hpp"

#include <algorithm>
#include <cstring>

#include "format/checks.hpp"
#include "store/impl.hpp"

namespace pmemfs::store {
namespace {

using format::BlobBlock;
using format::kBlobPayload;

// The numbers of `n` newly allocated blocks; gives them back when there are fewer.
Result<std::vector<BlockNo>> allocate_blocks(Change& change, std::size_t n) {
  const std::size_t mark = change.mark();
  std::vector<BlockNo> blocks;
  while (blocks.size() < n) {
    const auto run = change.allocate(n - blocks.size());
    if (!run) {
      change.give_back_since(mark);
      return run.error();
    }
    for (std::uint64_t i = 0; i < run->count; ++i) {
      blocks.emplace_back(run->start.value + i);
    }
  }
  return blocks;
}

// Calls f(block number, block) for the chain, each block checked, at most `limit` bytes in all.
template <typename F>
Status walk_blob(const Store& store, InodeNo owner, std::uint64_t generation, BlockNo first,
                 std::size_t limit, F&& f) {
  std::uint64_t seen = 0;
  for (BlockNo at = first;;) {
    if (!store.impl().layout.usable(at)) {
      return Error(EUCLEAN);
    }
    if (store.region().lost(format::byte_off(at), sizeof(BlobBlock))) {
      return Error(EIO);
    }
    const auto* block =
        reinterpret_cast<const BlobBlock*>(store.region().data() + format::byte_off(at).value);
    if (!blob_block_ok(*block, owner.value, generation)) {
      return store.region().damage(format::byte_off(at), sizeof(*block));
    }
    const std::uint64_t total = block->total.load();
    const std::uint64_t length = block->length.load();
    const BlockNo next(block->next.load());
    // Every block but the last is full: so a loop runs into the total.
    if (total > limit || length > total - seen || (next && length != kBlobPayload) ||
        (!next && seen + length != total)) {
      return Error(EUCLEAN);
    }
    f(at, *block);
    seen += length;
    if (!next) {
      return {};
    }
    at = next;
  }
}

}  // namespace

bool blob_block_ok(const BlobBlock& block, std::uint64_t owner, std::uint64_t generation) {
  return block.magic.load() == format::kBlobMagic && block.owner.load() == owner &&
         block.generation.load() == generation && format::valid(block);
}

Result<BlockNo> write_blob(Change& change, InodeNo owner, std::uint64_t generation,
                           std::span<const std::byte> bytes) {
  const std::size_t n = std::max<std::size_t>(1, (bytes.size() + kBlobPayload - 1) / kBlobPayload);
  PMEMFS_TRY(const std::vector<BlockNo> blocks, allocate_blocks(change, n));
  for (std::size_t i = 0; i < n; ++i) {
    const auto part = bytes.subspan(
        i * kBlobPayload, std::min<std::size_t>(kBlobPayload, bytes.size() - i * kBlobPayload));
    BlobBlock block{};
    block.magic.store(format::kBlobMagic);
    block.length.store(static_cast<std::uint32_t>(part.size()));
    block.owner.store(owner.value);
    block.generation.store(generation);
    block.next.store(i + 1 < n ? blocks[i + 1].value : 0);
    block.total.store(bytes.size());
    if (!part.empty()) {
      std::memcpy(block.data, part.data(), part.size());
    }
    format::seal(block);
    change.write_fresh(format::byte_off(blocks[i]), &block,
                       offsetof(BlobBlock, data) + part.size());
  }
  return blocks.front();
}

Result<std::vector<std::byte>> read_blob(const Store& store, InodeNo owner,
                                         std::uint64_t generation, BlockNo first,
                                         std::size_t limit) {
  std::vector<std::byte> bytes;
  PMEMFS_CHECK(
      walk_blob(store, owner, generation, first, limit, [&](BlockNo, const BlobBlock& block) {
        const auto* data = reinterpret_cast<const std::byte*>(block.data);
        bytes.insert(bytes.end(), data, data + block.length.load());
      }));
  return bytes;
}

Result<std::uint64_t> blob_blocks_in(const Store& store, InodeNo owner, std::uint64_t generation,
                                     BlockNo first, BlockRun range) {
  std::uint64_t n = 0;
  PMEMFS_CHECK(walk_blob(store, owner, generation, first, kMaxBlob,
                         [&](BlockNo at, const BlobBlock&) { n += range.contains(at) ? 1U : 0U; }));
  return n;
}

Result<BlockNo> move_blob(Change& change, InodeNo owner, std::uint64_t generation, BlockNo first,
                          BlockRun range, std::uint64_t& moved) {
  PMEMFS_TRY(const std::uint64_t there,
             blob_blocks_in(change.store(), owner, generation, first, range));
  if (there == 0) {
    return first;
  }
  PMEMFS_TRY(const auto bytes, read_blob(change.store(), owner, generation, first, kMaxBlob));
  PMEMFS_TRY(const BlockNo to, write_blob(change, owner, generation, bytes));
  PMEMFS_CHECK(release_blob(change, owner, generation, first));
  moved += std::max<std::size_t>(1, (bytes.size() + kBlobPayload - 1) / kBlobPayload);
  return to;
}

Status release_blob(Change& change, InodeNo owner, std::uint64_t generation, BlockNo first) {
  std::vector<BlockNo> blocks;
  PMEMFS_CHECK(walk_blob(change.store(), owner, generation, first, kMaxBlob,
                         [&](BlockNo at, const BlobBlock&) { blocks.push_back(at); }));
  std::sort(blocks.begin(), blocks.end());
  if (std::adjacent_find(blocks.begin(), blocks.end()) != blocks.end()) {
    return Error(EUCLEAN);  // a loop
  }
  for (const BlockNo block : blocks) {
    change.release({block, 1});
  }
  return {};
}

}  // namespace pmemfs::store
