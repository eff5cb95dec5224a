// HostDir on real directories: names, content, and what it refuses to touch.
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "unit/backing/host_fixture.hpp"

namespace fs = std::filesystem;

using namespace pmemfs;
using base::UniqueFd;
using test::HostFixture;
using test::kName;

TEST_CASE("layout: 256 private directories, made once, and the owner beside them") {
  const HostFixture f;
  CHECK(std::distance(fs::directory_iterator(f.dir.path()), {}) == 256);
  CHECK(fs::status(f.dir / "a7").permissions() == fs::perms::owner_all);
  CHECK(backing::make_layout(f.data_fd.get()).ok());

  CHECK(backing::read_owner(f.data_fd.get()).code() == ENOENT);
  format::Uuid uuid{};
  for (std::size_t i = 0; i < uuid.size(); ++i) {
    uuid[i] = static_cast<std::uint8_t>(0xF0 + i);
  }
  REQUIRE(backing::write_owner(f.data_fd.get(), uuid).ok());
  CHECK(backing::read_owner(f.data_fd.get()).value() == uuid);
  std::string text;
  std::getline(std::ifstream(f.dir / "uuid"), text);
  CHECK(text == "f0f1f2f3-f4f5-f6f7-f8f9-fafbfcfdfeff");
  REQUIRE(backing::write_owner(f.data_fd.get(), format::Uuid{}).ok());
  CHECK(backing::read_owner(f.data_fd.get()).value() == format::Uuid{});
}

TEST_CASE("layout: an owner that is no UUID, or is not ours alone") {
  const HostFixture f;
  REQUIRE(backing::write_owner(f.data_fd.get(), format::Uuid{}).ok());
  SECTION("short") {
    fs::resize_file(f.dir / "uuid", 36);
  }
  SECTION("long") {
    std::ofstream(f.dir / "uuid", std::ios::app) << "x";
  }
  SECTION("not hex") {
    std::ofstream(f.dir / "uuid", std::ios::in).put('z');
  }
  SECTION("readable by others") {
    REQUIRE(::chmod((f.dir / "uuid").c_str(), 0644) == 0);
  }
  SECTION("a link") {
    fs::rename(f.dir / "uuid", f.dir / "away");
    fs::create_symlink("away", f.dir / "uuid");
  }
  CHECK(backing::read_owner(f.data_fd.get()).code() == EUCLEAN);
}

TEST_CASE("host dir: a directory that is missing, open to others or a link is EUCLEAN") {
  HostFixture f;
  SECTION("missing") {
    fs::remove(f.dir / "7f");
  }
  SECTION("open") {
    REQUIRE(::chmod((f.dir / "7f").c_str(), 0750) == 0);
  }
  SECTION("a link") {
    fs::remove(f.dir / "7f");
    fs::create_symlink("7e", f.dir / "7f");
  }
  SECTION("a file") {
    fs::remove(f.dir / "7f");
    std::ofstream(f.dir / "7f").close();
  }
  CHECK(backing::HostDir::open_at(f.data_fd.get(), false).code() == EUCLEAN);
}

TEST_CASE("host dir: create, write, stat, read back, unlink") {
  for (const char* parent : {test::kTmpfs, ""}) {
    const HostFixture f(parent);
    const UniqueFd fd = f.create(kName);
    CHECK(fs::exists(f.dir / "ab/12ab.7"));
    CHECK(fs::status(f.path(kName)).permissions() ==
          (fs::perms::owner_read | fs::perms::owner_write));
    CHECK(f.host->create(kName).code() == EEXIST);
    CHECK((::fcntl(fd.get(), F_GETFD) & FD_CLOEXEC) != 0);

    const std::string text = "persistent";
    CHECK(f.host->write(fd.get(), 5000, text.data(), text.size()).value() == text.size());
    const auto stat = f.host->stat(kName);
    REQUIRE(stat);
    CHECK(stat->size == 5010);
    CHECK(stat->blocks > 0);
    CHECK(stat->mtime.sec > 0);
    CHECK(f.host->stat_fd(fd.get())->size == 5010);

    const UniqueFd again(f.host->open(kName).value());
    std::string back(100, '?');
    CHECK(f.host->read(again.get(), 5000, back.data(), back.size()).value() == text.size());
    CHECK(back.substr(0, text.size()) == text);
    CHECK(f.host->read(again.get(), 9000, back.data(), back.size()).value() == 0);

    CHECK(f.host->sync_file(fd.get()).ok());
    CHECK(f.host->sync_parent(kName).ok());
    CHECK(f.host->sync_all().ok());
    CHECK(f.host->unlink(kName).ok());
    CHECK(f.host->unlink(kName).code() == ENOENT);
    CHECK(f.host->open(kName).code() == ENOENT);
    CHECK(f.host->stat(kName).code() == ENOENT);
    CHECK(f.host->stat_fd(fd.get())->size == 5010);
  }
}

