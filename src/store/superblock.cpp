#include "store/superblock.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include "base/media_faults.hpp"
#include "base/unique_fd.hpp"
#include "format/checks.hpp"
#include "format/layout.hpp"
#include "store/store.hpp"

namespace pmemfs::store {
namespace {

using format::Superblock;

constexpr ByteOff kFirst{0};
constexpr ByteOff kSecond{format::kSuperblockCopyBlock * format::kBlockSize};

struct Copy {
  Superblock s{};
  bool magic = false;
  bool valid = false;
  bool lost = false;  // to a media error
};

Copy read_copy(const Region& region, ByteOff off) {
  Copy copy;
  if (!region.contains(off, sizeof(copy.s))) {
    return copy;
  }
  copy.lost = region.lost(off, sizeof(copy.s)) || region.readable(off, sizeof(copy.s)) == 0;
  if (!copy.lost) {
    std::memcpy(&copy.s, region.data() + off.value, sizeof(copy.s));
    copy.lost = region.lost(off, sizeof(copy.s));
  }
  copy.magic = copy.s.magic.load() == format::kSuperblockMagic;
  copy.valid = copy.magic && format::valid(copy.s);
  return copy;
}

struct Verdict {
  SuperblockFault fault;
  int code;
};

Verdict judge(const Superblock& s, const Region& region) {
  if (s.version.load() < format::kFormatVersion) {
    return {SuperblockFault::kOlder, EOPNOTSUPP};
  }
  if (!format::understood(s)) {
    return {SuperblockFault::kNewer, EOPNOTSUPP};
  }
  if (!format::well_formed(s)) {
    return {SuperblockFault::kDamaged, EUCLEAN};
  }
  if (s.region_blocks.load() > region.size() / format::kBlockSize) {
    return {SuperblockFault::kSize, EUCLEAN};
  }
  return {SuperblockFault::kNone, 0};
}

Verdict choose(const Copy& first, const Copy& second, const Region& region, bool* second_serves) {
  if (!first.valid && !second.valid && (first.lost || second.lost)) {
    return {SuperblockFault::kUnreadable, EIO};
  }
  if (!first.magic && !second.magic) {
    return {SuperblockFault::kNotPmemfs, EINVAL};
  }
  if (!first.valid && !second.valid) {
    return {SuperblockFault::kDamaged, EUCLEAN};
  }
  *second_serves = !first.valid || (second.valid && second.s.update.load() > first.s.update.load());
  return judge(*second_serves ? second.s : first.s, region);
}

int digit(char c) {
  if (c >= '0' && c <= '9') {
    return c - '0';
  }
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

}  // namespace

Result<Superblock> read_superblock(const Region& region, SuperblockFault* fault,
                                   bool* used_second) {
  const Copy first = read_copy(region, kFirst);
  const Copy second = read_copy(region, kSecond);
  bool second_serves = false;
  const Verdict verdict = choose(first, second, region, &second_serves);
  if (fault != nullptr) {
    *fault = verdict.fault;
  }
  if (used_second != nullptr) {
    // A newer second copy beside a whole first one is an update that a crash cut short.
    *used_second = second_serves && !first.valid;
  }
  if (verdict.code != 0) {
    return Error(verdict.code);
  }
  return second_serves ? second.s : first.s;
}

// The copy that is not whole, or is the older one, as a crash amid an update leaves it, is written
// first: another crash then finds the other one.
static std::array<ByteOff, 2> order_of_writing(const Region& region, const Superblock& in_force) {
  const Copy second = read_copy(region, kSecond);
  const bool both = second.valid && second.s.update.load() == in_force.update.load();
  return both ? std::array{kFirst, kSecond} : std::array{kSecond, kFirst};
}

Status write_superblock(Region& region, Superblock& s) {
  const base::MediaErrorsForgiven one_is_enough;
  const std::array<ByteOff, 2> order = order_of_writing(region, s);
  s.update.store(s.update.load() + 1);
  format::seal(s);
  bool written = false;
  for (const ByteOff place : order) {
    if (!region.lost(place, sizeof(s))) {
      region.stream(place, &s, sizeof(s));
      region.fence();
      written |= !region.lost(place, sizeof(s));
    }
  }
  return written ? Status() : Status(Error(EIO));
}

Status SuperblockKeeper::write(Superblock& s) {
  return write_superblock(region_, s);
}

Status SuperblockKeeper::check() const {
  const base::MediaErrorsForgiven told_by_the_region;
  const std::lock_guard lock(mutex_);
  Status done;
  for (const ByteOff place : {kFirst, kSecond}) {
    const Copy copy = read_copy(region_, place);
    if (copy.lost) {
      return Error(EIO);
    }
    if (!copy.valid || copy.s.update.load() != current_.update.load()) {
      done = Error(EUCLEAN);
    }
  }
  return done;
}

format::Uuid boot_id() {
  format::Uuid id{};
  std::array<char, 64> text{};
  const base::UniqueFd fd(::open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC));
  const ssize_t n = fd ? ::read(fd.get(), text.data(), text.size()) : 0;
  std::size_t digits = 0;
  for (std::size_t i = 0; n > 0 && i < static_cast<std::size_t>(n) && digits < 32; ++i) {
    if (const int d = digit(text[i]); d >= 0) {
      std::uint8_t& byte = id[digits / 2];
      byte = static_cast<std::uint8_t>((byte << 4U) | d);
      ++digits;
    }
  }
  return id;
}

}  // namespace pmemfs::store
