// The pool's threads, fed through a socket in place of the kernel.
#include "fuse/pool.hpp"

#include <linux/fuse.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <condition_variable>
#include <cstring>
#include <functional>
#include <mutex>
#include <thread>

#include "fuse/operations.hpp"
#include "harness/catch.hpp"
#include "support/memory_filesystem.hpp"
#include "support/memory_region.hpp"

namespace pmemfs::fuse {
namespace {

using namespace std::chrono_literals;

constexpr auto kPatience = 30s;  // far beyond what is needed; a test that waits so long has failed

// A pool that runs, and the other end of its device.
class Rig {
 public:
  Rig(const WorkerPool::Options& options, std::function<void(std::uint32_t)> serve)
      : region_(64ULL << 20U), fs_(test::make_filesystem(*region_)), edge_{*fs_, {}} {
    std::array<int, 2> ends{};
    REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) == 0);
    kernel_ = base::UniqueFd(ends[0]);
    auto channel = Channel::create(base::UniqueFd(ends[1]), edge_, false);
    REQUIRE(channel.ok());
    channel_ = std::move(*channel);
    pool_ = std::make_unique<WorkerPool>(
        *channel_, options,
        [this, serve = std::move(serve)](const Request& request, Channel&) {
          serve(request.opcode());
          note_served();
        },
        [](const Afterwork::Item&) {});
    main_ = std::thread([this] { end_ = pool_->run({}); });
  }
  ~Rig() {
    stop();
    pool_->shut_down(0ms);
  }
  // run() returns, the threads still serve.
  void stop() {
    if (main_.joinable()) {
      pool_->stop();
      main_.join();
      CHECK((end_.ok() && *end_ == WorkerPool::End::kStopped));
    }
  }

  void send(std::uint32_t opcode) {
    fuse_in_header header{};
    header.len = sizeof(header);
    header.opcode = opcode;
    REQUIRE(::send(kernel_.get(), &header, sizeof(header), 0) == sizeof(header));
  }
  bool served(int count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kPatience, [&] { return served_ >= count; });
  }
  [[nodiscard]] WorkerPool& pool() { return *pool_; }

 private:
  void note_served() {
    const std::lock_guard lock(mutex_);
    ++served_;
    changed_.notify_all();
  }

  test::MemoryRegion region_;
  std::unique_ptr<Filesystem> fs_;
  Edge edge_;
  base::UniqueFd kernel_;
  std::unique_ptr<Channel> channel_;
  std::unique_ptr<WorkerPool> pool_;
  std::thread main_;
  Result<WorkerPool::End> end_ = WorkerPool::End::kStopped;
  std::mutex mutex_;
  std::condition_variable changed_;
  int served_ = 0;
};

// Lets everybody through once `count` are there.
class Gathering {
 public:
  explicit Gathering(int count) : missing_(count) {}
  // False when the others did not come.
  bool join() {
    std::unique_lock lock(mutex_);
    --missing_;
    changed_.notify_all();
    return changed_.wait_for(lock, kPatience, [&] { return missing_ <= 0; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int missing_;
};

TEST_CASE("a request that waits for another one does not keep it from being served") {
  for (const std::uint32_t opcode : {FUSE_LOOKUP, FUSE_FALLOCATE}) {
    for (const unsigned least : {1U, 2U}) {
      INFO("opcode " << opcode << ", " << least << " threads at least");
      Gathering both(2);
      std::atomic<bool> met{true};
      Rig rig({.least = least, .most = 4}, [&](std::uint32_t) {
        if (!both.join()) {
          met = false;
        }
      });
      rig.send(opcode);
      rig.send(FUSE_GETATTR);
      CHECK(rig.served(2));
      CHECK(met);
    }
  }
}

TEST_CASE("the same while the filesystem is being unmounted, when run() has returned") {
  for (const bool sent_before : {true, false}) {
    INFO((sent_before ? "sent before it returned" : "sent later"));
    Gathering both(2);
    std::atomic<int> inside{0};
    std::atomic<bool> met{true};
    Rig rig({.least = 1, .most = 4}, [&](std::uint32_t) {
      ++inside;
      if (!both.join()) {
        met = false;
      }
    });
    if (sent_before) {
      rig.send(FUSE_LOOKUP);
      while (inside == 0) {
        std::this_thread::yield();
      }
    }
    rig.stop();
    if (!sent_before) {
      rig.send(FUSE_LOOKUP);
    }
    rig.send(FUSE_GETATTR);
    CHECK(rig.served(2));
    CHECK(met);
  }
}

TEST_CASE("as many requests as there may be threads can wait for each other") {
  constexpr int kMany = 24;
  Gathering all(kMany);
  std::atomic<bool> met{true};
  Rig rig({.least = 2, .most = kMany}, [&](std::uint32_t) {
    if (!all.join()) {
      met = false;
    }
  });
  for (int i = 0; i < kMany; ++i) {
    rig.send(FUSE_LOOKUP);
  }
  CHECK(rig.served(kMany));
  CHECK(met);
  CHECK(rig.pool().threads() <= kMany);
}

TEST_CASE("there are never more threads than allowed, and each request is served") {
  std::atomic<int> inside{0};
  std::atomic<int> most{0};
  Rig rig({.least = 1, .most = 3}, [&](std::uint32_t) {
    const int now = ++inside;
    for (int seen = most; seen < now && !most.compare_exchange_weak(seen, now);) {
    }
    std::this_thread::sleep_for(1ms);
    --inside;
  });
  for (int i = 0; i < 200; ++i) {
    rig.send(i % 3 == 0 ? FUSE_FALLOCATE : FUSE_LOOKUP);
  }
  CHECK(rig.served(200));
  CHECK(most <= 3);
  CHECK(rig.pool().threads() <= 3);
}

TEST_CASE("when it is quiet, surplus threads leave, and those that stay serve") {
  Gathering all(8);
  Rig rig({.least = 2, .most = 8}, [&](std::uint32_t opcode) {
    if (opcode == FUSE_LOOKUP) {
      all.join();
    }
  });
  for (int i = 0; i < 8; ++i) {
    rig.send(FUSE_LOOKUP);
  }
  REQUIRE(rig.served(8));
  CHECK(rig.pool().threads() == 8);
  for (auto end = std::chrono::steady_clock::now() + kPatience;
       rig.pool().threads() > 2 && std::chrono::steady_clock::now() < end;) {
    std::this_thread::sleep_for(20ms);
  }
  CHECK(rig.pool().threads() <= 2);
  rig.send(FUSE_GETATTR);
  CHECK(rig.served(9));
}

}  // namespace
}  // namespace pmemfs::fuse