TEST_CASE("host dir: sizes, ranges, holes, times, copies, space") {
  const HostFixture f;
  const UniqueFd fd = f.create(kName);
  CHECK(f.host->truncate(fd.get(), 1U << 20U).ok());
  CHECK(f.host->stat_fd(fd.get())->blocks == 0);
  CHECK(f.host->seek(fd.get(), 0, SEEK_DATA).code() == ENXIO);
  CHECK(f.host->write(fd.get(), 65536, "x", 1).value() == 1);
  CHECK(f.host->seek(fd.get(), 0, SEEK_DATA).value() == 65536);
  CHECK(f.host->seek(fd.get(), 65536, SEEK_HOLE).value() == 65536 + 4096);
  CHECK(f.host->allocate(fd.get(), 0, 0, 2U << 20U).ok());
  CHECK(f.host->stat_fd(fd.get())->size == 2U << 20U);
  CHECK(f.host->allocate(fd.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 2U << 20U).ok());
  CHECK(f.host->stat_fd(fd.get())->blocks == 0);

  CHECK(f.host->set_times(fd.get(), {-5, 7}, {5000000000, 999999999}).ok());
  CHECK(f.host->stat(kName)->atime == Timestamp{-5, 7});
  CHECK(f.host->stat(kName)->mtime == Timestamp{5000000000, 999999999});

  const std::string text(10000, 'c');
  REQUIRE(f.host->write(fd.get(), 0, text.data(), text.size()));
  const UniqueFd other = f.create({InodeNo(5), 1});
  CHECK(f.host->copy(fd.get(), 0, other.get(), 3, text.size()).value() == text.size());
  std::string back(text.size(), '?');
  CHECK(f.host->read(other.get(), 3, back.data(), back.size()).value() == text.size());
  CHECK(back == text);

  const auto space = f.host->space();
  REQUIRE(space);
  CHECK(space->block_size >= 512);
  CHECK(space->blocks >= space->blocks_free);
}

