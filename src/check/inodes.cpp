// Each inode by itself: its fields, and what it owns.
#include <sys/stat.h>

#include <algorithm>
#include <tuple>
#include <utility>

#include "check/blobs.hpp"
#include "check/extents.hpp"
#include "check/pass.hpp"
#include "check/recover.hpp"
#include "check/structures.hpp"
#include "format/checks.hpp"
#include "store/inode_table.hpp"
#include "store/store.hpp"

namespace pmemfs::check {
namespace {

using format::Inode;
using store::SlotState;

constexpr std::uint32_t kKnownFlags = format::kInodeDurable | format::kInodeSynced |
                                      format::kInodeMtimeSet | format::kInodeAtimeSet |
                                      format::kInodeInlineTarget | format::kInodeExported;
constexpr std::uint32_t kNanoseconds = 1'000'000'000;

bool has(const Inode& inode, std::uint32_t flag) {
  return (inode.flags.load() & flag) != 0;
}

void clear(Inode& inode, std::uint32_t flags) {
  inode.flags.store(inode.flags.load() & ~flags);
}

bool known_type(std::uint32_t mode) {
  const std::uint32_t type = mode & S_IFMT;
  return (mode & ~(S_IFMT | 07777U)) == 0 &&
         (type == S_IFREG || type == S_IFDIR || type == S_IFLNK || type == S_IFCHR ||
          type == S_IFBLK || type == S_IFIFO || type == S_IFSOCK);
}

void set_free(Inode& inode) {
  inode.mode.store(0);
  inode.nlink.store(0);
}

// Looks at one inode in use and makes its copy what it should be.
class InodeCheck {
 public:
  InodeCheck(Pass& p, ByteOff slot, const Inode& inode)
      : p_(p), slot_(slot), media_(inode), inode_(inode), ino_(inode.ino.load()) {}

  void run() {
    const auto mark = p_.out.mark();
    if (!known_type(inode_.mode.load())) {
      p_.out.add(Problem::kInodeMode, ino_, BlockNo(), "mode {:o} is none", inode_.mode.load());
      p_.table_doubted = true;
      set_free(inode_);
    } else {
      check_times();
      check_flags();
      check_generation();
      check_data();
      check_xattrs(p_, inode_);
    }
    if (p_.out.since(mark) && p_.repairing()) {
      if (std::memcmp(&inode_, &media_, sizeof(inode_)) != 0) {
        p_.fixer->put_inode(slot_, inode_);
      }
      p_.settle(mark);
    }
    count();
  }

 private:
  template <typename... Args>
  void say(Problem problem, fmt::format_string<Args...> format, Args&&... args) {
    p_.out.add(problem, ino_, BlockNo(), format, std::forward<Args>(args)...);
  }

  [[nodiscard]] bool is(std::uint32_t type) const { return (inode_.mode.load() & S_IFMT) == type; }

  void check_times() {
    for (format::Le32* nsec :
         {&inode_.atime_nsec, &inode_.mtime_nsec, &inode_.ctime_nsec, &inode_.btime_nsec,
          &inode_.host_atime_nsec, &inode_.host_mtime_nsec}) {
      if (nsec->load() >= kNanoseconds) {
        say(Problem::kInodeTime, "a time has {} nanoseconds", nsec->load());
        nsec->store(0);
      }
    }
  }

  void check_flags() {
    const bool durable_type = is(S_IFREG) || is(S_IFDIR);
    std::uint32_t wrong = inode_.flags.load() & ~kKnownFlags;
    wrong |= durable_type ? 0 : inode_.flags.load() & format::kInodeDurable;
    wrong |= is(S_IFLNK) ? 0 : inode_.flags.load() & format::kInodeInlineTarget;
    wrong |= is(S_IFREG) && !p_.has_host_files() ? 0 : inode_.flags.load() & format::kInodeExported;
    if (wrong != 0) {
      say(Problem::kInodeFlags, "flags {:#x} mean nothing here", wrong);
      clear(inode_, wrong);
    }
    p_.features_needed |= has(inode_, format::kInodeExported) ? format::kIncompatExports : 0;
  }

  // Raised once for all, at the end of the pass.
  void check_generation() {
    const std::uint64_t generation = inode_.generation.load();
    p_.highest_generation = std::max(p_.highest_generation, generation);
    if (is(S_IFREG) && p_.has_host_files()) {
      p_.highest_generation = std::max(p_.highest_generation, inode_.host.generation.load());
      p_.features_needed |= inode_.host.generation.load() != 0 ? format::kIncompatHostPlace : 0;
    }
  }

