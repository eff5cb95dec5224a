#include "core/scrub.hpp"

#include <algorithm>
#include <mutex>
#include <shared_mutex>
#include <utility>

#include "base/media_faults.hpp"
#include "core/backing_data.hpp"
#include "core/bad_memory.hpp"
#include "core/frames.hpp"
#include "core/status.hpp"
#include "store/allocator.hpp"
#include "store/bad_blocks.hpp"
#include "store/blob.hpp"
#include "store/directory.hpp"
#include "store/inode_table.hpp"
#include "store/xattr.hpp"

namespace pmemfs::core {

namespace {

constexpr std::uint64_t kBlock = format::kBlockSize;
constexpr std::uint64_t kPiece = format::kFrameSize;  // bytes that are read at once
constexpr std::uint64_t kPieceBlocks = kPiece / kBlock;
constexpr BlockRun kEverywhere{BlockNo(0), format::kMaxRegionSize / kBlock};

class Scrub {
 public:
  Scrub(Context& c, const RelocationWatch& watch) : c_(c), watch_(watch) {}

  Scrubbed run() {
    const base::MediaErrorsForgiven what_is_looked_for;
    total_ = c_.store->space().blocks * kBlock;
    if (read_region()) {
      heal();
      look_at_fixed();
      look_at_inodes();
    }
    name_damage();
    return std::move(done_);
  }

 private:
  // False, here and below: the watch ended it.
  bool tell() {
    if (watch_ && !watch_(done_.bytes, std::max(total_, done_.bytes))) {
      done_.finished = false;
    }
    return done_.finished;
  }

  void damaged(InodeNo ino, const char* what, int reason) {
    done_.damage.push_back({ino, what, reason, std::string()});
  }

  // Counts what a look at structures found: how many there are, or an error.
  void found(InodeNo ino, const char* what, const Result<std::uint64_t>& result) {
    if (result) {
      done_.structures += *result;
    } else if (result.code() != ENOENT) {
      damaged(ino, what, result.code());
    }
  }

  // For errors of the memory alone, so no locks.
  bool read_region() {
    for (std::uint64_t at = 0;; at += kPiece) {
      const std::uint64_t size = c_.store->space().blocks * kBlock;
      if (at >= size) {
        return true;
      }
      read_piece(at, std::min(kPiece, size - at));
      if (!tell()) {
        return false;
      }
    }
  }

  void read_piece(std::uint64_t at, std::uint64_t n) {
    const Region& region = c_.store->region();
    for (std::uint64_t pos = 0; pos < n;) {
      pos += region.readable(ByteOff(at + pos), n - pos);
      std::uint64_t end = pos;
      while (end < n && is_bad(at + end)) {
        end += kBlock;
      }
      if (end > pos) {
        c_.store->bad_blocks().add({BlockNo((at + pos) / kBlock), (end - pos) / kBlock});
      }
      pos = end > pos ? end : pos + kBlock;
    }
    done_.bytes += n;
  }

  // Looked at again while nobody makes the region smaller: what is cut off cannot be read either.
  bool is_bad(std::uint64_t at) {
    const std::lock_guard keep_size(c_.compaction);
    return at < c_.store->space().blocks * kBlock &&
           c_.store->region().readable(ByteOff(at), kBlock) == 0;
  }

  // What is nobody's. Some that stay bad must not keep the others.
  void heal() {
    c_.store->bad_blocks().note();
    if (c_.read_only()) {
      return;
    }
    for (const BlockRun& run : c_.store->blocks().bad_free()) {
      for (std::uint64_t i = 0; i < run.count; i += kPieceBlocks) {
        heal_piece({BlockNo(run.start.value + i), std::min(kPieceBlocks, run.count - i)});
      }
    }
  }

  void heal_piece(BlockRun piece) {
    store::BadBlocks& bad = c_.store->bad_blocks();
    if (bad.heal(piece)) {
      done_.healed += piece.count * kBlock;
      return;
    }
    for (std::uint64_t i = 0; piece.count > 1 && i < piece.count; ++i) {
      const BlockRun block{BlockNo(piece.start.value + i), 1};
      done_.healed += bad.heal(block) ? kBlock : 0;
    }
  }

  void look_at_fixed() {
    const auto look = [&](const char* what, const Status& status) {
      found(InodeNo(0), what, status ? Result<std::uint64_t>(2) : status.error());
    };
    look("superblock", c_.store->check_superblocks());
    look("root of the inode table", c_.store->table().check_root());
    c_.store->mend_copies();
    store::TableVisitor visitor;
    visitor.index = [&](BlockNo) {
      return ++done_.structures <= kEverywhere.count;
    };
    visitor.chunk = [](std::uint64_t, BlockNo) {
    };
    visitor.damaged = [&](std::uint64_t first, std::uint64_t) {
      damaged(InodeNo(first), "index of the inode table", EUCLEAN);
    };
    c_.store->table().walk(visitor);
  }

