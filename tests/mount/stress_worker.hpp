#pragma once

// Random namespace operations in one subtree that nobody else touches, beside a model of it.

#include <map>
#include <memory>
#include <string>

#include "support/mount_random.hpp"
#include "support/mount_sys.hpp"
#include "support/mount_tree.hpp"

namespace pmemfs::test {

class StressWorker {
 public:
  // `root` exists and is empty.
  StressWorker(std::string root, std::uint64_t seed) : root_(std::move(root)), random_(seed) {}

  // Throws with the operation and its errno when one does not end as the model says.
  void run(std::uint64_t operations);
  // What tree_of() must find, without times and inode numbers.
  [[nodiscard]] Tree expected() const;

 private:
  struct Node {
    mode_t mode = 0;  // with the type
    uid_t uid = 0;
    gid_t gid = 0;
    std::string content;  // or a symlink's target
    std::map<std::string, std::string> xattrs;
  };
  using Nodes = std::map<std::string, std::shared_ptr<Node>>;  // by path below the root

  void step();
  void make_file_or_node();
  void make_directory();
  void make_symlink();
  void make_link();
  void remove();
  void rename();
  void exchange();
  void write();
  void cut();
  void change_mode();
  void change_owner();
  void change_xattr();

  std::string any_directory();  // "" is the root
  std::string new_or_old_name(const std::string& dir);
  std::string any_path();                // "" when there is none
  std::string any_path_of(mode_t type);  // the same, of a type
  [[nodiscard]] bool is_directory(const std::string& path) const;
  [[nodiscard]] bool is_empty(const std::string& dir) const;
  [[nodiscard]] bool lies_in(const std::string& path, const std::string& dir) const;
  Nodes take(const std::string& path);  // a name and all below it
  void put(const std::string& path, const Nodes& nodes);
  [[nodiscard]] Errno rename_result(const std::string& from, const std::string& to) const;
  void add(const std::string& path, mode_t mode, Errno result);
  void expect(const char* what, const std::string& path, Errno expected, Errno found) const;
  [[nodiscard]] std::string full(const std::string& path) const { return root_ + "/" + path; }
  [[nodiscard]] std::string describe(const std::string& path, const Node& node) const;

  std::string root_;
  Random random_;
  Nodes nodes_;
  std::uint64_t count_ = 0;
};

}  // namespace pmemfs::test