  void check_data() {
    if (p_.has_extents(inode_)) {
      const auto mark = p_.out.mark();
      const Extents extents = check_extents(p_, inode_);
      check_data_blocks(extents.blocks, p_.out.since(mark));
      if (is(S_IFDIR)) {
        check_directory(extents);
      } else {
        check_file(extents);
      }
    } else if (is(S_IFLNK)) {
      check_no_data_blocks();
      check_target(p_, inode_);
    } else {
      check_stray();
      check_no_data_blocks();
    }
    if (is(S_IFREG) && p_.has_host_files()) {
      check_length(format::kMaxFileSize);
    } else if (!is(S_IFREG)) {
      check_length(0);
    }
  }

  // Not told of what has been told to have lost extents.
  void check_data_blocks(std::uint64_t blocks, bool told) {
    if (inode_.data_blocks.load() != blocks && !told) {
      say(Problem::kDataBlocks, "says that it has {} blocks of data, but has {}",
          inode_.data_blocks.load(), blocks);
    }
    told_ = told;
    inode_.data_blocks.store(blocks);
  }

  void check_no_data_blocks() { check_data_blocks(0, false); }

  void check_directory(const Extents& extents) {
    const std::uint64_t bytes = extents.blocks * format::kBlockSize;
    if (inode_.size.load() != bytes && !told_) {
      say(Problem::kInodeSize, "has a size of {} bytes where its blocks have {}",
          inode_.size.load(), bytes);
    }
    inode_.size.store(bytes);
  }

  void check_file(const Extents& extents) {
    const std::uint64_t size = inode_.size.load();
    if (size > format::kMaxFileSize) {
      say(Problem::kInodeSize, "has a size of {} bytes, more than a file can have", size);
      std::uint64_t end = 0;
      for (const Piece& piece : extents.pieces) {
        end = piece.logical + piece.count;
      }
      inode_.size.store(end * format::kBlockSize);
    }
    check_length(inode_.size.load());
    const std::uint64_t promised = inode_.durable_len.load();
    const std::uint64_t there = std::min(promised, extents.written_front() * format::kBlockSize);
    if (there < promised) {
      say(Problem::kDurableData, "{} bytes are durable, but data is there for the first {} only",
          promised, there);
      inode_.durable_len.store(there);
    }
  }

  // The promise covers no more than `most` bytes, and nothing of what is not durable.
  void check_length(std::uint64_t most) {
    const bool durable = has(inode_, format::kInodeDurable) && is(S_IFREG);
    const std::uint64_t limit = durable ? most : 0;
    if (inode_.durable_len.load() > limit) {
      say(Problem::kDurableLength, "{} bytes are said to be durable, of at most {}",
          inode_.durable_len.load(), limit);
      inode_.durable_len.store(limit);
    }
  }

  // Of what keeps nothing in the region.
  void check_stray() {
    bool stray = inode_.data.load() != 0;
    if (is(S_IFREG)) {  // with a host file
      for (const format::Extent& extent : inode_.extents) {
        stray |= extent.count.load() != 0;
      }
    }
    if (stray) {
      say(Problem::kInodeStray, "has data in the region, where it can have none");
      inode_.data.store(0);
      const std::uint64_t generation = is(S_IFREG) ? inode_.host.generation.load() : 0;
      std::memset(inode_.target, 0, sizeof(inode_.target));
      if (is(S_IFREG)) {
        inode_.host.generation.store(generation);
      }
    }
  }

  void count() {
    const std::uint32_t mode = inode_.mode.load();
    if (mode == 0) {
      return;
    }
    Node node;
    node.ino = static_cast<std::uint32_t>(ino_.value);
    node.mode = static_cast<std::uint16_t>(mode);
    node.nlink = inode_.nlink.load();
    node.said_parent =
        static_cast<std::uint32_t>(std::min(inode_.parent.load(), format::kMaxInode));
    p_.nodes.push_back(node);
    p_.counts.inodes++;
    p_.counts.directories += is(S_IFDIR) ? 1U : 0U;
    p_.counts.durable += is(S_IFREG) && has(inode_, format::kInodeDurable) ? 1U : 0U;
    p_.durable_bytes += inode_.durable_len.load();
  }

