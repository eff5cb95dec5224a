// Flushing one cache line with the best instruction that the processor has, without a library: what
// a program does that knows persistent memory and nothing else.
#pragma once

#include <cpuid.h>
#include <immintrin.h>

#include <cstddef>

namespace pmemfs::vm {

inline constexpr std::size_t kLine = 64;

enum class Flush { kClwb, kClflushopt, kClflush };

inline Flush best_flush() {
  constexpr unsigned kClflushoptBit = 1U << 23U;
  constexpr unsigned kClwbBit = 1U << 24U;
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0) {
    return Flush::kClflush;
  }
  if ((ebx & kClwbBit) != 0) {
    return Flush::kClwb;
  }
  return (ebx & kClflushoptBit) != 0 ? Flush::kClflushopt : Flush::kClflush;
}

__attribute__((target("clwb"))) inline void clwb(void* line) {
  _mm_clwb(line);
}

__attribute__((target("clflushopt"))) inline void clflushopt(void* line) {
  _mm_clflushopt(line);
}

inline void flush_line(void* line) {
  static const Flush kBest = best_flush();
  switch (kBest) {
    case Flush::kClwb:
      return clwb(line);
    case Flush::kClflushopt:
      return clflushopt(line);
    case Flush::kClflush:
      return _mm_clflush(line);
  }
}

inline void fence() {
  _mm_sfence();
}

}  // namespace pmemfs::vm
