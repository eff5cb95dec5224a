// SEMANTICS row "daemon killed", mounts without passthrough, and -o durable_io=fast.

#include "mount/durable_support.hpp"

namespace pmemfs::test {
TEST_CASE("daemon killed: an ordinary file's mappings and open handles go on") {
  need_kind(Kind::kDirectory);
  Mount mount(MountSpec{Kind::kDirectory});
  make_file(mount / "file", std::string(4 * kPage, '.'));
  {
    const UniqueFd fd = open_file(mount / "file", O_RDWR);
    const Mapped map(fd.get(), 4 * kPage);
    REQUIRE(map.error() == Errno{});
    map.store(0, "before");
    mount.kill_daemon();
    map.store(kPage, "mapped");
    EXPECT_OK(map.sync());
    CHECK(pread_some(fd.get(), 6, 0) == "before");
    CHECK(pwrite_all(fd.get(), "written", 2 * kPage));
    CHECK(map.text(2 * kPage, 7) == "written");
    EXPECT_ERRNO(ENOTCONN, ::fsync(fd.get()));
    EXPECT_ERRNO(ENOTCONN, sys::open(mount / "file", O_RDONLY));
    struct stat st {};
    EXPECT_ERRNO(ENOTCONN, sys::lstat(mount / "file2", st));
    mount.detach();
    map.store(3 * kPage, "detached");
  }
  mount.mount();
  const std::string content = content_of(mount / "file");
  CHECK(content.substr(0, 6) == "before");
  CHECK(content.substr(kPage, 6) == "mapped");
  CHECK(content.substr(2 * kPage, 7) == "written");
  CHECK(content.substr(3 * kPage, 8) == "detached");
}

TEST_CASE("daemon killed: a durable file's mapping goes on, then its bytes are found") {
  need_kind(Kind::kDirectory);
  Mount mount(MountSpec{Kind::kDirectory});
  durable_file(mount / "file", std::string(8 * kPage, '.'));
  {
    const UniqueFd writer = open_file(mount / "file", O_RDWR);
    const UniqueFd reader = open_file(mount / "file", O_RDONLY);
    const Mapped map(writer.get(), 8 * kPage);
    REQUIRE(map.error() == Errno{});
    CHECK(pwrite_all(writer.get(), "written before", 100));
    mount.kill_daemon();
    map.store(kPage, "stored after");
    EXPECT_OK(map.sync());
    CHECK(pread_some(reader.get(), 12, kPage) == "stored after");
    char byte = 0;
    EXPECT_ERRNO(ENOTCONN, ::pread(writer.get(), &byte, 1, 0));
    EXPECT_ERRNO(ENOTCONN, ::pwrite(writer.get(), "x", 1, 0));
    EXPECT_ERRNO(ENOTCONN, ::fsync(writer.get()));
    EXPECT_ERRNO(ENOTCONN, set_durable(mount / "file"));
    mount.detach();
    mount.mount();  // while the old mapping lives
    map.store(2 * kPage, "stored beside the new mount");
    CHECK(content_of(mount / "file").substr(2 * kPage, 27) == "stored beside the new mount");
  }
  const std::string content = content_of(mount / "file");
  CHECK(is_durable(mount / "file"));
  CHECK(content.size() == 8 * kPage);
  CHECK(content.substr(100, 14) == "written before");
  CHECK(content.substr(kPage, 12) == "stored after");
}

TEST_CASE("daemon killed: clear is EBUSY while the old mapping lives") {
  need_kind(Kind::kDirectory);
  Mount mount(MountSpec{Kind::kDirectory});
  durable_file(mount / "file", std::string(kPage, '.'));
  {
    UniqueFd fd = open_file(mount / "file", O_RDWR);
    const Mapped map(fd.get(), kPage);
    REQUIRE(map.error() == Errno{});
    fd.reset();
    mount.kill_and_remount();
    EXPECT_ERRNO(EBUSY, clear_durable(mount / "file"));
    map.store(0, "x");
  }
  CHECK(once_idle([&] { return clear_durable(mount / "file"); }) == Errno{});
}

TEST_CASE("daemon killed: a file region loses nothing that was written") {
  need_kind(Kind::kFile);
  Mount mount(MountSpec{Kind::kFile});
  durable_file(mount / "file", std::string(kPage, '.'));
  const UniqueFd fd = open_file(mount / "file", O_RDWR);
  CHECK(pwrite_all(fd.get(), pattern(200'000, 1), 0));
  mount.kill_daemon();
  EXPECT_ERRNO(ENOTCONN, ::pwrite(fd.get(), "x", 1, 0));
  EXPECT_ERRNO(ENOTCONN, ::fsync(fd.get()));
  EXPECT_ERRNO(ENOTCONN, sys::open(mount / "file", O_RDONLY));
  mount.detach();
  mount.mount();
  CHECK((content_of(mount / "file") == pattern(200'000, 1)));
}

TEST_CASE("without passthrough: ordinary files work, durable ones refuse shared mappings") {
  need_kind(Kind::kDirectory);
  Mount mount(MountSpec{Kind::kDirectory, "allow_other,no_passthrough"});
  make_file(mount / "ordinary", pattern(4 * kPage, 1));
  CHECK(xattr_of(mount / "ordinary", PMEMFS_XATTR_MAPPING) == "cached");
  {
    const UniqueFd fd = open_file(mount / "ordinary", O_RDWR);
    const Mapped map(fd.get(), 4 * kPage);
    REQUIRE(map.error() == Errno{});
    map.store(0, "cached");
    CHECK(pread_some(fd.get(), 6, 0) == "cached");
    EXPECT_ERRNO(EBUSY, set_durable(mount / "ordinary"));
  }
  CHECK(once_idle([&] { return set_durable(mount / "ordinary"); }) == Errno{});
  CHECK(content_of(mount / "ordinary").substr(0, 6) == "cached");
  CHECK(xattr_of(mount / "ordinary", PMEMFS_XATTR_MAPPING) == "refused");
  const UniqueFd fd = open_file(mount / "ordinary", O_RDWR);
  CHECK(Mapped(fd.get(), kPage).error() == Errno{ENODEV});
  CHECK(Mapped(fd.get(), kPage, MAP_PRIVATE).error() == Errno{});
  CHECK(pwrite_all(fd.get(), "through the daemon", 10));
  CHECK(pread_some(fd.get(), 18, 10) == "through the daemon");
  EXPECT_ERRNO(ETXTBSY, ::ftruncate(fd.get(), 1));
  EXPECT_OK(set_durable(mount / "ordinary"));  // again, a direct handle is no obstacle
}

TEST_CASE("without passthrough: what was durable is so with it again") {
  need_kind(Kind::kDirectory);
  Mount mount(MountSpec{Kind::kDirectory});
  durable_file(mount / "file", pattern(4 * kPage, 1));
  mount.remount("allow_other,no_passthrough");
  {
    const UniqueFd fd = open_file(mount / "file", O_RDWR);
    CHECK(Mapped(fd.get(), kPage).error() == Errno{ENODEV});
    CHECK(pwrite_all(fd.get(), "changed", 0));
  }
  mount.remount("allow_other");
  const UniqueFd fd = open_file(mount / "file", O_RDWR);
  const Mapped map(fd.get(), 4 * kPage);
  REQUIRE(map.error() == Errno{});
  CHECK(map.text(0, 7) == "changed");
}

TEST_CASE("durable_io=fast: writes take the short way, and fsync covers growth") {
  need_kind(Kind::kDirectory);
  Mount mount(MountSpec{Kind::kDirectory, "allow_other,durable_io=fast"});
  durable_file(mount / "file", std::string(4 * kPage, '.'));
  {
    const UniqueFd fd = open_file(mount / "file", O_RDWR);
    const Mapped map(fd.get(), 4 * kPage);
    REQUIRE(map.error() == Errno{});
    const RequestCount requests(mount);
    for (int i = 0; i < 20; ++i) {
      CHECK(pwrite_all(fd.get(), "fast", i * 100));
    }
    CHECK(!requests.so_far().contains("WRITE"));
    CHECK(map.text(1900, 4) == "fast");
    CHECK(pwrite_all(fd.get(), pattern(100'000, 2), 4 * kPage));
    EXPECT_OK(::fsync(fd.get()));
    EXPECT_ERRNO(ETXTBSY, ::ftruncate(fd.get(), 10));
  }
  CHECK(has_no_holes(mount / "file"));
  mount.kill_and_remount();
  CHECK((content_of(mount / "file").substr(4 * kPage) == pattern(100'000, 2)));
}

}  // namespace pmemfs::test
