// readdir: entries are gathered in batches under the directory's lock and offered without it, since
// looking at an entry's attributes takes the entry's own lock.
#include <dirent.h>

#include <string>
#include <vector>

#include "core/attributes.hpp"
#include "core/directories.hpp"
#include "core/names.hpp"

namespace pmemfs::core {

namespace {

constexpr std::size_t kBatch = 64;
// Cookies: 0 ".", 1 "..", then position + 2.
constexpr std::uint64_t kFirstPosition = 2;

struct Gathered {
  std::string name;
  InodeNo ino;
  std::uint8_t type = 0;
  std::uint64_t next = 0;
  NodeRef node;  // pinned when attributes are wanted
};

Result<std::vector<Gathered>> gather(Context& c, Node& dir, std::uint64_t position, bool pin) {
  std::vector<Gathered> batch;
  PMEMFS_TRY(const auto lock, lock_directory(c, dir));
  while (batch.size() < kBatch) {
    PMEMFS_TRY(const auto entry, dir.directory->next(position));
    if (!entry) {
      break;
    }
    position = entry->position + 1;
    batch.push_back({std::string(entry->name), entry->ino, entry->type, position + kFirstPosition,
                     pin ? c.nodes.get(entry->ino) : NodeRef()});
  }
  return batch;
}

// Offers one entry with its attributes; the reference it hands out is taken back when it is
// refused.
bool offer_with_attributes(Context& c, Gathered& g, const ListSink& sink) {
  ListedEntry entry{g.name, g.ino, g.type, g.next, nullptr};
  Result<Attributes> found = Error(ENOENT);
  {
    const std::shared_lock lock(g.node->lock);
    if (const auto inode = read_inode(c, *g.node); inode && inode->nlink.load() != 0) {
      found = attributes(c, *g.node, *inode);
    }
    if (found) {
      c.nodes.add_lookup(*g.node);
      entry.attributes = &found.value();
    }
  }
  const bool taken = sink(entry);
  if (found && !taken) {
    c.nodes.forget(g.ino, 1);
  }
  return taken;
}

bool offer_dot(const ListSink& sink, std::string_view name, InodeNo ino, std::uint64_t next) {
  return sink({name, ino, DT_DIR, next, nullptr});
}

}  // namespace

Status list(Context& c, InodeNo dir, std::uint64_t cookie, bool with_attributes,
            const ListSink& sink, bool touch) {
  const NodeRef node = c.nodes.get(dir);
  if (cookie < kFirstPosition) {
    std::shared_lock lock(node->lock);
    PMEMFS_TRY(const InodeRecord inode, read_inode(c, *node));
    lock.unlock();
    if (!is_directory(inode)) {
      return Error(ENOTDIR);
    }
    if (touch && c.options.update_directory_atime) {
      touch_atime(c, *node);
    }
    if (cookie == 0 && !offer_dot(sink, ".", dir, 1)) {
      return {};
    }
    if (!offer_dot(sink, "..", InodeNo(inode.parent.load()), kFirstPosition)) {
      return {};
    }
    cookie = kFirstPosition;
  }
  for (;;) {
    PMEMFS_TRY(auto batch, gather(c, *node, cookie - kFirstPosition, with_attributes));
    if (batch.empty()) {
      return {};
    }
    for (Gathered& g : batch) {
      const bool taken = with_attributes ? offer_with_attributes(c, g, sink)
                                         : sink({g.name, g.ino, g.type, g.next, nullptr});
      if (!taken) {
        return {};
      }
    }
    cookie = batch.back().next;
  }
}

}  // namespace pmemfs::core
