// What the tests of moving metadata and of shrinking share: a region of 32 MiB whose second half
// holds what a test makes, while the first has room for it.
#pragma once

#include <functional>

#include "core_rig.hpp"
#include "support/extent_text.hpp"

namespace pmemfs::test {

inline constexpr std::uint64_t kBlock = 4096;
inline constexpr std::uint64_t kMiB = 1ULL << 20U;
inline constexpr std::uint64_t kTail = 16 * kMiB;
inline constexpr std::uint64_t kFirstFree = 276 * kBlock;  // as mkfs leaves a region

inline std::string pattern_of(std::uint64_t size, unsigned seed) {
  std::string text(size, '\0');
  for (std::uint64_t i = 0; i < size; i++) {
    text[i] = static_cast<char>('a' + (i / 100 + seed) % 26);
  }
  return text;
}

inline std::vector<ExtentLine> extents_of(CoreRig& rig, std::string_view name) {
  const auto text = rig.fs().getxattr(rig.stat(name).ino, "user.pmemfs.extents");
  REQUIRE(text.ok());
  return parse_extents({reinterpret_cast<const char*>(text->data()), text->size()});
}

// One kind of thing that lies in the region: how to make it, and whether it is there, whole.
struct Sample {
  const char* name;
  void (*make)(CoreRig& rig);
  bool (*whole)(CoreRig& rig);
};
const std::vector<Sample>& samples();

// Runs `make` while the first half of the region is given to nobody; it is free for all afterwards.
inline void make_in_tail(CoreRig& rig, const std::function<void()>& make) {
  REQUIRE(rig.fs().evacuate(kFirstFree, kTail - kFirstFree, {}).ok());
  make();
  rig.remount();
}

inline std::uint64_t free_bytes(CoreRig& rig) {
  return rig.fs().status().region_bytes_free;
}

// As fsck would: what a scan of all structures finds is sound, and what it finds free is what the
// running filesystem took for free.
inline void check_sound(CoreRig& rig) {
  rig.remount();  // ends what is held
  const std::uint64_t before = free_bytes(rig);
  rig.kill();
  CHECK(rig.report().damaged_structures == 0);
  CHECK_FALSE(rig.report().used_snapshot);
  CHECK(free_bytes(rig) == before);
  rig.remount();
  CHECK(free_bytes(rig) == before);
}

}  // namespace pmemfs::test
