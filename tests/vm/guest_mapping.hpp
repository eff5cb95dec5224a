// What the commands of guest_tool share: a mapping of a file, and a pattern to store into it.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>

namespace pmemfs::vm {

inline constexpr std::size_t kHuge = std::size_t{2} << 20;
inline constexpr std::size_t kPage = 4096;

[[noreturn]] inline void fail(const std::string& what) {
  const int code = errno;
  std::printf("guest_tool: %s: %s\n", what.c_str(), std::strerror(code));
  std::exit(1);
}

// A whole file, or `size` bytes of it, mapped shared and writable at an address that is `shift`
// bytes past a multiple of 2 MiB: without a shift the kernel can use huge pages where offset and
// media allow it, with one it never can.
class Mapping {
 public:
  explicit Mapping(const char* path, int extra_flags = 0, std::size_t shift = 0,
                   std::size_t size = 0) {
    const int fd = ::open(path, O_RDWR | O_CLOEXEC);
    struct stat st {};
    if (fd < 0 || ::fstat(fd, &st) != 0 || st.st_size == 0) {
      fail(std::string(path) + ": cannot be opened or is empty");
    }
    size_ = size != 0 ? size : static_cast<std::size_t>(st.st_size);
    void* const place =
        ::mmap(nullptr, size_ + 2 * kHuge, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (place == MAP_FAILED) {
      fail("no address space");
    }
    auto* const start = static_cast<std::byte*>(place);
    const std::size_t past = reinterpret_cast<std::uintptr_t>(start) % kHuge;
    void* const got = ::mmap(start + (kHuge - past) + shift, size_, PROT_READ | PROT_WRITE,
                             MAP_SHARED | MAP_FIXED | extra_flags, fd, 0);
    if (got == MAP_FAILED) {
      fail(std::string(path) + ": mmap refused");
    }
    data_ = static_cast<std::byte*>(got);
    ::close(fd);
  }

  // Until the program ends: an unmapping could make a filesystem write something.
  [[nodiscard]] std::span<std::byte> bytes() const { return {data_, size_}; }

 private:
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

// Eight words that differ from line to line and from seed to seed, and are never zero.
inline std::array<std::uint64_t, 8> pattern(std::uint64_t seed, std::size_t line) {
  std::array<std::uint64_t, 8> words{};
  for (std::size_t i = 0; i < words.size(); ++i) {
    words[i] = ((seed << 40U) + line * words.size() + i + 1) * 0x9e3779b97f4a7c15U;
  }
  return words;
}

inline std::uint64_t seed_of(const char* text) {
  return std::strtoull(text, nullptr, 10);
}

}  // namespace pmemfs::vm
