#include "support/child.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <system_error>
#include <utility>

namespace pmemfs::test {
namespace {

pid_t flush_and_fork() {
  std::fflush(nullptr);  // what is buffered is to be written once
  return ::fork();
}

}  // namespace

ChildProcess::ChildProcess(const std::function<int()>& body) : pid_(flush_and_fork()) {
  if (pid_ < 0) {
    throw std::system_error(errno, std::generic_category(), "fork");
  }
  if (pid_ == 0) {
    int status = 255;
    try {
      status = body();
    } catch (...) {  // NOLINT(bugprone-empty-catch): told by the status
    }
    ::_exit(status);
  }
}

ChildProcess::~ChildProcess() {
  if (pid_ > 0) {
    kill();
    wait();
  }
}

int ChildProcess::wait() {
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}

void ChildProcess::kill() const {
  ::kill(pid_, SIGKILL);
}

Signal::Signal() {
  if (::pipe(fds_) != 0) {
    throw std::system_error(errno, std::generic_category(), "pipe");
  }
}

Signal::~Signal() {
  ::close(fds_[0]);
  ::close(fds_[1]);
}

void Signal::send() const {
  const char byte = 1;
  (void)!::write(fds_[1], &byte, 1);
}

void Signal::await() const {
  char byte = 0;
  (void)!::read(fds_[0], &byte, 1);
}

}  // namespace pmemfs::test
