#pragma once

#include <functional>
#include <string>

#include "base/unique_fd.hpp"

namespace pmemfs::tools {

// The daemon's line to the process that started it, which waits to hear how it went. In the
// foreground there is nobody at the other end and all calls succeed.
class Starter {
 public:
  Starter() = default;
  explicit Starter(base::UniqueFd pipe) : pipe_(std::move(pipe)) {}

  // A line that the waiting process prints on its stderr.
  void notice(const std::string& line);
  // The mount is ready; lets go of the terminal. False when nobody waits any more.
  bool ready();
  void failed(int exit_code, const std::string& line);

 private:
  bool send(const std::string& record);

  base::UniqueFd pipe_;
};

// Runs `body` in a child that is in no session of ours; returns the exit code of the starting
// process once the child reported or died. The child never returns from here.
int run_in_background(const std::string& program, const std::function<int(Starter&)>& body);

}  // namespace pmemfs::tools
