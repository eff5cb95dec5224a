// SEMANTICS rows from "ftruncate to the same size" to "chmod …": what a durable file does when it
// is changed.

#include "mount/durable_support.hpp"
#include "support/acl_text.hpp"

namespace pmemfs::test {
namespace {

constexpr off_t kSize = 64 * 1024;

// Allocated for `path`, in 512 bytes: what the kernel remembers may be a second old.
std::uint64_t blocks_now(const std::string& path) {
  struct statx stx {};
  NEED_OK(::statx(AT_FDCWD, path.c_str(), AT_STATX_FORCE_SYNC, STATX_BLOCKS, &stx));
  return stx.stx_blocks;
}

// Neither content, size, mtime nor place of `path` changes by `call`.
template <typename Call>
void check_unchanged_by(const std::string& path, Call call) {
  const std::string content = content_of(path);
  const std::string layout = layout_of(path);
  const std::uint64_t blocks = blocks_now(path);
  const struct stat before = stat_of(path);
  tick();
  call();
  const struct stat after = stat_of(path);
  CHECK((content_of(path) == content));
  CHECK(layout_of(path) == layout);
  CHECK(after.st_size == before.st_size);
  CHECK(blocks_now(path) == blocks);
  CHECK(after.st_mtim.tv_sec == before.st_mtim.tv_sec);
  CHECK(after.st_mtim.tv_nsec == before.st_mtim.tv_nsec);
  CHECK(is_durable(path));
}

MountSpec small(Kind kind) {
  return kind == Kind::kFile ? MountSpec{kind, "allow_other", "64M"}
                             : MountSpec{kind, "allow_other", "", "96M"};
}

}  // namespace

PMEMFS_CASE("ftruncate to the same size") {
  const std::string file = durable_file(place / "file");
  const UniqueFd fd = open_file(file, O_RDWR);
  EXPECT_OK(::ftruncate(fd.get(), kSize));
  EXPECT_OK(sys::truncate(file, kSize));
  CHECK((content_of(file) == pattern(kSize, 1)));
}

// POSIX: each that succeeds marks the file as modified.
PMEMFS_CASE("what changes neither size nor content moves mtime all the same") {
  const std::string file = durable_file(place / "file");
  const UniqueFd fd = open_file(file, O_RDWR);
  const timespec old_times[2] = {{50, 0}, {60, 0}};
  NEED_OK(::futimens(fd.get(), old_times));
  EXPECT_OK(::ftruncate(fd.get(), kSize));
  CHECK(stat_of(file).st_mtim.tv_sec > 60);
  CHECK(stat_of(file).st_atim.tv_sec == 50);
  NEED_OK(::futimens(fd.get(), old_times));
  EXPECT_OK(::fallocate(fd.get(), 0, 0, kSize));
  CHECK(stat_of(file).st_mtim.tv_sec > 60);
}

PMEMFS_CASE("shrink, O_TRUNC") {
  const std::string file = durable_file(place / "file");
  const UniqueFd fd = open_file(file, O_RDWR);
  check_unchanged_by(file, [&] {
    EXPECT_ERRNO(ETXTBSY, ::ftruncate(fd.get(), kSize - 1));
    EXPECT_ERRNO(ETXTBSY, ::ftruncate(fd.get(), 0));
    EXPECT_ERRNO(ETXTBSY, sys::truncate(file, 100));
    EXPECT_ERRNO(ETXTBSY, sys::open(file, O_RDWR | O_TRUNC));
    EXPECT_ERRNO(ETXTBSY, sys::open(file, O_WRONLY | O_CREAT | O_TRUNC));
    EXPECT_ERRNO(ETXTBSY, sys::open(file, O_RDONLY | O_TRUNC));
  });
  EXPECT_OK(fd.get());
  CHECK(pwrite_all(fd.get(), "still works", 0));
}

PMEMFS_CASE("shrink, O_TRUNC: of an empty file nothing is shrunk") {
  const std::string file = durable_file(place / "file", "");
  EXPECT_OK(UniqueFd(sys::open(file, O_RDWR | O_TRUNC)).get());
  EXPECT_OK(sys::truncate(file, 0));
}

PMEMFS_CASE("grow by truncate or fallocate") {
  const std::string file = durable_file(place / "file");
  const UniqueFd fd = open_file(file, O_RDWR);
  EXPECT_OK(::ftruncate(fd.get(), kSize + 100'001));
  CHECK(has_no_holes(file));
  EXPECT_OK(sys::truncate(file, kSize + 200'000));
  CHECK(has_no_holes(file));
  EXPECT_OK(::fallocate(fd.get(), 0, 0, kSize + 300'000));
  EXPECT_OK(::fallocate(fd.get(), 0, kSize + 500'000, 100'000));
  CHECK(::posix_fallocate(fd.get(), kSize + 600'000, 100'000) == 0);
  CHECK(has_no_holes(file));
  CHECK((content_of(file) == pattern(kSize, 1) + std::string(700'000, '\0')));
}

DIRECTORY_CASE("grow: what the host allocates ahead is gone when the last writer has closed") {
  const std::string file = durable_file(place / "file", std::string(kPage, 'a'));
  UniqueFd fd = open_file(file, O_RDWR);
  CHECK(pwrite_all(fd.get(), std::string(kPage, 'b'), kPage));
  CHECK(stat_of(fd.get()).st_blocks * 512 == 2 * kMiB);
  const Mapped map(fd.get(), 2 * kPage);
  REQUIRE(map.error() == Errno{});
  map.store(kPage, "stored");
  const timespec old[2] = {{1000, 0}, {2000, 0}};
  NEED_OK(::futimens(fd.get(), old));
  fd.reset();
  // RELEASE comes after close, and attributes may be a second old.
  for (int i = 0; i < 50 && stat_of(file).st_blocks * 512 != 2 * kPage; i++) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  CHECK(stat_of(file).st_blocks * 512 == 2 * kPage);
  CHECK(stat_of(file).st_mtim.tv_sec == 2000);
  CHECK(map.text(kPage, 6) == "stored");
  map.store(0, "and mapped still");
  CHECK(content_of(file).substr(0, 16) == "and mapped still");
}

TEST_CASE("grow by truncate or fallocate: ENOSPC leaves all as it was") {
  on_each(pmemfs_kinds(), [&](Kind kind) {
    const Mount mount(small(kind));
    const std::string file = durable_file(mount / "file");
    const UniqueFd fd = open_file(file, O_RDWR);
    check_unchanged_by(file, [&] {
      EXPECT_ERRNO(ENOSPC, ::ftruncate(fd.get(), 1 << 30));
      EXPECT_ERRNO(ENOSPC, ::fallocate(fd.get(), 0, 0, 1 << 30));
      EXPECT_ERRNO(ENOSPC, ::fallocate(fd.get(), FALLOC_FL_ZERO_RANGE, kSize, 1 << 30));
    });
    make_file(mount / "other", pattern(8 * kMiB, 2));  // the space came back
    EXPECT_OK(::ftruncate(fd.get(), 2 * kMiB));
    CHECK(has_no_holes(file));
  });
}

TEST_CASE("write inside EOF: in place, on a full filesystem too") {
  on_each(pmemfs_kinds(), [&](Kind kind) {
    const Mount mount(small(kind));
    const std::string file = durable_file(mount / "file", std::string(4 * kMiB, '.'));
    const std::string layout = layout_of(file);
    REQUIRE(fill_up(mount / "junk") == Errno{ENOSPC});
    const UniqueFd fd = open_file(file, O_RDWR);
    for (std::uint64_t i = 0; i < 16; ++i) {
      CHECK(pwrite_all(fd.get(), pattern(100'000, i), static_cast<off_t>(i * 262'144 + i)));
    }
    EXPECT_OK(::fsync(fd.get()));
    for (std::uint64_t i = 0; i < 16; ++i) {
      CHECK((pread_some(fd.get(), 100'000, static_cast<off_t>(i * 262'144 + i)) ==
             pattern(100'000, i)));
    }
    CHECK(layout_of(file) == layout);
    EXPECT_ERRNO(ENOSPC, ::ftruncate(fd.get(), 1 << 29));
  });
}

PMEMFS_CASE("write past EOF") {
  const std::string file = durable_file(place / "file");
  const UniqueFd fd = open_file(file, O_RDWR);
  CHECK(pwrite_all(fd.get(), "across", kSize - 3));
  CHECK(stat_of(file).st_size == kSize + 3);
  CHECK(has_no_holes(file));
  CHECK(pwrite_all(fd.get(), "behind a gap", kSize + kMiB));
  CHECK(has_no_holes(file));
  const UniqueFd append = open_file(file, O_WRONLY | O_APPEND);
  CHECK(write_all(append.get(), pattern(3 * kMiB, 2)));
  CHECK(has_no_holes(file));
  std::string expected = pattern(kSize, 1).substr(0, kSize - 3) + "across";
  expected.resize(kSize + kMiB, '\0');
  expected += "behind a gap" + pattern(3 * kMiB, 2);
  CHECK((content_of(file) == expected));
}

TEST_CASE("write past EOF: each request whole or not at all") {
  on_each(pmemfs_kinds(), [&](Kind kind) {
    const Mount mount(small(kind));
    const std::string file = durable_file(mount / "file", "");
    const UniqueFd fd = open_file(file, O_WRONLY | O_APPEND);
    const std::string part = pattern(100'000, 1);
    std::uint64_t whole = 0;
    ssize_t n = 0;
    while ((n = ::write(fd.get(), part.data(), part.size())) == static_cast<ssize_t>(part.size())) {
      ++whole;
    }
    CHECK(n == -1);
    CHECK(errno == ENOSPC);
    CHECK(stat_of(file).st_size == static_cast<off_t>(whole * part.size()));
    CHECK(has_no_holes(file));
    CHECK(whole > 50);
  });
}

PMEMFS_CASE("fallocate KEEP_SIZE") {
  const std::string file = durable_file(place / "file");
  const UniqueFd fd = open_file(file, O_RDWR);
  EXPECT_OK(::fallocate(fd.get(), FALLOC_FL_KEEP_SIZE, 0, kSize));
  EXPECT_OK(::fallocate(fd.get(), FALLOC_FL_KEEP_SIZE, kSize, kMiB));
  CHECK(stat_of(file).st_size == kSize);
  CHECK((content_of(file) == pattern(kSize, 1)));
}

PMEMFS_CASE("fallocate PUNCH_HOLE") {
  const std::string file = durable_file(place / "file");
  const UniqueFd fd = open_file(file, O_RDWR);
  check_unchanged_by(file, [&] {
    EXPECT_ERRNO(EOPNOTSUPP,
                 ::fallocate(fd.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096));
    EXPECT_ERRNO(EOPNOTSUPP,
                 ::fallocate(fd.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 100, 10));
  });
}

PMEMFS_CASE("fallocate ZERO_RANGE: zeros exactly where asked, nothing moves") {
  const std::string file = durable_file(place / "file");
  const UniqueFd fd = open_file(file, O_RDWR);
  std::string expected = pattern(kSize, 1);
  // A guest's first touch allocates a whole place of its window, beyond the end too.
  CHECK((content_of(file) == expected));
  const std::string layout = layout_of(file);
  const std::uint64_t blocks = blocks_now(file);
  for (const auto& [off, size] :
       {std::pair<off_t, off_t>{1, 1}, {5000, 9000}, {16'384, 8192}, {kSize - 7, 7}}) {
    EXPECT_OK(::fallocate(fd.get(), FALLOC_FL_ZERO_RANGE, off, size));
    expected.replace(static_cast<std::size_t>(off), static_cast<std::size_t>(size),
                     static_cast<std::size_t>(size), '\0');
    CHECK((content_of(file) == expected));
  }
  CHECK(layout_of(file) == layout);
  CHECK(blocks_now(file) == blocks);
  EXPECT_OK(::fallocate(fd.get(), FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, kSize - 10, 100));
  CHECK(stat_of(file).st_size == kSize);
  EXPECT_OK(::fallocate(fd.get(), FALLOC_FL_ZERO_RANGE, kSize - 10, 100));
  CHECK(stat_of(file).st_size == kSize + 90);
  CHECK(has_no_holes(file));
}

PMEMFS_CASE("copy_file_range: a durable source, and a durable destination as write") {
  const std::string file = durable_file(place / "file");
  make_file(place / "plain", pattern(100'000, 2));
  const UniqueFd durable = open_file(file, O_RDWR);
  const UniqueFd plain = open_file(place / "plain", O_RDWR);
  CHECK((content_of(file) == pattern(kSize, 1)));  // as above
  off64_t in = 10;
  off64_t out = 0;
  CHECK(::copy_file_range(durable.get(), &in, plain.get(), &out, 1000, 0) == 1000);
  CHECK((pread_some(plain.get(), 1000, 0) == pattern(kSize, 1).substr(10, 1000)));
  const std::string layout = layout_of(file);
  in = 50'000;
  out = 5;
  CHECK(::copy_file_range(plain.get(), &in, durable.get(), &out, 1000, 0) == 1000);
  CHECK((pread_some(durable.get(), 1000, 5) == pattern(100'000, 2).substr(50'000, 1000)));
  CHECK(layout_of(file) == layout);
  in = 50'000;
  out = kSize + 10'000;
  CHECK(::copy_file_range(plain.get(), &in, durable.get(), &out, 1000, 0) == 1000);
  CHECK(stat_of(file).st_size == kSize + 11'000);
  CHECK(has_no_holes(file));
}

PMEMFS_CASE("unlink, rename, rename over, link") {
  durable_file(place / "a", pattern(kSize, 1));
  durable_file(place / "b", pattern(kSize, 2));
  const std::string layout = layout_of(place / "a");
  const UniqueFd fd = open_file(place / "a", O_RDWR);
  EXPECT_OK(sys::link(place / "a", place / "c"));
  EXPECT_OK(sys::rename(place / "a", place / "d"));
  CHECK(is_durable(place / "d"));
  CHECK(layout_of(place / "c") == layout);
  EXPECT_OK(sys::rename(place / "b", place / "d"));
  CHECK((content_of(place / "d") == pattern(kSize, 2)));
  CHECK(is_durable(place / "d"));
  EXPECT_OK(sys::rename(place / "c", place / "d", RENAME_EXCHANGE));
  EXPECT_OK(sys::unlink(place / "d"));
  CHECK((pread_some(fd.get(), kSize, 0) == pattern(kSize, 1)));
  CHECK(pwrite_all(fd.get(), "unlinked, still durable", 0));
  EXPECT_ERRNO(ETXTBSY, ::ftruncate(fd.get(), 0));
  EXPECT_OK(sys::unlink(place / "c"));
}

PMEMFS_CASE("chmod, chown, times, ACL, other xattrs") {
  const std::string file = durable_file(place / "file");
  const std::string layout = layout_of(file);
  EXPECT_OK(sys::chmod(file, 0640));
  EXPECT_OK(sys::lchown(file, 5, 6));
  const timespec times[2] = {{100, 1}, {200, 2}};
  EXPECT_OK(::utimensat(AT_FDCWD, file.c_str(), times, 0));
  EXPECT_OK(sys::setxattr(file, kAccessAcl, acl("u::rw- u:2001:rw- g::r-- m::rw- o::---")));
  EXPECT_OK(sys::setxattr(file, "user.other", "value"));
  CHECK(stat_of(file).st_mtim.tv_sec == 200);
  CHECK(stat_of(file).st_uid == 5);
  CHECK(is_durable(file));
  CHECK(layout_of(file) == layout);
}

}  // namespace pmemfs::test
