// Sparse files: SEEK_HOLE, SEEK_DATA, and fallocate with all modes.

#include <linux/falloc.h>

#include "support/mount_fixture.hpp"

namespace pmemfs::test {
namespace {

constexpr off_t kKiB = 1024;
constexpr off_t kBlock = 64 * kKiB;  // large enough for every filesystem's idea of a hole
constexpr int kPunch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;

std::string zeros(off_t size) {
  return std::string(static_cast<std::size_t>(size), '\0');
}
std::string some(off_t size, std::uint64_t seed) {
  return pattern(static_cast<std::size_t>(size), seed);
}

UniqueFd new_file(const Place& place) {
  return open_file(place / "file", O_CREAT | O_RDWR);
}

blkcnt_t blocks(const UniqueFd& fd) {
  return stat_of(fd.get()).st_blocks;
}

}  // namespace

POSIX_CASE("holes: SEEK_DATA and SEEK_HOLE") {
  const UniqueFd fd = new_file(place);
  CHECK(pwrite_all(fd.get(), some(kBlock, 1), kBlock));
  CHECK(pwrite_all(fd.get(), some(kBlock, 2), 5 * kBlock));
  NEED_OK(::ftruncate(fd.get(), 8 * kBlock));
  NEED_OK(::fsync(fd.get()));
  CHECK(::lseek(fd.get(), 0, SEEK_DATA) == kBlock);
  CHECK(::lseek(fd.get(), 0, SEEK_HOLE) == 0);
  CHECK(::lseek(fd.get(), kBlock + 5, SEEK_DATA) == kBlock + 5);
  CHECK(::lseek(fd.get(), kBlock + 5, SEEK_HOLE) == 2 * kBlock);
  CHECK(::lseek(fd.get(), 2 * kBlock, SEEK_DATA) == 5 * kBlock);
  CHECK(::lseek(fd.get(), 5 * kBlock, SEEK_HOLE) == 6 * kBlock);
  EXPECT_ERRNO(ENXIO, ::lseek(fd.get(), 6 * kBlock, SEEK_DATA));
  CHECK(::lseek(fd.get(), 7 * kBlock, SEEK_HOLE) == 7 * kBlock);
  EXPECT_ERRNO(ENXIO, ::lseek(fd.get(), 8 * kBlock, SEEK_HOLE));
  EXPECT_ERRNO(ENXIO, ::lseek(fd.get(), 8 * kBlock, SEEK_DATA));
  EXPECT_ERRNO(ENXIO, ::lseek(fd.get(), -1, SEEK_DATA));
  CHECK(::lseek(fd.get(), 0, SEEK_END) == 8 * kBlock);
}

POSIX_CASE("holes: a file without any ends in the one at its end") {
  make_file(place / "file", pattern(100'000, 1));
  const UniqueFd fd = open_file(place / "file", O_RDONLY);
  CHECK(::lseek(fd.get(), 0, SEEK_DATA) == 0);
  CHECK(::lseek(fd.get(), 0, SEEK_HOLE) == 100'000);
  CHECK(::lseek(fd.get(), 99'999, SEEK_HOLE) == 100'000);
  make_file(place / "empty");
  const UniqueFd empty = open_file(place / "empty", O_RDONLY);
  EXPECT_ERRNO(ENXIO, ::lseek(empty.get(), 0, SEEK_DATA));
  EXPECT_ERRNO(ENXIO, ::lseek(empty.get(), 0, SEEK_HOLE));
}

POSIX_CASE("holes: they read as zeros and take no space") {
  const UniqueFd fd = new_file(place);
  NEED_OK(::ftruncate(fd.get(), 100 * kBlock));
  CHECK(blocks(fd) * 512 < kBlock);
  CHECK(pwrite_all(fd.get(), some(10, 1), 50 * kBlock + 7));
  CHECK((pread_some(fd.get(), 100, 50 * kBlock) == zeros(7) + some(10, 1) + zeros(83)));
  CHECK((pread_some(fd.get(), 3 * kBlock, kBlock) == zeros(3 * kBlock)));
  CHECK(blocks(fd) * 512 < 2 * kBlock);
}

POSIX_CASE("fallocate: mode 0 extends, KEEP_SIZE does not, both reserve") {
  const UniqueFd fd = new_file(place);
  EXPECT_OK(::fallocate(fd.get(), 0, 0, 3 * kBlock));
  CHECK(stat_of(fd.get()).st_size == 3 * kBlock);
  CHECK(blocks(fd) * 512 >= 3 * kBlock);
  CHECK((pread_some(fd.get(), 4 * kBlock, 0) == zeros(3 * kBlock)));
  EXPECT_OK(::fallocate(fd.get(), FALLOC_FL_KEEP_SIZE, 0, 10 * kBlock));
  CHECK(stat_of(fd.get()).st_size == 3 * kBlock);
  CHECK(blocks(fd) * 512 >= 10 * kBlock);
  EXPECT_OK(::ftruncate(fd.get(), 3 * kBlock));
  CHECK(pwrite_all(fd.get(), some(100, 1), 20 * kBlock));
  EXPECT_OK(::fallocate(fd.get(), 0, kBlock, kBlock));
  CHECK(stat_of(fd.get()).st_size == 20 * kBlock + 100);
}

POSIX_CASE("fallocate: mode 0 over data keeps it") {
  const UniqueFd fd = new_file(place);
  CHECK(pwrite_all(fd.get(), some(3 * kBlock, 1), 0));
  EXPECT_OK(::fallocate(fd.get(), 0, kBlock / 2, 5 * kBlock));
  CHECK((pread_some(fd.get(), 9 * kBlock, 0) == some(3 * kBlock, 1) + zeros(5 * kBlock / 2)));
}

POSIX_CASE("fallocate: PUNCH_HOLE, aligned or not") {
  const UniqueFd fd = new_file(place);
  const std::string data = some(8 * kBlock, 1);
  CHECK(pwrite_all(fd.get(), data, 0));
  const blkcnt_t full = blocks(fd);
  EXPECT_OK(::fallocate(fd.get(), kPunch, 2 * kBlock, 2 * kBlock));
  CHECK(blocks(fd) <= full - 2 * kBlock / 512);
  std::string model = data;
  model.replace(2 * kBlock, 2 * kBlock, zeros(2 * kBlock));
  CHECK((pread_some(fd.get(), 9 * kBlock, 0) == model));
  NEED_OK(::fsync(fd.get()));
  CHECK(::lseek(fd.get(), 0, SEEK_HOLE) == 2 * kBlock);
  for (const auto& [off, size] : {std::pair<off_t, off_t>{1, 1},
                                  {4095, 2},
                                  {kBlock + 100, 5000},
                                  {5 * kBlock - 1, kBlock + 2},
                                  {8 * kBlock - 10, 100},
                                  {9 * kBlock, kBlock}}) {
    INFO(off << " + " << size);
    EXPECT_OK(::fallocate(fd.get(), kPunch, off, size));
    for (off_t i = off; i < std::min(off + size, 8 * kBlock); ++i) {
      model[static_cast<std::size_t>(i)] = '\0';
    }
    CHECK((pread_some(fd.get(), 9 * kBlock, 0) == model));
  }
  CHECK(stat_of(fd.get()).st_size == 8 * kBlock);
}

POSIX_CASE("fallocate: ZERO_RANGE, where it exists") {
  const UniqueFd fd = new_file(place);
  std::string model = some(4 * kBlock, 1);
  CHECK(pwrite_all(fd.get(), model, 0));
  const Errno result = error_of(::fallocate(fd.get(), FALLOC_FL_ZERO_RANGE, 1000, kBlock));
  if (place.kind() == Kind::kFile || place.is_plain(0xef53)) {
    REQUIRE(result == Errno{});
  } else if (result == Errno{EOPNOTSUPP}) {
    return;  // tmpfs has none, nor has a directory region on it
  }
  model.replace(1000, kBlock, zeros(kBlock));
  CHECK((pread_some(fd.get(), 9 * kBlock, 0) == model));
  EXPECT_OK(::fallocate(fd.get(), FALLOC_FL_ZERO_RANGE, 4 * kBlock - 10, 100));
  CHECK(stat_of(fd.get()).st_size == 4 * kBlock + 90);
  EXPECT_OK(::fallocate(fd.get(), FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 4 * kBlock, kBlock));
  CHECK(stat_of(fd.get()).st_size == 4 * kBlock + 90);
}

POSIX_CASE("fallocate: its refusals") {
  const UniqueFd fd = new_file(place);
  CHECK(pwrite_all(fd.get(), some(4 * kBlock, 1), 0));
  EXPECT_ERRNO(EINVAL, ::fallocate(fd.get(), 0, 0, 0));
  EXPECT_ERRNO(EINVAL, ::fallocate(fd.get(), 0, -1, 10));
  EXPECT_ERRNO(EINVAL, ::fallocate(fd.get(), 0, 0, -1));
  EXPECT_ERRNO(EFBIG, ::fallocate(fd.get(), 0, INT64_MAX - 10, 100));
  EXPECT_ERRNO(EOPNOTSUPP, ::fallocate(fd.get(), FALLOC_FL_PUNCH_HOLE, 0, 10));
  EXPECT_ERRNO(EOPNOTSUPP, ::fallocate(fd.get(), 1 << 20, 0, 10));
  const UniqueFd reader = open_file(place / "file", O_RDONLY);
  EXPECT_ERRNO(EBADF, ::fallocate(reader.get(), 0, 0, 10));
  const UniqueFd dir = open_file(place.path(), O_RDONLY);
  EXPECT_ERRNO(EBADF, ::fallocate(dir.get(), 0, 0, 10));
  CHECK((content_of(place / "file") == some(4 * kBlock, 1)));
}

PMEMFS_CASE("fallocate: modes that FUSE does not carry are EOPNOTSUPP") {
  const UniqueFd fd = new_file(place);
  CHECK(pwrite_all(fd.get(), some(4 * kBlock, 1), 0));
  EXPECT_ERRNO(EOPNOTSUPP, ::fallocate(fd.get(), FALLOC_FL_COLLAPSE_RANGE, 0, kBlock));
  EXPECT_ERRNO(EOPNOTSUPP, ::fallocate(fd.get(), FALLOC_FL_INSERT_RANGE, 0, kBlock));
  CHECK((content_of(place / "file") == some(4 * kBlock, 1)));
}

}  // namespace pmemfs::test
