#include "virtiofs/arena.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <new>
#include <string>
#include <string_view>

#include "base/descriptor.hpp"

namespace pmemfs::virtiofs {
namespace {

// Address space costs nothing; each arena takes one of the process's watches.
constexpr std::uint64_t kArenaSize = std::uint64_t{16} << 30U;  // bytes
constexpr std::uint64_t kMostOffset = std::uint64_t{1} << 62U;
constexpr std::uint64_t kPage = 4096;

constexpr std::uint64_t align_down(std::uint64_t x, std::uint64_t unit) {
  return x / unit * unit;
}
constexpr std::uint64_t align_up(std::uint64_t x, std::uint64_t unit) {
  return align_down(x + unit - 1, unit);
}

bool is_dax_device(const struct statx& st) {
  std::array<char, 256> target{};
  const std::string link =
      fmt::format("/sys/dev/char/{}:{}/subsystem", st.stx_rdev_major, st.stx_rdev_minor);
  const ssize_t n = ::readlink(link.c_str(), target.data(), target.size());
  return n > 0 && std::string_view(target.data(), static_cast<std::size_t>(n)).ends_with("/dax");
}

// Pages that come from this machine's memory and disks. A server of the VMM's choice could hold up
// our threads by a page that it does not give, and already when it is asked what it is. So that is
// asked of a file system only if it is known not to be such a one: files in memory alone have
// seals, and what users may mount is on no block device.
bool is_local(int fd, const struct statx& st, struct statfs& fs) {
  constexpr unsigned kXfs = 0x58465342;
  constexpr std::array<unsigned, 4> kLocal{TMPFS_MAGIC, HUGETLBFS_MAGIC, EXT4_SUPER_MAGIC, kXfs};
  if ((st.stx_dev_major == 0 && ::fcntl(fd, F_GET_SEALS) < 0) || ::fstatfs(fd, &fs) != 0) {
    return false;
  }
  return std::find(kLocal.begin(), kLocal.end(), static_cast<unsigned>(fs.f_type)) != kLocal.end();
}

// Bytes that a mapping of `fd` is a multiple of.
Result<std::uint64_t> page_of(int fd, std::uint64_t end) {
  PMEMFS_TRY(const struct statx st, base::known_of(fd, STATX_TYPE | STATX_SIZE));
  if (S_ISCHR(st.stx_mode)) {
    return is_dax_device(st) ? Result<std::uint64_t>(kMappingUnit) : Error(EACCES);
  }
  struct statfs fs {};
  if (!S_ISREG(st.stx_mode) || !is_local(fd, st, fs)) {
    return Error(EACCES);
  }
  const std::uint64_t page =
      fs.f_type == HUGETLBFS_MAGIC ? static_cast<std::uint64_t>(fs.f_bsize) : kPage;
  if (end > st.stx_size || page > kMappingUnit) {
    return Error(EINVAL);
  }
  return page;
}

void* map_nothing(void* at, std::uint64_t size, int flags) {
  return ::mmap(at, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | flags, -1, 0);
}

}  // namespace

Result<std::shared_ptr<Arena>> Arena::create(std::uint64_t size) {
  std::shared_ptr<Arena> arena(new Arena());
  arena->free_.emplace(0, size);
  // One unit more, so that the beginning can be aligned.
  void* const got = map_nothing(nullptr, size + kMappingUnit, 0);
  if (got == MAP_FAILED) {
    return Error(errno);
  }
  auto* const first = static_cast<std::byte*>(got);
  const auto address = reinterpret_cast<std::uintptr_t>(got);
  const std::uint64_t before = align_up(address, kMappingUnit) - address;
  if (before > 0) {
    ::munmap(first, before);
  }
  if (before < kMappingUnit) {
    ::munmap(first + before + size, kMappingUnit - before);
  }
  arena->begin_ = first + before;
  arena->size_ = size;
  PMEMFS_CHECK(arena->watch_.start(arena->begin_, size, kMappingUnit));
  return arena;
}

Arena::~Arena() {
  watch_.stop();
  if (begin_ != nullptr) {
    ::munmap(begin_, size_);
  }
}

std::byte* Arena::take(std::uint64_t size) {
  const std::lock_guard lock(mutex_);
  const auto found = std::find_if(free_.begin(), free_.end(),
                                  [size](const auto& run) { return run.second >= size; });
  if (found == free_.end()) {
    return nullptr;
  }
  auto run = free_.extract(found);
  const std::uint64_t offset = run.key();
  run.key() += size;
  run.mapped() -= size;
  if (run.mapped() > 0) {
    free_.insert(std::move(run));
  }
  return begin_ + offset;
}

void Arena::give_back(std::byte* begin, std::uint64_t size) noexcept {
  map_nothing(begin, size, MAP_FIXED);
  try {
    give_back_at(static_cast<std::uint64_t>(begin - begin_), size);
  } catch (const std::bad_alloc&) {
    // Address space costs nothing.
  }
}

void Arena::give_back_at(std::uint64_t offset, std::uint64_t size) {
  const std::lock_guard lock(mutex_);
  auto run = free_.emplace(offset, size).first;
  if (const auto next = std::next(run); next != free_.end() && next->first == offset + size) {
    run->second += next->second;
    free_.erase(next);
  }
  if (run != free_.begin()) {
    const auto before = std::prev(run);
    if (before->first + before->second == run->first) {
      before->second += run->second;
      free_.erase(run);
    }
  }
}

Mapping::~Mapping() {
  arena_->give_back(run_, run_size_);
}

Result<std::byte*> Arenas::take(std::uint64_t size, std::shared_ptr<Arena>* from) {
  for (const auto& arena : arenas_) {
    if (std::byte* const run = arena->take(size); run != nullptr) {
      *from = arena;
      return run;
    }
  }
  const std::uint64_t more = std::max(size, kArenaSize);
  if (arenas_.size() == kMostArenas || more > kMostTotal - total_) {
    return Error(ENOSPC);
  }
  PMEMFS_TRY(auto arena, Arena::create(more));
  arenas_.push_back(arena);
  total_ += more;
  *from = arena;
  return arena->take(size);
}

Result<std::shared_ptr<const Mapping>> Arenas::map(int fd, std::uint64_t offset,
                                                   std::uint64_t size) {
  if (size == 0 || size > kMostTotal || offset > kMostOffset) {
    return Error(EINVAL);
  }
  PMEMFS_TRY(const std::uint64_t page, page_of(fd, offset + size));
  const std::uint64_t begin = align_down(offset, kMappingUnit);
  const std::uint64_t length = align_up(offset + size, page) - begin;
  const std::uint64_t run_size = align_up(length, kMappingUnit);
  std::shared_ptr<Arena> arena;
  PMEMFS_TRY(std::byte* const run, take(run_size, &arena));
  constexpr int kFlags = MAP_SHARED | MAP_FIXED | MAP_NORESERVE;
  bool writable = true;
  void* got = ::mmap(run, length, PROT_READ | PROT_WRITE, kFlags, fd, static_cast<off_t>(begin));
  if (got == MAP_FAILED && (errno == EACCES || errno == EPERM)) {
    writable = false;
    got = ::mmap(run, length, PROT_READ, kFlags, fd, static_cast<off_t>(begin));
  }
  if (got == MAP_FAILED) {
    const int code = errno;
    arena->give_back(run, run_size);
    return Error(code);
  }
  // What the guest keeps secret does not belong into a core dump of ours.
  ::madvise(run, length, MADV_DONTDUMP);
  try {
    return std::shared_ptr<const Mapping>(
        std::make_shared<Mapping>(arena, run, run_size, run + (offset - begin), writable));
  } catch (const std::bad_alloc&) {
    arena->give_back(run, run_size);
    return Error(ENOMEM);
  }
}

bool Arenas::faulted() const {
  return std::any_of(arenas_.begin(), arenas_.end(), [](const auto& a) { return a->faulted(); });
}

}  // namespace pmemfs::virtiofs
