// Everything that a filesystem can be asked, on a region that may hold anything.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "sample.hpp"

namespace pmemfs::test {

using DamageImage = std::function<void(std::span<std::byte>)>;

// Damages a copy of the sample, mounts it read-only and reads everything, mounts it writable, reads
// everything, does everything to inode `focus` and some of its neighbours (see operate.hpp),
// unmounts, and mounts once more. Returns what is wrong with the answers, empty when nothing is:
// an errno that no filesystem gives for such a call, a listing that does not end. What crashes or
// leaves the region ends the program. `size`: as GuardedRegion.
[[nodiscard]] std::string exercise(const Sample& sample, const DamageImage& damage,
                                   std::uint64_t focus, std::uint64_t size = 0);

// What mounting and reading everything meets: the first call that was answered by EUCLEAN or EIO;
// empty: none.
[[nodiscard]] std::string damage_met(Region& region, BackingDir* host);

}  // namespace pmemfs::test
