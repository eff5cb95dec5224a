#include "support/sim_file.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <system_error>

namespace pmemfs::test {
namespace {

[[noreturn]] void give_up(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

std::uint64_t next_place() {
  static std::atomic<std::uint64_t> next{1};
  return next++;
}

struct stat stat_or_throw(int fd) {
  struct stat st {};
  if (::fstat(fd, &st) != 0) {
    give_up("fstat of a memfd");
  }
  return st;
}

Timestamp timestamp_of(const struct timespec& t) {
  return {t.tv_sec, static_cast<std::uint32_t>(t.tv_nsec)};
}

struct timespec timespec_of(Timestamp t) {
  return {t.sec, static_cast<long>(t.nsec)};
}

}  // namespace

SimFile::SimFile(BackingName name) : name_(name), fd_(::memfd_create("backing", MFD_CLOEXEC)) {
  if (!fd_ || ::fchmod(fd_.get(), 0600) != 0) {
    give_up("memfd_create");
  }
  inode_ = stat_or_throw(fd_.get()).st_ino;
  synced_times_ = times();
}

Result<int> SimFile::open(bool read_only) const {
  const std::string path = fmt::format("/proc/self/fd/{}", fd_.get());
  const int fd = ::open(path.c_str(), (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
  if (fd < 0) {
    return Error(errno);
  }
  return fd;
}

void SimFile::Page::become(Kind kind) {
  now = kind;
  if (kind == Kind::kHole) {
    place = 0;
  } else if (place == 0) {
    place = next_place();
  }
}

// What programs see; zeros beyond the end.
SimFile::Bytes SimFile::read_page(std::uint64_t page) const {
  Bytes bytes{};
  if (::pread(fd_.get(), bytes.data(), bytes.size(), static_cast<off_t>(page * kPage)) < 0) {
    give_up("pread of a memfd");
  }
  return bytes;
}

// What media holds if nothing since the last sync reached it, but for mapped stores.
SimFile::Bytes SimFile::media_bytes(std::uint64_t number, const Page& page) const {
  if (page.media != Kind::kWritten) {
    return {};
  }
  if (!page.overwrite) {
    return read_page(number);
  }
  const Overwrite& over = *page.overwrite;
  if (over.discarded) {
    return over.before;
  }
  Bytes bytes = read_page(number);
  for (std::size_t i = 0; i < kPage; ++i) {
    if (over.changed[i] && bytes[i] == over.after[i]) {
      bytes[i] = over.before[i];
    }
  }
  return bytes;
}

SimFile::Times SimFile::times() const {
  const struct stat st = stat_or_throw(fd_.get());
  return {timestamp_of(st.st_atim), timestamp_of(st.st_mtim)};
}

// Saves what media holds of [off, off + len), which is about to change.
void SimFile::before_change(std::uint64_t off, std::uint64_t len) {
  for (std::uint64_t number = off / kPage; number * kPage < off + len; ++number) {
    Page& page = pages_[number];
    if (page.media != Kind::kWritten || (page.overwrite && page.overwrite->discarded)) {
      continue;
    }
    const Bytes bytes = read_page(number);
    if (!page.overwrite) {
      page.overwrite = std::make_unique<Overwrite>();
    }
    Overwrite& over = *page.overwrite;
    for (std::uint64_t i = 0; i < kPage; ++i) {
      const std::uint64_t at = number * kPage + i;
      const bool mapped_since = over.changed[i] && bytes[i] != over.after[i];
      if (at >= off && at < off + len && (!over.changed[i] || mapped_since)) {
        over.before[i] = bytes[i];
        over.changed[i] = true;
      }
    }
  }
}

void SimFile::after_change(std::uint64_t off, std::uint64_t len) {
  for (std::uint64_t number = off / kPage; number * kPage < off + len; ++number) {
    Page& page = pages_[number];
    if (!page.overwrite || page.overwrite->discarded) {
      continue;
    }
    const Bytes bytes = read_page(number);
    for (std::uint64_t i = 0; i < kPage; ++i) {
      const std::uint64_t at = number * kPage + i;
      if (at >= off && at < off + len) {
        page.overwrite->after[i] = bytes[i];
      }
    }
  }
}

// The whole pages of [off, off + len) are about to be dropped; `left` is what they become.
void SimFile::discard(std::uint64_t off, std::uint64_t len, Kind left) {
  const std::uint64_t last = (off + len) / kPage;
  const std::uint64_t first = (off + kPage - 1) / kPage;
  if (left == Kind::kUnwritten) {
    for (std::uint64_t number = first; number < last; ++number) {
      pages_.try_emplace(number);
    }
  }
  for (auto at = pages_.lower_bound(first); at != pages_.end() && at->first < last; ++at) {
    Page& page = at->second;
    if (page.media == Kind::kWritten && !(page.overwrite && page.overwrite->discarded)) {
      const Bytes bytes = media_bytes(at->first, page);
      page.overwrite = std::make_unique<Overwrite>();
      page.overwrite->before = bytes;
      page.overwrite->discarded = true;
    }
    page.become(left);
  }
}

void SimFile::note_size() {
  const auto size = static_cast<std::uint64_t>(stat_or_throw(fd_.get()).st_size);
  if (size != sizes_.back()) {
    sizes_.push_back(size);
  }
}

Result<std::size_t> SimFile::write(std::uint64_t off, const void* src, std::size_t n) {
  if (n == 0) {
    return std::size_t{0};
  }
  before_change(off, n);
  const ssize_t done = ::pwrite(fd_.get(), src, n, static_cast<off_t>(off));
  const int code = errno;
  after_change(off, n);
  if (done < 0) {
    return Error(code);
  }
  const auto written = static_cast<std::size_t>(done);
  for (std::uint64_t number = off / kPage; number * kPage < off + written; ++number) {
    pages_[number].become(Kind::kWritten);
  }
  note_size();
  return written;
}

Status SimFile::truncate(std::uint64_t size) {
  const std::uint64_t old_size = sizes_.back();
  const std::uint64_t tail = (size + kPage - 1) / kPage * kPage;
  adopt_mapped_stores();
  if (size <= old_size) {  // the same size too drops what was allocated beyond it
    if (size < tail && size < old_size) {
      before_change(size, tail - size);
    }
    const std::uint64_t end = pages_.empty() ? 0 : (pages_.rbegin()->first + 1) * kPage;
    if (end > tail) {
      discard(tail, end - tail, Kind::kHole);
    }
  }
  if (::ftruncate(fd_.get(), static_cast<off_t>(size)) != 0) {
    return Error(errno);
  }
  if (size < old_size && size < tail) {
    after_change(size, tail - size);
  }
  note_size();
  return {};
}

Status SimFile::discard_range(int mode, std::uint64_t off, std::uint64_t len) {
  const bool punch = (mode & FALLOC_FL_PUNCH_HOLE) != 0;
  const std::uint64_t end = off + len;
  const std::uint64_t head_end = std::min(end, (off + kPage - 1) / kPage * kPage);
  const std::uint64_t tail_start = std::max(head_end, end / kPage * kPage);
  adopt_mapped_stores();
  before_change(off, head_end - off);
  before_change(tail_start, end - tail_start);
  discard(off, len, punch ? Kind::kHole : Kind::kUnwritten);
  const auto at = static_cast<off_t>(off);
  const auto bytes = static_cast<off_t>(len);
  int result = ::fallocate(fd_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, bytes);
  if (result == 0 && !punch) {
    result = ::fallocate(fd_.get(), mode & FALLOC_FL_KEEP_SIZE, at, bytes);
  }
  if (result != 0) {
    return Error(errno);
  }
  after_change(off, head_end - off);
  after_change(tail_start, end - tail_start);
  note_size();
  return {};
}

Status SimFile::allocate(int mode, std::uint64_t off, std::uint64_t len) {
  if ((mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) != 0) {
    return Error(EOPNOTSUPP);
  }
  if ((mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) != 0) {
    return discard_range(mode, off, len);
  }
  if (::fallocate(fd_.get(), mode, static_cast<off_t>(off), static_cast<off_t>(len)) != 0) {
    return Error(errno);
  }
  for (std::uint64_t number = off / kPage; number * kPage < off + len; ++number) {
    Page& page = pages_[number];
    page.become(page.now == Kind::kHole ? Kind::kUnwritten : page.now);
  }
  note_size();
  return {};
}

Status SimFile::touch(std::uint64_t off, std::uint64_t len) {
  if (off > size() || len > size() - off) {
    return Error(EINVAL);
  }
  for (std::uint64_t number = off / kPage; number * kPage < off + len; ++number) {
    pages_[number].become(Kind::kWritten);
  }
  return {};
}

Status SimFile::set_times(Timestamp atime, Timestamp mtime) {
  const std::array<struct timespec, 2> both = {timespec_of(atime), timespec_of(mtime)};
  return ::futimens(fd_.get(), both.data()) == 0 ? Status() : Status(Error(errno));
}

// Pages that were stored to through a mapping while they were holes or unwritten: the fault made
// them written.
void SimFile::adopt_mapped_stores() {
  off_t at = ::lseek(fd_.get(), 0, SEEK_DATA);
  while (at >= 0) {
    const off_t end = ::lseek(fd_.get(), at, SEEK_HOLE);
    for (auto number = static_cast<std::uint64_t>(at) / kPage;
         number * kPage < static_cast<std::uint64_t>(end); ++number) {
      const auto known = pages_.find(number);
      if ((known == pages_.end() || known->second.now != Kind::kWritten) &&
          read_page(number) != Bytes{}) {
        pages_[number].become(Kind::kWritten);
      }
    }
    at = ::lseek(fd_.get(), end, SEEK_DATA);
  }
}

void SimFile::sync() {
  adopt_mapped_stores();
  for (auto at = pages_.begin(); at != pages_.end();) {
    at->second.media = at->second.now;
    at->second.overwrite.reset();
    at = at->second.now == Kind::kHole ? pages_.erase(at) : std::next(at);
  }
  sizes_ = {sizes_.back()};
  synced_times_ = times();
}

std::vector<HostExtent> SimFile::extents() {
  adopt_mapped_stores();
  std::vector<HostExtent> runs;
  for (const auto& [number, page] : pages_) {
    if (page.now == Kind::kHole) {
      continue;
    }
    const HostExtent one{number * kPage, kPage, page.place * kPage, true,
                         page.now == Kind::kUnwritten};
    HostExtent* last = runs.empty() ? nullptr : &runs.back();
    if (last != nullptr && last->off + last->len == one.off &&
        last->physical + last->len == one.physical && last->unwritten == one.unwritten) {
      last->len += kPage;
    } else {
      runs.push_back(one);
    }
  }
  return runs;
}

// One page of a file that is being put together after a crash.
void SimFile::restore(std::uint64_t number, const Page& page, Kind kind, const Bytes& bytes) {
  if (kind == Kind::kHole) {
    return;
  }
  const std::uint64_t off = number * kPage;
  const std::uint64_t inside = off < size() ? std::min(kPage, size() - off) : 0;
  if (kind == Kind::kWritten && inside == 0) {
    return;  // written beyond an end that the crash did not keep
  }
  if (::fallocate(fd_.get(), FALLOC_FL_KEEP_SIZE, static_cast<off_t>(off), kPage) != 0) {
    give_up("fallocate of a memfd");
  }
  if (kind == Kind::kWritten &&
      ::pwrite(fd_.get(), bytes.data(), inside, static_cast<off_t>(off)) < 0) {
    give_up("pwrite to a memfd");
  }
  Page& restored = pages_[number];
  restored.place = page.place;
  restored.become(kind);
}

std::shared_ptr<SimFile> SimFile::crash(Chooser& chooser) {
  adopt_mapped_stores();
  auto after = std::make_shared<SimFile>(name_);
  const std::uint64_t kept_size = sizes_[chooser.pick(sizes_.size())];
  if (::ftruncate(after->fd_.get(), static_cast<off_t>(kept_size)) != 0) {
    give_up("ftruncate of a memfd");
  }
  after->note_size();
  for (const auto& [number, page] : pages_) {
    const bool unsynced = page.now != page.media || page.overwrite;
    const bool newest = !unsynced || chooser.pick(2) == 1;
    const Kind kind = newest ? page.now : page.media;
    Bytes bytes{};
    if (kind == Kind::kWritten) {
      bytes = newest ? read_page(number) : media_bytes(number, page);
    }
    after->restore(number, page, kind, bytes);
  }
  const Times newest_times = times();
  const bool keep_times = newest_times == synced_times_ || chooser.pick(2) == 1;
  const Times& kept = keep_times ? newest_times : synced_times_;
  (void)after->set_times(kept.atime, kept.mtime);
  after->sync();
  return after;
}

}  // namespace pmemfs::test
