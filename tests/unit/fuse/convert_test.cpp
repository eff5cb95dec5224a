#include "fuse/convert.hpp"

#include <sys/sysmacros.h>

#include "harness/catch.hpp"

namespace {

using namespace pmemfs;
using namespace pmemfs::fuse;

Attributes sample() {
  Attributes a;
  a.ino = InodeNo(42);
  a.generation = 0x1'0000'0007ULL;
  a.size = 1ULL << 40U;
  a.blocks = 9;
  a.mode = S_IFREG | 06755;
  a.nlink = 3;
  a.uid = 1000;
  a.gid = 1001;
  a.atime = {-5, 999'999'999};
  a.mtime = {1LL << 33U, 1};
  a.ctime = {7, 8};
  a.btime = {5, 6};
  a.stable = true;
  return a;
}

TEST_CASE("attributes reach stat and statx unchanged") {
  const Attributes a = sample();
  const struct stat st = to_stat(a, {});
  CHECK(st.st_ino == 42);
  CHECK(st.st_size == off_t{1} << 40U);
  CHECK(st.st_blocks == 9);
  CHECK(st.st_mode == a.mode);
  CHECK(st.st_nlink == 3);
  CHECK(st.st_atim.tv_sec == -5);
  CHECK(st.st_atim.tv_nsec == 999'999'999);
  CHECK(st.st_mtim.tv_sec == (1LL << 33U));
  const struct statx stx = to_statx(a);
  CHECK((stx.stx_mask & STATX_BTIME) != 0);
  CHECK(stx.stx_btime.tv_sec == 5);
  CHECK(stx.stx_btime.tv_nsec == 6);
  CHECK(stx.stx_atime.tv_sec == -5);
  CHECK(stx.stx_mode == a.mode);
}

TEST_CASE("device numbers keep the kernel's encoding") {
  Attributes a = sample();
  a.mode = S_IFCHR | 0600;
  a.rdev = static_cast<std::uint32_t>(makedev(0xabc, 0x12345));
  CHECK(static_cast<std::uint32_t>(to_stat(a, {}).st_rdev) == a.rdev);
  CHECK(to_statx(a).stx_rdev_major == 0xabc);
  CHECK(to_statx(a).stx_rdev_minor == 0x12345);
}

TEST_CASE("an entry carries node id and generation, and is cached as long as it may") {
  Attributes a = sample();
  fuse_entry_param entry = to_entry(a, {});
  CHECK(entry.ino == 42);
  CHECK(entry.generation == 0x1'0000'0007ULL);
  CHECK(entry.entry_timeout == View{}.names);
  CHECK(entry.attr_timeout == View{}.stable);
  a.stable = false;
  entry = to_entry(a, {});
  CHECK(entry.entry_timeout == View{}.names);
  CHECK(entry.attr_timeout <= 1.0);
  CHECK(missing_entry({}).ino == 0);
  CHECK(missing_entry({}).entry_timeout == View{}.names);
}

TEST_CASE("a SETATTR changes what it names and nothing else") {
  struct stat values {};
  values.st_mode = S_IFREG | 07712;
  values.st_uid = 5;
  values.st_gid = 6;
  values.st_size = 77;
  values.st_atim = {-1, 5};
  values.st_mtim = {2, 3};

  AttributeChange change = to_change(values, FUSE_SET_ATTR_MODE);
  CHECK(change.mode == 07712U);
  CHECK_FALSE(change.uid);
  CHECK_FALSE(change.gid);
  CHECK_FALSE(change.size);
  CHECK_FALSE(change.atime);
  CHECK_FALSE(change.mtime);
  CHECK_FALSE(change.write_kill);
  CHECK_FALSE(change.kill_suid_sgid);

  change = to_change(values, FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID | FUSE_SET_ATTR_KILL_SUID);
  CHECK(change.uid == 5U);
  CHECK(change.gid == 6U);
  CHECK(change.kill_suid_sgid);

  change = to_change(values, FUSE_SET_ATTR_SIZE | FUSE_SET_ATTR_ATIME);
  CHECK(change.size == 77U);
  REQUIRE(change.atime);
  CHECK(*change.atime == Timestamp{-1, 5});
  CHECK_FALSE(change.atime_now);
}

TEST_CASE("now is the core's now") {
  struct stat values {};
  const AttributeChange change =
      to_change(values, FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_ATIME_NOW | FUSE_SET_ATTR_MTIME |
                            FUSE_SET_ATTR_MTIME_NOW);
  CHECK(change.atime_now);
  CHECK(change.mtime_now);
  CHECK_FALSE(change.atime);
  CHECK_FALSE(change.mtime);
}

TEST_CASE("an empty SETATTR is the kernel's word for a write's set-id duties") {
  CHECK(to_change({}, 0).write_kill);
}

TEST_CASE("a file handle holds the core's and a bit") {
  constexpr HandleId kLargest = (HandleId{1} << 63U) - 1;
  for (const HandleId handle : {HandleId{0}, HandleId{1}, kLargest}) {
    for (const bool registered : {false, true}) {
      const FileHandle back = FileHandle::decode(FileHandle{handle, registered}.encode());
      CHECK(back.handle == handle);
      CHECK(back.registered == registered);
    }
  }
}

}  // namespace
