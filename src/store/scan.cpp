#include "store/scan.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <functional>
#include <system_error>
#include <thread>

#include "format/checks.hpp"
#include "store/blob.hpp"
#include "store/impl.hpp"
#include "store/used_map.hpp"
#include "store/xattr_records.hpp"

namespace pmemfs::store {
namespace {

using format::ExtentBlock;
using format::Inode;
using format::kInodesPerChunk;

struct Chunk {
  std::uint64_t first_ino;
  BlockNo block;
};

// What one thread found.
struct Found {
  std::vector<InodeRun> free_inodes;
  std::vector<InodeNo> orphans;
  std::vector<InodeNo> exported;
  std::vector<BlockRun> claimed_twice;
  std::uint64_t used = 0;
  std::uint64_t durable_bytes = 0;
  std::uint64_t damaged = 0;
};

// Marks what the inodes of a chunk refer to. One object for each thread.
class ChunkScanner {
 public:
  ChunkScanner(const Region& region, const format::Layout& layout, UsedMap& used)
      : region_(region), layout_(layout), used_(used) {}

  void scan_chunk(const Chunk& chunk) {
    InodeRun free;
    for (std::uint64_t i = chunk.first_ino == 0 ? 1 : 0; i < kInodesPerChunk; ++i) {
      Inode inode{};
      const std::uint64_t ino = chunk.first_ino + i;
      const ByteOff slot = format::byte_off(chunk.block, i * sizeof(inode));
      const SlotState state = read_slot(region_, slot, ino, &inode);
      if (state == SlotState::kFree) {
        if (free.start + free.count != ino) {
          keep_free(free);
          free = {ino, 0};
        }
        ++free.count;
      } else if (state == SlotState::kDamaged) {
        ++found_.damaged;
      } else {
        scan_inode(inode);
      }
    }
    keep_free(free);
  }

  [[nodiscard]] Found& found() { return found_; }

 private:
  [[nodiscard]] const std::byte* at(BlockNo block) const {
    return region_.data() + format::byte_off(block).value;
  }

  [[nodiscard]] bool is_lost(BlockNo block) const {
    return region_.lost(format::byte_off(block), format::kBlockSize);
  }

  void keep_free(InodeRun run) {
    if (run.count > 0) {
      found_.free_inodes.push_back(run);
    }
  }

  // False: not usable, or somebody else's too.
  bool claim(BlockRun run) {
    if (!layout_.usable(run)) {
      ++found_.damaged;
      return false;
    }
    if (!used_.mark(run)) {
      ++found_.damaged;
      found_.claimed_twice.push_back(run);
      return false;
    }
    return true;
  }

  void scan_inode(const Inode& inode) {
    ++found_.used;
    found_.durable_bytes += inode.durable_len.load();
    if (inode.nlink.load() == 0) {
      found_.orphans.emplace_back(inode.ino.load());
    }
    if ((inode.flags.load() & format::kInodeExported) != 0) {
      found_.exported.emplace_back(inode.ino.load());
    }
    const std::uint32_t type = inode.mode.load() & S_IFMT;
    if (type == S_IFREG || type == S_IFDIR) {
      scan_extents(inode);
    } else if (type == S_IFLNK && (inode.flags.load() & format::kInodeInlineTarget) == 0) {
      scan_blob(inode, BlockNo(inode.data.load()), nullptr);
    }
    scan_xattrs(inode);
  }

  void scan_extents(const Inode& inode) {
    for (const format::Extent& e : inode.extents) {
      if (e.count.load() != 0) {
        claim({BlockNo(e.physical.load()), e.count.load()});
      }
    }
    // A loop ends at the first block that is claimed again.
    for (BlockNo block(inode.data.load()); block;) {
      if (!claim({block, 1})) {
        return;
      }
      const auto* chain = reinterpret_cast<const ExtentBlock*>(at(block));
      if (is_lost(block) || chain->magic.load() != format::kExtentMagic || !format::valid(*chain) ||
          chain->owner.load() != inode.ino.load() ||
          chain->generation.load() != inode.generation.load()) {
        ++found_.damaged;
        return;
      }
      scan_slots(*chain);
      block = BlockNo(chain->next.load());
    }
  }

  void scan_slots(const ExtentBlock& chain) {
    for (std::uint32_t i = 0; i < format::kExtentSlots; ++i) {
      if ((chain.used[i / 64].load() >> (i % 64) & 1U) == 0) {
        continue;
      }
      const format::ExtentSlot& slot = chain.slots[i];
      if (format::valid(slot)) {
        claim({BlockNo(slot.extent.physical.load()), slot.extent.count.load()});
      } else {
        ++found_.damaged;
      }
    }
  }

