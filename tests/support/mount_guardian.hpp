#pragma once

// A process that outlives the test program: it unmounts and removes what a killed test left behind,
// and kills daemons when the test makes no progress.

#include <sys/types.h>

#include <string>

#include "base/unique_fd.hpp"

namespace pmemfs::test {

class Guardian {
 public:
  static Guardian& instance();  // started at first use

  [[nodiscard]] const std::string& scratch() const { return scratch_; }
  void daemon_started(pid_t pid) const { send('+', pid); }
  void daemon_ended(pid_t pid) const { send('-', pid); }
  void progress() const { send('.', 0); }

 private:
  Guardian();
  void send(char what, pid_t pid) const;

  std::string scratch_;
  base::UniqueFd pipe_;
};

}  // namespace pmemfs::test
