// What a control of the crash explorer leaves out of a commit, to show that the explorer would find
// it. Only a test's own build of journal.cpp defines PMEMFS_CONTROL_JOURNAL.
#pragma once

#include <cstdint>

namespace pmemfs::journal {

enum class Control : std::uint8_t {
  kNone,
  kNoDataFence,     // fresh blocks are not on media before the log refers to them
  kNoLogFence,      // nor the log before it is applied
  kNoApplyFlush,    // what is applied stays in the cache
  kNoApplyFence,    // the lane may be retired before what it says is in its place
  kApplyBeforeLog,  // the place is changed first
};

#ifdef PMEMFS_CONTROL_JOURNAL
inline Control g_control = Control::kNone;
inline bool left_out(Control what) {
  return g_control == what;
}
#else
constexpr bool left_out(Control /*what*/) {
  return false;
}
#endif

}  // namespace pmemfs::journal
