// read, write and their kin.

#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

#include <csignal>
#include <set>

#include "support/mount_fixture.hpp"

namespace pmemfs::test {
namespace {

constexpr std::size_t kMiB = 1U << 20U;
constexpr off_t kTiB = off_t{1} << 40;
constexpr off_t kMaxSize = 16 * kTiB;

std::string zeros(std::size_t size) {
  return std::string(size, '\0');
}

}  // namespace

POSIX_CASE("data: what is written is read, at all alignments") {
  const UniqueFd fd = open_file(place / "file", O_CREAT | O_RDWR);
  std::string model;
  std::uint64_t seed = 1;
  for (const std::size_t off :
       {0U, 1U, 4095U, 4096U, 4097U, 65'535U, 131'072U, 131'073U, 1'000'003U}) {
    for (const std::size_t size : {1U, 511U, 4096U, 4097U, 100'001U}) {
      const std::string data = pattern(size, seed++);
      CHECK(pwrite_all(fd.get(), data, static_cast<off_t>(off)));
      if (model.size() < off + size) {
        model.resize(off + size, '\0');
      }
      model.replace(off, size, data);
    }
  }
  CHECK(stat_of(fd.get()).st_size == static_cast<off_t>(model.size()));
  CHECK((pread_some(fd.get(), model.size() + 100, 0) == model));
  CHECK((pread_some(fd.get(), 5000, 4090) == model.substr(4090, 5000)));
  CHECK((content_of(place / "file") == model));
}

POSIX_CASE("data: large requests, and reading at and past the end") {
  const UniqueFd fd = open_file(place / "file", O_CREAT | O_RDWR);
  const std::string data = pattern(9 * kMiB + 13, 5);
  CHECK(::write(fd.get(), data.data(), data.size()) == static_cast<ssize_t>(data.size()));
  std::string back(data.size() + 10, 'x');
  CHECK(::pread(fd.get(), back.data(), back.size(), 0) == static_cast<ssize_t>(data.size()));
  back.resize(data.size());
  CHECK((back == data));
  char byte = 0;
  CHECK(::pread(fd.get(), &byte, 1, static_cast<off_t>(data.size())) == 0);
  CHECK(::pread(fd.get(), &byte, 1, 100 * kTiB / 10) == 0);
  CHECK(::pread(fd.get(), &byte, 0, 0) == 0);
  EXPECT_ERRNO(EINVAL, ::pread(fd.get(), &byte, 1, -1));
}

POSIX_CASE("data: vectors, file position and modes of opening") {
  const UniqueFd fd = open_file(place / "file", O_CREAT | O_RDWR);
  std::string one = "first ";
  std::string two = "second";
  const iovec out[2] = {{one.data(), one.size()}, {two.data(), two.size()}};
  CHECK(::writev(fd.get(), out, 2) == 12);
  CHECK(::lseek(fd.get(), 0, SEEK_CUR) == 12);
  CHECK(::lseek(fd.get(), -6, SEEK_END) == 6);
  std::string back(6, ' ');
  const iovec in[2] = {{back.data(), 3}, {back.data() + 3, 3}};
  CHECK(::readv(fd.get(), in, 2) == 6);
  CHECK(back == "second");
  EXPECT_ERRNO(EINVAL, ::lseek(fd.get(), -1, SEEK_SET));
  const UniqueFd reader = open_file(place / "file", O_RDONLY);
  const UniqueFd writer = open_file(place / "file", O_WRONLY);
  EXPECT_ERRNO(EBADF, ::write(reader.get(), "x", 1));
  EXPECT_ERRNO(EBADF, ::read(writer.get(), back.data(), 1));
  EXPECT_ERRNO(EINVAL, ::ftruncate(reader.get(), 0));
  void* hidden = ::mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  EXPECT_ERRNO(EFAULT, ::write(writer.get(), hidden, 100));
  EXPECT_ERRNO(EFAULT, ::pread(reader.get(), hidden, 10, 0));
  ::munmap(hidden, 4096);
  const UniqueFd dir = open_file(place.path(), O_RDONLY);
  EXPECT_ERRNO(EISDIR, ::read(dir.get(), back.data(), 1));
}

POSIX_CASE("data: truncate down and up shows zeros, never the old bytes") {
  const UniqueFd fd = open_file(place / "file", O_CREAT | O_RDWR);
  const std::string data = pattern(20'000, 3);
  for (const off_t cut :
       {off_t{0}, off_t{1}, off_t{4095}, off_t{4096}, off_t{4097}, off_t{10'000}, off_t{19'999}}) {
    INFO("cut at " << cut);
    NEED_OK(::ftruncate(fd.get(), 0));
    CHECK(pwrite_all(fd.get(), data, 0));
    EXPECT_OK(::ftruncate(fd.get(), cut));
    CHECK(stat_of(fd.get()).st_size == cut);
    EXPECT_OK(::ftruncate(fd.get(), 30'000));
    const auto kept = static_cast<std::size_t>(cut);
    CHECK((pread_some(fd.get(), 40'000, 0) == data.substr(0, kept) + zeros(30'000 - kept)));
    // The same by a write that leaves a hole.
    NEED_OK(::ftruncate(fd.get(), cut));
    CHECK(pwrite_all(fd.get(), "end", 25'000));
    CHECK((pread_some(fd.get(), 40'000, 0) == data.substr(0, kept) + zeros(25'000 - kept) + "end"));
  }
}

POSIX_CASE("data: truncate by name and O_TRUNC") {
  make_file(place / "file", "0123456789");
  EXPECT_OK(sys::truncate(place / "file", 4));
  CHECK(content_of(place / "file") == "0123");
  EXPECT_OK(sys::truncate(place / "file", 6));
  CHECK(content_of(place / "file") == "0123" + zeros(2));
  const UniqueFd held = open_file(place / "file", O_RDWR);
  EXPECT_OK(UniqueFd(sys::open(place / "file", O_WRONLY | O_TRUNC)).get());
  CHECK(stat_of(held.get()).st_size == 0);
  CHECK(pread_some(held.get(), 10, 0).empty());
  EXPECT_ERRNO(EINVAL, sys::truncate(place / "file", -1));
  EXPECT_ERRNO(EISDIR, sys::truncate(place.path(), 0));
  EXPECT_ERRNO(ENOENT, sys::truncate(place / "missing", 0));
  NEED_OK(sys::chmod(place / "file", 0444));
  EXPECT_ERRNO_AS(kAlice, EACCES, sys::truncate(place / "file", 0));
  EXPECT_ERRNO_AS(kAlice, EACCES, sys::open(place / "file", O_RDONLY | O_TRUNC));
}

POSIX_CASE("data: O_APPEND of two processes loses and mixes nothing") {
  constexpr int kRecords = 1000;
  constexpr std::size_t kSize = 100;
  make_file(place / "log");
  const auto appender = [&](char who) {
    const UniqueFd fd = open_file(place / "log", O_WRONLY | O_APPEND);
    for (int i = 0; i < kRecords; ++i) {
      std::string record = who + std::to_string(i);
      record.resize(kSize - 1, who);
      record += '\n';
      if (::write(fd.get(), record.data(), record.size()) != static_cast<ssize_t>(kSize)) {
        return Errno{EIO};
      }
    }
    return Errno{};
  };
  Child one([&] { return appender('a'); });
  Child two([&] { return appender('b'); });
  CHECK(one.wait() == Errno{});
  CHECK(two.wait() == Errno{});
  const std::string log = content_of(place / "log");
  REQUIRE(log.size() == 2 * kRecords * kSize);
  std::set<std::string> records;
  for (std::size_t at = 0; at < log.size(); at += kSize) {
    const std::string record = log.substr(at, kSize);
    CHECK((record.back() == '\n' && record.find('\n') == kSize - 1));
    records.insert(record);
  }
  CHECK(records.size() == 2 * kRecords);
}

POSIX_CASE("data: O_APPEND ignores the position; pwrite appends too, as Linux has it") {
  make_file(place / "log", "start");
  const UniqueFd fd = open_file(place / "log", O_RDWR | O_APPEND);
  CHECK(::lseek(fd.get(), 0, SEEK_SET) == 0);
  CHECK(::write(fd.get(), "+one", 4) == 4);
  CHECK(::lseek(fd.get(), 0, SEEK_CUR) == 9);
  CHECK(::pwrite(fd.get(), "+two", 4, 0) == 4);
  NEED_OK(sys::truncate(place / "log", 7));
  CHECK(::write(fd.get(), "!", 1) == 1);
  CHECK(content_of(place / "log") == "start+o!");
  CHECK(::fcntl(fd.get(), F_SETFL, 0) == 0);
  CHECK(::pwrite(fd.get(), "S", 1, 0) == 1);
  // The kernel keeps the flags of open(2) on a passthrough handle: docs/decisions/0002-….md
  const std::string rest = place.kind() == Kind::kDirectory ? "start+o!S" : "Start+o!";
  CHECK(content_of(place / "log") == rest);
  const UniqueFd plain = open_file(place / "log", O_RDWR);
  iovec vector{const_cast<char*>("end"), 3};
  CHECK(::pwritev2(plain.get(), &vector, 1, 0, RWF_APPEND) == 3);
  CHECK(content_of(place / "log") == rest + "end");
}

POSIX_CASE("data: copy_file_range") {
  const std::string data = pattern(300'000, 9);
  make_file(place / "from", data);
  make_file(place / "to", pattern(10, 1));
  const UniqueFd from = open_file(place / "from", O_RDONLY);
  const UniqueFd to = open_file(place / "to", O_RDWR);
  off64_t in = 1000;
  off64_t out = 5000;
  std::size_t copied = 0;
  while (copied < 200'000) {
    const ssize_t n = ::copy_file_range(from.get(), &in, to.get(), &out, 200'000 - copied, 0);
    REQUIRE(n > 0);
    copied += static_cast<std::size_t>(n);
  }
  CHECK(in == 201'000);
  CHECK(out == 205'000);
  CHECK((pread_some(to.get(), 400'000, 0) ==
         pattern(10, 1) + zeros(4990) + data.substr(1000, 200'000)));
  in = 300'000;
  CHECK(::copy_file_range(from.get(), &in, to.get(), &out, 10, 0) == 0);
  in = 299'990;
  CHECK(::copy_file_range(from.get(), &in, to.get(), &out, 100, 0) == 10);
  in = 0;
  out = 10;
  EXPECT_ERRNO(EINVAL, ::copy_file_range(to.get(), &in, to.get(), &out, 100, 0));  // overlap
  EXPECT_ERRNO(EBADF, ::copy_file_range(to.get(), &in, from.get(), &out, 10, 0));
  EXPECT_ERRNO(EINVAL, ::copy_file_range(from.get(), &in, to.get(), &out, 10, 1));
  const UniqueFd append = open_file(place / "to", O_WRONLY | O_APPEND);
  EXPECT_ERRNO(EBADF, ::copy_file_range(from.get(), &in, append.get(), &out, 10, 0));
  const UniqueFd dir = open_file(place.path(), O_RDONLY);
  EXPECT_ERRNO(EISDIR, ::copy_file_range(dir.get(), nullptr, to.get(), nullptr, 10, 0));
}

POSIX_CASE("data: sendfile, splice") {
  const std::string data = pattern(200'000, 4);
  make_file(place / "from", data);
  const UniqueFd from = open_file(place / "from", O_RDONLY);
  const UniqueFd to = open_file(place / "to", O_CREAT | O_RDWR);
  std::size_t sent = 0;
  while (sent < data.size()) {
    const ssize_t n = ::sendfile(to.get(), from.get(), nullptr, data.size());
    REQUIRE(n > 0);
    sent += static_cast<std::size_t>(n);
  }
  CHECK((content_of(place / "to") == data));
  int pipe[2] = {-1, -1};
  NEED_OK(::pipe2(pipe, O_CLOEXEC));
  const UniqueFd read_end(pipe[0]);
  const UniqueFd write_end(pipe[1]);
  off64_t in = 100;
  off64_t out = 250'000;
  CHECK(::splice(from.get(), &in, write_end.get(), nullptr, 4096, 0) == 4096);
  CHECK(::splice(read_end.get(), nullptr, to.get(), &out, 4096, 0) == 4096);
  CHECK((pread_some(to.get(), 4096, 250'000) == data.substr(100, 4096)));
}

POSIX_CASE("data: O_DIRECT and buffered handles see each other") {
  make_file(place / "file", pattern(16'384, 1));
  const UniqueFd direct(sys::open(place / "file", O_RDWR | O_DIRECT));
  REQUIRE(direct);
  const UniqueFd buffered = open_file(place / "file", O_RDWR);
  alignas(4096) static char block[4096];
  CHECK(::pread(direct.get(), block, sizeof block, 4096) == 4096);
  CHECK((std::string(block, sizeof block) == pattern(16'384, 1).substr(4096, 4096)));
  CHECK(pwrite_all(buffered.get(), pattern(4096, 2), 8192));
  CHECK(::pread(direct.get(), block, sizeof block, 8192) == 4096);
  CHECK((std::string(block, sizeof block) == pattern(4096, 2)));
  std::memset(block, 'd', sizeof block);
  CHECK(::pwrite(direct.get(), block, sizeof block, 0) == 4096);
  CHECK((pread_some(buffered.get(), 4096, 0) == std::string(4096, 'd')));
  CHECK(::pwrite(direct.get(), block, sizeof block, 16'384) == 4096);
  CHECK(stat_of(buffered.get()).st_size == 20'480);
  CHECK((pread_some(buffered.get(), 9999, 16'384) == std::string(4096, 'd')));
}

POSIX_CASE("data: O_SYNC, O_DSYNC, fsync, fdatasync, syncfs") {
  for (const int flag : {O_SYNC, O_DSYNC}) {
    const std::string name = flag == O_SYNC ? "sync" : "dsync";
    const UniqueFd fd = open_file(place / name, O_CREAT | O_RDWR | flag);
    CHECK(write_all(fd.get(), pattern(100'000, 1)));
    CHECK((content_of(place / name) == pattern(100'000, 1)));
  }
  const UniqueFd fd = open_file(place / "sync", O_RDONLY);
  EXPECT_OK(::fsync(fd.get()));
  EXPECT_OK(::fdatasync(fd.get()));
  EXPECT_OK(::syncfs(fd.get()));
  const UniqueFd dir = open_file(place.path(), O_RDONLY | O_DIRECTORY);
  EXPECT_OK(::fsync(dir.get()));
  EXPECT_OK(::fdatasync(dir.get()));
}

POSIX_CASE("data: RLIMIT_FSIZE cuts writes and refuses growth") {
  const auto limited = [&](auto call) {
    return in_child([&] {
      ::signal(SIGXFSZ, SIG_IGN);
      const UniqueFd fd = open_file(place / "file", O_CREAT | O_RDWR | O_TRUNC);
      const rlimit limit{10'000, 10'000};
      return ::setrlimit(RLIMIT_FSIZE, &limit) < 0 ? Errno{255} : call(fd.get());
    });
  };
  const std::string data = pattern(20'000, 1);
  CHECK(limited([&](int fd) {
          return Errno{::write(fd, data.data(), data.size()) == 10'000 ? 0 : 1};
        }) == Errno{});
  CHECK(stat_of(place / "file").st_size == 10'000);
  CHECK(limited([&](int fd) { return error_of(::pwrite(fd, "x", 1, 10'000)); }) == Errno{EFBIG});
  CHECK(limited([&](int fd) { return error_of(::ftruncate(fd, 10'001)); }) == Errno{EFBIG});
  CHECK(limited([&](int fd) { return error_of(::fallocate(fd, 0, 9000, 2000)); }) == Errno{EFBIG});
  CHECK(limited([&](int fd) { return error_of(::ftruncate(fd, 10'000)); }) == Errno{});
}

POSIX_CASE("data: far offsets") {
  const UniqueFd fd = open_file(place / "file", O_CREAT | O_RDWR);
  for (const off_t off :
       {off_t{1} << 31, (off_t{1} << 32) - 100, off_t{1} << 32, kTiB, 15 * kTiB}) {
    INFO("offset " << off);
    CHECK(pwrite_all(fd.get(), "far", off));
    CHECK(stat_of(fd.get()).st_size == off + 3);
    CHECK(pread_some(fd.get(), 10, off - 2) == zeros(2) + "far");
  }
  CHECK(stat_of(fd.get()).st_blocks * 512 < 1'000'000);
  EXPECT_OK(::ftruncate(fd.get(), (off_t{1} << 31) + 2));
  CHECK(pread_some(fd.get(), 10, off_t{1} << 31) == "fa");
}

PMEMFS_CASE("data: a file ends at 16 TiB") {
  if (place.kind() == Kind::kDirectory && place.host_magic() == EXT4_SUPER_MAGIC) {
    return;  // a block earlier there, by the host's limit
  }
  const UniqueFd fd = open_file(place / "file", O_CREAT | O_RDWR);
  EXPECT_OK(::ftruncate(fd.get(), kMaxSize));
  CHECK(stat_of(fd.get()).st_size == kMaxSize);
  EXPECT_ERRNO(EFBIG, ::ftruncate(fd.get(), kMaxSize + 1));
  EXPECT_ERRNO(EFBIG, ::fallocate(fd.get(), 0, kMaxSize, 4096));
  CHECK(stat_of(fd.get()).st_size == kMaxSize);
  if (place.kind() == Kind::kFile) {  // a passthrough write asks nobody
    CHECK(pwrite_all(fd.get(), "last", kMaxSize - 4));
    CHECK(pread_some(fd.get(), 10, kMaxSize - 4) == "last");
    EXPECT_ERRNO(EFBIG, ::pwrite(fd.get(), "x", 1, kMaxSize));
  }
}

}  // namespace pmemfs::test
