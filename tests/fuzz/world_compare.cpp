#include <fcntl.h>
#include <sys/stat.h>

#include <cstring>
#include <map>
#include <set>

#include "world.hpp"

namespace pmemfs::fuzz {

void World::compare_attributes(const ModelNode& node) {
  const auto found = fs().getattr(InodeNo(node.ino));
  demand(found.ok(), "getattr");
  demand_equal(node.mode, found->mode, "the mode");
  demand_equal(node.nlink, found->nlink, "the link count");
  demand_equal(node.durable ? 1 : 0, found->durable ? 1 : 0, "the durable flag");
  if (!node.directory()) {
    demand_equal(node.content.size(), found->size, "the size");
  }
}

void World::compare_directory(const ModelNode& dir) {
  std::map<std::string, std::uint64_t> found;
  std::uint64_t cookie = 0;
  for (bool more = true; more;) {
    more = false;
    const Status listed = fs().list(InodeNo(dir.ino), cookie, false, [&](const ListedEntry& e) {
      demand(found.emplace(e.name, e.ino.value).second, "a name is listed twice");
      cookie = e.next;
      more = true;
      return true;
    });
    demand(listed.ok(), "readdir");
  }
  std::map<std::string, std::uint64_t> expected{{".", dir.ino}, {"..", dir.parent->ino}};
  for (const auto& [name, node] : dir.entries) {
    expected.emplace(name, node->ino);
    const auto at = fs().lookup(InodeNo(dir.ino), name);
    demand(at.ok(), "lookup");
    demand_equal(node->ino, at->ino.value, "the inode of a name");
    fs().forget(at->ino, 1);
  }
  demand(found == expected, "what a directory lists");
}

void World::compare_content(const ModelNode& node) {
  const auto opened = fs().open_file(InodeNo(node.ino), O_RDONLY, false);
  demand(opened.ok(), "open");
  std::string content(node.content.size() + 10, '?');
  const auto n = fs().read(opened->handle, 0, std::as_writable_bytes(std::span(content)));
  fs().release(opened->handle);
  demand(n.ok(), "read");
  demand_equal(node.content.size(), *n, "the length of a file");
  content.resize(*n);
  demand(content == node.content, "the content of a file");
}

void World::compare_xattrs(const ModelNode& node) {
  const auto names = fs().listxattr(kRoot, InodeNo(node.ino));
  demand(names.ok(), "listxattr");
  demand_equal(node.xattrs.size(), names->size(), "the number of xattrs");
  for (const auto& [name, value] : node.xattrs) {
    const auto found = fs().getxattr(InodeNo(node.ino), name);
    demand(found.ok(), "getxattr");
    demand_equal(value.size(), found->size(), "the length of an xattr");
    demand(value.empty() || std::memcmp(value.data(), found->data(), value.size()) == 0,
           "the value of an xattr");
  }
}

void World::compare() {
  for (const NodePtr& node : model_.nodes()) {
    compare_attributes(*node);
    compare_xattrs(*node);
    if (node->directory()) {
      compare_directory(*node);
    } else if (node->regular()) {
      compare_content(*node);
    } else if (S_ISLNK(node->mode)) {
      const auto target = fs().readlink(InodeNo(node->ino));
      demand(target.ok() && *target == node->content, "the target of a symlink");
    }
  }
  for (const Open& o : open_) {
    compare_attributes(*o.node);
  }
}

}  // namespace pmemfs::fuzz
