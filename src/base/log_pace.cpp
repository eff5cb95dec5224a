#include "base/log_pace.hpp"

namespace pmemfs::base {

LogPace::Verdict LogPace::ask(const void* kind, Clock::time_point now) {
  const std::lock_guard lock(mutex_);
  Kind& seen = kinds_[kind];
  if (seen.lines == 0 || now - seen.since >= kTime) {
    seen = {now, 0};
  }
  if (seen.lines == kMost) {
    return Verdict::kLeaveOut;
  }
  return ++seen.lines == kMost ? Verdict::kWriteLast : Verdict::kWrite;
}

void LogPace::forget() {
  const std::lock_guard lock(mutex_);
  kinds_.clear();
}

}  // namespace pmemfs::base
