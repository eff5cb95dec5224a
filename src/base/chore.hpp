// Work in the background, that nobody waits for.
#pragma once

#include <new>

#include "base/log.hpp"

namespace pmemfs::base {

// Does `work` for a thread that goes on, whose end would be the daemon's. Without memory for it the
// rest is left for the next time, which is logged once; so `work` keeps no lock and no promise
// beyond what its destructors give back.
template <typename Work>
void do_chore(const Work& work) {
  try {
    work();
  } catch (const std::bad_alloc&) {
    log::warn_once("chore-memory", "no memory for work in the background; it is done later");
  }
}

}  // namespace pmemfs::base
