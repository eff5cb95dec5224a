#include "support/mount_guardian.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <stdexcept>
#include <thread>
#include <vector>

namespace pmemfs::test {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int kPatienceMs = 300'000;
#else
constexpr int kPatienceMs = 75'000;
#endif

struct Message {
  pid_t pid = 0;
  char what = 0;
  std::array<char, 3> zero{};
};

std::vector<std::string> mounts_below(const std::string& dir) {
  std::ifstream mounts("/proc/self/mounts");
  std::vector<std::string> found;
  for (std::string line; std::getline(mounts, line);) {
    std::istringstream words(line);
    std::string source;
    std::string point;
    words >> source >> point;
    if (point.rfind(dir + "/", 0) == 0) {
      found.insert(found.begin(), point);  // the last mounted first
    }
  }
  return found;
}

void clean_up(const std::string& scratch, const std::set<pid_t>& daemons) {
  for (const std::string& point : mounts_below(scratch)) {
    ::umount2(point.c_str(), MNT_DETACH);
  }
  for (const pid_t pid : daemons) {
    for (int i = 0; i < 50 && ::kill(pid, 0) == 0; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    ::kill(pid, SIGKILL);
  }
  std::error_code ignored;
  std::filesystem::remove_all(scratch, ignored);
}

// Returns when the test program is gone.
void watch(int fd, std::set<pid_t>& daemons) {
  for (;;) {
    pollfd poll{fd, POLLIN, 0};
    const int ready = ::poll(&poll, 1, kPatienceMs);
    if (ready == 0 && !daemons.empty()) {
      std::fprintf(stderr, "watchdog: no progress for %d s, killing the daemons\n",
                   kPatienceMs / 1000);
      for (const pid_t pid : daemons) {
        ::kill(pid, SIGKILL);
      }
    }
    if (ready <= 0) {
      continue;
    }
    Message message;
    if (::read(fd, &message, sizeof message) != sizeof message) {
      return;
    }
    if (message.what == '+') {
      daemons.insert(message.pid);
    } else if (message.what == '-') {
      daemons.erase(message.pid);
    }
  }
}

[[noreturn]] void guard(int fd, const std::string& scratch) {
  ::setsid();
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGPIPE}) {
    ::signal(signal, SIG_IGN);
  }
  for (int other = 3; other < 1024; ++other) {
    if (other != fd) {
      ::close(other);
    }
  }
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  ::dup2(null, 0);
  ::dup2(null, 1);
  std::set<pid_t> daemons;
  watch(fd, daemons);
  clean_up(scratch, daemons);
  ::_exit(0);
}

}  // namespace

Guardian& Guardian::instance() {
  static Guardian guardian;
  return guardian;
}

Guardian::Guardian() {
  std::string name = "/dev/shm/pmemfs-test.XXXXXX";
  if (::mkdtemp(name.data()) == nullptr || ::chmod(name.c_str(), 0755) < 0) {
    throw std::runtime_error("cannot make " + name);
  }
  scratch_ = name;
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) < 0) {
    throw std::runtime_error("pipe failed");
  }
  const pid_t pid = ::fork();
  if (pid < 0) {
    throw std::runtime_error("fork failed");
  }
  if (pid == 0) {
    guard(ends[0], scratch_);
  }
  ::close(ends[0]);
  pipe_.reset(ends[1]);
}

void Guardian::send(char what, pid_t pid) const {
  const Message message{pid, what, {}};
  if (::write(pipe_.get(), &message, sizeof message) != sizeof message) {
    throw std::runtime_error("the guardian process is gone");
  }
}

}  // namespace pmemfs::test