  void look_at_inodes() {
    for (const InodeNo ino : inodes_where(c_, [](const InodeRecord&) { return true; })) {
      const NodeRef node = c_.nodes.get(ino);
      look_at(*node);
      if (!tell()) {
        return;
      }
    }
  }

  void look_at(Node& node) {
    std::shared_lock lock(node.lock);
    const auto inode = read_inode(c_, node);
    found(node.ino, "inode", inode ? Result<std::uint64_t>(1) : inode.error());
    if (!inode) {
      return;
    }
    found(node.ino, "xattrs", store::xattr_blocks_in(*c_.store, *inode, kEverywhere));
    const bool directory = is_directory(*inode);
    if (S_ISLNK(inode->mode.load()) && inode->data.load() != 0) {
      found(node.ino, "symlink",
            store::blob_blocks_in(*c_.store, node.ino, inode->generation.load(),
                                  BlockNo(inode->data.load()), kEverywhere));
    } else if (directory || (is_regular(*inode) && !c_.has_backing())) {
      const auto map = store::ExtentMap::load(*c_.store, *inode);
      found(node.ino, "extents",
            map ? Result<std::uint64_t>((*map)->chain_blocks_in(kEverywhere)) : map.error());
    }
    const bool host_file = is_regular(*inode) && c_.has_backing() && node.moving == nullptr;
    lock.unlock();
    if (directory) {
      in_pieces(node, &Scrub::look_at_entries);
    } else if (host_file) {
      in_pieces(node, &Scrub::read_host_file);
    }
  }

  using Step = Result<bool> (Scrub::*)(Node&, const InodeRecord&, std::uint64_t off);
  // Takes `step` at each piece of a file, under the shared lock, until it says that there is no
  // more.
  void in_pieces(Node& node, Step step) {
    Result<bool> more = true;
    for (std::uint64_t off = 0; more && *more && done_.finished; off += kPiece) {
      std::shared_lock lock(node.lock);
      const auto inode = read_inode(c_, node);
      more = inode ? (this->*step)(node, *inode, off) : Result<bool>(false);
      lock.unlock();
      tell();
    }
  }

  Result<bool> look_at_entries(Node& node, const InodeRecord& inode, std::uint64_t off) {
    const std::uint64_t size = inode.size.load();
    if (!is_directory(inode) || off >= size) {
      return false;
    }
    PMEMFS_TRY(const auto map, store::ExtentMap::load(*c_.store, inode));  // told before
    const std::uint64_t blocks = (std::min(kPiece, size - off) + kBlock - 1) / kBlock;
    const auto checked = store::check_directory(*c_.store, inode, *map, off / kBlock, blocks);
    found(node.ino, "directory", checked);
    return true;
  }

  Result<bool> read_host_file(Node& node, const InodeRecord& inode, std::uint64_t off) {
    if (!is_regular(inode)) {
      return false;
    }
    const auto fail = [&](int code) -> Result<bool> {
      damaged(node.ino, "host file", code);
      return false;
    };
    const auto host = backing_data::stat(c_, node, inode);
    if (!host) {
      return fail(host.code());
    }
    total_ += off == 0 ? host->size : 0;
    if (off >= host->size) {
      return false;
    }
    buffer_.resize(kPiece);
    const std::span<std::byte> whole(buffer_);
    const auto n = backing_data::read(c_, node, inode, off, {&whole, 1}, true);
    if (!n) {
      return fail(n.code());
    }
    done_.bytes += *n;
    return *n == kPiece;
  }

  void name_damage() {
    std::vector<InodeNo> inodes;
    for (const Damage& d : done_.damage) {
      if (d.ino) {
        inodes.push_back(d.ino);
      }
    }
    if (inodes.empty()) {
      return;
    }
    const auto paths = paths_of(c_, inodes);
    for (Damage& d : done_.damage) {
      const auto found = paths.find(d.ino);
      d.path = found == paths.end() ? std::string() : found->second;
    }
  }

  Context& c_;
  const RelocationWatch& watch_;
  Scrubbed done_;
  std::uint64_t total_ = 0;
  std::vector<std::byte> buffer_;
};

}  // namespace

Result<Scrubbed> scrub(Context& c, const RelocationWatch& watch) {
  Scrubbed done = Scrub(c, watch).run();
  PMEMFS_TRY(done.bad, bad_memory(c));
  return done;
}

}  // namespace pmemfs::core