  Pass& p_;
  ByteOff slot_;
  const Inode& media_;
  Inode inode_;
  InodeNo ino_;
  bool told_ = false;  // that extents are missing
};

// A slot that holds no whole inode: see recover_inodes().
void check_damaged(Pass& p, std::uint64_t ino, ByteOff slot, const Inode& media) {
  const BlockNo block(slot.value / format::kBlockSize);
  p.table_doubted = true;
  p.damaged.push_back(ino);
  if (p.is_lost<Inode>(slot)) {
    p.out.add(Problem::kMediaLost, InodeNo(ino), block, "the inode cannot be read");
    p.names_hidden = true;
  } else if (media.ino.load() == ino && format::valid(media)) {
    p.out.add(Problem::kInodeDamaged, InodeNo(ino), block,
              "the inode has a generation that was never given out");
  } else if (format::valid(media)) {
    p.out.add(Problem::kInodeDamaged, InodeNo(ino), block, "the inode says that it is {}",
              media.ino.load());
  } else {
    p.out.add(Problem::kInodeDamaged, InodeNo(ino), block, "the inode is damaged");
  }
}

bool far_off(const Pass& p, const Inode& inode) {
  const bool host = S_ISREG(inode.mode.load()) && p.has_host_files();
  return check::far_off(p, inode.generation.load()) ||
         (host && check::far_off(p, inode.host.generation.load()));
}

void check_slot(Pass& p, std::uint64_t ino, ByteOff slot) {
  const auto inode = p.load<Inode>(slot);
  const SlotState state =
      p.is_lost<Inode>(slot) ? SlotState::kDamaged : store::slot_state(inode, ino);
  if (state == SlotState::kUsed && !far_off(p, inode)) {
    InodeCheck(p, slot, inode).run();
  } else if (state != SlotState::kFree) {
    check_damaged(p, ino, slot, inode);
  }
}

void check_in_order_of_table(Pass& p) {
  std::size_t done = 0;
  for (const Chunk& chunk : p.chunks) {
    if (!p.progress(Phase::kInodes, done++, p.chunks.size())) {
      return;
    }
    for (std::uint64_t i = chunk.first == 0 ? 1 : 0; i < format::kInodesPerChunk; ++i) {
      check_slot(p, chunk.first + i, format::byte_off(chunk.block, i * sizeof(Inode)));
    }
  }
}

// Durable files first, then by age: the earlier keeps a block that two claim.
void check_in_order_of_rights(Pass& p) {
  std::vector<std::tuple<bool, std::uint64_t, std::uint64_t>> order;
  for (const Chunk& chunk : p.chunks) {
    for (std::uint64_t i = chunk.first == 0 ? 1 : 0; i < format::kInodesPerChunk; ++i) {
      const ByteOff slot = format::byte_off(chunk.block, i * sizeof(Inode));
      const auto inode = p.load<Inode>(slot);
      if (store::slot_state(inode, chunk.first + i) != SlotState::kFree || p.is_lost<Inode>(slot)) {
        order.emplace_back(!has(inode, format::kInodeDurable), inode.generation.load(),
                           chunk.first + i);
      }
    }
  }
  std::sort(order.begin(), order.end());
  std::size_t done = 0;
  for (const auto& [common, generation, ino] : order) {
    if (done++ % format::kInodesPerChunk == 0 && !p.progress(Phase::kInodes, done, order.size())) {
      return;
    }
    if (const auto slot = p.slot(ino)) {
      check_slot(p, ino, *slot);
    }
  }
  std::sort(p.nodes.begin(), p.nodes.end(),
            [](const Node& a, const Node& b) { return a.ino < b.ino; });
  std::sort(p.damaged.begin(), p.damaged.end());
}

// The inodes' own part: looked at once without changes, to know whether a block has two owners.
// Then rights decide.
void look_at_inodes(Pass& p) {
  const auto mark = p.out.mark();
  const bool doubted = p.table_doubted;
  const bool hidden = p.names_hidden;
  Fixer* const fixer = std::exchange(p.fixer, nullptr);
  check_in_order_of_table(p);
  p.fixer = fixer;
  if (p.stopped) {
    return;
  }
  if (!p.shared && (!p.repairing() || !p.out.since(mark))) {
    return;
  }
  const bool contested = p.shared;
  p.out.forget_since(mark);
  p.table_doubted = doubted;
  p.names_hidden = hidden;
  p.counts = Counts{};
  p.nodes.clear();
  p.damaged.clear();
  p.durable_bytes = 0;
  reset_claims(p);
  if (contested) {
    find_structures(p);
    check_in_order_of_rights(p);
  } else {
    check_in_order_of_table(p);
  }
}

}  // namespace

void check_inodes(Pass& p) {
  look_at_inodes(p);
  if (p.stopped) {
    return;
  }
  const Node* root = p.node(kRootInode.value);
  if (root == nullptr || !S_ISDIR(root->mode)) {
    p.out.add(Problem::kRoot, kRootInode, BlockNo(), "there is no root directory");
    p.table_doubted = true;
  }
  recover_inodes(p);
}

}  // namespace pmemfs::check
