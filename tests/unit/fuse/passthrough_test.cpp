#include "fuse/passthrough.hpp"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "harness/catch.hpp"

namespace {

using namespace std::chrono_literals;
using pmemfs::Error;
using pmemfs::InodeNo;
using pmemfs::Result;
using pmemfs::fuse::PassthroughRegistry;

// The kernel's side: which ids exist, and an error to give.
class FakeKernel {
 public:
  PassthroughRegistry::Device device() {
    return {[this](int fd) { return open(fd); },
            [this](int id) {
              close(id);
            }};
  }
  std::size_t open_count() const {
    const std::lock_guard lock(mutex_);
    return ids_.size();
  }
  bool has(int id) const {
    const std::lock_guard lock(mutex_);
    return ids_.count(id) == 1;
  }
  int opened() const { return next_ - 1; }
  void fail_with(int error) { error_ = error; }

 private:
  Result<int> open(int /*fd*/) {
    const std::lock_guard lock(mutex_);
    if (error_ != 0) {
      return Error(error_);
    }
    ids_.insert(next_);
    return next_++;
  }
  void close(int id) {
    const std::lock_guard lock(mutex_);
    ids_.erase(id);
  }

  mutable std::mutex mutex_;
  std::set<int> ids_;
  std::atomic<int> next_{1};
  std::atomic<int> error_{0};
};

constexpr InodeNo kFile{7};
constexpr InodeNo kOther{8};
constexpr int kFd = 3;

struct Rig {
  explicit Rig(PassthroughRegistry::Limits limits = {}) : registry(kernel.device(), limits) {}

