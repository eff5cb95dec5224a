// The entries of directories, and the first half of what links them: who leads to whom.
#include <dirent.h>
#include <sys/stat.h>

#include <algorithm>
#include <tuple>

#include "check/dir_block.hpp"
#include "check/extents.hpp"
#include "check/pass.hpp"
#include "check/text.hpp"
#include "format/checks.hpp"
#include "store/dir_block.hpp"

namespace pmemfs::check {
namespace {

using format::DirHeader;
using format::Inode;

class DirectoryCheck {
 public:
  DirectoryCheck(Pass& p, ByteOff slot, const Inode& dir)
      : p_(p), slot_(slot), dir_(dir), ino_(dir.ino.load()), extents_(read_extents(p, dir)) {}

  void run() {
    const auto mark = p_.out.mark();
    read_blocks();
    check_duplicates();
    link();
    check_count(p_.out.since(mark));
    if (p_.out.since(mark) && p_.repairing() && !lost_) {
      write();
      p_.settle(mark);
    }
  }

 private:
  template <typename... Args>
  void say(Problem problem, BlockNo block, fmt::format_string<Args...> format, Args&&... args) {
    p_.out.add(problem, ino_, block, format, std::forward<Args>(args)...);
  }

  void read_blocks() {
    bool broken = false;
    for (const Piece& piece : extents_.pieces) {
      broken |= piece.logical != blocks_.size() || piece.unwritten;
      for (std::uint64_t i = 0; i < piece.count; ++i) {
        read_block(BlockNo(piece.physical.value + i), piece.logical + i, piece.unwritten);
      }
    }
    if (broken) {
      say(Problem::kDirectoryMap, BlockNo(), "its blocks do not follow each other");
    }
  }

  void read_block(BlockNo physical, std::uint64_t index, bool unwritten) {
    DirBlock& block = blocks_.emplace_back(p_, dir_, physical, index);
    if (p_.region.lost(format::byte_off(physical), format::kBlockSize)) {
      say(Problem::kMediaLost, physical, "block {} of it cannot be read", index);
      lost_ = true;
      p_.names_hidden = true;
      block.entries().clear();
      return;
    }
    if (unwritten) {
      block.entries().clear();
      return;
    }
    if (block.fault() != nullptr) {
      say(Problem::kDirectoryBlock, physical, "block {} of it {}", index, block.fault());
    } else if (block.leaks()) {
      say(Problem::kDirectoryBlock, physical, "block {} of it has slots without entries", index);
    }
    if (block.damaged() != 0) {
      say(Problem::kEntryDamaged, physical, "an entry in block {} of it is damaged", index);
    }
    std::erase_if(block.entries(), [&](const Entry& entry) { return !check(entry, physical); });
  }

  [[nodiscard]] std::string shown(BlockNo block, const Entry& entry) const {
    return printable(name_of(p_, block, entry.slot));
  }

  bool check(const Entry& entry, BlockNo block) {
    if (!store::is_legal_name(name_of(p_, block, entry.slot))) {
      say(Problem::kEntryName, block, "has an entry '{}', which is no name", shown(block, entry));
      return false;
    }
    const Target target = p_.target(entry.ino);
    if (target == Target::kUnknown) {
      return true;
    }
    if (target != Target::kUsed) {
      const auto slot = p_.slot(entry.ino);
      if (slot && p_.is_lost<Inode>(*slot)) {
        return true;  // it may come back
      }
      say(Problem::kEntryTarget, block, "'{}' leads to inode {}, which is {}", shown(block, entry),
          entry.ino, target == Target::kFree ? "free" : "damaged");
      return false;
    }
    check_type_and_hash(entry, block);
    return true;
  }

  void check_type_and_hash(const Entry& entry, BlockNo block) {
    const ByteOff at = entry_at(block, entry.slot);
    const auto type = static_cast<std::uint8_t>(IFTODT(p_.node(entry.ino)->mode));
    auto dentry = p_.load<format::Dentry>(at);
    const bool type_right = dentry.type == type;
    const bool hash_right = dentry.hash.load() == entry.hash;
    if (!type_right) {
      say(Problem::kEntryType, block, "'{}' has type {} but leads to one of type {}",
          shown(block, entry), dentry.type, type);
    }
    if (!hash_right) {
      say(Problem::kEntryHash, block, "the hash of '{}' is wrong", shown(block, entry));
    }
    if ((!type_right || !hash_right) && p_.repairing()) {
      dentry.type = type;
      dentry.hash.store(entry.hash);
      format::seal(dentry, name_of(p_, block, entry.slot));
      p_.fixer->write(at, &dentry, sizeof(dentry));
    }
  }

  // An entry for the comparison of names.
  struct Name {
    std::uint32_t hash = 0;
    std::uint32_t slot = 0;
    std::size_t place = 0;  // in blocks_
  };

