// Through a shared mapping. The directory decides whether its files are durable.
#include <cpuid.h>
#include <immintrin.h>
#include <sys/mman.h>

#include <cstddef>
#include <cstring>

#include "work.hpp"

namespace pmemfs::bench {
namespace {

constexpr std::uint64_t kLine = 64;

class Mapping {
 public:
  Mapping(const base::UniqueFd& fd, std::uint64_t size, int flags) : size_(size) {
    void* const at = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | flags, fd.get(), 0);
    require(at != MAP_FAILED, "mmap");
    data_ = static_cast<char*>(at);
  }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping() { ::munmap(data_, size_); }

  [[nodiscard]] char* data() const { return data_; }
  // Every page writable in the page tables, the caches in the same state for everyone.
  void prefault() const {
    for (std::uint64_t off = 0; off < size_; off += kPage) {
      const_cast<volatile char*>(data_)[off] = 1;
    }
  }

 private:
  char* data_ = nullptr;
  std::uint64_t size_;
};

__attribute__((target("clwb"))) void flush_with_clwb(void* line) {
  _mm_clwb(line);
}
__attribute__((target("clflushopt"))) void flush_with_clflushopt(void* line) {
  _mm_clflushopt(line);
}

using FlushLine = void (*)(void*);

// One bit of CPUID's leaf 7; not every compiler's __builtin_cpu_supports knows these two.
bool cpu_has(unsigned bit) {
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0 && (ebx & bit) != 0;
}

FlushLine best_flush() {
  if (cpu_has(bit_CLWB)) {
    return flush_with_clwb;
  }
  if (cpu_has(bit_CLFLUSHOPT)) {
    return flush_with_clflushopt;
  }
  throw std::runtime_error("this processor has neither clwb nor clflushopt");
}

}  // namespace

Figures store_flush(const Job& job) {
  constexpr std::uint64_t kSize = 64 * kMiB;
  const base::UniqueFd fd = written_file(job.dir, "mapped-64m", kSize);
  const Mapping map(fd, kSize, 0);
  map.prefault();
  const FlushLine flush = best_flush();
  Random random;
  const auto body = [&](std::uint64_t i) {
    char* const line = map.data() + random.below(kSize / kLine) * kLine;
    std::memset(line, static_cast<int>(i & 0xFFU), kLine);
    flush(line);
    _mm_sfence();
  };
  return {timed_loop("store_flush", 0, or_default(job.count, 2'000'000), body)};
}

Figures memcpy4k(const Job& job) {
  constexpr std::uint64_t kSize = 64 * kMiB;
  const base::UniqueFd fd = written_file(job.dir, "mapped-64m", kSize);
  const Mapping map(fd, kSize, 0);
  map.prefault();
  const std::vector<char> page(kPage, 'y');
  Random random;
  const auto body = [&](std::uint64_t) {
    std::memcpy(map.data() + random.below(kSize / kPage) * kPage, page.data(), kPage);
  };
  return {timed_loop("memcpy4k", 0, or_default(job.count, 1'000'000), body)};
}

namespace {

enum class Way : std::uint8_t { kOut, kIn };

// memcpy of 1 MiB between a mapped file of 256 MiB and a buffer, in sequence.
Figures copy1m(const Job& job, const std::string& name, Way way) {
  constexpr std::uint64_t kSize = 256 * kMiB;
  const base::UniqueFd fd = written_file(job.dir, "mapped-256m", kSize);
  const Mapping map(fd, kSize, 0);
  map.prefault();
  std::vector<char> chunk(kMiB, 'c');
  const auto body = [&](std::uint64_t i) {
    char* const at = map.data() + i * kMiB % kSize;
    std::memcpy(way == Way::kOut ? chunk.data() : at, way == Way::kOut ? at : chunk.data(), kMiB);
    asm volatile("" : : "r"(chunk.data()) : "memory");
  };
  return {timed_loop(name, 0, or_default(job.count, 1024), body)};
}

}  // namespace

Figures copy_out1m(const Job& job) {
  return copy1m(job, "copy_out1m", Way::kOut);
}
Figures copy_in1m(const Job& job) {
  return copy1m(job, "copy_in1m", Way::kIn);
}

// A store to each page of a mapping made just now: one fault each.
Figures first_touch(const Job& job) {
  constexpr std::uint64_t kSize = 256 * kMiB;
  const base::UniqueFd fd = written_file(job.dir, "mapped-256m", kSize);
  const Mapping map(fd, kSize, 0);
  const auto body = [&](std::uint64_t i) {
    const_cast<volatile char*>(map.data())[i * kPage] = 2;
  };
  return {timed_loop("first_touch", 0, kSize / kPage, body)};
}

}  // namespace pmemfs::bench
