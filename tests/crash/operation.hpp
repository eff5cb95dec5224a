// What the explorer does to a filesystem: the alphabet of its workloads.
#pragma once

#include <functional>
#include <random>
#include <string>
#include <vector>

#include "crash/world.hpp"

namespace pmemfs::crash {

// One operation. `run` is an errno value; a failure is a result like any other, that changes
// nothing.
struct Operation {
  std::string name;
  std::function<int(World&)> run;
  // What is on media when it has succeeded, though it is the host's: the content of these files,
  // "*" for every file. What a replacing rename and the durable flag promise is not listed here.
  std::vector<std::string> syncs{};
  // Makes several changes, each atomic: a cut shows the file of any size between. (Any growth of a
  // durable file does.)
  bool gradual = false;
  // Bytes that go through a mapping: when the file is durable they are on media at once.
  struct Store {
    std::string path;
    std::uint64_t off = 0;
    std::uint64_t length = 0;
  };
  std::vector<Store> stores{};
};

// The files and directories that workloads begin with, all on media:
//   a        file of two and a half blocks
//   b        file of 5000 bytes with an xattr, also reachable as d/b2
//   d/c      small file in a directory with a default ACL
//   e        empty directory
//   l        symbolic link
//   p        durable file of three blocks
//   s        file with a hole
Media make_start(Placement placement);

// Every operation, on those names and on n, which is not there.
std::vector<Operation> operations(Placement placement);

// On data, of any of the files, with chosen places, lengths and bytes.
Operation random_operation(std::mt19937_64& rng);

// The one with this name. Throws std::out_of_range.
const Operation& find_operation(const std::vector<Operation>& all, const std::string& name);

}  // namespace pmemfs::crash
