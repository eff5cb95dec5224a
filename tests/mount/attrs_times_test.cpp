// Time stamps: set by hand over the whole range, and moved by each operation.

#include "support/mount_fixture.hpp"

namespace pmemfs::test {
namespace {

bool is_later(const timespec& later, const timespec& earlier) {
  return later.tv_sec > earlier.tv_sec ||
         (later.tv_sec == earlier.tv_sec && later.tv_nsec > earlier.tv_nsec);
}

int set_times(const std::string& path, timespec atime, timespec mtime) {
  const timespec times[2] = {atime, mtime};
  return ::utimensat(AT_FDCWD, path.c_str(), times, AT_SYMLINK_NOFOLLOW);
}

bool operator_equal(const timespec& a, const timespec& b) {
  return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

constexpr timespec kNow{0, UTIME_NOW};
constexpr timespec kOmit{0, UTIME_OMIT};

// Which times `change` moves, as letters: "m", "c", "mc", "".
template <typename Change>
std::string moved_by(const std::string& path, Change change) {
  const struct stat before = stat_of(path);
  tick();
  change();
  const struct stat after = stat_of(path);
  return std::string(is_later(after.st_mtim, before.st_mtim) ? "m" : "") +
         (is_later(after.st_ctim, before.st_ctim) ? "c" : "");
}

}  // namespace

POSIX_CASE("times: set by hand, to the nanosecond, from before 1970 to after 2106") {
  make_file(place / "file");
  NEED_OK(sys::mkdir(place / "dir"));
  NEED_OK(sys::symlink("file", place / "link"));
  NEED_OK(sys::mknod(place / "fifo", S_IFIFO | 0644U));
  // Seconds: 1938, just before 1970, 1970, 2001, 2038 and after, 2106 and after, 2200, 2400.
  for (const std::int64_t seconds :
       {-1'000'000'000L, -1L, 0L, 1'000'000'000L, 2'147'483'647L, 2'147'483'648L, 4'294'967'295L,
        4'294'967'296L, 7'258'118'400L, 13'569'465'600L}) {
    for (const char* name : {"file", "dir", "link", "fifo"}) {
      INFO(name << " at " << seconds);
      const timespec atime{seconds, 123'456'789};
      const timespec mtime{seconds + 1, 999'999'999};
      EXPECT_OK(set_times(place / name, atime, mtime));
      const struct stat st = stat_of(place / name);
      CHECK(st.st_atim.tv_sec == atime.tv_sec);
      CHECK(st.st_atim.tv_nsec == atime.tv_nsec);
      CHECK(st.st_mtim.tv_sec == mtime.tv_sec);
      CHECK(st.st_mtim.tv_nsec == mtime.tv_nsec);
    }
  }
}

POSIX_CASE("times: NOW and OMIT") {
  make_file(place / "file");
  NEED_OK(set_times(place / "file", {100, 1}, {200, 2}));
  EXPECT_OK(set_times(place / "file", kOmit, {300, 3}));
  CHECK(stat_of(place / "file").st_atim.tv_sec == 100);
  CHECK(stat_of(place / "file").st_mtim.tv_sec == 300);
  EXPECT_OK(set_times(place / "file", kNow, kOmit));
  CHECK(stat_of(place / "file").st_mtim.tv_sec == 300);
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  CHECK(std::abs(stat_of(place / "file").st_atim.tv_sec - now.tv_sec) <= 2);
  EXPECT_OK(set_times(place / "file", kNow, kNow));
  const struct stat both = stat_of(place / "file");
  CHECK(operator_equal(both.st_atim, both.st_mtim));
  CHECK(
      moved_by(place / "file", [&] { NEED_OK(set_times(place / "file", kOmit, kOmit)); }).empty());
  EXPECT_ERRNO(EINVAL, set_times(place / "file", {0, 1'000'000'000}, {0, 0}));
  EXPECT_ERRNO(EINVAL, set_times(place / "file", {0, 0}, {0, -1}));
  EXPECT_ERRNO(ENOENT, set_times(place / "missing", kNow, kNow));
}

// As make needs it. Kernels from 6.13 on stamp a file finely once it was looked at.
POSIX_CASE("times: a touch is not older than a write before it") {
  make_file(place / "stamp");
  const UniqueFd fd = open_file(place / "written", O_CREAT | O_RDWR);
  for (int i = 0; i < 100; i++) {
    static_cast<void>(stat_of(fd.get()));
    ::usleep(static_cast<useconds_t>(500 + 37 * i));
    CHECK(pwrite_all(fd.get(), "x", 0));
    NEED_OK(::utimensat(AT_FDCWD, (place / "stamp").c_str(), nullptr, 0));
    const timespec written = stat_of(fd.get()).st_mtim;
    const timespec touched = stat_of(place / "stamp").st_mtim;
    CHECK_FALSE(is_later(written, touched));
  }
}

POSIX_CASE("times: who may set them") {
  make_file(place / "file", "", 0664);
  NEED_OK(sys::lchown(place / "file", kAlice.uid, 3000));
  const User writer{2009, 3000};
  EXPECT_OK_AS(kAlice, set_times(place / "file", {1, 1}, {2, 2}));
  EXPECT_ERRNO_AS(writer, EPERM, set_times(place / "file", {1, 1}, {2, 2}));
  EXPECT_ERRNO_AS(writer, EPERM, set_times(place / "file", kNow, kOmit));
  EXPECT_OK_AS(writer, set_times(place / "file", kNow, kNow));
  EXPECT_OK_AS(writer, ::utimensat(AT_FDCWD, (place / "file").c_str(), nullptr, 0));
  EXPECT_ERRNO_AS(kBob, EACCES, set_times(place / "file", kNow, kNow));
  EXPECT_ERRNO_AS(kBob, EPERM, set_times(place / "file", {1, 1}, {2, 2}));
  EXPECT_OK(set_times(place / "file", {1, 1}, {2, 2}));
}

POSIX_CASE("times: set by hand, they hold until the next change of content") {
  make_file(place / "file", "content");
  const UniqueFd fd = open_file(place / "file", O_RDWR);
  const timespec times[2] = {{50, 5}, {60, 6}};
  EXPECT_OK(::futimens(fd.get(), times));
  EXPECT_OK(sys::chmod(place / "file", 0600));
  EXPECT_OK(sys::link(place / "file", place / "other"));
  EXPECT_OK(sys::setxattr(place / "file", "user.x", "y"));
  EXPECT_OK(::fsync(fd.get()));
  CHECK(stat_of(fd.get()).st_mtim.tv_sec == 60);
  CHECK(stat_of(fd.get()).st_mtim.tv_nsec == 6);
  CHECK(pwrite_all(fd.get(), "x", 0));
  CHECK(stat_of(fd.get()).st_mtim.tv_sec > 1'000'000'000);
  CHECK(stat_of(place / "other").st_mtim.tv_sec > 1'000'000'000);
  // Into the future, then a write brings them back.
  const timespec future[2] = {{9'000'000'000, 0}, {9'000'000'000, 0}};
  EXPECT_OK(::futimens(fd.get(), future));
  CHECK(stat_of(fd.get()).st_mtim.tv_sec == 9'000'000'000);
  CHECK(pwrite_all(fd.get(), "x", 0));
  CHECK(stat_of(fd.get()).st_mtim.tv_sec < 9'000'000'000);
  // Set twice in a row, then truncated.
  EXPECT_OK(::futimens(fd.get(), times));
  EXPECT_OK(::futimens(fd.get(), times));
  EXPECT_OK(::ftruncate(fd.get(), 2));
  CHECK(stat_of(fd.get()).st_mtim.tv_sec > 1'000'000'000);
}

POSIX_CASE("times: which ones each operation on a file moves") {
  const std::string file = place / "file";
  make_file(file, "content");
  const UniqueFd fd = open_file(file, O_RDWR);
  CHECK(moved_by(file, [&] { NEED_OK(::pwrite(fd.get(), "x", 1, 0)); }) == "mc");
  CHECK(moved_by(file, [&] { NEED_OK(::pwrite(fd.get(), "x", 1, 9999)); }) == "mc");
  CHECK(moved_by(file, [&] { NEED_OK(::ftruncate(fd.get(), 10)); }) == "mc");
  CHECK(moved_by(file, [&] { NEED_OK(sys::truncate(file, 20)); }) == "mc");
  CHECK(moved_by(file, [&] { static_cast<void>(open_file(file, O_WRONLY | O_TRUNC)); }) == "mc");
  CHECK(moved_by(file, [&] { static_cast<void>(open_file(file, O_WRONLY | O_TRUNC)); }) == "mc");
  CHECK(moved_by(file, [&] { NEED_OK(::fallocate(fd.get(), 0, 0, 8192)); }) == "mc");
  CHECK(moved_by(file, [&] { NEED_OK(::fallocate(fd.get(), 3, 0, 4096)); }) == "mc");  // a hole
  CHECK(moved_by(file, [&] { NEED_OK(sys::chmod(file, 0600)); }) == "c");
  CHECK(moved_by(file, [&] { NEED_OK(sys::lchown(file, 1, 1)); }) == "c");
  CHECK(moved_by(file, [&] { NEED_OK(sys::setxattr(file, "user.x", "y")); }) == "c");
  CHECK(moved_by(file, [&] { NEED_OK(sys::removexattr(file, "user.x")); }) == "c");
  CHECK(moved_by(file, [&] { NEED_OK(set_times(file, {5, 5}, kOmit)); }) == "c");
  CHECK(moved_by(file, [&] { NEED_OK(::fsync(fd.get())); }).empty());
  char byte = 0;
  CHECK(moved_by(file, [&] { NEED_OK(::pread(fd.get(), &byte, 1, 0)); }).empty());
  CHECK(moved_by(file, [&] { static_cast<void>(open_file(file, O_RDWR)); }).empty());
  CHECK(moved_by(file, [&] { static_cast<void>(xattr_names_of(file)); }).empty());
  CHECK(moved_by(file, [&] { CHECK(::pwrite(fd.get(), "", 0, 0) == 0); }).empty());
}

POSIX_CASE("times: copy_file_range moves those of the destination") {
  make_file(place / "from", pattern(10'000, 1));
  make_file(place / "to", "x");
  const UniqueFd from = open_file(place / "from", O_RDONLY);
  const UniqueFd to = open_file(place / "to", O_RDWR);
  off64_t in = 0;
  off64_t out = 0;
  CHECK(moved_by(place / "to", [&] {
          NEED_OK(::copy_file_range(from.get(), &in, to.get(), &out, 5000, 0));
        }) == "mc");
  in = 5000;
  CHECK(moved_by(place / "from", [&] {
          NEED_OK(::copy_file_range(from.get(), &in, to.get(), &out, 5000, 0));
        }).empty());
}

POSIX_CASE("times: a new file's are now, and all alike") {
  timespec before{};
  ::clock_gettime(CLOCK_REALTIME_COARSE, &before);
  make_file(place / "file");
  NEED_OK(sys::mkdir(place / "dir"));
  NEED_OK(sys::symlink("x", place / "link"));
  timespec after{};
  ::clock_gettime(CLOCK_REALTIME, &after);
  for (const char* name : {"dir", "link"}) {
    const struct stat st = stat_of(place / name);
    INFO(name);
    CHECK(operator_equal(st.st_atim, st.st_mtim));
    CHECK(operator_equal(st.st_mtim, st.st_ctim));
  }
  for (const char* name : {"file", "dir", "link"}) {
    const struct stat st = stat_of(place / name);
    INFO(name);
    CHECK_FALSE(is_later(before, st.st_mtim));
    CHECK_FALSE(is_later(st.st_mtim, after));
  }
}

POSIX_CASE("times: reading moves atime as relatime has it") {
  make_file(place / "file", "content");
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  NEED_OK(set_times(place / "file", {now.tv_sec - 200'000, 0}, {now.tv_sec - 100'000, 0}));
  CHECK(content_of(place / "file") == "content");
  CHECK(stat_of(place / "file").st_atim.tv_sec >= now.tv_sec - 1);
  const UniqueFd fd = open_file(place / "file", O_RDONLY | O_NOATIME);
  NEED_OK(set_times(place / "file", {now.tv_sec - 200'000, 0}, {now.tv_sec - 100'000, 0}));
  char byte = 0;
  NEED_OK(::read(fd.get(), &byte, 1));
  CHECK(stat_of(place / "file").st_atim.tv_sec == now.tv_sec - 200'000);
}

POSIX_CASE("times: statx tells when a file was born") {
  timespec before{};
  ::clock_gettime(CLOCK_REALTIME_COARSE, &before);
  make_file(place / "file");
  const auto birth = [&](const char* name) {
    struct statx stx {};
    NEED_OK(::statx(AT_FDCWD, (place / name).c_str(), AT_SYMLINK_NOFOLLOW,
                    STATX_BTIME | STATX_BASIC_STATS, &stx));
    CHECK((stx.stx_mask & STATX_BTIME) != 0);
    return timespec{stx.stx_btime.tv_sec, stx.stx_btime.tv_nsec};
  };
  const timespec born = birth("file");
  CHECK_FALSE(is_later(before, born));
  CHECK(born.tv_sec - before.tv_sec <= 2);
  tick();
  NEED_OK(set_times(place / "file", {1, 1}, {1, 1}));
  NEED_OK(sys::truncate(place / "file", 100));
  NEED_OK(sys::rename(place / "file", place / "moved"));
  CHECK(operator_equal(birth("moved"), born));
}

// Passthrough reads by the options of a mount of the host, which must not show through.
TEST_CASE("times: reading moves no atime with noatime and read-only") {
  need_mounting();
  on_each(pmemfs_kinds(), [](Kind kind) {
    Mount mount(MountSpec{kind, "allow_other"});
    make_file(mount / "file", "content");
    for (const char* options : {"allow_other,noatime", "allow_other,ro"}) {
      INFO(options);
      mount.unmount();
      mount.mount(options);
      const timespec before = stat_of(mount / "file").st_atim;
      tick();
      CHECK(content_of(mount / "file") == "content");
      CHECK(operator_equal(stat_of(mount / "file").st_atim, before));
    }
    mount.unmount();
    mount.mount();
    const timespec before = stat_of(mount / "file").st_atim;
    CHECK(content_of(mount / "file") == "content");
    CHECK(is_later(stat_of(mount / "file").st_atim, before));
  });
}

TEST_CASE("times: nodiratime keeps the atime of directories alone") {
  need_mounting();
  on_each(pmemfs_kinds(), [](Kind kind) {
    Mount mount(MountSpec{kind, "allow_other,nodiratime"});
    NEED_OK(sys::mkdir(mount / "dir"));
    const timespec before = stat_of(mount / "dir").st_atim;
    tick();
    CHECK(names_in(mount / "dir").empty());
    CHECK(operator_equal(stat_of(mount / "dir").st_atim, before));
    mount.unmount();
    mount.mount("allow_other");
    CHECK(names_in(mount / "dir").empty());
    CHECK(is_later(stat_of(mount / "dir").st_atim, before));
  });
}

}  // namespace pmemfs::test
