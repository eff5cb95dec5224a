#include "support/mount_user.hpp"

#include <grp.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <array>
#include <csignal>
#include <stdexcept>

namespace pmemfs::test {
namespace {

// Catch2's handlers would report the child's signals as the test's.
void restore_signals() {
  for (const int signal : {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGTERM, SIGINT}) {
    ::signal(signal, SIG_DFL);
  }
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
}

Errno become(const User& user) {
  if (::setgroups(user.groups.size(), user.groups.data()) < 0 ||
      ::setresgid(user.gid, user.gid, user.gid) < 0 ||
      ::setresuid(user.uid, user.uid, user.uid) < 0) {
    return Errno{errno};
  }
  return {};
}

Errno result_of(int status) {
  return Errno{WIFSIGNALED(status) ? Errno::kSignalled + WTERMSIG(status) : WEXITSTATUS(status)};
}

int run_guarded(const std::function<Errno()>& body) {
  try {
    const Errno result = body();
    return result.code >= 0 && result.code < 255 ? result.code : 255;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "in a child process: %s\n", e.what());
    return 254;
  }
}

}  // namespace

Child::Child(const std::function<Errno()>& body) : pid_(::fork()) {
  if (pid_ < 0) {
    throw std::runtime_error("fork failed");
  }
  if (pid_ == 0) {
    restore_signals();
    ::_exit(run_guarded(body));
  }
}

Child::~Child() {
  if (pid_ > 0) {
    kill();
  }
}

Errno Child::wait() {
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  return result_of(status);
}

void Child::kill() {
  ::kill(pid_, SIGKILL);
  static_cast<void>(wait());
}

Errno in_child(const std::function<Errno()>& body) {
  return Child(body).wait();
}

Errno as_user(const User& user, const std::function<Errno()>& body) {
  return in_child([&] {
    const Errno became = become(user);
    return became.code != 0 ? Errno{253} : body();
  });
}

Turnstile::Turnstile() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) < 0) {
    throw std::runtime_error("pipe failed");
  }
  read_.reset(ends[0]);
  write_.reset(ends[1]);
}

void Turnstile::let_pass() const {
  const char byte = 1;
  if (::write(write_.get(), &byte, 1) != 1) {
    throw std::runtime_error("write to a pipe failed");
  }
}

bool Turnstile::wait_for_turn() const {
  pollfd poll{read_.get(), POLLIN, 0};
  char byte = 0;
  return ::poll(&poll, 1, 30'000) == 1 && ::read(read_.get(), &byte, 1) == 1;
}

}  // namespace pmemfs::test