  // Claims the blocks of a blob; its bytes go to `bytes` when it is whole and wanted.
  bool scan_blob(const Inode& inode, BlockNo first, std::vector<std::byte>* bytes) {
    for (BlockNo block = first; block;) {
      if (!claim({block, 1})) {
        return false;
      }
      const auto* blob = reinterpret_cast<const format::BlobBlock*>(at(block));
      if (is_lost(block) || !blob_block_ok(*blob, inode.ino.load(), inode.generation.load()) ||
          (bytes != nullptr && bytes->size() > kMaxBlob)) {
        ++found_.damaged;
        return false;
      }
      if (bytes != nullptr) {
        const auto* data = reinterpret_cast<const std::byte*>(blob->data);
        bytes->insert(bytes->end(), data, data + blob->length.load());
      }
      block = BlockNo(blob->next.load());
    }
    return true;
  }

  void scan_xattrs(const Inode& inode) {
    if (inode.xattrs.load() == 0) {
      return;
    }
    buffer_.clear();
    if (!scan_blob(inode, BlockNo(inode.xattrs.load()), &buffer_)) {
      return;
    }
    XattrReader reader(buffer_);
    while (const auto record = reader.next()) {
      if (record->value_blob) {
        scan_blob(inode, record->value_blob, nullptr);
      }
    }
    found_.damaged += reader.damaged() ? 1U : 0U;
  }

  const Region& region_;
  const format::Layout& layout_;
  UsedMap& used_;
  Found found_;
  std::vector<std::byte> buffer_;
};

// Claims the index blocks and the chunks, and lists the chunks.
std::vector<Chunk> list_chunks(const InodeTable& table, UsedMap& used, ScanResult& result) {
  std::vector<Chunk> chunks;
  const auto claim = [&](BlockRun run) {
    if (used.mark(run)) {
      return true;
    }
    ++result.damaged;
    result.claimed_twice.push_back(run);
    return false;
  };
  TableVisitor visitor;
  visitor.index = [&](BlockNo block) {
    return claim({block, 1});
  };
  visitor.chunk = [&](std::uint64_t first, BlockNo chunk) {
    result.inode_limit = std::max(result.inode_limit, first + kInodesPerChunk);
    if (claim({chunk, format::kChunkBlocks})) {
      chunks.push_back({first, chunk});
    }
  };
  visitor.damaged = [&](std::uint64_t, std::uint64_t end) {
    ++result.damaged;
    result.inode_limit = std::max(result.inode_limit, std::min(end, format::kMaxInode + 1));
  };
  table.walk(visitor);
  return chunks;
}

void merge(ScanResult& result, Found& found) {
  const auto append = [](auto& to, const auto& from) {
    to.insert(to.end(), from.begin(), from.end());
  };
  append(result.free_inodes, found.free_inodes);
  append(result.orphans, found.orphans);
  append(result.exported, found.exported);
  append(result.claimed_twice, found.claimed_twice);
  result.inodes_used += found.used;
  result.durable_bytes += found.durable_bytes;
  result.damaged += found.damaged;
}

void sort_and_join(std::vector<InodeRun>& runs) {
  std::sort(runs.begin(), runs.end(),
            [](const InodeRun& a, const InodeRun& b) { return a.start < b.start; });
  std::size_t kept = 0;
  for (const InodeRun& run : runs) {
    if (kept > 0 && runs[kept - 1].start + runs[kept - 1].count == run.start) {
      runs[kept - 1].count += run.count;
    } else {
      runs[kept++] = run;
    }
  }
  runs.resize(kept);
}

// work(0) to work(count - 1), side by side as far as the system gives threads.
void run_all(std::size_t count, const std::function<void(std::size_t)>& work) {
  std::vector<std::thread> threads;
  try {
    for (std::size_t i = 1; i < count; ++i) {
      threads.emplace_back([&work, i] { work(i); });
    }
  } catch (const std::system_error&) {
    // Fewer, then: they share what there is to do.
  }
  work(0);
  for (std::thread& thread : threads) {
    thread.join();
  }
}

}  // namespace

ScanResult scan(const Region& region, const format::Layout& layout, const InodeTable& table) {
  ScanResult result;
  UsedMap used(layout.blocks());
  used.mark({BlockNo(0), layout.first()});
  used.mark({BlockNo(format::kSuperblockCopyBlock), 1});
  const std::vector<Chunk> chunks = list_chunks(table, used, result);
  const std::size_t wanted = std::max<std::size_t>(1, std::thread::hardware_concurrency());
  const std::size_t count = std::min(wanted, chunks.size() / 4 + 1);  // a thread costs some chunks
  std::vector<ChunkScanner> scanners(count, ChunkScanner(region, layout, used));
  std::atomic<std::size_t> next{0};
  const auto work = [&](ChunkScanner& scanner) {
    for (std::size_t i = next.fetch_add(1); i < chunks.size(); i = next.fetch_add(1)) {
      scanner.scan_chunk(chunks[i]);
    }
  };
  run_all(count, [&](std::size_t i) { work(scanners[i]); });
  for (ChunkScanner& scanner : scanners) {
    merge(result, scanner.found());
  }
  sort_and_join(result.free_inodes);
  std::sort(result.orphans.begin(), result.orphans.end());
  result.free_blocks = used.unmarked(layout.first());
  return result;
}

}  // namespace pmemfs::store
