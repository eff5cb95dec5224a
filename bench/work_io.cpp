// pread and pwrite of an ordinary file of 256 MiB that was read once before.
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <memory>

#include "work.hpp"

namespace pmemfs::bench {
namespace {

constexpr std::uint64_t kSize = 256 * kMiB;

// Begins on a page, as the buffers of programs do that care: one page more is one request more.
class Chunk {
 public:
  explicit Chunk(std::size_t size)
      : data_(static_cast<char*>(std::aligned_alloc(kPage, size)), std::free), size_(size) {
    require(data_ != nullptr, "memory");
    std::memset(data_.get(), 'z', size);
  }
  [[nodiscard]] char* data() const { return data_.get(); }
  [[nodiscard]] std::size_t size() const { return size_; }

 private:
  std::unique_ptr<char, decltype(&std::free)> data_;
  std::size_t size_;
};

base::UniqueFd warm_file(const Job& job) {
  base::UniqueFd fd = written_file(job.dir, "plain-256m", kSize);
  const Chunk chunk(kMiB);
  for (std::uint64_t off = 0; off < kSize; off += kMiB) {
    require(::pread(fd.get(), chunk.data(), kMiB, static_cast<off_t>(off)) > 0, "reading");
  }
  return fd;
}

enum class Way : std::uint8_t { kRead, kWrite };

void transfer(int fd, Way way, const Chunk& chunk, std::uint64_t off) {
  const auto at = static_cast<off_t>(off);
  const ssize_t n = way == Way::kRead ? ::pread(fd, chunk.data(), chunk.size(), at)
                                      : ::pwrite(fd, chunk.data(), chunk.size(), at);
  require(n == static_cast<ssize_t>(chunk.size()), way == Way::kRead ? "pread" : "pwrite");
}

Figures sequential(const Job& job, const std::string& name, Way way) {
  const base::UniqueFd fd = warm_file(job);
  const Chunk chunk(kMiB);
  const auto body = [&](std::uint64_t i) {
    transfer(fd.get(), way, chunk, i * kMiB % kSize);
  };
  return {timed_loop(name, 0, or_default(job.count, 1024), body)};
}

Figures random_pages(const Job& job, const std::string& name, Way way, std::uint64_t usual) {
  const base::UniqueFd fd = warm_file(job);
  const Chunk chunk(kPage);
  Random random;
  const auto body = [&](std::uint64_t) {
    transfer(fd.get(), way, chunk, random.below(kSize / kPage) * kPage);
  };
  return {timed_loop(name, 0, or_default(job.count, usual), body)};
}

}  // namespace

Figures read1m(const Job& job) {
  return sequential(job, "read1m", Way::kRead);
}
Figures write1m(const Job& job) {
  return sequential(job, "write1m", Way::kWrite);
}
Figures read4k(const Job& job) {
  return random_pages(job, "read4k", Way::kRead, 200'000);
}
Figures write4k(const Job& job) {
  return random_pages(job, "write4k", Way::kWrite, 50'000);
}

}  // namespace pmemfs::bench
