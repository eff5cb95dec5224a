// Sizes, blocks, statvfs.

#include <sys/statvfs.h>

#include "support/mount_fixture.hpp"

namespace pmemfs::test {
namespace {

constexpr std::uint64_t kMiB = 1U << 20U;

std::uint64_t available(const std::string& path) {
  struct statvfs fs {};
  NEED_OK(::statvfs(path.c_str(), &fs));
  return std::uint64_t{fs.f_bavail} * fs.f_frsize;
}

}  // namespace

POSIX_CASE("stat: sizes and blocks follow the content") {
  make_file(place / "file", pattern(100'000, 1));
  const struct stat st = stat_of(place / "file");
  CHECK(st.st_size == 100'000);
  CHECK(st.st_blocks * 512 >= 100'000);
  CHECK(st.st_blocks * 512 <= 200'000);
  CHECK(st.st_blksize >= 512);
  NEED_OK(sys::truncate(place / "file", 0));
  CHECK(stat_of(place / "file").st_blocks == 0);
  NEED_OK(sys::truncate(place / "file", 1 << 30));
  CHECK(stat_of(place / "file").st_size == 1 << 30);
  CHECK(stat_of(place / "file").st_blocks < 100);
}

POSIX_CASE("stat: the same by name, by handle, by directory handle and by statx") {
  make_file(place / "file", "12345");
  const UniqueFd fd = open_file(place / "file", O_RDONLY);
  const UniqueFd dir = open_file(place.path(), O_RDONLY | O_DIRECTORY);
  const struct stat by_name = stat_of(place / "file");
  const struct stat by_fd = stat_of(fd.get());
  struct stat at {};
  NEED_OK(::fstatat(dir.get(), "file", &at, 0));
  struct statx stx {};
  NEED_OK(::statx(dir.get(), "file", AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &stx));
  CHECK(by_fd.st_ino == by_name.st_ino);
  CHECK(at.st_ino == by_name.st_ino);
  CHECK(stx.stx_ino == by_name.st_ino);
  CHECK(by_fd.st_size == 5);
  CHECK(stx.stx_size == 5);
  CHECK(by_fd.st_dev == by_name.st_dev);
  CHECK(stx.stx_blocks == static_cast<std::uint64_t>(by_fd.st_blocks));
}

POSIX_CASE("stat: the size is right at once after writes through another handle") {
  make_file(place / "file");
  const UniqueFd writer = open_file(place / "file", O_WRONLY);
  const UniqueFd reader = open_file(place / "file", O_RDONLY);
  for (off_t size = 1; size <= 20; ++size) {
    NEED_OK(::pwrite(writer.get(), "x", 1, size * 1000 - 1));
    CHECK(stat_of(reader.get()).st_size == size * 1000);
    CHECK(stat_of(place / "file").st_size == size * 1000);
    CHECK(::lseek(reader.get(), 0, SEEK_END) == size * 1000);
  }
}

POSIX_CASE("statvfs: plausible, and moves with what is written") {
  struct statvfs fs {};
  NEED_OK(::statvfs(place.path().c_str(), &fs));
  CHECK(fs.f_bsize >= 512);
  CHECK(fs.f_blocks > 0);
  CHECK(fs.f_bfree <= fs.f_blocks);
  CHECK(fs.f_bavail <= fs.f_bfree);
  CHECK(fs.f_files > 0);
  CHECK(fs.f_ffree <= fs.f_files);
  CHECK(fs.f_namemax == 255);
  CHECK((fs.f_flag & ST_RDONLY) == 0);
  const std::uint64_t before = available(place.path());
  make_file(place / "file", pattern(16 * kMiB, 1));
  ::sync();
  const std::uint64_t during = available(place.path());
  CHECK(before - during >= 12 * kMiB);
  NEED_OK(sys::unlink(place / "file"));
  // Space may come back a moment after the last close.
  std::uint64_t after = 0;
  for (int i = 0; i < 100 && (after = available(place.path())) < during + 12 * kMiB; ++i) {
    tick();
  }
  CHECK(after >= during + 12 * kMiB);
}

}  // namespace pmemfs::test
