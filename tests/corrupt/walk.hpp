#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "answers.hpp"
#include "pmemfs/filesystem.hpp"

namespace pmemfs::test {

// One name that a walk found.
struct FoundName {
  InodeNo dir;
  std::string name;
  InodeNo ino;
  std::uint32_t mode = 0;  // 0: its attributes cannot be read
};

// Lists every directory that can be reached, each once, and reads everything of what is found:
// attributes, symlink targets, xattrs, content at the places that count. Bounded, whatever is
// there.
[[nodiscard]] std::vector<FoundName> walk(Filesystem& fs, Answers& answers);

}  // namespace pmemfs::test
