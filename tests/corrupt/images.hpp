// The whole corpus, or the part of it that the environment asks for:
//
//   PMEMFS_CORRUPT_ONLY=TEXT   all images whose name has this in it, and no others
//   PMEMFS_CORRUPT_EVERY=N     every N-th of the systematic ones; 1: all. PMEMFS_SEED: which ones
//   PMEMFS_CORRUPT_ROUNDS=N    so many images of each sample with many damages
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "exercise.hpp"

namespace pmemfs::test {

struct Image {
  std::string name;
  std::uint64_t focus = 1;  // inode that the damage concerns
  DamageImage damage;
  std::uint64_t size = 0;  // of a region that was cut off; 0: as the sample is
};

// The text of PMEMFS_CORRUPT_ONLY.
[[nodiscard]] std::optional<std::string> only();

// Calls `run` for each. One that hangs ends the program by SIGABRT, in which the test framework
// says what was captured. Returns how many there were.
int for_each_image(const std::function<void(const Sample&, const Image&)>& run);

}  // namespace pmemfs::test
