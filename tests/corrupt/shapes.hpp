// The part of the corpus that no single field makes: loops, overlaps, cross-links, absurd numbers.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "sample.hpp"

namespace pmemfs::test {

struct ShapeDamage {
  std::string name;
  std::uint64_t focus = 1;  // the inode that it concerns
  std::function<void(std::span<std::byte>)> apply;
};

// Those that the sample has the structures for.
[[nodiscard]] std::vector<ShapeDamage> shapes_for(const Sample& sample);

}  // namespace pmemfs::test
