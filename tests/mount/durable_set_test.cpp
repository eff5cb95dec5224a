// SEMANTICS rows "set …" and "clear", and how the flag shows.

#include <linux/magic.h>

#include "mount/durable_support.hpp"

namespace pmemfs::test {

PMEMFS_CASE("set, all written") {
  make_file(place / "file", pattern(100'000, 1));
  EXPECT_ERRNO(ENODATA, sys::getxattr(place / "file", PMEMFS_XATTR_DURABLE));
  EXPECT_OK(set_durable(place / "file"));
  CHECK(is_durable(place / "file"));
  EXPECT_OK(set_durable(place / "file"));
  CHECK((content_of(place / "file") == pattern(100'000, 1)));
  CHECK(has_no_holes(place / "file"));
}

PMEMFS_CASE("set: both names are one attribute") {
  make_file(place / "file", "x");
  EXPECT_OK(sys::setxattr(place / "file", PMEMFS_XATTR_DURABLE_TRUSTED, "1"));
  CHECK(xattr_of(place / "file", PMEMFS_XATTR_DURABLE) == "1");
  CHECK(xattr_of(place / "file", PMEMFS_XATTR_DURABLE_TRUSTED) == "1");
  EXPECT_OK(sys::setxattr(place / "file", PMEMFS_XATTR_DURABLE, "0"));
  EXPECT_ERRNO(ENODATA, sys::getxattr(place / "file", PMEMFS_XATTR_DURABLE_TRUSTED));
  EXPECT_OK(set_durable(place / "file"));
  EXPECT_OK(sys::removexattr(place / "file", PMEMFS_XATTR_DURABLE_TRUSTED));
  CHECK_FALSE(is_durable(place / "file"));
}

PMEMFS_CASE("set, with holes or unwritten ranges: filled with zeros, nothing else changed") {
  {
    const UniqueFd fd = open_file(place / "file", O_CREAT | O_RDWR);
    CHECK(pwrite_all(fd.get(), "data", kMiB));
    NEED_OK(::fallocate(fd.get(), 0, 2 * kMiB, kMiB));
    NEED_OK(::ftruncate(fd.get(), 4 * kMiB + 123));
  }
  const struct stat before = stat_of(place / "file");
  REQUIRE(before.st_blocks * 512 < before.st_size);
  tick();
  CHECK(once_idle([&] { return set_durable(place / "file"); }) == Errno{});
  CHECK(has_no_holes(place / "file"));
  std::string expected(4 * kMiB + 123, '\0');
  expected.replace(kMiB, 4, "data");
  CHECK((content_of(place / "file") == expected));
  const struct stat after = stat_of(place / "file");
  CHECK(after.st_size == before.st_size);
  CHECK(after.st_mtim.tv_sec == before.st_mtim.tv_sec);
  CHECK(after.st_mtim.tv_nsec == before.st_mtim.tv_nsec);
}

TEST_CASE("set, with holes or unwritten ranges: ENOSPC changes nothing") {
  on_each(pmemfs_kinds(), [&](Kind kind) {
    const Mount mount(kind == Kind::kFile ? MountSpec{kind, "allow_other", "64M"}
                                          : MountSpec{kind, "allow_other", "", "96M"});
    make_file(mount / "file", "data");
    NEED_OK(sys::truncate(mount / "file", 1 << 30));
    const struct stat before = stat_of(mount / "file");
    CHECK(once_idle([&] { return set_durable(mount / "file"); }) == Errno{ENOSPC});
    const struct stat after = stat_of(mount / "file");
    CHECK_FALSE(is_durable(mount / "file"));
    CHECK(after.st_size == before.st_size);
    CHECK(after.st_blocks == before.st_blocks);
    make_file(mount / "other", pattern(4 * kMiB, 1));  // the space is still there
    NEED_OK(sys::truncate(mount / "file", 4));
    CHECK(content_of(mount / "file") == "data");
  });
}

PMEMFS_CASE("set on an empty file") {
  make_file(place / "file");
  EXPECT_OK(set_durable(place / "file"));
  CHECK(is_durable(place / "file"));
  EXPECT_OK(sys::truncate(place / "file", 100'000));
  CHECK(has_no_holes(place / "file"));
}

DIRECTORY_CASE("set on an open or mapped file, with passthrough") {
  make_file(place / "file", pattern(4 * kPage, 1));
  const UniqueFd before = open_file(place / "file", O_RDWR);
  const Mapped map(before.get(), 4 * kPage);
  REQUIRE(map.error() == Errno{});
  EXPECT_OK(set_durable(place / "file"));
  map.store(100, "after the flag");
  const UniqueFd after = open_file(place / "file", O_RDWR);
  CHECK(pread_some(after.get(), 14, 100) == "after the flag");
  CHECK(pwrite_all(after.get(), "by write", 2 * kPage));
  CHECK(map.text(2 * kPage, 8) == "by write");
  CHECK(pwrite_all(before.get(), "by the old handle", 3 * kPage));
  CHECK(pread_some(after.get(), 17, 3 * kPage) == "by the old handle");
  const Mapped second(after.get(), 4 * kPage);
  REQUIRE(second.error() == Errno{});
  second.store(0, "shared");
  CHECK(map.text(0, 6) == "shared");
}

FILE_CASE("set on an open file, without passthrough: EBUSY while a cached handle exists") {
  make_file(place / "file", pattern(4 * kPage, 1));
  {
    const UniqueFd cached = open_file(place / "file", O_RDONLY);
    EXPECT_ERRNO(EBUSY, set_durable(place / "file"));
    CHECK_FALSE(is_durable(place / "file"));
  }
  CHECK(once_idle([&] { return set_durable(place / "file"); }) == Errno{});
  const UniqueFd later = open_file(place / "file", O_RDWR);
  EXPECT_OK(set_durable(place / "file"));
  CHECK(Mapped(later.get(), kPage).error() == Errno{ENODEV});
  CHECK(Mapped(later.get(), kPage, MAP_PRIVATE).error() == Errno{});
}

FILE_CASE("set on a mapped file, without passthrough: EBUSY until it is unmapped") {
  make_file(place / "file", pattern(4 * kPage, 1));
  {
    UniqueFd fd = open_file(place / "file", O_RDWR);
    const Mapped map(fd.get(), 4 * kPage);
    REQUIRE(map.error() == Errno{});
    EXPECT_ERRNO(EBUSY, set_durable(place / "file"));
    map.store(0, "stored");
  }
  CHECK(once_idle([&] { return set_durable(place / "file"); }) == Errno{});
  CHECK(content_of(place / "file").substr(0, 6) == "stored");
}

PMEMFS_CASE("set on a directory: inherited by what is created in it from then on") {
  NEED_OK(sys::mkdir(place / "dir"));
  make_file(place / "dir/before", "x");
  make_file(place / "elsewhere", "x");
  EXPECT_OK(set_durable(place / "dir"));
  CHECK(is_durable(place / "dir"));
  EXPECT_OK(set_durable(place / "dir"));
  NEED_OK(sys::mkdir(place / "dir/sub"));
  make_file(place / "dir/created", pattern(5000, 1));
  make_file(place / "dir/sub/deep");
  NEED_OK(sys::mknod(place / "dir/node", S_IFREG | 0644U));
  NEED_OK(sys::mknod(place / "dir/fifo", S_IFIFO | 0644U));
  NEED_OK(sys::symlink("x", place / "dir/link"));
  NEED_OK(sys::rename(place / "elsewhere", place / "dir/moved"));
  for (const char* name : {"dir/sub", "dir/created", "dir/sub/deep", "dir/node"}) {
    INFO(name);
    CHECK(is_durable(place / name));
  }
  for (const char* name : {"dir/before", "dir/moved", "dir/fifo", "dir/link"}) {
    INFO(name);
    CHECK_FALSE(is_durable(place / name));
  }
  const UniqueFd tmp = open_file(place / "dir", O_TMPFILE | O_RDWR);
  std::string value(4, '\0');
  CHECK(::fgetxattr(tmp.get(), PMEMFS_XATTR_DURABLE, value.data(), 4) == 1);
  NEED_OK(sys::rename(place / "dir/created", place / "out"));
  CHECK(is_durable(place / "out"));
  EXPECT_OK(clear_durable(place / "dir"));
  make_file(place / "dir/after");
  CHECK_FALSE(is_durable(place / "dir/after"));
  CHECK(is_durable(place / "dir/node"));
  CHECK(is_durable(place / "dir/sub"));
}

PMEMFS_CASE("set on a directory: create, size and map in one call each, as libraries do") {
  NEED_OK(sys::mkdir(place / "dir"));
  NEED_OK(set_durable(place / "dir"));
  NEED_OK(sys::chmod(place / "dir", 0777));
  CHECK(as_user(kAlice, [&] {  // who creates needs no right
          const UniqueFd fd = open_file(place / "dir/pool", O_CREAT | O_EXCL | O_RDWR);
          if (::posix_fallocate(fd.get(), 0, kMiB) != 0) {
            return Errno{ENOSPC};
          }
          const Mapped map(fd.get(), kMiB);
          if (map.data() == nullptr) {
            return map.error();
          }
          map.store(kMiB - 5, "alice");
          return Errno{};
        }) == Errno{place.kind() == Kind::kFile ? ENODEV : 0});
  CHECK(is_durable(place / "dir/pool"));
  CHECK(has_no_holes(place / "dir/pool"));
}

PMEMFS_CASE("set: bad values are EINVAL") {
  make_file(place / "file", "x");
  for (const std::string& value :
       {std::string(), std::string("2"), std::string("yes"), std::string("11"), std::string("1\n"),
        std::string("1\0", 2), std::string("-1"), std::string("on")}) {
    INFO("value '" << value << "'");
    EXPECT_ERRNO(EINVAL, sys::setxattr(place / "file", PMEMFS_XATTR_DURABLE, value));
    CHECK_FALSE(is_durable(place / "file"));
  }
}

PMEMFS_CASE("set: only files and directories") {
  NEED_OK(sys::mknod(place / "fifo", S_IFIFO | 0644U));
  NEED_OK(sys::symlink("x", place / "link"));
  EXPECT_ERRNO(EPERM, set_durable(place / "fifo"));  // the kernel's rule for user names
  EXPECT_ERRNO(EOPNOTSUPP, sys::setxattr(place / "fifo", PMEMFS_XATTR_DURABLE_TRUSTED, "1"));
  EXPECT_ERRNO(EOPNOTSUPP, sys::setxattr(place / "link", PMEMFS_XATTR_DURABLE_TRUSTED, "1"));
}

PMEMFS_CASE("clear") {
  durable_file(place / "file");
  CHECK(once_idle([&] { return clear_durable(place / "file"); }) == Errno{});
  CHECK_FALSE(is_durable(place / "file"));
  EXPECT_OK(clear_durable(place / "file"));
  EXPECT_OK(sys::removexattr(place / "file", PMEMFS_XATTR_DURABLE));
  EXPECT_OK(sys::truncate(place / "file", 10));
  EXPECT_OK(set_durable(place / "file"));
  CHECK(once_idle([&] { return sys::removexattr(place / "file", PMEMFS_XATTR_DURABLE); }) ==
        Errno{});
  CHECK_FALSE(is_durable(place / "file"));
}

PMEMFS_CASE("clear: EBUSY while a handle is open") {
  durable_file(place / "file");
  for (const int flags : {O_RDONLY, O_RDWR, O_WRONLY}) {
    const UniqueFd fd = open_file(place / "file", flags);
    EXPECT_ERRNO(EBUSY, clear_durable(place / "file"));
    EXPECT_ERRNO(EBUSY, sys::removexattr(place / "file", PMEMFS_XATTR_DURABLE));
    CHECK(is_durable(place / "file"));
  }
  CHECK(once_idle([&] { return clear_durable(place / "file"); }) == Errno{});
}

DIRECTORY_CASE("clear: EBUSY while it is mapped, though every handle is closed") {
  durable_file(place / "file");
  {
    UniqueFd fd = open_file(place / "file", O_RDWR);
    const Mapped map(fd.get(), kPage);
    REQUIRE(map.error() == Errno{});
    fd.reset();
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    EXPECT_ERRNO(EBUSY, clear_durable(place / "file"));
    map.store(0, "x");
  }
  CHECK(once_idle([&] { return clear_durable(place / "file"); }) == Errno{});
}

PMEMFS_CASE("the flag is hidden from listxattr, and does not travel") {
  durable_file(place / "file");
  NEED_OK(sys::setxattr(place / "file", "user.other", "v"));
  CHECK(xattr_names_of(place / "file") == std::vector<std::string>{"user.other"});
  const ProgramResult copied = run_program({"cp", "-a", place / "file", place / "copy"});
  INFO(copied.output);
  CHECK(copied.status == 0);
  CHECK(copied.output.empty());
  CHECK_FALSE(is_durable(place / "copy"));
  CHECK(xattr_names_of(place / "copy") == std::vector<std::string>{"user.other"});
}

PMEMFS_CASE("the flag shows in lsattr") {
  make_file(place / "file", "x");
  const auto flags = [&](const std::string& name) {
    unsigned value = 0;
    const UniqueFd fd = open_file(place / name, O_RDONLY);
    EXPECT_OK(::ioctl(fd.get(), FS_IOC_GETFLAGS, &value));
    return value;
  };
  CHECK((flags("file") & FS_NOCOW_FL) == 0);
  CHECK(once_idle([&] { return set_durable(place / "file"); }) == Errno{});
  CHECK((flags("file") & FS_NOCOW_FL) == FS_NOCOW_FL);
  NEED_OK(sys::mkdir(place / "dir"));
  NEED_OK(set_durable(place / "dir"));
  CHECK((flags("dir") & FS_NOCOW_FL) == FS_NOCOW_FL);
  CHECK(once_idle([&] { return clear_durable(place / "file"); }) == Errno{});
  CHECK((flags("file") & FS_NOCOW_FL) == 0);
}

PMEMFS_CASE("the companions tell what there is") {
  const bool guest = place.kind() == Kind::kGuest;  // of whose region nothing is known
  const bool direct = place.kind() == Kind::kDirectory;
  make_file(place / "file", pattern(10'000, 1));
  const std::string granularity = xattr_of(place / "file", PMEMFS_XATTR_GRANULARITY);
  CHECK((guest || (granularity == "none") == (place.host_magic() == TMPFS_MAGIC)));
  const std::string placement = xattr_of(place / "file", PMEMFS_XATTR_PLACEMENT);
  CHECK((guest || placement == (direct ? "backing" : "extents")));
  CHECK(xattr_of(place / "file", PMEMFS_XATTR_MAPPING) == (direct ? "passthrough" : "cached"));
  CHECK_FALSE(xattr_of(place / "file", PMEMFS_XATTR_EXTENTS).empty());
  CHECK(once_idle([&] { return set_durable(place / "file"); }) == Errno{});
  CHECK(xattr_of(place / "file", PMEMFS_XATTR_MAPPING) == (guest    ? "window"
                                                           : direct ? "passthrough"
                                                                    : "refused"));
  for (const char* name : {PMEMFS_XATTR_GRANULARITY, PMEMFS_XATTR_PLACEMENT, PMEMFS_XATTR_MAPPING,
                           PMEMFS_XATTR_EXTENTS}) {
    EXPECT_ERRNO(EOPNOTSUPP, sys::setxattr(place / "file", name, "1"));
    EXPECT_ERRNO(EOPNOTSUPP, sys::removexattr(place / "file", name));
  }
}

PMEMFS_CASE("other names in pmemfs's place are EOPNOTSUPP") {
  make_file(place / "file", "x");
  for (const char* name : {"user.pmemfs.mmap_durabl", "user.pmemfs.mmap_durable2", "user.pmemfs.",
                           "user.pmemfs", "trusted.pmemfs.other", "trusted.pmemfs.granularity2",
                           "security.pmemfs.mmap_durable", "mmap_durable", "pmemfs.mmap_durable"}) {
    INFO(name);
    EXPECT_ERRNO(EOPNOTSUPP, sys::setxattr(place / "file", name, "1"));
    EXPECT_ERRNO(EOPNOTSUPP, sys::getxattr(place / "file", name));
    EXPECT_ERRNO(EOPNOTSUPP, sys::removexattr(place / "file", name));
  }
  EXPECT_OK(sys::setxattr(place / "file", "user.pmemfsx", "ours not"));
  CHECK(xattr_names_of(place / "file") == std::vector<std::string>{"user.pmemfsx"});
}

PMEMFS_CASE("the flag survives remounts and crashes of the daemon") {
  durable_file(place / "file", pattern(100'000, 3));
  NEED_OK(sys::mkdir(place / "dir"));
  NEED_OK(set_durable(place / "dir"));
  for (const bool crash : {false, true}) {
    crash ? place.mount().kill_and_remount() : place.mount().remount();
    CHECK(is_durable(place / "file"));
    CHECK(is_durable(place / "dir"));
    CHECK((content_of(place / "file") == pattern(100'000, 3)));
    EXPECT_ERRNO(ETXTBSY, sys::truncate(place / "file", 5));
    CHECK(has_no_holes(place / "file"));
  }
}

}  // namespace pmemfs::test
