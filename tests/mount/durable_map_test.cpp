// SEMANTICS rows "mmap …", "write fault", "msync, fsync".

#include "mount/durable_support.hpp"

namespace pmemfs::test {

DIRECTORY_CASE("mmap shared: the backing file itself, coherent with read and write") {
  const std::string file = durable_file(place / "file", std::string(16 * kPage, '.'));
  const UniqueFd fd = open_file(file, O_RDWR);
  const Mapped map(fd.get(), 16 * kPage);
  REQUIRE(map.error() == Errno{});
  for (std::size_t i = 0; i < 16; ++i) {
    map.store(i * kPage + i, "store " + std::to_string(i));
    CHECK(pread_some(fd.get(), 7, static_cast<off_t>(i * kPage + i)) ==
          ("store " + std::to_string(i)).substr(0, 7));
    CHECK(pwrite_all(fd.get(), "write " + std::to_string(i), static_cast<off_t>(i * kPage + 100)));
    CHECK(map.text(i * kPage + 100, 7) == ("write " + std::to_string(i)).substr(0, 7));
  }
  const UniqueFd reader = open_file(file, O_RDONLY);
  const Mapped second(reader.get(), 16 * kPage, MAP_SHARED, PROT_READ);
  REQUIRE(second.error() == Errno{});
  map.store(5000, "seen");
  CHECK(second.text(5000, 4) == "seen");
  CHECK(Mapped(reader.get(), kPage, MAP_SHARED).error() == Errno{EACCES});
}

DIRECTORY_CASE("mmap shared: a mapping larger than the file works as the file grows") {
  const std::string file = durable_file(place / "file", std::string(kPage, '.'));
  const UniqueFd fd = open_file(file, O_RDWR);
  const Mapped map(fd.get(), kMiB);
  REQUIRE(map.error() == Errno{});
  EXPECT_OK(::ftruncate(fd.get(), kMiB));
  map.store(kMiB - 6, "growth");
  CHECK(pread_some(fd.get(), 6, kMiB - 6) == "growth");
  CHECK(has_no_holes(file));
}

FILE_CASE("mmap shared where no direct mapping can be had: ENODEV, private works") {
  const std::string file = durable_file(place / "file", pattern(4 * kPage, 1));
  for (const int flags : {O_RDONLY, O_RDWR}) {
    const UniqueFd fd = open_file(file, flags);
    CHECK(Mapped(fd.get(), kPage, MAP_SHARED, PROT_READ).error() == Errno{ENODEV});
    const Mapped priv(fd.get(), 4 * kPage, MAP_PRIVATE);
    REQUIRE(priv.error() == Errno{});
    CHECK((priv.text(0, 4 * kPage) == pattern(4 * kPage, 1)));
    priv.store(0, "mine");
    CHECK(pread_some(fd.get(), 4, 0) == pattern(4, 1));
  }
}

PMEMFS_CASE("mmap private") {
  const std::string file = durable_file(place / "file", pattern(4 * kPage, 1));
  const UniqueFd fd = open_file(file, O_RDWR);
  const Mapped priv(fd.get(), 4 * kPage, MAP_PRIVATE);
  REQUIRE(priv.error() == Errno{});
  priv.store(10, "private");
  CHECK((content_of(file) == pattern(4 * kPage, 1)));
}

PMEMFS_CASE("mmap with MAP_SHARED_VALIDATE and MAP_SYNC") {
  make_file(place / "ordinary", std::string(kPage, '.'));
  durable_file(place / "durable", std::string(kPage, '.'));
  for (const char* name : {"ordinary", "durable"}) {
    INFO(name);
    const UniqueFd fd = open_file(place / name, O_RDWR);
    CHECK(Mapped(fd.get(), kPage, MAP_SHARED_VALIDATE | MAP_SYNC).error() == Errno{EOPNOTSUPP});
  }
}

DIRECTORY_CASE("mmap with MAP_SHARED and MAP_SYNC reaches the backing file") {
  durable_file(place / "durable", std::string(kPage, '.'));
  const UniqueFd fd = open_file(place / "durable", O_RDWR);
  const Mapped map(fd.get(), kPage, MAP_SHARED | MAP_SYNC);
  REQUIRE(map.error() == Errno{});  // tmpfs does not look at the flag
  map.store(0, "x");
  CHECK(pread_some(fd.get(), 1, 0) == "x");
}

DIRECTORY_CASE("write fault: never changes the host's block map") {
  const std::string file = place / "file";
  make_file(file);
  NEED_OK(sys::truncate(file, 2 * kMiB));
  NEED_OK(set_durable(file));
  const UniqueFd fd = open_file(file, O_RDWR);
  const blkcnt_t blocks = stat_of(fd.get()).st_blocks;
  const std::string layout = layout_of(file);
  const Mapped map(fd.get(), 2 * kMiB);
  REQUIRE(map.error() == Errno{});
  for (std::size_t at = 0; at < 2 * kMiB; at += kPage) {
    map.store(at, "fault");
  }
  CHECK(stat_of(fd.get()).st_blocks == blocks);
  CHECK(layout_of(file) == layout);
}

PMEMFS_CASE("msync, fsync") {
  const std::string file = durable_file(place / "file", std::string(4 * kPage, '.'));
  const UniqueFd fd = open_file(file, O_RDWR);
  CHECK(pwrite_all(fd.get(), "written", 0));
  EXPECT_OK(::fsync(fd.get()));
  EXPECT_OK(::fdatasync(fd.get()));
  const UniqueFd reader = open_file(file, O_RDONLY);
  EXPECT_OK(::fsync(reader.get()));
  if (place.kind() != Kind::kFile) {
    const Mapped map(fd.get(), 4 * kPage);
    REQUIRE(map.error() == Errno{});
    map.store(kPage, "stored");
    EXPECT_OK(map.sync());
    EXPECT_OK(::msync(map.data(), kPage, MS_ASYNC));
  }
}

DIRECTORY_CASE("unlink: a mapping keeps the space until it goes") {
  const std::string file = durable_file(place / "file", pattern(4 * kMiB, 1));
  UniqueFd fd = open_file(file, O_RDWR);
  const Mapped map(fd.get(), 4 * kMiB);
  REQUIRE(map.error() == Errno{});
  NEED_OK(sys::unlink(file));
  fd.reset();
  for (std::uint64_t i = 0; i < 8; ++i) {
    make_file(place / ("other" + std::to_string(i)), pattern(kMiB, i));
  }
  CHECK((map.text(0, 4 * kMiB) == pattern(4 * kMiB, 1)));
  map.store(0, "alive");
  for (std::uint64_t i = 0; i < 8; ++i) {
    CHECK((content_of(place / ("other" + std::to_string(i))) == pattern(kMiB, i)));
  }
}

DIRECTORY_CASE("mmap: a handle of before the flag appends; fsync covers it") {
  make_file(place / "file", "start");
  const UniqueFd before = open_file(place / "file", O_RDWR | O_APPEND);
  NEED_OK(set_durable(place / "file"));
  CHECK(write_all(before.get(), pattern(50'000, 1)));
  EXPECT_OK(::fsync(before.get()));
  CHECK((content_of(place / "file") == "start" + pattern(50'000, 1)));
  CHECK(has_no_holes(place / "file"));
}

}  // namespace pmemfs::test
