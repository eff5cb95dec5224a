#include "support/sim_backing_dir.hpp"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "backing/names.hpp"
#include "support/mapped_memfd.hpp"

namespace pmemfs::test {
namespace {

constexpr HostSpace kRoomy{4096, 1ULL << 28U, 1ULL << 27U, 1ULL << 27U, 1ULL << 24U, 1ULL << 23U};

// Each file is a descriptor.
void allow_many_descriptors() {
  struct rlimit limit {};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
  }
}

HostStat host_stat_of(const struct stat& st) {
  const auto timestamp = [](const struct timespec& t) {
    return Timestamp{t.tv_sec, static_cast<std::uint32_t>(t.tv_nsec)};
  };
  return {static_cast<std::uint64_t>(st.st_size), static_cast<std::uint64_t>(st.st_blocks),
          timestamp(st.st_atim), timestamp(st.st_mtim), timestamp(st.st_ctim)};
}

Result<HostStat> stat_descriptor(int fd) {
  struct stat st {};
  if (::fstat(fd, &st) != 0) {
    return Error(errno);
  }
  return host_stat_of(st);
}

}  // namespace

SimBackingDir::SimBackingDir() : space_(kRoomy) {
  allow_many_descriptors();
}

// --- Books ---

SimBackingDir::File SimBackingDir::find(BackingName name) const {
  const auto at = names_.find(name);
  return at == names_.end() ? nullptr : at->second.back();
}

SimBackingDir::File SimBackingDir::find(int fd) const {
  struct stat st {};
  if (::fstat(fd, &st) != 0) {
    return nullptr;
  }
  const auto at = by_inode_.find(st.st_ino);
  return at == by_inode_.end() ? nullptr : at->second.lock();
}

HostCall SimBackingDir::call_of(HostOp op, int fd, std::uint64_t off, std::uint64_t len) const {
  const std::lock_guard lock(mutex_);
  const File file = find(fd);
  return {op, file ? file->name() : BackingName{}, off, len};
}

Status SimBackingDir::begin(const HostCall& call) {
  if (on_call_) {
    on_call_(call);
  }
  const std::lock_guard lock(mutex_);
  calls_.push_back(call);
  int code = 0;
  for (Fault& fault : faults_) {
    if ((!fault.op || *fault.op == call.op) && --fault.left == 0 && code == 0) {
      code = fault.code;
    }
  }
  std::erase_if(faults_, [](const Fault& fault) { return fault.left == 0; });
  return code == 0 ? Status() : Status(Error(code));
}

Status SimBackingDir::begin(HostOp op, int fd, std::uint64_t off, std::uint64_t len) {
  return begin(call_of(op, fd, off, len));
}

Status SimBackingDir::begin_change(const HostCall& call) {
  const Status begun = begin(call);
  return begun && read_only_ ? Status(Error(EROFS)) : begun;
}

Status SimBackingDir::begin_change(HostOp op, int fd, std::uint64_t off, std::uint64_t len) {
  return begin_change(call_of(op, fd, off, len));
}

void SimBackingDir::keep(BackingName name, File file) {
  by_inode_[file->inode()] = file;
  names_[name] = {std::move(file)};
}

// --- Names ---

Result<int> SimBackingDir::create(BackingName name) {
  PMEMFS_CHECK(begin_change({HostOp::kCreate, name}));
  const std::lock_guard lock(mutex_);
  if (find(name) || replaced_.contains(name)) {
    return Error(EEXIST);
  }
  auto file = std::make_shared<SimFile>(name);
  PMEMFS_TRY(const int fd, file->open(false));
  by_inode_[file->inode()] = file;
  given_[fd] = file->inode();
  States& states = names_[name];
  if (states.empty()) {
    states.push_back(nullptr);
  }
  states.push_back(std::move(file));
  return fd;
}

Result<int> SimBackingDir::open(BackingName name) {
  PMEMFS_CHECK(begin({HostOp::kOpen, name}));
  const std::lock_guard lock(mutex_);
  if (replaced_.contains(name)) {
    return Error(EUCLEAN);
  }
  const File file = find(name);
  if (!file) {
    return Error(ENOENT);
  }
  if (lease_lives(file->inode())) {
    leases_.at(file->inode()).broken = true;
    return Error(EBUSY);
  }
  PMEMFS_TRY(const int fd, file->open(read_only_));
  given_[fd] = file->inode();
  return fd;
}

