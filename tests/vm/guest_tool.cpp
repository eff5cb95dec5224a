// What guest scripts do with a mapping and no shell can: store and flush a pattern, verify it,
// count page faults, ask for MAP_SYNC. It knows nothing of pmemfs. Prints one line for each result;
// exits with 1 where the system refused.
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "guest_flush.hpp"
#include "guest_live.hpp"
#include "guest_mapping.hpp"

namespace {

using pmemfs::vm::kLine;

using pmemfs::vm::fail;
using pmemfs::vm::kHuge;
using pmemfs::vm::kPage;
using pmemfs::vm::Mapping;
using pmemfs::vm::pattern;
using pmemfs::vm::seed_of;

// store SAY FILE SEED [FILE SEED…]: stores and flushes every line of all files, in this order; then
// prints SAY and, unless SAY is "done", stays, with everything still mapped.
int store(std::span<char*> words) {
  const std::string_view say = words[0];
  std::vector<Mapping> mappings;
  for (std::size_t i = 1; i + 1 < words.size(); i += 2) {
    mappings.emplace_back(words[i]);
  }
  for (std::size_t i = 0; i < mappings.size(); ++i) {
    const std::span<std::byte> bytes = mappings[i].bytes();
    const std::uint64_t seed = seed_of(words[2 + 2 * i]);
    for (std::size_t line = 0; line < bytes.size() / kLine; ++line) {
      const auto words_of_line = pattern(seed, line);
      std::memcpy(bytes.data() + line * kLine, words_of_line.data(), kLine);
      pmemfs::vm::flush_line(bytes.data() + line * kLine);
    }
    pmemfs::vm::fence();
  }
  std::printf("%.*s\n", static_cast<int>(say.size()), say.data());
  std::fflush(stdout);
  while (say != "done") {
    ::pause();
  }
  return 0;
}

// verify FILE SEED: "kept K of N", by lines, read with read(2).
int verify(std::span<char*> words) {
  std::ifstream file(words[0], std::ios::binary);
  if (!file) {
    fail(std::string(words[0]) + ": cannot be opened");
  }
  const std::uint64_t seed = seed_of(words[1]);
  std::size_t total = 0;
  std::size_t kept = 0;
  for (std::array<char, kLine> line{}; file.read(line.data(), kLine); ++total) {
    const auto wanted = pattern(seed, total);
    kept += std::memcmp(line.data(), wanted.data(), kLine) == 0 ? std::size_t{1} : 0;
  }
  std::printf("kept %zu of %zu\n", kept, total);
  return 0;
}

// print SEED SIZE: what store would store into a file of SIZE bytes, on standard output.
int print(std::span<char*> words) {
  const std::uint64_t seed = seed_of(words[0]);
  for (std::size_t line = 0; line < seed_of(words[1]) / kLine; ++line) {
    const auto words_of_line = pattern(seed, line);
    std::fwrite(words_of_line.data(), kLine, 1, stdout);
  }
  return std::fflush(stdout) == 0 ? 0 : 1;
}

long minor_faults() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return usage.ru_minflt;
}

// faults FILE [SHIFT]: how many minor faults a first store to each page takes; the file is full of
// zeros and stays so.
int faults(std::span<char*> words) {
  const Mapping mapping(words[0], 0, words.size() > 1 ? seed_of(words[1]) : 0);
  const std::span<std::byte> bytes = mapping.bytes();
  const long before = minor_faults();
  for (std::size_t at = 0; at < bytes.size(); at += kPage) {
    *static_cast<volatile std::byte*>(bytes.data() + at) = std::byte{0};
  }
  std::printf("%ld\n", minor_faults() - before);
  return 0;
}

// The line of VmFlags that /proc/self/smaps has for the mapping at `start`.
std::string vm_flags(const std::byte* start) {
  std::ifstream smaps("/proc/self/smaps");
  std::array<char, 32> head{};
  std::snprintf(head.data(), head.size(), "%lx-", reinterpret_cast<unsigned long>(start));
  bool here = false;
  for (std::string line; std::getline(smaps, line);) {
    here = here || line.starts_with(head.data());
    if (here && line.starts_with("VmFlags:")) {
      return line + " ";
    }
  }
  return {};
}

// map-sync FILE: asks for MAP_SHARED with MAP_SYNC, and prints "granted" when the kernel marks the
// mapping so ("sf"). Filesystems that know DAX refuse it where there is none; tmpfs never looks.
int map_sync(std::span<char*> words) {
  const Mapping mapping(words[0], MAP_SYNC);
  const std::string flags = vm_flags(mapping.bytes().data());
  std::puts(flags.find(" sf ") != std::string::npos ? "granted" : "ignored");
  return 0;
}

