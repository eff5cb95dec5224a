// The second half of what links inodes: one parent for each directory, all reachable, links
// counted.
#include <sys/stat.h>

#include <vector>

#include "check/dir_block.hpp"
#include "check/pass.hpp"
#include "check/text.hpp"
#include "format/checks.hpp"

namespace pmemfs::check {
namespace {

using format::Inode;
using Walk = Node::Walk;

class Tree {
 public:
  explicit Tree(Pass& p) : p_(p) {}

  void run() {
    check_root();
    settle_strays();
    for (Node& node : p_.nodes) {
      if (S_ISDIR(node.mode)) {
        walk_up(node);
      }
    }
    std::size_t done = 0;
    for (Node& node : p_.nodes) {
      if (done++ % kStride == 0) {
        p_.progress(Phase::kLinks, done, p_.nodes.size());
      }
      judge(node);
    }
  }

 private:
  static constexpr std::size_t kStride = 65536;

  template <typename F>
  void change_inode(const Node& node, Findings::Mark mark, F&& change) {
    const auto slot = p_.slot(node.ino);
    if (p_.repairing() && slot) {
      auto inode = p_.load<Inode>(*slot);
      change(inode);
      p_.fixer->put_inode(*slot, inode);
      p_.settle(mark);
    }
  }

  void check_root() {
    Node* const root = p_.node(kRootInode.value);
    if (root != nullptr && root->said_parent != kRootInode.value) {
      set_parent(*root, kRootInode.value);
    }
  }

  void set_parent(const Node& node, std::uint64_t parent) {
    const auto mark = p_.out.mark();
    p_.out.add(Problem::kDirectoryParent, InodeNo(node.ino), BlockNo(),
               "says that it lies in directory {}, but lies in {}", node.said_parent, parent);
    change_inode(node, mark, [&](Inode& inode) { inode.parent.store(parent); });
  }

  // A directory without a name where it says that it lies takes the first that leads to it.
  void settle_strays() {
    for (const Stray& stray : p_.strays) {
      Node& node = *p_.node(stray.target);
      Node& dir = *p_.node(stray.dir);
      if (node.named) {
        drop_entry(stray, dir);
        continue;
      }
      node.named = true;
      node.parent = stray.dir;
      node.name_at = stray.entry.value;
      dir.subdirs++;
      set_parent(node, stray.dir);
    }
  }

  void drop_entry(const Stray& stray, const Node& dir) {
    const auto mark = p_.out.mark();
    const BlockNo block(stray.entry.value / format::kBlockSize);
    const auto slot =
        static_cast<std::uint32_t>(stray.entry.value % format::kBlockSize / format::kDirSlotSize);
    p_.out.add(Problem::kDirectoryNames, InodeNo(dir.ino), block,
               "'{}' is another name of directory {}", printable(name_of(p_, block, slot)),
               stray.target);
    if (p_.repairing()) {
      remove_entry(dir, block, slot, mark);
    }
  }

  // Takes an entry out of a directory that is sound.
  void remove_entry(const Node& dir, BlockNo block, std::uint32_t slot, Findings::Mark mark) {
    const auto inode_slot = p_.slot(dir.ino);
    auto header = p_.load<format::DirHeader>(format::byte_off(block));
    const auto entry = read_entry(p_, block, slot);
    if (!inode_slot || !entry) {
      return;
    }
    header.used.store(header.used.load() & ~(((1ULL << entry->slots) - 1) << slot));
    header.heads.store(header.heads.load() & ~(1ULL << slot));
    format::seal(header);
    p_.fixer->write(format::byte_off(block), &header, sizeof(header));
    change_inode(dir, mark, [](Inode& inode) { inode.entries.store(inode.entries.load() - 1); });
  }

  // Who is met again on its own way lies on a circle.
  void walk_up(Node& from) {
    std::vector<Node*> way;
    Node* at = &from;
    while (at != nullptr && at->walk == Walk::kUnknown) {
      at->walk = Walk::kUnderWay;
      way.push_back(at);
      if (at->ino == kRootInode.value) {
        at->walk = Walk::kReaches;
        break;
      }
      at = at->named ? p_.node(at->parent) : nullptr;
    }
    if (at != nullptr && at->walk == Walk::kUnderWay) {
      open_circle(*at);
    }
    const bool reaches = at != nullptr && at->walk == Walk::kReaches;
    for (Node* node : way) {
      node->walk = reaches ? Walk::kReaches : Walk::kApart;
    }
  }

  // Its name within the circle goes, so that it can get another.
  void open_circle(Node& node) {
    p_.out.add(Problem::kUnreachable, InodeNo(node.ino), BlockNo(),
               "the directory lies in one that lies in it");
    Node& dir = *p_.node(node.parent);
    node.named = false;
    dir.subdirs--;
    node.adrift = true;
    p_.adrift.push_back(node.ino);
    if (p_.repairing()) {
      const auto slot =
          static_cast<std::uint32_t>(node.name_at % format::kBlockSize / format::kDirSlotSize);
      remove_entry(dir, BlockNo(node.name_at / format::kBlockSize), slot, p_.out.mark());
    }
    node.name_at = 0;
  }

  void judge(Node& node) {
    const bool directory = S_ISDIR(node.mode);
    const bool nameless = directory ? !node.named && node.ino != kRootInode.value : node.names == 0;
    if (p_.names_hidden) {
      return;
    }
    if (!nameless) {
      check_links(node, directory ? 2 + node.subdirs : node.names);
    } else if (node.nlink == 0 && !node.has_entries) {
      p_.counts.orphans++;
    } else if (!node.adrift) {
      p_.out.add(Problem::kUnreachable, InodeNo(node.ino), BlockNo(),
                 "no directory leads to the {}", directory ? "directory" : "file");
      node.adrift = true;
      p_.adrift.push_back(node.ino);
    }
  }

  void check_links(const Node& node, std::uint32_t found) {
    if (node.nlink == found) {
      return;
    }
    const auto mark = p_.out.mark();
    p_.out.add(Problem::kLinkCount, InodeNo(node.ino), BlockNo(), "has {} links, but says {}",
               found, node.nlink);
    change_inode(node, mark, [&](Inode& inode) { inode.nlink.store(found); });
  }

  Pass& p_;
};

}  // namespace

void check_tree(Pass& p) {
  Tree(p).run();
}

}  // namespace pmemfs::check