Status SimBackingDir::unlink(BackingName name) {
  PMEMFS_CHECK(begin_change({HostOp::kUnlink, name}));
  const std::lock_guard lock(mutex_);
  if (!find(name)) {
    return Error(replaced_.contains(name) ? EUCLEAN : ENOENT);
  }
  names_.at(name).push_back(nullptr);
  return {};
}

Result<HostStat> SimBackingDir::stat(BackingName name) {
  PMEMFS_CHECK(begin({HostOp::kStat, name}));
  const std::lock_guard lock(mutex_);
  if (replaced_.contains(name)) {
    return Error(EUCLEAN);
  }
  const File file = find(name);
  return file ? stat_descriptor(file->descriptor()) : Result<HostStat>(Error(ENOENT));
}

Status SimBackingDir::for_each(const std::function<void(BackingName)>& ours,
                               const std::function<void(const std::string&)>& foreign) {
  std::vector<BackingName> present;
  std::vector<std::string> others;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [name, states] : names_) {
      if (states.back()) {
        present.push_back(name);
      }
    }
    present.insert(present.end(), replaced_.begin(), replaced_.end());
    others = foreign_;
  }
  std::for_each(present.begin(), present.end(), ours);
  std::for_each(others.begin(), others.end(), foreign);
  return {};
}

Result<HostSpace> SimBackingDir::space() {
  const std::lock_guard lock(mutex_);
  return space_;
}

// --- Open files; one whose name is gone for good needs no books ---

Result<HostStat> SimBackingDir::stat_fd(int fd) {
  PMEMFS_CHECK(begin(HostOp::kStat, fd));
  return stat_descriptor(fd);
}

Result<std::size_t> SimBackingDir::read(int fd, std::uint64_t off, void* dst, std::size_t n) {
  PMEMFS_CHECK(begin(HostOp::kRead, fd, off, n));
  const ssize_t got = ::pread(fd, dst, n, static_cast<off_t>(off));
  if (got < 0) {
    return Error(errno);
  }
  return static_cast<std::size_t>(got);
}

Result<std::size_t> SimBackingDir::write(int fd, std::uint64_t off, const void* src,
                                         std::size_t n) {
  PMEMFS_CHECK(begin_change(HostOp::kWrite, fd, off, n));
  const std::lock_guard lock(mutex_);
  if (const File file = find(fd)) {
    return file->write(off, src, n);
  }
  const ssize_t done = ::pwrite(fd, src, n, static_cast<off_t>(off));
  if (done < 0) {
    return Error(errno);
  }
  return static_cast<std::size_t>(done);
}

Result<std::size_t> SimBackingDir::copy(int from, std::uint64_t from_off, int to,
                                        std::uint64_t to_off, std::size_t n) {
  PMEMFS_CHECK(begin_change(HostOp::kCopy, to, to_off, n));
  const std::lock_guard lock(mutex_);
  const File file = find(to);
  if (!file) {
    return Error(EBADF);
  }
  std::vector<std::byte> bytes(n);
  const ssize_t got = ::pread(from, bytes.data(), n, static_cast<off_t>(from_off));
  if (got < 0) {
    return Error(errno);
  }
  return file->write(to_off, bytes.data(), static_cast<std::size_t>(got));
}

Status SimBackingDir::truncate(int fd, std::uint64_t size) {
  PMEMFS_CHECK(begin_change(HostOp::kTruncate, fd, 0, size));
  const std::lock_guard lock(mutex_);
  if (const File file = find(fd)) {
    return file->truncate(size);
  }
  return ::ftruncate(fd, static_cast<off_t>(size)) == 0 ? Status() : Status(Error(errno));
}

Status SimBackingDir::allocate(int fd, int mode, std::uint64_t off, std::uint64_t len) {
  PMEMFS_CHECK(begin_change(HostOp::kAllocate, fd, off, len));
  const std::lock_guard lock(mutex_);
  if (const File file = find(fd)) {
    return file->allocate(mode, off, len);
  }
  const int result = ::fallocate(fd, mode, static_cast<off_t>(off), static_cast<off_t>(len));
  return result == 0 ? Status() : Status(Error(errno));
}

