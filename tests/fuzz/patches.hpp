#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "input.hpp"
#include "sample.hpp"

namespace pmemfs::fuzz {

// Damage to a sample, as a fuzzer's bytes tell it: which structures, which members, what they
// become, whether the crc is made right again.
class Patches {
 public:
  Patches(Input& input, const test::Sample& sample);

  void apply(std::span<std::byte> image) const;
  // An inode that the first patch concerns.
  [[nodiscard]] std::uint64_t focus() const;

 private:
  struct Patch {
    test::Structure structure;
    std::uint64_t at = 0;
    std::size_t size = 0;
    std::uint64_t add = 0;
    std::uint64_t keep = 0;  // mask of the old bits: new = (old & keep) + add
    bool reseal = false;
  };

  static Patch next(Input& input, const test::Sample& sample);

  std::vector<Patch> patches_;
};

}  // namespace pmemfs::fuzz
