#pragma once

#include <sys/types.h>

#include <functional>

namespace pmemfs::test {

// Another process that runs `body` after fork and ends with its result as exit status; 255 for an
// exception. `body` should not use assertions of the test framework.
class ChildProcess {
 public:
  explicit ChildProcess(const std::function<int()>& body);
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;
  ~ChildProcess();  // kills it if it still runs

  // The exit status, 256 + signal when it was killed.
  int wait();
  void kill() const;

 private:
  pid_t pid_ = -1;
};

// A one-way signal between processes that fork after it was made.
class Signal {
 public:
  Signal();
  Signal(const Signal&) = delete;
  Signal& operator=(const Signal&) = delete;
  ~Signal();
  void send() const;
  void await() const;

 private:
  int fds_[2] = {-1, -1};
};

}  // namespace pmemfs::test