Result<std::uint64_t> SimBackingDir::seek(int fd, std::uint64_t off, int whence) {
  PMEMFS_CHECK(begin(HostOp::kSeek, fd, off));
  const off_t found = ::lseek(fd, static_cast<off_t>(off), whence);
  if (found < 0) {
    return Error(errno);
  }
  return static_cast<std::uint64_t>(found);
}

Result<std::vector<HostExtent>> SimBackingDir::extents(int fd, std::size_t most) {
  const std::lock_guard lock(mutex_);
  const File file = find(fd);
  if (!extents_ && (!tells_extents_ || !file)) {
    return Error(EOPNOTSUPP);
  }
  std::vector<HostExtent> first = extents_ ? *extents_ : file->extents();
  first.resize(std::min(first.size(), most));
  return first;
}

void SimBackingDir::set_nodefrag(int fd, bool on) {
  if (!begin_change(HostOp::kSetNodefrag, fd)) {
    return;
  }
  const std::lock_guard lock(mutex_);
  if (const File file = find(fd); file && on) {
    nodefrag_.insert(file->name());
  } else if (file) {
    nodefrag_.erase(file->name());
  }
}

Status SimBackingDir::set_times(int fd, Timestamp atime, Timestamp mtime) {
  PMEMFS_CHECK(begin_change(HostOp::kSetTimes, fd));
  const std::lock_guard lock(mutex_);
  const File file = find(fd);
  return file ? file->set_times(atime, mtime) : Status();
}

Status SimBackingDir::touch(int fd, std::uint64_t off, std::uint64_t len) {
  PMEMFS_CHECK(begin_change(HostOp::kTouch, fd, off, len));
  const std::lock_guard lock(mutex_);
  const File file = find(fd);
  return file ? file->touch(off, len) : Status();
}

// --- Durability ---

Status SimBackingDir::sync_file(int fd) {
  PMEMFS_CHECK(begin(HostOp::kSyncFile, fd));
  const std::lock_guard lock(mutex_);
  if (const File file = find(fd)) {
    file->sync();
  }
  return {};
}

Status SimBackingDir::sync_parent(BackingName n) {
  PMEMFS_CHECK(begin({HostOp::kSyncParent, n}));
  const std::lock_guard lock(mutex_);
  for (auto at = names_.begin(); at != names_.end();) {
    if (backing::directory_of(at->first) == backing::directory_of(n)) {
      at->second = {at->second.back()};
    }
    at = at->second.size() == 1 && !at->second.front() ? names_.erase(at) : std::next(at);
  }
  return {};
}

Status SimBackingDir::sync_all() {
  PMEMFS_CHECK(begin({HostOp::kSyncAll, {}}));
  const std::lock_guard lock(mutex_);
  for (auto at = names_.begin(); at != names_.end();) {
    const File now = at->second.back();
    if (now) {
      now->sync();
      at->second = {now};
    }
    at = now ? std::next(at) : names_.erase(at);
  }
  return {};
}

std::unique_ptr<SimBackingDir> SimBackingDir::crash(Chooser& chooser) {
  const std::lock_guard lock(mutex_);
  auto after = std::make_unique<SimBackingDir>();
  for (const auto& [name, states] : names_) {
    if (const File& file = states[chooser.pick(states.size())]) {
      after->keep(name, file->crash(chooser));
    }
  }
  after->replaced_ = replaced_;
  after->foreign_ = foreign_;
  after->space_ = space_;
  after->tells_extents_ = tells_extents_;
  after->may_be_mapped_ = may_be_mapped_;
  return after;
}

// --- Leases ---

// Leases end with their descriptor.
bool SimBackingDir::lease_lives(ino_t inode) const {
  const auto at = leases_.find(inode);
  struct stat st {};
  return at != leases_.end() && ::fstat(at->second.fd, &st) == 0 && st.st_ino == inode;
}

// By another descriptor that was given out and is still what it was.
bool SimBackingDir::opened_elsewhere(ino_t inode, int fd) const {
  return std::any_of(given_.begin(), given_.end(), [&](const auto& entry) {
    struct stat st {};
    return entry.first != fd && entry.second == inode && ::fstat(entry.first, &st) == 0 &&
           st.st_ino == inode;
  });
}

