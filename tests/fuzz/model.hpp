// A filesystem as simple as can be: what the real one must answer.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace pmemfs::fuzz {

struct ModelNode;
using NodePtr = std::shared_ptr<ModelNode>;

struct ModelNode {
  std::uint32_t mode = 0;  // as st_mode
  std::uint32_t nlink = 1;
  std::uint64_t ino = 0;  // what the real one has
  bool durable = false;
  bool nameless = false;  // made without a name, which it may still get
  int opens = 0;
  std::string content;  // of files; the target of symlinks
  std::map<std::string, std::string> xattrs;
  std::map<std::string, NodePtr> entries;
  ModelNode* parent = nullptr;  // of directories; of the root itself

  [[nodiscard]] bool directory() const;
  [[nodiscard]] bool regular() const;
};

// The tree. Functions return the errno; nothing has changed when it is not 0.
class Model {
 public:
  Model();

  [[nodiscard]] ModelNode& root() { return *root_; }
  // All directories that have a name, the root first; all nodes that have one, each once.
  [[nodiscard]] std::vector<ModelNode*> directories() const;
  [[nodiscard]] std::vector<NodePtr> nodes() const;
  [[nodiscard]] static NodePtr find(const ModelNode& dir, const std::string& name);

  // A new node of this mode; inherits what a directory hands down.
  static int make(ModelNode& dir, const std::string& name, std::uint32_t mode, NodePtr* made);
  static int link(const NodePtr& node, ModelNode& dir, const std::string& name);
  static int unlink(ModelNode& dir, const std::string& name);
  static int rmdir(ModelNode& dir, const std::string& name);
  static int rename(ModelNode& from, const std::string& name, ModelNode& to,
                    const std::string& new_name, unsigned flags);
  static int resize(ModelNode& node, std::uint64_t size);
  static void write(ModelNode& node, std::uint64_t off, std::string_view bytes);

 private:
  NodePtr root_;
};

}  // namespace pmemfs::fuzz
