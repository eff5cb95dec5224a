// All that a user can see of a filesystem, as a value.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "crash/world.hpp"

namespace pmemfs::crash {

// One name. What hard links share stands at each of them.
struct Entry {
  std::uint64_t ino = 0;
  std::uint64_t generation = 0;
  std::uint32_t mode = 0;
  std::uint32_t nlink = 0;
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::uint64_t size = 0;
  bool durable = false;
  std::string times;    // atime, mtime, ctime, btime
  std::string content;  // of a file; a symbolic link's target
  std::map<std::string, std::string> xattrs;

  [[nodiscard]] bool is_file() const;
  bool operator==(const Entry&) const = default;
};

using Tree = std::map<std::string, Entry>;  // by path; "" is the root

// Walks everything. Throws std::runtime_error when something cannot be read, which it must.
Tree read_tree(World& world);

// One line for each difference.
std::string difference(const Tree& found, const Tree& expected);

}  // namespace pmemfs::crash
