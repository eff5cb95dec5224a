#pragma once

#include <functional>
#include <memory>

#include "core_rig.hpp"

namespace pmemfs::test {

// Cuts the power at the first fence of `work`, at its second, and so on; after each, and at last
// without a cut, `check` looks at what the next mount finds.
inline void at_every_fence(CoreRig& rig, const std::function<void()>& work,
                           const std::function<void()>& check) {
  KeepAll all;
  rig.remount();
  const std::unique_ptr<SimRegion> start = rig.region().crash(all);
  for (int nth = 0;; nth++) {
    rig.restart_from(start->crash(all));
    std::unique_ptr<SimRegion> left;
    int countdown = nth;
    rig.region().on_fence([&](SimRegion& region) {
      if (countdown-- == 0) {
        RandomChooser chooser(static_cast<std::uint64_t>(nth) + 1);
        left = region.crash(chooser);
      }
    });
    work();
    rig.region().on_fence({});
    const bool cut = left != nullptr;
    if (cut) {
      rig.restart_from(std::move(left));
      REQUIRE(rig.report().damaged_structures == 0);
    }
    INFO("fence " << nth);
    check();
    if (!cut) {
      CHECK(nth > 3);
      return;
    }
  }
}

}  // namespace pmemfs::test