  // Of the same names the one at the lowest position counts.
  void check_duplicates() {
    std::vector<Name> names;
    for (std::size_t i = 0; i < blocks_.size(); ++i) {
      for (const Entry& entry : blocks_[i].entries()) {
        names.push_back({entry.hash, entry.slot, i});
      }
    }
    const auto text = [this](const Name& n) {
      return name_of(p_, blocks_[n.place].block(), n.slot);
    };
    std::sort(names.begin(), names.end(), [&](const Name& a, const Name& b) {
      if (a.hash != b.hash) {
        return a.hash < b.hash;
      }
      const int order = text(a).compare(text(b));
      return order != 0 ? order < 0 : std::tie(a.place, a.slot) < std::tie(b.place, b.slot);
    });
    for (std::size_t i = 1; i < names.size(); ++i) {
      const Name& name = names[i];
      if (name.hash == names[i - 1].hash && text(name) == text(names[i - 1])) {
        DirBlock& block = blocks_[name.place];
        say(Problem::kEntryDuplicate, block.block(), "has the name '{}' twice",
            printable(text(name)));
        std::erase_if(block.entries(), [&](const Entry& e) { return e.slot == name.slot; });
      }
    }
  }

  // Tells the nodes who leads to them.
  void link() {
    for (DirBlock& block : blocks_) {
      std::erase_if(block.entries(), [&](const Entry& entry) {
        Node* const node = p_.node(entry.ino);
        return node != nullptr && !link_to(*node, block.block(), entry);
      });
      entries_ += block.entries().size();
    }
    p_.node(ino_.value)->has_entries = entries_ > 0;
  }

  bool link_to(Node& node, BlockNo block, const Entry& entry) {
    const std::uint64_t at = entry_at(block, entry.slot).value;
    const auto here = static_cast<std::uint32_t>(ino_.value);
    if (!S_ISDIR(node.mode)) {
      if (node.found++ == 0) {
        node.parent = here;
        node.name_at = at;
      }
      return true;
    }
    if (node.ino != kRootInode.value && node.said_parent != here) {
      p_.strays.push_back({ByteOff(at), here, node.ino});  // if it has no better name
      return true;
    }
    if (node.ino == kRootInode.value || node.named) {
      say(Problem::kDirectoryNames, block, "'{}' is another name of directory {}",
          shown(block, entry), node.ino);
      return false;
    }
    node.named = true;
    node.parent = here;
    node.name_at = at;
    p_.node(ino_.value)->found++;
    return true;
  }

  // Not told of what has been told to have lost entries.
  void check_count(bool told) {
    if (dir_.entries.load() != entries_ && !told) {
      say(Problem::kEntryCount, BlockNo(), "says that it has {} entries, but has {}",
          dir_.entries.load(), entries_);
    }
    dir_.entries.store(entries_);
  }

  // Blocks move to lower places only, in ascending order: what a crash leaves of that never maps a
  // place twice.
  void write() {
    std::uint64_t index = 0;
    for (const Piece& piece : extents_.pieces) {
      if (piece.logical != index || piece.unwritten) {
        write_piece(piece, index);
      }
      index += piece.count;
    }
    for (std::size_t i = 0; i < blocks_.size(); ++i) {
      const DirHeader header = blocks_[i].header(i);
      const ByteOff at = format::byte_off(blocks_[i].block());
      if (std::memcmp(&header, p_.region.data() + at.value, sizeof(header)) != 0) {
        p_.fixer->write(at, &header, sizeof(header));
      }
    }
    if (const auto media = p_.load<Inode>(slot_); std::memcmp(&media, &dir_, sizeof(media)) != 0) {
      p_.fixer->put_inode(slot_, dir_);
    }
  }

  void write_piece(const Piece& piece, std::uint64_t logical) {
    format::ExtentSlot slot{};
    slot.extent.logical.store(logical);
    slot.extent.physical.store(piece.physical.value);
    slot.extent.count.store(static_cast<std::uint32_t>(piece.count));
    if (!piece.at) {
      dir_.extents[piece.slot] = slot.extent;
      return;
    }
    format::seal(slot);
    p_.fixer->write(piece.at, &slot, sizeof(slot));
  }

  Pass& p_;
  ByteOff slot_;
  Inode dir_;
  InodeNo ino_;
  Extents extents_;
  std::vector<DirBlock> blocks_;  // in the order of the directory
  std::uint64_t entries_ = 0;
  bool lost_ = false;
};

}  // namespace

void check_directories(Pass& p) {
  std::size_t done = 0;
  for (const Node& node : p.nodes) {
    if (!S_ISDIR(node.mode)) {
      continue;
    }
    if (!p.progress(Phase::kDirectories, done++, p.counts.directories)) {
      return;
    }
    if (const auto slot = p.slot(node.ino)) {
      DirectoryCheck(p, *slot, p.load<Inode>(*slot)).run();
    }
  }
}

}  // namespace pmemfs::check
