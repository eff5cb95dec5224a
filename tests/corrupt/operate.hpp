#pragma once

#include <cstdint>
#include <vector>

#include "answers.hpp"
#include "pmemfs/filesystem.hpp"
#include "walk.hpp"

namespace pmemfs::test {

// Does everything that changes something: to the names of inode `focus` and those in it when it is
// a directory, to a few others, and to the filesystem as a whole.
void operate(Filesystem& fs, const std::vector<FoundName>& names, std::uint64_t focus,
             Answers& answers);

}  // namespace pmemfs::test