Status SimBackingDir::take_lease(int fd) {
  PMEMFS_CHECK(begin(HostOp::kTakeLease, fd));
  const std::lock_guard lock(mutex_);
  const File file = find(fd);
  if (!file) {
    return Error(EBADF);
  }
  const auto held = held_.find(file->name());
  if ((held != held_.end() && held->second > 0) || opened_elsewhere(file->inode(), fd) ||
      (may_be_mapped_ && is_mapped(fd))) {
    return Error(EBUSY);
  }
  leases_[file->inode()] = {fd, false};
  return {};
}

bool SimBackingDir::lease_held(int fd) {
  const std::lock_guard lock(mutex_);
  const File file = find(fd);
  if (!file || !lease_lives(file->inode())) {
    return false;
  }
  const Lease& lease = leases_.at(file->inode());
  return lease.fd == fd && !lease.broken;
}

void SimBackingDir::drop_lease(int fd) {
  const std::lock_guard lock(mutex_);
  std::erase_if(leases_, [fd](const auto& entry) { return entry.second.fd == fd; });
}

// --- Watching, faults and others at work ---

std::vector<HostCall> SimBackingDir::calls() const {
  const std::lock_guard lock(mutex_);
  return calls_;
}

std::size_t SimBackingDir::count(HostOp op) const {
  const std::lock_guard lock(mutex_);
  return static_cast<std::size_t>(std::count_if(
      calls_.begin(), calls_.end(), [op](const HostCall& call) { return call.op == op; }));
}

void SimBackingDir::forget_calls() {
  const std::lock_guard lock(mutex_);
  calls_.clear();
}

bool SimBackingDir::exists(BackingName name) const {
  const std::lock_guard lock(mutex_);
  return find(name) != nullptr;
}

bool SimBackingDir::nodefrag(BackingName name) const {
  const std::lock_guard lock(mutex_);
  return nodefrag_.contains(name);
}

void SimBackingDir::fail_nth(std::uint64_t n, int code) {
  const std::lock_guard lock(mutex_);
  faults_.push_back({std::nullopt, n, code});
}

void SimBackingDir::fail_nth(HostOp op, std::uint64_t n, int code) {
  const std::lock_guard lock(mutex_);
  faults_.push_back({op, n, code});
}

void SimBackingDir::set_space(const HostSpace& space) {
  const std::lock_guard lock(mutex_);
  space_ = space;
}

void SimBackingDir::set_read_only(bool read_only) {
  const std::lock_guard lock(mutex_);
  read_only_ = read_only;
}

void SimBackingDir::hold_open(BackingName name) {
  const std::lock_guard lock(mutex_);
  ++held_[name];
  const File file = find(name);
  if (file && lease_lives(file->inode())) {
    leases_.at(file->inode()).broken = true;
  }
}

void SimBackingDir::release_open(BackingName name) {
  const std::lock_guard lock(mutex_);
  const auto held = held_.find(name);
  if (held != held_.end() && --held->second == 0) {
    held_.erase(held);
  }
}

void SimBackingDir::remove_behind(BackingName name) {
  const std::lock_guard lock(mutex_);
  names_.erase(name);
}

void SimBackingDir::resize_behind(BackingName name, std::uint64_t size) {
  const std::lock_guard lock(mutex_);
  if (const File file = find(name)) {
    (void)file->truncate(size);
    file->sync();
  }
}

void SimBackingDir::replace_behind(BackingName name) {
  const std::lock_guard lock(mutex_);
  names_.erase(name);
  replaced_.insert(name);
}

void SimBackingDir::expect_no_mappings() {
  const std::lock_guard lock(mutex_);
  may_be_mapped_ = false;
}

void SimBackingDir::tell_extents() {
  const std::lock_guard lock(mutex_);
  tells_extents_ = true;
}

void SimBackingDir::set_extents(std::vector<HostExtent> extents) {
  const std::lock_guard lock(mutex_);
  extents_ = std::move(extents);
}

void SimBackingDir::add_foreign(std::string text) {
  const std::lock_guard lock(mutex_);
  foreign_.push_back(std::move(text));
}

}  // namespace pmemfs::test
