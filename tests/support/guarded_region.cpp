#include "support/guarded_region.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <system_error>

namespace pmemfs::test {
namespace {

constexpr std::uint64_t kGuard = 1ULL << 30U;  // on each side; addresses, no memory

[[noreturn]] void fail(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

std::byte* map(void* at, std::uint64_t n, int protection, int flags, int fd) {
  void* p = ::mmap(at, n, protection, flags | MAP_NORESERVE, fd, 0);
  if (p == MAP_FAILED) {
    fail("mmap");
  }
  return static_cast<std::byte*>(p);
}

}  // namespace

MediaImage::MediaImage(std::span<const std::byte> bytes)
    : fd_(::memfd_create("image", MFD_CLOEXEC)) {
  if (!fd_ || ::ftruncate(fd_.get(), static_cast<off_t>(bytes.size())) != 0) {
    fail("memfd");
  }
  std::byte* const to = map(nullptr, bytes.size(), PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get());
  std::memcpy(to, bytes.data(), bytes.size());
  bytes_ = {to, bytes.size()};
}

MediaImage::~MediaImage() {
  ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

GuardedRegion::GuardedRegion(const MediaImage& image, std::uint64_t size)
    : reserved_(map(nullptr, kLimit + 2 * kGuard, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1)) {
  size = size != 0 ? size : image.bytes().size();
  std::byte* const start = reserved_ + kGuard;
  map(start, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, image.fd());
  set_extent(start, size);
}

GuardedRegion::~GuardedRegion() {
  ::munmap(reserved_, kLimit + 2 * kGuard);
}

void GuardedRegion::must_contain(ByteOff off, std::uint64_t n, const char* what) const {
  if (!contains(off, n)) {
    std::fprintf(stderr, "%s outside the region: %llu bytes at %llu\n", what,
                 static_cast<unsigned long long>(n), static_cast<unsigned long long>(off.value));
    std::abort();
  }
}

void GuardedRegion::store(ByteOff off, const void* src, std::size_t n) {
  must_contain(off, n, "a store");
  if (n > 0) {
    std::memcpy(mutable_data() + off.value, src, n);
  }
}

void GuardedRegion::store_u64(ByteOff off, std::uint64_t value) {
  must_contain(off, sizeof(value), "an atomic store");
  if (off.value % sizeof(value) != 0) {
    std::fputs("an atomic store that is not aligned\n", stderr);
    std::abort();
  }
  std::memcpy(mutable_data() + off.value, &value, sizeof(value));
}

void GuardedRegion::stream(ByteOff off, const void* src, std::size_t n) {
  store(off, src, n);
}

void GuardedRegion::stream_zeros(ByteOff off, std::uint64_t n) {
  must_contain(off, n, "zeros");
  std::memset(mutable_data() + off.value, 0, n);
}

void GuardedRegion::flush(ByteOff off, std::size_t n) {
  must_contain(off, n, "a flush");
}

Status GuardedRegion::grow(std::uint64_t new_size) {
  if (new_size > kLimit) {
    return Error(ENOSPC);
  }
  map(mutable_data() + size(), new_size - size(), PROT_READ | PROT_WRITE,
      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1);
  set_extent(mutable_data(), new_size);
  return {};
}

Status GuardedRegion::shrink(std::uint64_t new_size) {
  std::byte* const from = mutable_data() + new_size;
  const std::uint64_t n = size() - new_size;
  set_extent(mutable_data(), new_size);
  map(from, n, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1);
  return {};
}

}  // namespace pmemfs::test