TEST_CASE("host dir: a file is read into many places, and no further than it goes") {
  HostFixture f;
  const UniqueFd fd(f.host->create(kName).value());
  std::string content(100'000, '\0');
  for (std::size_t i = 0; i < content.size(); ++i) {
    content[i] = static_cast<char>('a' + i / 7 % 26);
  }
  REQUIRE(f.host->write(fd.get(), 0, content.data(), content.size()).value() == content.size());
  // More of them than one system call takes, of all sizes, some empty.
  std::string read(content.size() + 1000, '-');
  std::vector<std::span<std::byte>> parts;
  for (std::size_t at = 0; at < read.size();) {
    const std::size_t size = std::min(read.size() - at, parts.size() % 173);
    parts.push_back(std::as_writable_bytes(std::span(read)).subspan(at, size));
    at += size;
  }
  REQUIRE(parts.size() > 1024);
  CHECK(f.host->read_parts(fd.get(), 10, parts).value() == content.size() - 10);
  CHECK(read == content.substr(10) + std::string(1010, '-'));
  CHECK(f.host->read_parts(fd.get(), content.size(), parts).value() == 0);
  CHECK(f.host->read_parts(fd.get(), 0, {}).value() == 0);
  CHECK(f.host->read_parts(-1, 0, parts).code() == EBADF);
}

TEST_CASE("host dir: a quiet read leaves the atime, and gives the same") {
  HostFixture f;
  const UniqueFd fd(f.create(kName));
  REQUIRE(f.host->write(fd.get(), 0, "content", 7).ok());
  const Timestamp old{100, 0};
  const auto read = [&](bool quietly) {
    REQUIRE(f.host->set_times(fd.get(), old, {200, 0}).ok());
    std::array<std::byte, 10> bytes{};
    const std::span<std::byte> part(bytes);
    const auto got = quietly ? f.host->read_parts_quietly(fd.get(), 1, {&part, 1})
                             : f.host->read_parts(fd.get(), 1, {&part, 1});
    CHECK(got.value() == 6);
    CHECK(std::memcmp(bytes.data(), "ontent", 6) == 0);
    return f.host->stat(kName)->atime == old;
  };
  CHECK(read(true));
  CHECK_FALSE(read(false));
}

TEST_CASE("host dir: a file is written from many places, as far as they can be read") {
  HostFixture f;
  const UniqueFd fd(f.create(kName));
  std::string content(100'000, '\0');
  for (std::size_t i = 0; i < content.size(); ++i) {
    content[i] = static_cast<char>('a' + i / 7 % 26);
  }
  std::vector<std::span<const std::byte>> parts;
  for (std::size_t at = 0; at < content.size();) {
    const std::size_t size = std::min(content.size() - at, parts.size() % 173);
    parts.push_back(std::as_bytes(std::span(content)).subspan(at, size));
    at += size;
  }
  REQUIRE(parts.size() > 1024);
  const auto written = [&] {
    std::string back(300'000, '-');
    back.resize(f.host->read(fd.get(), 0, back.data(), back.size()).value());
    return back;
  };
  CHECK(f.host->write_parts(fd.get(), 10, parts).value() == content.size());
  CHECK(written() == std::string(10, '\0') + content);
  CHECK(f.host->write_parts(fd.get(), 0, {}).value() == 0);
  CHECK(f.host->write_parts(-1, 0, parts).code() == EBADF);
  // Behind all of these, and alone.
  void* const nothing = ::mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  REQUIRE(nothing != MAP_FAILED);
  const std::span<const std::byte> lost(static_cast<const std::byte*>(nothing), 4096);
  parts.push_back(lost);
  parts.push_back(std::as_bytes(std::span(content)));
  CHECK(f.host->write_parts(fd.get(), 20, parts).value() == content.size());
  CHECK(written() == std::string(10, '\0') + content.substr(0, 10) + content);
  CHECK(f.host->write_parts(fd.get(), 20, {&lost, 1}).code() == EFAULT);
  ::munmap(nothing, 4096);
  f.reopen(true);
  CHECK(f.host->write_parts(fd.get(), 0, parts).code() == EROFS);
}

TEST_CASE("host dir: whatever else has the name of a backing file is EUCLEAN and stays as it is") {
  const HostFixture f;
  const std::string path = f.path(kName);
  const std::string victim = f.dir / "victim";
  std::ofstream(victim) << "victim";
  REQUIRE(::chmod(victim.c_str(), 0600) == 0);
  SECTION("a symbolic link, also one that stays inside") {
    fs::create_symlink("../victim", path);
  }
  SECTION("a second name of another file") {
    fs::create_hard_link(victim, path);
  }
  SECTION("a file with another mode") {
    std::ofstream(path).close();
    REQUIRE(::chmod(path.c_str(), 0644) == 0);
  }
  SECTION("a set-id file") {
    std::ofstream(path).close();
    REQUIRE(::chmod(path.c_str(), 04600) == 0);
  }
  SECTION("a directory") {
    fs::create_directory(path);
  }
  SECTION("a FIFO") {
    REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
  }
  SECTION("another user's file") {
    if (::geteuid() != 0) {
      PMEMFS_SKIP("needs root, to give a file away");
    }
    f.create(kName);
    REQUIRE(::chown(path.c_str(), 1, 1) == 0);
  }
  CHECK(f.host->open(kName).code() == EUCLEAN);
  CHECK(f.host->stat(kName).code() == EUCLEAN);
  CHECK(f.host->create(kName).code() == EEXIST);
  CHECK(fs::file_size(victim) == 6);
}

TEST_CASE("host dir: where a file lies, or that the host does not tell") {
  const HostFixture tmpfs;
  const UniqueFd untold = tmpfs.create(kName);
  CHECK(tmpfs.host->extents(untold.get(), 10).code() == EOPNOTSUPP);
  tmpfs.host->set_nodefrag(untold.get(), true);  // not there either, and no error

  const HostFixture f("");
  const UniqueFd fd = f.create(kName);
  constexpr std::uint64_t kFar = 1U << 20U;
  REQUIRE(f.host->allocate(fd.get(), 0, kFar, 65536).ok());
  REQUIRE(f.host->write(fd.get(), 0, "x", 1));
  REQUIRE(f.host->sync_file(fd.get()).ok());
  const auto runs = f.host->extents(fd.get(), 10);
  if (runs.code() == EOPNOTSUPP) {
    PMEMFS_SKIP("needs a filesystem at TMPDIR that has FIEMAP");
  }
  REQUIRE(runs.value().size() == 2);
  CHECK(runs.value()[0].off == 0);
  CHECK(runs.value()[0].located);
  CHECK_FALSE(runs.value()[0].unwritten);
  CHECK(runs.value()[1].off == kFar);
  CHECK(runs.value()[1].len == 65536);
  CHECK(f.host->extents(fd.get(), 1).value().size() == 1);
}

TEST_CASE("host dir: more runs than one request holds") {
  const HostFixture f("");
  const UniqueFd fd = f.create(kName);
  constexpr std::uint64_t kRuns = 300;
  for (std::uint64_t i = 0; i < kRuns; ++i) {
    REQUIRE(f.host->write(fd.get(), i * (1U << 20U), "x", 1));
  }
  REQUIRE(f.host->sync_file(fd.get()).ok());
  const auto runs = f.host->extents(fd.get(), 1000);
  if (runs.code() == EOPNOTSUPP) {
    PMEMFS_SKIP("needs a filesystem at TMPDIR that has FIEMAP");
  }
  REQUIRE(runs.value().size() == kRuns);
  for (std::uint64_t i = 0; i < kRuns; ++i) {
    CHECK(runs.value()[i].off == i * (1U << 20U));
  }
}

TEST_CASE("host dir: read-only changes nothing") {
  HostFixture f;
  f.create(kName);
  f.reopen(true);
  const UniqueFd fd(f.host->open(kName).value());
  CHECK((::fcntl(fd.get(), F_GETFL) & O_ACCMODE) == O_RDONLY);
  CHECK(f.host->create({InodeNo(9), 1}).code() == EROFS);
  CHECK(f.host->unlink(kName).code() == EROFS);
  CHECK(f.host->write(fd.get(), 0, "x", 1).code() == EROFS);
  CHECK(f.host->truncate(fd.get(), 0).code() == EROFS);
  CHECK(f.host->allocate(fd.get(), 0, 0, 4096).code() == EROFS);
  CHECK(f.host->copy(fd.get(), 0, fd.get(), 0, 1).code() == EROFS);
  CHECK(f.host->set_times(fd.get(), {}, {}).code() == EROFS);
  CHECK(f.host->touch(fd.get(), 0, 0).code() == EROFS);
  CHECK(f.host->stat(kName)->size == 0);
}

TEST_CASE("host dir: for_each tells ours from foreign, and ours may be unlinked meanwhile") {
  const HostFixture f;
  REQUIRE(backing::write_owner(f.data_fd.get(), format::Uuid{}).ok());
  constexpr std::uint64_t kCount = 3000;
  for (std::uint64_t ino = 1; ino <= kCount; ++ino) {
    f.create({InodeNo(ino), ino * 3});
  }
  std::ofstream(f.dir / "ab/12ac.7").close();  // in the wrong directory
  std::ofstream(f.dir / "00/README").close();
  fs::create_directory(f.dir / "lost");
  std::vector<std::uint64_t> seen;
  std::vector<std::string> foreign;
  const auto ours = [&](BackingName name) {
    CHECK(name.gen == name.ino.value * 3);
    seen.push_back(name.ino.value);
    CHECK(f.host->unlink(name).ok());
  };
  REQUIRE(f.host->for_each(ours, [&](const std::string& text) { foreign.push_back(text); }).ok());
  std::sort(seen.begin(), seen.end());
  CHECK(seen.size() == kCount);
  CHECK(std::unique(seen.begin(), seen.end()) == seen.end());
  std::sort(foreign.begin(), foreign.end());
  CHECK(foreign == std::vector<std::string>{"00/README", "ab/12ac.7", "lost"});
}
