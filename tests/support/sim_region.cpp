#include "support/sim_region.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstring>
#include <new>
#include <optional>
#include <utility>

namespace pmemfs::test {
namespace {

constexpr std::uint64_t kPage = 4096;

// Pages that were zeroed are not worth the memory of a copy.
bool is_zero(const std::byte* page) {
  return *page == std::byte{0} && std::memcmp(page, page + 1, kPage - 1) == 0;
}

// Memory of regions that ended, and its size; none while nobody recycles.
std::optional<std::vector<std::pair<std::byte*, std::uint64_t>>> g_spare;
constexpr std::uint64_t kMostRecycled = 64ULL << 20U;
constexpr std::size_t kMostSpare = 16;

}  // namespace

SimRegion::SimRegion(std::uint64_t size, std::uint64_t limit) {
  reserve(size, limit);
}

SimRegion::SimRegion(const std::vector<std::byte>& image, std::uint64_t limit) {
  reserve(image.size(), limit);
  for (std::uint64_t off = 0; off < image.size(); off += kPage) {
    if (!is_zero(image.data() + off)) {
      std::memcpy(mutable_data() + off, image.data() + off, kPage);
      mark_used(off, kPage);
    }
  }
}

SimRegion::~SimRegion() {
  if (g_spare && !resized_ && limit_ <= kMostRecycled && g_spare->size() < kMostSpare) {
    give_back();
  } else {
    ::munmap(mutable_data(), limit_);
  }
}

// Zeros, as it came.
void SimRegion::give_back() {
  for (std::uint64_t page = 0; page < used_.size(); ++page) {
    if (used_[page]) {
      std::memset(mutable_data() + page * kPage, 0, kPage);
    }
  }
  g_spare->emplace_back(mutable_data(), limit_);
}

SimRegion::Recycling::Recycling() {
  g_spare.emplace();
}

SimRegion::Recycling::~Recycling() {
  for (const auto& [memory, size] : *g_spare) {
    ::munmap(memory, size);
  }
  g_spare.reset();
}

void SimRegion::reserve(std::uint64_t size, std::uint64_t limit) {
  assert(size > 0 && size % kPage == 0);
  limit_ = std::max(size, limit);
  if (g_spare && !g_spare->empty() && g_spare->back().second == limit_) {
    set_extent(g_spare->back().first, size);
    g_spare->pop_back();
    used_.resize(size / kPage);
    return;
  }
  void* p = ::mmap(nullptr, limit_, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) {
    throw std::bad_alloc();
  }
  set_extent(static_cast<std::byte*>(p), size);
  used_.resize(size / kPage);
}

void SimRegion::mark_used(std::uint64_t off, std::uint64_t n) {
  for (std::uint64_t page = off / kPage; page * kPage < off + n; ++page) {
    used_[page] = true;
  }
}

SimRegion::Line SimRegion::read_line(std::uint64_t line) const {
  Line bytes{};
  std::memcpy(bytes.data(), data() + line * kCacheLineSize, kCacheLineSize);
  return bytes;
}

// Runs `apply`, which changes [off, off + n) of memory, and records the states of the lines before
// and after.
template <typename Change>
void SimRegion::change(ByteOff off, std::uint64_t n, bool streamed, Change apply) {
  assert(contains(off, n));
  if (n == 0) {
    return;
  }
  const std::uint64_t first = off.value / kCacheLineSize;
  const std::uint64_t last = (off.value + n - 1) / kCacheLineSize;
  for (std::uint64_t line = first; line <= last; ++line) {
    Pending& pending = pending_[line];
    if (pending.versions.empty()) {
      pending.versions.push_back(read_line(line));
    }
  }
  apply(mutable_data() + off.value);
  mark_used(off.value, n);
  for (std::uint64_t line = first; line <= last; ++line) {
    Pending& pending = pending_[line];
    pending.versions.push_back(read_line(line));
    for (std::size_t word = 0; streamed && word < kWords; ++word) {
      const std::uint64_t at = line * kCacheLineSize + word * 8;
      if (at + 8 > off.value && at < off.value + n) {
        pending.assured[word] = pending.versions.size() - 1;
      }
    }
  }
}

void SimRegion::store(ByteOff off, const void* src, std::size_t n) {
  const std::lock_guard lock(mutex_);
  ++counts_.stores;
  change(off, n, false, [=](std::byte* to) { std::memcpy(to, src, n); });
}

void SimRegion::store_u64(ByteOff off, std::uint64_t value) {
  assert(off.value % sizeof value == 0);
  const std::lock_guard lock(mutex_);
  ++counts_.stores;
  change(off, sizeof value, false, [=](std::byte* to) {
    void* word = to;
    __atomic_store_n(static_cast<std::uint64_t*>(word), value, __ATOMIC_RELEASE);
  });
}

void SimRegion::stream(ByteOff off, const void* src, std::size_t n) {
  const std::lock_guard lock(mutex_);
  ++counts_.streams;
  change(off, n, true, [=](std::byte* to) { std::memcpy(to, src, n); });
}

void SimRegion::stream_zeros(ByteOff off, std::uint64_t n) {
  const std::lock_guard lock(mutex_);
  ++counts_.streams;
  change(off, n, true, [=](std::byte* to) { std::memset(to, 0, n); });
}

void SimRegion::flush(ByteOff off, std::size_t n) {
  assert(contains(off, n));
  const std::lock_guard lock(mutex_);
  ++counts_.flushes;
  if (n == 0) {
    return;
  }
  const std::uint64_t last = (off.value + n - 1) / kCacheLineSize;
  for (auto at = pending_.lower_bound(off.value / kCacheLineSize);
       at != pending_.end() && at->first <= last; ++at) {
    at->second.assured.fill(at->second.versions.size() - 1);
  }
}

void SimRegion::fence() {
  if (on_fence_) {
    on_fence_(*this);
  }
  const std::lock_guard lock(mutex_);
  ++counts_.fences;
  for (auto at = pending_.begin(); at != pending_.end();) {
    at = settle(at->second) ? pending_.erase(at) : std::next(at);
  }
}

// A fence for one line; true when nothing is left to be assured.
bool SimRegion::settle(Pending& pending) {
  const std::size_t oldest = *std::min_element(pending.assured.begin(), pending.assured.end());
  pending.versions.erase(pending.versions.begin(),
                         pending.versions.begin() + static_cast<std::ptrdiff_t>(oldest));
  for (std::size_t& version : pending.assured) {
    version -= oldest;
  }
  pending.floor = pending.assured;
  return pending.versions.size() == 1;
}

Status SimRegion::grow(std::uint64_t new_size) {
  assert(new_size > size() && new_size % kPage == 0);
  const int code = fail_every_grow_ ? grow_error_.load() : grow_error_.exchange(0);
  if (code != 0) {
    return Error(code);
  }
  if (new_size > limit_) {
    return Error(ENOSPC);
  }
  const std::lock_guard lock(mutex_);
  resized_ = true;
  protect(size(), new_size, PROT_READ | PROT_WRITE);
  used_.resize(new_size / kPage);
  set_extent(mutable_data(), new_size);
  return {};
}

Status SimRegion::shrink(std::uint64_t new_size) {
  assert(new_size > 0 && new_size < size() && new_size % kPage == 0);
  if (read_only_) {
    return Error(EROFS);
  }
  const std::lock_guard lock(mutex_);
  const std::uint64_t old_size = size();
  resized_ = true;
  set_extent(mutable_data(), new_size);
  used_.resize(new_size / kPage);
  pending_.erase(pending_.lower_bound(new_size / kCacheLineSize), pending_.end());
  ::madvise(mutable_data() + new_size, old_size - new_size, MADV_DONTNEED);  // zeros, if it grows
  protect(new_size, old_size, PROT_NONE);
  return {};
}

void SimRegion::protect(std::uint64_t from, std::uint64_t to, int protection) const {
  if (::mprotect(mutable_data() + from, to - from, protection) != 0) {
    throw std::bad_alloc();
  }
}

SimRegion::Line SimRegion::pick_line(const Pending& pending, Chooser& chooser) {
  const std::size_t count = pending.versions.size();
  const std::size_t oldest = *std::min_element(pending.floor.begin(), pending.floor.end());
  const bool torn = chooser.tear();
  const std::size_t common = torn ? 0 : oldest + chooser.pick(count - oldest);
  Line line{};
  for (std::size_t word = 0; word < kWords; ++word) {
    const std::size_t floor = pending.floor[word];
    const std::size_t version =
        torn ? floor + chooser.pick(count - floor) : std::max(common, floor);
    line[word] = pending.versions[version][word];
  }
  return line;
}

std::unique_ptr<SimRegion> SimRegion::crash(Chooser& chooser) const {
  const std::lock_guard lock(mutex_);
  auto after = std::make_unique<SimRegion>(size(), limit_);
  for (std::uint64_t page = 0; page < used_.size(); ++page) {
    if (used_[page] && !is_zero(data() + page * kPage)) {
      std::memcpy(after->mutable_data() + page * kPage, data() + page * kPage, kPage);
      after->used_[page] = true;
    }
  }
  after->granularity_ = granularity_;
  after->exports_ = exports_;
  after->mapping_alignment_ = mapping_alignment_;
  for (const auto& [number, pending] : pending_) {
    const Line line = pick_line(pending, chooser);
    std::memcpy(after->mutable_data() + number * kCacheLineSize, line.data(), kCacheLineSize);
    after->mark_used(number * kCacheLineSize, kCacheLineSize);
  }
  return after;
}

Result<int> SimRegion::export_memory(std::uint64_t key) {
  if (export_error_ != 0) {
    return Error(export_error_);
  }
  const int fd = ::memfd_create("export", MFD_CLOEXEC);
  if (fd < 0) {
    return Error(errno);
  }
  const std::lock_guard lock(mutex_);
  exports_.insert(key);
  return fd;
}

bool SimRegion::exported(std::uint64_t key) const {
  const std::lock_guard lock(mutex_);
  return exports_.contains(key);
}

bool SimRegion::any_exported() const {
  const std::lock_guard lock(mutex_);
  return !exports_.empty();
}

std::vector<std::uint64_t> SimRegion::exported_keys() const {
  const std::lock_guard lock(mutex_);
  const std::set<std::uint64_t> keys(exports_.begin(), exports_.end());
  return {keys.begin(), keys.end()};
}

void SimRegion::end_export(std::uint64_t key) {
  const std::lock_guard lock(mutex_);
  exports_.erase(key);
}

std::vector<std::byte> SimRegion::crash_image(Chooser& chooser) const {
  const std::unique_ptr<SimRegion> after = crash(chooser);
  return {after->data(), after->data() + after->size()};
}

std::size_t SimRegion::pending_lines() const {
  const std::lock_guard lock(mutex_);
  return pending_.size();
}

SimRegion::Counts SimRegion::counts() const {
  const std::lock_guard lock(mutex_);
  return counts_;
}

void SimRegion::poke(ByteOff off, const void* src, std::size_t n) {
  stream(off, src, n);
  const std::lock_guard lock(mutex_);
  --counts_.streams;
  const std::uint64_t last = (off.value + n - 1) / kCacheLineSize;
  pending_.erase(pending_.lower_bound(off.value / kCacheLineSize), pending_.upper_bound(last));
}

}  // namespace pmemfs::test
