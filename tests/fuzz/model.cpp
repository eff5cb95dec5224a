#include "model.hpp"

#include <linux/fs.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <set>
#include <utility>

namespace pmemfs::fuzz {
namespace {

bool above(const ModelNode* upper, const ModelNode& dir) {
  for (const ModelNode* at = &dir;; at = at->parent) {
    if (at == upper) {
      return true;
    }
    if (at->parent == at) {
      return false;
    }
  }
}

void drop(ModelNode& dir, const std::string& name) {
  const NodePtr node = dir.entries.at(name);
  dir.entries.erase(name);
  if (node->directory()) {
    --dir.nlink;
    node->nlink = 0;
  } else {
    --node->nlink;
  }
}

// A name for a node that has been taken from `from`.
void put(ModelNode& to, const std::string& name, const NodePtr& node, ModelNode& from) {
  to.entries[name] = node;
  if (node->directory()) {
    --from.nlink;
    ++to.nlink;
    node->parent = &to;
  }
}

int check_rename(const ModelNode& from, const NodePtr& old, const ModelNode& to,
                 const NodePtr& present, unsigned flags) {
  const bool exchange = (flags & RENAME_EXCHANGE) != 0;
  const bool apart = &from != &to;
  if (!old) {
    return ENOENT;
  }
  if (apart && above(old.get(), to)) {
    return EINVAL;
  }
  if (apart && present && above(present.get(), from)) {
    return exchange ? EINVAL : ENOTEMPTY;
  }
  if (!present) {
    return exchange ? ENOENT : 0;
  }
  if ((flags & RENAME_NOREPLACE) != 0) {
    return EEXIST;
  }
  if (exchange) {
    return 0;
  }
  if (old->directory() != present->directory()) {
    return old->directory() ? ENOTDIR : EISDIR;
  }
  return present->entries.empty() ? 0 : ENOTEMPTY;
}

}  // namespace

bool ModelNode::directory() const {
  return S_ISDIR(mode);
}
bool ModelNode::regular() const {
  return S_ISREG(mode);
}

Model::Model() : root_(std::make_shared<ModelNode>()) {
  root_->mode = S_IFDIR | 0755U;
  root_->nlink = 2;
  root_->ino = 1;
  root_->parent = root_.get();
}

std::vector<NodePtr> Model::nodes() const {
  std::vector<NodePtr> found{root_};
  std::set<ModelNode*> seen{root_.get()};
  for (std::size_t i = 0; i < found.size(); ++i) {
    const NodePtr dir = found[i];
    for (const auto& [name, node] : dir->entries) {
      if (seen.insert(node.get()).second) {
        found.push_back(node);
      }
    }
  }
  return found;
}

std::vector<ModelNode*> Model::directories() const {
  std::vector<ModelNode*> found;
  for (const NodePtr& node : nodes()) {
    if (node->directory()) {
      found.push_back(node.get());
    }
  }
  return found;
}

NodePtr Model::find(const ModelNode& dir, const std::string& name) {
  const auto at = dir.entries.find(name);
  return at == dir.entries.end() ? nullptr : at->second;
}

int Model::make(ModelNode& dir, const std::string& name, std::uint32_t mode, NodePtr* made) {
  if (find(dir, name)) {
    return EEXIST;
  }
  auto node = std::make_shared<ModelNode>();
  node->mode = mode;
  node->durable = dir.durable && (S_ISREG(mode) || S_ISDIR(mode));
  if (node->directory()) {
    node->nlink = 2;
    node->mode |= dir.mode & static_cast<std::uint32_t>(S_ISGID);
    node->parent = &dir;
    ++dir.nlink;
  }
  dir.entries[name] = node;
  *made = node;
  return 0;
}

int Model::link(const NodePtr& node, ModelNode& dir, const std::string& name) {
  if (node->directory()) {
    return EPERM;
  }
  if (find(dir, name)) {
    return EEXIST;
  }
  dir.entries[name] = node;
  ++node->nlink;
  node->nameless = false;
  return 0;
}

int Model::unlink(ModelNode& dir, const std::string& name) {
  const NodePtr node = find(dir, name);
  if (!node) {
    return ENOENT;
  }
  if (node->directory()) {
    return EISDIR;
  }
  drop(dir, name);
  return 0;
}

int Model::rmdir(ModelNode& dir, const std::string& name) {
  const NodePtr node = find(dir, name);
  if (!node) {
    return ENOENT;
  }
  if (!node->directory()) {
    return ENOTDIR;
  }
  if (!node->entries.empty()) {
    return ENOTEMPTY;
  }
  drop(dir, name);
  return 0;
}

int Model::rename(ModelNode& from, const std::string& name, ModelNode& to,
                  const std::string& new_name, unsigned flags) {
  const NodePtr old = find(from, name);
  const NodePtr present = find(to, new_name);
  if (const int code = check_rename(from, old, to, present, flags); code != 0) {
    return code;
  }
  if (old == present) {
    return 0;
  }
  if ((flags & RENAME_EXCHANGE) != 0) {
    put(to, new_name, old, from);
    put(from, name, present, to);
    return 0;
  }
#ifdef PMEMFS_CONTROL_MODEL  // a test's control: the target must find that the two differ
  constexpr bool kDrops = false;
#else
  constexpr bool kDrops = true;
#endif
  if (present && kDrops) {
    drop(to, new_name);
  }
  from.entries.erase(name);
  put(to, new_name, old, from);
  return 0;
}

int Model::resize(ModelNode& node, std::uint64_t size) {
  if (node.directory()) {
    return EISDIR;
  }
  if (!node.regular()) {
    return EINVAL;
  }
  if (node.durable && size < node.content.size()) {
    return ETXTBSY;
  }
  node.content.resize(size);
  return 0;
}

void Model::write(ModelNode& node, std::uint64_t off, std::string_view bytes) {
  if (!bytes.empty() && off + bytes.size() > node.content.size()) {
    node.content.resize(off + bytes.size());
  }
  std::copy(bytes.begin(), bytes.end(), node.content.begin() + static_cast<std::ptrdiff_t>(off));
}

}  // namespace pmemfs::fuzz
