// pmemfs-bench-guest WORK FILE COUNT: nanoseconds that one of COUNT operations took on FILE, which
// is as large as it is to be. mapped-read, mapped-write: 4 KiB copied from or to a random page of a
// shared mapping, every page touched before; mapped-cold: read so without. read4k, write4k, read1m,
// write1m: past the page cache (O_DIRECT), 4 KiB at random and 1 MiB in sequence. names: a file
// created and unlinked beside FILE.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace {

constexpr std::size_t kPage = 4096;
constexpr std::size_t kMiB = std::size_t{1} << 20;

[[noreturn]] void fail(const char* what) {
  std::perror(what);
  std::exit(1);
}

std::uint64_t below(std::uint64_t bound) {
  static std::uint64_t state = 0x9e3779b97f4a7c15U;
  state ^= state << 13U;
  state ^= state >> 7U;
  state ^= state << 17U;
  return state % bound;
}

struct Job {
  std::string path;
  std::uint64_t count;
};

struct File {
  int fd;
  std::size_t size;
};

File open_file(const Job& job, int flags) {
  const int fd = ::open(job.path.c_str(), O_RDWR | O_CLOEXEC | flags);
  struct stat st {};
  if (fd < 0 || ::fstat(fd, &st) != 0 || st.st_size == 0) {
    fail(job.path.c_str());
  }
  return {fd, static_cast<std::size_t>(st.st_size)};
}

template <typename Body>
void timed(const Job& job, const Body& body) {
  using Clock = std::chrono::steady_clock;
  const Clock::time_point start = Clock::now();
  for (std::uint64_t i = 0; i < job.count; ++i) {
    body(i);
  }
  const std::chrono::duration<double, std::nano> took = Clock::now() - start;
  std::printf("%.1f\n", took.count() / static_cast<double>(job.count));
}

enum class Way : std::uint8_t { kRead, kWrite };

void mapped(const Job& job, Way way, bool warm) {
  const File file = open_file(job, 0);
  void* const got = ::mmap(nullptr, file.size, PROT_READ | PROT_WRITE, MAP_SHARED, file.fd, 0);
  if (got == MAP_FAILED) {
    fail("mmap");
  }
  const std::span<char> bytes(static_cast<char*>(got), file.size);
  for (std::size_t at = 0; warm && at < bytes.size(); at += kPage) {
    *static_cast<volatile char*>(&bytes[at]) = 1;
  }
  std::array<char, kPage> page{};
  timed(job, [&](std::uint64_t) {
    char* const at = &bytes[below(bytes.size() / kPage) * kPage];
    std::memcpy(way == Way::kRead ? page.data() : at, way == Way::kRead ? at : page.data(), kPage);
    asm volatile("" : : "r"(page.data()) : "memory");
  });
}

void direct(const Job& job, Way way, std::size_t size) {
  const File file = open_file(job, O_DIRECT);
  const std::unique_ptr<void, decltype(&std::free)> chunk(std::aligned_alloc(kPage, size),
                                                          std::free);
  std::memset(chunk.get(), 'z', size);
  const std::size_t chunks = file.size / size;
  timed(job, [&](std::uint64_t i) {
    const auto at = static_cast<off_t>((size == kPage ? below(chunks) : i % chunks) * size);
    const ssize_t n = way == Way::kRead ? ::pread(file.fd, chunk.get(), size, at)
                                        : ::pwrite(file.fd, chunk.get(), size, at);
    if (n != static_cast<ssize_t>(size)) {
      fail("transfer");
    }
  });
}

void names(const Job& job) {
  const std::string path = job.path + ".name";
  timed(job, [&](std::uint64_t) {
    const int fd = ::open(path.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
    if (fd < 0 || ::close(fd) != 0 || ::unlink(path.c_str()) != 0) {
      fail("name");
    }
  });
}

struct Work {
  std::string_view name;
  void (*run)(const Job& job);
};

constexpr std::array kWorks = {
    Work{"mapped-read",
         [](const Job& job) {
           mapped(job, Way::kRead, true);
         }},
    Work{"mapped-write",
         [](const Job& job) {
           mapped(job, Way::kWrite, true);
         }},
    Work{"mapped-cold",
         [](const Job& job) {
           mapped(job, Way::kRead, false);
         }},
    Work{"read4k",
         [](const Job& job) {
           direct(job, Way::kRead, kPage);
         }},
    Work{"write4k",
         [](const Job& job) {
           direct(job, Way::kWrite, kPage);
         }},
    Work{"read1m",
         [](const Job& job) {
           direct(job, Way::kRead, kMiB);
         }},
    Work{"write1m",
         [](const Job& job) {
           direct(job, Way::kWrite, kMiB);
         }},
    Work{"names", names},
};

}  // namespace

int main(int argc, char** argv) {
  const std::span<char*> words(argv, static_cast<std::size_t>(argc));
  for (const Work& work : kWorks) {
    if (words.size() == 4 && words[1] == work.name) {
      work.run({words[2], std::strtoull(words[3], nullptr, 10)});
      return 0;
    }
  }
  std::puts("usage: pmemfs-bench-guest WORK FILE COUNT; see bench/vm/guest_io.cpp");
  return 2;
}
