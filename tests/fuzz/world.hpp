#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "input.hpp"
#include "model.hpp"
#include "rig.hpp"

namespace pmemfs::fuzz {

// The real filesystem and its model, side by side.
class World {
 public:
  explicit World(Input& input);

  // All operations of the input, then a comparison, an unmount and another comparison.
  void run();

 private:
  struct Open {
    HandleId handle = 0;
    NodePtr node;
  };
  static constexpr std::size_t kMostOpen = 6;
  static constexpr std::size_t kMostDirectories = 6;

  void step();

  // What the input chooses.
  ModelNode& directory();
  std::string name();
  NodePtr node();
  Open* file();

  // Names: world_names.cpp.
  void create();
  void make_other();
  void link();
  void link_nameless();
  void remove();
  void rename();
  void tmpfile();
  void adopt(const NodePtr& node, const Attributes& found);

  // Data: world_data.cpp.
  void open();
  void release();
  void write();
  void read();
  void truncate();
  void allocate();
  void copy();
  void seek();
  void sync();
  void keep_open(HandleId handle, const NodePtr& node);

  // Attributes: world_attributes.cpp.
  void chmod();
  void set_xattr();
  void remove_xattr();
  void durable();

  // As a whole: world.cpp.
  void remount();
  void crash();
  void rearrange();
  void forget_open_files();

  // Comparison: world_compare.cpp.
  void compare();
  void compare_attributes(const ModelNode& node);
  void compare_directory(const ModelNode& dir);
  void compare_content(const ModelNode& node);
  void compare_xattrs(const ModelNode& node);

  Input& input_;
  Rig rig_;
  Filesystem& fs() { return rig_.fs(); }
  Model model_;
  std::vector<Open> open_;
};

}  // namespace pmemfs::fuzz
