// pmemfs-bench-sync: appends of 4 KiB by several writers, each made durable. For guests of
// bench/vm.
//
//   pmemfs-bench-sync DIR WRITERS SECONDS WAY    prints the appends of all writers in each second
//
// WAY says what makes an append durable: "fsync" of the writer's file; "none" (the write did, as on
// a durable file); "group": one syncfs for all who wait, by whoever comes first; "leader": one
// thread fsyncs the files of all who wait. "rewrite" writes the same 4 KiB again and again, without
// a sync.
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace {

constexpr std::size_t kAppend = 4096;

[[noreturn]] void fail(const char* what) {
  std::perror(what);
  std::exit(1);
}

// Group commit: those who come while a sync runs wait for the next one, which serves them all.
class Group {
 public:
  explicit Group(bool whole_host) : whole_host_(whole_host) {}

  void sync(int fd) {
    std::unique_lock lock(mutex_);
    const std::uint64_t mine = round_ + 1;
    waiting_.push_back(fd);
    while (done_ < mine) {
      if (busy_) {
        turn_.wait(lock);
        continue;
      }
      lead(lock);
    }
  }

 private:
  void lead(std::unique_lock<std::mutex>& lock) {
    busy_ = true;
    const std::vector<int> batch = std::exchange(waiting_, {});
    const std::uint64_t round = ++round_;
    lock.unlock();
    for (const int fd : batch) {
      if ((whole_host_ ? ::syncfs(fd) : ::fsync(fd)) != 0) {
        fail("sync");
      }
      if (whole_host_) {
        break;
      }
    }
    lock.lock();
    busy_ = false;
    done_ = round;
    turn_.notify_all();
  }

  bool whole_host_;
  std::mutex mutex_;
  std::condition_variable turn_;
  bool busy_ = false;
  std::uint64_t round_ = 0;  // the one that runs or ran last
  std::uint64_t done_ = 0;
  std::vector<int> waiting_;
};

// Appends until `stop`; returns how often.
std::uint64_t append(const std::string& path, std::string_view way, Group& group,
                     const std::atomic<bool>& stop) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  std::array<char, kAppend> bytes{};
  bytes.fill('a');
  std::uint64_t count = 0;
  for (; !stop; ++count) {
    const std::uint64_t at = way == "rewrite" ? 0 : count * kAppend;
    if (::pwrite(fd, bytes.data(), kAppend, static_cast<off_t>(at)) != kAppend) {
      fail(path.c_str());
    }
    if (way == "fsync" && ::fsync(fd) != 0) {
      fail(path.c_str());
    }
    if (way == "group" || way == "leader") {
      group.sync(fd);
    }
  }
  ::close(fd);
  ::unlink(path.c_str());
  return count;
}

double rate(const std::string& folder, int writers, double seconds, std::string_view way) {
  Group group(way == "group");
  std::atomic<bool> stop = false;
  std::atomic<std::uint64_t> total = 0;
  std::vector<std::thread> threads;
  threads.reserve(static_cast<std::size_t>(writers));
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < writers; ++i) {
    threads.emplace_back(
        [&, i] { total += append(folder + "/w" + std::to_string(i), way, group, stop); });
  }
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
  stop = true;
  for (std::thread& thread : threads) {
    thread.join();
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  return static_cast<double>(total) / took.count();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    std::puts("usage: pmemfs-bench-sync DIR WRITERS SECONDS fsync|none|group|leader|rewrite");
    return 2;
  }
  std::printf("%.0f\n", rate(argv[1], std::atoi(argv[2]), std::atof(argv[3]), argv[4]));
  return 0;
}
