// Writes that are synced one by one, and a single question to the filesystem.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "work.hpp"

namespace pmemfs::bench {
namespace {

constexpr std::uint64_t kSize = 256 * kMiB;

}  // namespace

Figures append_sync(const Job& job) {
  const std::string path = job.dir + "/appended";
  const base::UniqueFd fd(
      ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644));
  require(static_cast<bool>(fd), path);
  const std::vector<char> page(kPage, 'a');
  const auto body = [&](std::uint64_t) {
    require(::write(fd.get(), page.data(), kPage) == static_cast<ssize_t>(kPage), "write");
    require(::fsync(fd.get()) == 0, "fsync");
  };
  return {timed_loop("append_sync", 0, or_default(job.count, 5'000), body)};
}

Figures rewrite_sync(const Job& job) {
  const base::UniqueFd fd = written_file(job.dir, "plain-256m", kSize);
  require(::fsync(fd.get()) == 0, "fsync");
  const std::vector<char> page(kPage, 'r');
  Random random;
  const auto body = [&](std::uint64_t) {
    const auto at = static_cast<off_t>(random.below(kSize / kPage) * kPage);
    require(::pwrite(fd.get(), page.data(), kPage, at) == static_cast<ssize_t>(kPage), "pwrite");
    require(::fdatasync(fd.get()) == 0, "fdatasync");
  };
  return {timed_loop("rewrite_sync", 0, or_default(job.count, 5'000), body)};
}

// Through FUSE this is one GETATTR.
Figures round_trip(const Job& job) {
  const base::UniqueFd fd = written_file(job.dir, "asked", kPage);
  const auto body = [&](std::uint64_t) {
    struct statx asked {};
    require(
        ::statx(fd.get(), "", AT_EMPTY_PATH | AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &asked) == 0,
        "statx");
  };
  return {timed_loop("round_trip", 0, or_default(job.count, 10'000), body)};
}

}  // namespace pmemfs::bench
