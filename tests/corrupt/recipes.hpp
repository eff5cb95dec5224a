// The systematic part of the corpus: each field of each kind of structure, set to each value that
// programs trip over.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "sample.hpp"

namespace pmemfs::test {

enum class Spoil : std::uint8_t {
  kFlip,  // one bit, with the crc left wrong; all others have it right
  kZero,
  kOnes,
  kMore,  // plus 1
  kLess,
  kSign,     // the highest bit changed
  kAnother,  // what the next structure of the kind has there
};

// One image: a sample and one change to it.
struct Recipe {
  const Sample* sample = nullptr;
  Structure structure;
  Structure another;  // of the same kind
  Field field;
  Spoil spoil{};

  void apply(std::span<std::byte> image) const;
  // "extents-dirty/inode 5 at 1052928/size/ones": says all that is needed to find it again.
  [[nodiscard]] std::string name() const;
};

// All of a sample. Of structures that are alike the first two and the last are damaged.
[[nodiscard]] std::vector<Recipe> recipes_for(const Sample& sample);

}  // namespace pmemfs::test
