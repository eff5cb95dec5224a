#pragma once

// A whole tree as text, to compare it with a model or with itself after a remount.

#include <map>
#include <string>

namespace pmemfs::test {

// Path below the root → everything that must survive: type, mode, owner, links, size, times,
// content, target, xattrs.
using Tree = std::map<std::string, std::string>;

struct TreeDetail {
  bool times = true;    // mtime of everything, ctime of none
  bool content = true;  // of regular files, as a hash
  bool inodes = true;   // inode numbers
  bool xattrs = true;
};

Tree tree_of(const std::string& root, const TreeDetail& detail = {});
// What differs, one line for each path, cut after some; empty when equal.
std::string tree_difference(const Tree& expected, const Tree& found);

// A hash of bytes (FNV-1a, 64 bits), as text.
std::string hash_of(const std::string& content);

}  // namespace pmemfs::test