// allocate FILE SIZE: a new file of allocated, never written blocks, committed.
int allocate(std::span<char*> words) {
  const int fd = ::open(words[0], O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  const auto size = static_cast<off_t>(seed_of(words[1]));
  if (fd < 0 || ::fallocate(fd, 0, 0, size) != 0 || ::fsync(fd) != 0) {
    fail(std::string(words[0]) + ": cannot be allocated");
  }
  return ::close(fd);
}

// sum FILE SIZE: a checksum of the first SIZE bytes, through a mapping: a DAX device has no
// read(2).
int sum(std::span<char*> words) {
  const std::uint64_t size = seed_of(words[1]);
  const int fd = ::open(words[0], O_RDONLY | O_CLOEXEC);
  void* const got = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0);
  if (got == MAP_FAILED) {
    fail(std::string(words[0]) + ": cannot be mapped");
  }
  std::uint64_t hash = size;
  for (const std::uint64_t word : std::span(static_cast<const std::uint64_t*>(got), size / 8)) {
    hash = (hash ^ word) * 0x9e3779b97f4a7c15U;
    hash ^= hash >> 29U;
  }
  std::printf("%016lx\n", static_cast<unsigned long>(hash));
  return 0;
}

// grow FILE STEP SIZE: a new file that grows to SIZE by truncations of STEP bytes, with one handle.
int grow(std::span<char*> words) {
  const int fd = ::open(words[0], O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  const auto step = static_cast<off_t>(seed_of(words[1]));
  const auto size = static_cast<off_t>(seed_of(words[2]));
  for (off_t now = step; now <= size; now += step) {
    if (fd < 0 || ::ftruncate(fd, now) != 0) {
      fail(std::string(words[0]) + ": cannot grow");
    }
  }
  return ::close(fd);
}

// nodefrag FILE: whether the filesystem's defragmentation leaves it alone, "yes" or "no".
int nodefrag(std::span<char*> words) {
  const int fd = ::open(words[0], O_RDONLY | O_CLOEXEC);
  struct fsxattr flags {};
  if (fd < 0 || ::ioctl(fd, FS_IOC_FSGETXATTR, &flags) != 0) {
    fail(std::string(words[0]) + ": has no flags");
  }
  std::puts((flags.fsx_xflags & FS_XFLAG_NODEFRAG) != 0 ? "yes" : "no");
  return ::close(fd);
}

// poison FILE OFFSET: has the kernel treat the page there as memory with an uncorrectable error,
// for all who map it. Only in a machine whose memory is not missed: the page stays so until the
// end.
int poison(std::span<char*> words) {
  const std::uint64_t off = seed_of(words[1]);
  const int fd = ::open(words[0], O_RDWR | O_CLOEXEC);
  void* const got = ::mmap(nullptr, kHuge, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
                           static_cast<off_t>(off / kHuge * kHuge));  // as a DAX device wants it
  if (got == MAP_FAILED) {
    fail(std::string(words[0]) + ": cannot be mapped");
  }
  std::byte* const page = static_cast<std::byte*>(got) + off % kHuge / kPage * kPage;
  static_cast<void>(*static_cast<volatile std::byte*>(page));
  std::signal(SIGBUS, [](int) { ::_exit(0); });  // we map it too
  if (::madvise(page, kPage, MADV_HWPOISON) != 0) {
    fail(std::string(words[0]) + ": cannot be poisoned");
  }
  return 0;
}

struct Command {
  std::string_view name;
  std::size_t least;
  int (*run)(std::span<char*>);
};

constexpr std::array kCommands = {
    Command{"store", 3, store},
    Command{"verify", 2, verify},
    Command{"print", 2, print},
    Command{"faults", 1, faults},
    Command{"map-sync", 1, map_sync},
    Command{"allocate", 2, allocate},
    Command{"sum", 2, sum},
    Command{"grow", 3, grow},
    Command{"nodefrag", 1, nodefrag},
    Command{"poison", 2, poison},
    Command{"mapped", 1, pmemfs::vm::mapped},
    Command{"hammer", 1, pmemfs::vm::hammer},
    Command{"hammered", 1, pmemfs::vm::hammered},
};

}  // namespace

int main(int argc, char** argv) {
  const std::span<char*> words(argv, static_cast<std::size_t>(argc));
  for (const Command& command : kCommands) {
    if (words.size() >= 2 + command.least && words[1] == command.name) {
      return command.run(words.subspan(2));
    }
  }
  std::puts(
      "usage: guest_tool "
      "store|verify|print|faults|map-sync|allocate|sum|grow|nodefrag|poison|mapped|"
      "hammer|hammered …; see tests/vm/guest_tool.cpp and guest_live.hpp");
  return 2;
}
