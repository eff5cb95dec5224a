#pragma once

#include "base/unique_fd.hpp"
#include "pmemfs/result.hpp"

namespace pmemfs::virtiofs {

// An eventfd that a VMM gave, or one of ours. A hostile VMM may fill or empty its own at any
// moment: no call here waits for it, but signal(), see there. Thread-safe.
class Event {
 public:
  Event() = default;
  // EINVAL: not an eventfd; reading and writing other things may wait for who knows what.
  static Result<Event> take(base::UniqueFd fd);
  static Result<Event> create();

  [[nodiscard]] int fd() const { return fd_.get(); }
  // Waits only if the VMM has filled the counter and made the descriptor wait, until clear().
  void signal() const;
  void clear() const;

 private:
  base::UniqueFd fd_;
};

}  // namespace pmemfs::virtiofs
