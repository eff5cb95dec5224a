#include "base/media_faults.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <csignal>

namespace pmemfs::base {

// All members are atomic: the handler may look at any time, from any thread. A range is found by
// its addresses while `end` is not 0.
struct MediaWatch::Range {
  std::atomic<bool> taken{false};
  std::atomic<std::uintptr_t> begin{0};
  std::atomic<std::uintptr_t> end{0};
  std::atomic<std::uint64_t> unit{0};
  std::atomic<std::uint64_t> events{0};
  std::atomic<bool> failed{false};
  // Number + 1, or kForgotten; 0 ends the list.
  std::array<std::atomic<std::uint64_t>, kMostPieces> pieces{};

  [[nodiscard]] bool holds(std::uintptr_t address) const;
  bool list(std::uint64_t piece);
  bool replace(std::uintptr_t address);
};

constinit thread_local std::uint64_t media_errors_of_thread = 0;

namespace {

using Range = MediaWatch::Range;

constexpr std::uint64_t kForgotten = ~std::uint64_t{0};

// Regions, as many of backing's windows as there are threads, and the memory of virtual machines.
constexpr std::size_t kMostRanges = 128;

std::array<Range, kMostRanges> g_ranges;
struct sigaction g_before {};

Range* range_of(std::uintptr_t address) {
  const auto found = std::find_if(g_ranges.begin(), g_ranges.end(),
                                  [address](const Range& r) { return r.holds(address); });
  return found == g_ranges.end() ? nullptr : found;
}

// As if we were not here.
void pass_on(int number, siginfo_t* info, void* context) {
  if ((g_before.sa_flags & SA_SIGINFO) != 0) {
    g_before.sa_sigaction(number, info, context);
    return;
  }
  const bool sent = info->si_code <= 0;  // by a process, and not by the faulting instruction
  if (g_before.sa_handler == SIG_IGN && sent) {
    return;
  }
  if (g_before.sa_handler != SIG_DFL && g_before.sa_handler != SIG_IGN) {
    g_before.sa_handler(number);
    return;
  }
  std::signal(number, SIG_DFL);  // an instruction that is repeated faults again
  if (sent) {
    std::raise(number);
  }
}

void on_bus_error(int number, siginfo_t* info, void* context) {
  const int saved = errno;
  const auto address = reinterpret_cast<std::uintptr_t>(info->si_addr);
  Range* const range = info->si_code > 0 ? range_of(address) : nullptr;
  if (range == nullptr || !range->replace(address)) {
    pass_on(number, info, context);
  } else if (info->si_code != BUS_MCEERR_AO) {  // which tells of errors that nobody met yet
    ++media_errors_of_thread;
  }
  errno = saved;
}

void install() {
  struct sigaction action {};
  action.sa_sigaction = on_bus_error;
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  ::sigemptyset(&action.sa_mask);
  ::sigaction(SIGBUS, &action, &g_before);
}

bool put_zeros(std::uintptr_t begin, std::uint64_t n) {
  // NOLINTNEXTLINE(performance-no-int-to-ptr): the signal names an address
  return ::mmap(reinterpret_cast<void*>(begin), n, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) != MAP_FAILED;
}

}  // namespace

bool MediaWatch::Range::holds(std::uintptr_t address) const {
  const std::uintptr_t stop = end.load();
  // Read again, since the range may be another's by now.
  return address < stop && address >= begin.load() && end.load() == stop;
}

// False when there is no room. All who add look from the start, so a piece is listed once, unless
// another is forgotten meanwhile.
bool MediaWatch::Range::list(std::uint64_t piece) {
  const std::uint64_t wanted = piece + 1;
  for (std::atomic<std::uint64_t>& place : pieces) {
    std::uint64_t found = 0;
    if (place.compare_exchange_strong(found, wanted) || found == wanted ||
        (found == kForgotten && place.compare_exchange_strong(found, wanted))) {
      return true;
    }
  }
  return false;
}

// Listed first, replaced next: so that whoever loads zeros finds the reason afterwards.
bool MediaWatch::Range::replace(std::uintptr_t address) {
  const std::uintptr_t start = begin.load();
  const std::uint64_t size = unit.load();
  const std::uint64_t piece = (address - start) / size;
  events.fetch_add(1);
  if (failed.load() || !list(piece)) {
    failed.store(true);
    return put_zeros(start, end.load() - start);  // each piece costs mappings, which have a limit
  }
  return put_zeros(start + piece * size, size);
}

void note_media_error() noexcept {
  ++media_errors_of_thread;
}

MediaErrorsForgiven::~MediaErrorsForgiven() {
  media_errors_of_thread = before_;
}

Status MediaWatch::start(std::byte* begin, std::uint64_t size, std::uint64_t unit) {
  assert(range_ == nullptr && size % unit == 0);
  [[maybe_unused]] static const bool kInstalled = [] {
    install();
    return true;
  }();
  const auto free = std::find_if(g_ranges.begin(), g_ranges.end(),
                                 [](Range& range) { return !range.taken.exchange(true); });
  if (free == g_ranges.end()) {
    return Error(ENOMEM);
  }
  range_ = free;
  for (std::atomic<std::uint64_t>& piece : free->pieces) {
    piece.store(0, std::memory_order_relaxed);
  }
  free->events.store(0);
  free->failed.store(false);
  free->unit.store(unit);
  const auto address = reinterpret_cast<std::uintptr_t>(begin);
  free->begin.store(address);
  free->end.store(address + size);
  return {};
}

void MediaWatch::grow(std::uint64_t size) {
  range_->end.store(range_->begin.load() + size);
}

void MediaWatch::stop() {
  if (range_ != nullptr) {
    range_->end.store(0);
    range_->taken.store(false);
    range_ = nullptr;
  }
}

const std::atomic<std::uint64_t>& MediaWatch::events() const {
  return range_->events;
}

bool MediaWatch::lost(std::uint64_t off, std::uint64_t n) const {
  if (range_->events.load() == 0 || n == 0) {
    return false;
  }
  if (range_->failed.load()) {
    return true;
  }
  const std::uint64_t unit = range_->unit.load();
  const std::uint64_t first = off / unit + 1;
  const std::uint64_t last = (off + n - 1) / unit + 1;
  for (const std::atomic<std::uint64_t>& piece : range_->pieces) {
    const std::uint64_t listed = piece.load();
    if (listed == 0) {
      return false;
    }
    if (listed >= first && listed <= last) {
      return true;
    }
  }
  return false;
}

std::uint64_t MediaWatch::pieces() const {
  return listed().size();
}

std::vector<std::uint64_t> MediaWatch::listed() const {
  std::vector<std::uint64_t> all;
  for (const std::atomic<std::uint64_t>& piece : range_->pieces) {
    const std::uint64_t listed = piece.load();
    if (listed == 0) {
      break;
    }
    if (listed != kForgotten) {
      all.push_back((listed - 1) * range_->unit.load());
    }
  }
  return all;
}

void MediaWatch::forget(std::uint64_t off, std::uint64_t n) {
  const std::uint64_t unit = range_->unit.load();
  const std::uint64_t first = off / unit + 1;
  const std::uint64_t last = (off + n - 1) / unit + 1;
  for (std::atomic<std::uint64_t>& piece : range_->pieces) {
    std::uint64_t listed = piece.load();
    if (listed == 0) {
      return;
    }
    if (listed >= first && listed <= last) {
      piece.compare_exchange_strong(listed, kForgotten);
    }
  }
}

bool MediaWatch::failed() const {
  return range_->failed.load();
}

}  // namespace pmemfs::base
