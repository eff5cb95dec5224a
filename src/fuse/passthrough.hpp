// Backing files that the kernel knows: one id for all opens of an inode, since a second one gives
// EIO.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <mutex>
#include <optional>
#include <thread>
#include <unordered_map>
#include <vector>

#include "pmemfs/result.hpp"
#include "pmemfs/types.hpp"

namespace pmemfs::fuse {

// A registration outlives the last close for a while, so that opening again costs no ioctl and no
// open of the host file. The kernel holds the backing file open as long as it is registered; hence
// drop().
//
// An inode number is enough of a key: whoever has a file open holds a reference of the kernel's to
// its inode, and the edge drops the entry when that reference is forgotten, before the core may
// give the number to another file.
//
// Thread-safe. Never calls out to the core; the calls to the device are made without the lock where
// they may take long (the last close of a deleted host file frees its blocks).
class PassthroughRegistry {
 public:
  // The kernel's side; open returns an id > 0.
  struct Device {
    std::function<Result<int>(int fd)> open;
    std::function<void(int id)> close;
  };
  struct Limits {
    std::chrono::milliseconds idle{10'000};
    std::size_t max_idle = 1024;
  };

  PassthroughRegistry(Device device, Limits limits);
  ~PassthroughRegistry();
  PassthroughRegistry(const PassthroughRegistry&) = delete;
  PassthroughRegistry& operator=(const PassthroughRegistry&) = delete;

  // Counts one use of a registration that exists, and returns its id.
  std::optional<int> acquire(InodeNo ino);
  // The same, or registers `fd` if nobody did meanwhile. The caller's fd is not needed afterwards.
  Result<int> acquire(InodeNo ino, int fd);
  // Counts one use if the registration is in use already; an idle one stays idle.
  std::optional<int> join(InodeNo ino);
  // Gives one use back.
  void release(InodeNo ino);

  // Takes the registration away if it is idle; true when none is left. One in use goes at its last
  // release instead of becoming idle.
  bool drop(InodeNo ino);
  void drop_all_idle();

  // Starts the thread that takes idle registrations away when their time is over. Without it they
  // stay until dropped.
  void start_reaper();
  // Ends that thread and forgets everything without a word to the kernel: for the end of the
  // connection. Acquiring fails with ENOTCONN from then on.
  void shut_down();

  [[nodiscard]] std::size_t size() const;

 private:
  using Clock = std::chrono::steady_clock;
  struct Entry {
    int id = 0;
    std::uint64_t uses = 0;
    bool doomed = false;  // dropped while in use
    Clock::time_point idle_since;
    std::list<InodeNo>::iterator position;  // in used_ or idle_
  };
  using Entries = std::unordered_map<InodeNo, Entry>;

  int take_use(Entry& entry);           // with the lock
  int remove(Entries::iterator entry);  // with the lock; the id is the caller's to close
  int remove_oldest();                  // with the lock
  void close_all(const std::vector<int>& ids) const;  // without
  void reap();

  Device device_;
  Limits limits_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  Entries entries_;
  std::list<InodeNo> used_;
  std::list<InodeNo> idle_;     // the one that is idle for longest first
  bool reaper_sleeps_ = false;  // without a time limit
  bool ended_ = false;
  std::thread reaper_;
};

}  // namespace pmemfs::fuse
