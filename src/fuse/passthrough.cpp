#include "fuse/passthrough.hpp"

#include <pthread.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <utility>

namespace pmemfs::fuse {

PassthroughRegistry::PassthroughRegistry(Device device, Limits limits)
    : device_(std::move(device)), limits_(limits) {}

PassthroughRegistry::~PassthroughRegistry() {
  shut_down();
}

int PassthroughRegistry::take_use(Entry& entry) {
  if (entry.uses++ == 0) {
    used_.splice(used_.end(), idle_, entry.position);
  }
  return entry.id;
}

std::optional<int> PassthroughRegistry::acquire(InodeNo ino) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(ino);
  if (found == entries_.end()) {
    return std::nullopt;
  }
  return take_use(found->second);
}

Result<int> PassthroughRegistry::acquire(InodeNo ino, int fd) {
  const std::lock_guard lock(mutex_);
  if (ended_) {
    return Error(ENOTCONN);
  }
  if (const auto found = entries_.find(ino); found != entries_.end()) {
    return take_use(found->second);
  }
  const auto position = used_.insert(used_.end(), ino);
  Entry& entry = entries_[ino];
  entry.position = position;
  entry.uses = 1;
  // Under the lock: two opens at once must end with one id. It is short, the host file is open
  // already.
  const Result<int> id = device_.open(fd);
  if (!id) {
    used_.erase(position);
    entries_.erase(ino);
    return id.error();
  }
  entry.id = *id;
  return id;
}

std::optional<int> PassthroughRegistry::join(InodeNo ino) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(ino);
  if (found == entries_.end() || found->second.uses == 0) {
    return std::nullopt;
  }
  return take_use(found->second);
}

void PassthroughRegistry::release(InodeNo ino) {
  std::optional<int> surplus;
  {
    const std::lock_guard lock(mutex_);
    const auto found = entries_.find(ino);
    if (found == entries_.end() || found->second.uses == 0 || --found->second.uses != 0) {
      return;
    }
    Entry& entry = found->second;
    entry.idle_since = Clock::now();
    idle_.splice(idle_.end(), used_, entry.position);
    if (entry.doomed) {
      surplus = remove(found);
    } else if (idle_.size() > limits_.max_idle) {
      surplus = remove_oldest();
    }
    if (reaper_sleeps_ && !idle_.empty()) {
      reaper_sleeps_ = false;
      wake_.notify_one();
    }
  }
  if (surplus) {
    device_.close(*surplus);
  }
}

bool PassthroughRegistry::drop(InodeNo ino) {
  int id = 0;
  {
    const std::lock_guard lock(mutex_);
    const auto found = entries_.find(ino);
    if (found == entries_.end()) {
      return true;
    }
    if (found->second.uses != 0) {
      found->second.doomed = true;
      return false;
    }
    id = remove(found);
  }
  device_.close(id);
  return true;
}

void PassthroughRegistry::drop_all_idle() {
  std::vector<int> ids;
  {
    const std::lock_guard lock(mutex_);
    ids.reserve(idle_.size());
    while (!idle_.empty()) {
      ids.push_back(remove_oldest());
    }
  }
  close_all(ids);
}

int PassthroughRegistry::remove(Entries::iterator entry) {
  const int id = entry->second.id;
  idle_.erase(entry->second.position);
  entries_.erase(entry);
  return id;
}

int PassthroughRegistry::remove_oldest() {
  return remove(entries_.find(idle_.front()));
}

void PassthroughRegistry::close_all(const std::vector<int>& ids) const {
  for (const int id : ids) {
    device_.close(id);
  }
}

void PassthroughRegistry::start_reaper() {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  reaper_ = std::thread([this] { reap(); });
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

// Looks around at half the idle time while there is something to wait for, so that open and close
// need not wake it.
void PassthroughRegistry::reap() {
  std::unique_lock lock(mutex_);
  while (!ended_) {
    if (idle_.empty()) {
      reaper_sleeps_ = true;
      wake_.wait(lock, [this] { return ended_ || !reaper_sleeps_; });
    }
    wake_.wait_for(lock, std::max(limits_.idle / 2, std::chrono::milliseconds(1)),
                   [this] { return ended_; });
    const auto limit = Clock::now() - limits_.idle;
    while (!ended_ && !idle_.empty() && entries_.at(idle_.front()).idle_since <= limit) {
      const int id = remove_oldest();
      lock.unlock();
      device_.close(id);
      lock.lock();
    }
  }
}

void PassthroughRegistry::shut_down() {
  {
    const std::lock_guard lock(mutex_);
    ended_ = true;
    entries_.clear();
    used_.clear();
    idle_.clear();
  }
  wake_.notify_all();
  if (reaper_.joinable()) {
    reaper_.join();
  }
}

std::size_t PassthroughRegistry::size() const {
  const std::lock_guard lock(mutex_);
  return entries_.size();
}

}  // namespace pmemfs::fuse