  FakeKernel kernel;
  PassthroughRegistry registry;
};

TEST_CASE("all opens of an inode get one id, which outlives the last close") {
  Rig rig;
  CHECK_FALSE(rig.registry.acquire(kFile));
  const auto id = rig.registry.acquire(kFile, kFd);
  REQUIRE(id);
  CHECK(rig.registry.acquire(kFile) == *id);
  CHECK(*rig.registry.acquire(kFile, kFd) == *id);
  CHECK(*rig.registry.acquire(kOther, kFd) != *id);
  for (int i = 0; i < 3; ++i) {
    rig.registry.release(kFile);
  }
  CHECK(rig.kernel.has(*id));
  CHECK(rig.registry.acquire(kFile) == *id);
  CHECK(rig.kernel.opened() == 2);
}

TEST_CASE("a registration in use cannot be dropped, but goes at its last release") {
  Rig rig;
  const int id = *rig.registry.acquire(kFile, kFd);
  CHECK(rig.registry.acquire(kFile) == id);
  CHECK_FALSE(rig.registry.drop(kFile));
  CHECK(rig.registry.acquire(kFile) == id);  // the kernel takes no other while it has this one
  rig.registry.release(kFile);
  rig.registry.release(kFile);
  CHECK(rig.kernel.has(id));
  rig.registry.release(kFile);
  CHECK_FALSE(rig.kernel.has(id));
  CHECK(rig.registry.size() == 0);
  CHECK_FALSE(rig.registry.acquire(kFile));
}

TEST_CASE("an idle registration is dropped at once, and dropping nothing succeeds") {
  Rig rig;
  CHECK(rig.registry.drop(kFile));
  const int id = *rig.registry.acquire(kFile, kFd);
  rig.registry.release(kFile);
  CHECK(rig.registry.drop(kFile));
  CHECK_FALSE(rig.kernel.has(id));
  CHECK(*rig.registry.acquire(kFile, kFd) != id);
}

TEST_CASE("dropping all idle ones leaves those in use") {
  Rig rig;
  const int used = *rig.registry.acquire(kFile, kFd);
  static_cast<void>(rig.registry.acquire(kOther, kFd));
  rig.registry.release(kOther);
  rig.registry.drop_all_idle();
  CHECK(rig.kernel.open_count() == 1);
  CHECK(rig.kernel.has(used));
}

TEST_CASE("no more idle ones than the limit: the oldest goes") {
  Rig rig({1h, 2});
  std::vector<int> ids;
  for (std::uint64_t ino = 1; ino <= 3; ++ino) {
    ids.push_back(*rig.registry.acquire(InodeNo(ino), kFd));
  }
  for (std::uint64_t ino = 1; ino <= 3; ++ino) {
    rig.registry.release(InodeNo(ino));
  }
  CHECK_FALSE(rig.kernel.has(ids[0]));
  CHECK(rig.kernel.has(ids[1]));
  CHECK(rig.kernel.has(ids[2]));
  Rig none({1h, 0});
  const int id = *none.registry.acquire(kFile, kFd);
  none.registry.release(kFile);
  CHECK_FALSE(none.kernel.has(id));
}

TEST_CASE("what the kernel refuses leaves no trace") {
  Rig rig;
  rig.kernel.fail_with(ENOMEM);
  CHECK(rig.registry.acquire(kFile, kFd).code() == ENOMEM);
  CHECK(rig.registry.size() == 0);
  rig.registry.release(kFile);
  rig.kernel.fail_with(0);
  CHECK(rig.registry.acquire(kFile, kFd).ok());
}

TEST_CASE("joining takes only what is in use") {
  Rig rig;
  CHECK_FALSE(rig.registry.join(kFile));
  const int id = *rig.registry.acquire(kFile, kFd);
  CHECK(rig.registry.join(kFile) == id);
  rig.registry.release(kFile);
  CHECK(rig.registry.join(kFile) == id);
  rig.registry.release(kFile);
  rig.registry.release(kFile);
  CHECK_FALSE(rig.registry.join(kFile));
}

TEST_CASE("the reaper takes idle ones when their time is over, and no others") {
  Rig rig({20ms, 100});
  rig.registry.start_reaper();
  const int used = *rig.registry.acquire(kFile, kFd);
  for (int round = 0; round < 2; ++round) {
    static_cast<void>(rig.registry.acquire(kOther, kFd));
    rig.registry.release(kOther);
    for (int i = 0; i < 1000 && rig.kernel.open_count() > 1; ++i) {
      std::this_thread::sleep_for(5ms);
    }
    CHECK(rig.kernel.open_count() == 1);
    CHECK(rig.kernel.has(used));
  }
}

TEST_CASE("after the end of the connection nothing is registered any more") {
  Rig rig;
  rig.registry.start_reaper();
  static_cast<void>(rig.registry.acquire(kFile, kFd));
  rig.registry.shut_down();
  CHECK(rig.registry.acquire(kFile, kFd).code() == ENOTCONN);
  CHECK(rig.registry.drop(kFile));
  rig.registry.release(kFile);
  rig.registry.shut_down();
}

TEST_CASE("opens at the same time agree on one id") {
  Rig rig({1h, 1});
  constexpr int kThreads = 8;
  constexpr int kRounds = 2000;
  std::atomic<int> live{0};  // the id that is in use, as the kernel would compare
  std::atomic<int> users{0};
  std::atomic<int> conflicts{0};
  std::mutex kernel_mutex;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < kRounds; ++i) {
        const auto cached = rig.registry.acquire(kFile);
        const int id = cached ? *cached : *rig.registry.acquire(kFile, kFd);
        {
          const std::lock_guard lock(kernel_mutex);
          if (users++ == 0) {
            live = id;
          } else if (live != id) {
            ++conflicts;
          }
        }
        {
          const std::lock_guard lock(kernel_mutex);
          --users;
        }
        rig.registry.release(kFile);
        if (i % 7 == 0) {
          rig.registry.drop(kFile);
        }
      }
    });
  }
  for (auto& thread : threads) {
    thread.join();
  }
  CHECK(conflicts == 0);
  CHECK(rig.kernel.open_count() <= 1);
}

}  // namespace
