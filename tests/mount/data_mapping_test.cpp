// mmap beside read and write; executing files.

#include <sys/mman.h>
#include <sys/wait.h>

#include <csignal>

#include "support/mount_fixture.hpp"

namespace pmemfs::test {
namespace {

constexpr std::size_t kPage = 4096;
constexpr long kTmpfsMagic = 0x01021994;

// A mapping that unmaps itself; data() is null when mmap refused, errno says why.
class Mapping {
 public:
  Mapping(int fd, std::size_t size, int protection, int flags, off_t off = 0) : size_(size) {
    void* at = ::mmap(nullptr, size, protection, flags, fd, off);
    data_ = at == MAP_FAILED ? nullptr : static_cast<char*>(at);
  }
  ~Mapping() {
    if (data_ != nullptr) {
      ::munmap(data_, size_);
    }
  }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  [[nodiscard]] char* data() const { return data_; }
  [[nodiscard]] std::string text(std::size_t off, std::size_t size) const {
    return {data_ + off, size};
  }

 private:
  char* data_ = nullptr;
  std::size_t size_;
};

constexpr int kBoth = PROT_READ | PROT_WRITE;

// A copy of a program that ends with 0.
void copy_true(const std::string& to) {
  make_file(to, content_of("/bin/true"), 0755);
}

Errno run(const std::string& path) {
  return in_child([&] {
    ::execl(path.c_str(), path.c_str(), static_cast<char*>(nullptr));
    return Errno{errno};
  });
}

}  // namespace

POSIX_CASE("mapping: shared stores and reads and writes see each other at once") {
  make_file(place / "file", pattern(4 * kPage, 1));
  const UniqueFd fd = open_file(place / "file", O_RDWR);
  const Mapping map(fd.get(), 4 * kPage, kBoth, MAP_SHARED);
  REQUIRE(map.data() != nullptr);
  CHECK((map.text(0, 4 * kPage) == pattern(4 * kPage, 1)));
  std::memcpy(map.data() + 100, "by store", 8);
  CHECK(pread_some(fd.get(), 8, 100) == "by store");
  CHECK(pwrite_all(fd.get(), "by write", kPage - 4));
  CHECK(map.text(kPage - 4, 8) == "by write");
  const UniqueFd other = open_file(place / "file", O_RDWR);
  const Mapping second(other.get(), 4 * kPage, PROT_READ, MAP_SHARED);
  REQUIRE(second.data() != nullptr);
  for (int i = 0; i < 50; ++i) {
    map.data()[kPage * 2] = static_cast<char>(i);
    CHECK(second.data()[kPage * 2] == static_cast<char>(i));
    CHECK(pwrite_all(other.get(), std::string(1, static_cast<char>(i + 100)), kPage * 3));
    CHECK(map.data()[kPage * 3] == static_cast<char>(i + 100));
  }
  EXPECT_OK(::msync(map.data(), 4 * kPage, MS_SYNC));
  EXPECT_OK(::msync(map.data(), 4 * kPage, MS_ASYNC));
}

POSIX_CASE("mapping: private stores stay private") {
  make_file(place / "file", std::string(2 * kPage, 'f'));
  const UniqueFd fd = open_file(place / "file", O_RDONLY);
  const Mapping map(fd.get(), 2 * kPage, kBoth, MAP_PRIVATE);
  REQUIRE(map.data() != nullptr);
  map.data()[10] = 'p';
  CHECK((content_of(place / "file") == std::string(2 * kPage, 'f')));
  const UniqueFd writer = open_file(place / "file", O_WRONLY);
  CHECK(pwrite_all(writer.get(), "W", 5000));
  CHECK(map.data()[5000] == 'W');  // a page not yet copied
}

POSIX_CASE("mapping: lives on after close, unlink and rename over") {
  make_file(place / "file", pattern(2 * kPage, 1));
  UniqueFd fd = open_file(place / "file", O_RDWR);
  const Mapping map(fd.get(), 2 * kPage, kBoth, MAP_SHARED);
  REQUIRE(map.data() != nullptr);
  fd.reset();
  std::memcpy(map.data(), "after close", 11);
  CHECK(content_of(place / "file").substr(0, 11) == "after close");
  make_file(place / "new", "new");
  EXPECT_OK(sys::rename(place / "new", place / "file"));
  std::memcpy(map.data() + kPage, "after all", 9);
  CHECK(map.text(kPage, 9) == "after all");
  CHECK(map.text(0, 11) == "after close");
  CHECK(content_of(place / "file") == "new");
}

POSIX_CASE("mapping: stores are there after everything is closed") {
  make_file(place / "file", std::string(8 * kPage, '.'));
  {
    const UniqueFd fd = open_file(place / "file", O_RDWR);
    const Mapping map(fd.get(), 8 * kPage, kBoth, MAP_SHARED);
    REQUIRE(map.data() != nullptr);
    std::memcpy(map.data() + 3 * kPage, "stored", 6);
  }
  CHECK(content_of(place / "file").substr(3 * kPage, 6) == "stored");
  CHECK(content_of(place / "file").size() == 8 * kPage);
}

POSIX_CASE("mapping: permissions of the handle count") {
  make_file(place / "file", "x");
  const UniqueFd reader = open_file(place / "file", O_RDONLY);
  const UniqueFd writer = open_file(place / "file", O_WRONLY);
  CHECK(Mapping(reader.get(), kPage, kBoth, MAP_SHARED).data() == nullptr);
  CHECK(errno == EACCES);
  CHECK(Mapping(writer.get(), kPage, PROT_READ, MAP_SHARED).data() == nullptr);
  CHECK(errno == EACCES);
  CHECK(Mapping(reader.get(), kPage, PROT_READ, MAP_SHARED).data() != nullptr);
}

POSIX_CASE("mapping: beyond the last page is SIGBUS, after truncation too") {
  make_file(place / "file", std::string(4 * kPage, 'x'));
  const auto touch = [&](std::size_t at, off_t cut_to) {
    return in_child([&] {
      const UniqueFd fd = open_file(place / "file", O_RDWR);
      const Mapping map(fd.get(), 8 * kPage, kBoth, MAP_SHARED);
      if (map.data() == nullptr) {
        return Errno{errno};
      }
      volatile char* byte = map.data() + at;
      static_cast<void>(map.data()[0]);
      if (cut_to >= 0 && ::ftruncate(fd.get(), cut_to) < 0) {
        return Errno{errno};
      }
      *byte = static_cast<char>(*byte + 1);
      return Errno{};
    });
  };
  CHECK(touch(4 * kPage - 1, -1) == Errno{});
  CHECK(touch(4 * kPage, -1) == Errno{Errno::kSignalled + SIGBUS});
  CHECK(touch(kPage, 100) == Errno{Errno::kSignalled + SIGBUS});
  CHECK(touch(50, 100) == Errno{});
  CHECK(stat_of(place / "file").st_size == 100);
}

POSIX_CASE("mapping: what lies behind the end in the last page is never shown") {
  make_file(place / "file", "short");
  const UniqueFd fd = open_file(place / "file", O_RDWR);
  {
    const Mapping map(fd.get(), kPage, kBoth, MAP_SHARED);
    REQUIRE(map.data() != nullptr);
    CHECK((map.text(5, 100) == std::string(100, '\0')));
    std::memcpy(map.data() + 5, "junk", 4);
  }
  CHECK(content_of(place / "file") == "short");
  if (place.is_plain(kTmpfsMagic) || place.kind() == Kind::kDirectory) {
    return;  // tmpfs shows the stores when the file grows; POSIX wants zeros, as on ext4
  }
  NEED_OK(::ftruncate(fd.get(), 100));
  CHECK((content_of(place / "file") == "short" + std::string(95, '\0')));
}

POSIX_CASE("mapping: a file that grows under it") {
  make_file(place / "file", std::string(kPage, 'a'));
  const UniqueFd fd = open_file(place / "file", O_RDWR);
  const Mapping map(fd.get(), 4 * kPage, kBoth, MAP_SHARED);
  REQUIRE(map.data() != nullptr);
  NEED_OK(::ftruncate(fd.get(), 3 * kPage));
  CHECK(map.data()[2 * kPage] == '\0');
  map.data()[2 * kPage] = 'b';
  CHECK(pread_some(fd.get(), 1, 2 * kPage) == "b");
  CHECK(pwrite_all(fd.get(), std::string(kPage, 'c'), 3 * kPage));
  CHECK(map.data()[4 * kPage - 1] == 'c');
}

POSIX_CASE("mapping: stores move mtime and ctime, at msync at the latest") {
  make_file(place / "file", std::string(kPage, 'a'));
  const UniqueFd fd = open_file(place / "file", O_RDWR);
  const timespec past[2] = {{1000, 0}, {1000, 0}};
  NEED_OK(::futimens(fd.get(), past));
  const Mapping map(fd.get(), kPage, kBoth, MAP_SHARED);
  REQUIRE(map.data() != nullptr);
  map.data()[0] = 'b';
  EXPECT_OK(::msync(map.data(), kPage, MS_SYNC));
  struct statx stx {};
  NEED_OK(::statx(fd.get(), "", AT_EMPTY_PATH | AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &stx));
  CHECK(stx.stx_mtime.tv_sec > 1000);
}

POSIX_CASE("mapping: read into and written from a mapping of the same file") {
  make_file(place / "file", pattern(8 * kPage, 1));
  const UniqueFd fd = open_file(place / "file", O_RDWR);
  const Mapping map(fd.get(), 8 * kPage, kBoth, MAP_SHARED);
  REQUIRE(map.data() != nullptr);
  CHECK(::pwrite(fd.get(), map.data() + 4 * kPage, kPage, 0) == static_cast<ssize_t>(kPage));
  CHECK((map.text(0, kPage) == pattern(8 * kPage, 1).substr(4 * kPage, kPage)));
  CHECK(::pread(fd.get(), map.data() + kPage, kPage, 5 * kPage) == static_cast<ssize_t>(kPage));
  CHECK((pread_some(fd.get(), kPage, kPage) == pattern(8 * kPage, 1).substr(5 * kPage, kPage)));
}

POSIX_CASE("execution: a program runs from here; noexec modes do not") {
  copy_true(place / "true");
  CHECK(run(place / "true") == Errno{});
  NEED_OK(sys::chmod(place / "true", 0644));
  CHECK(run(place / "true") == Errno{EACCES});
  make_file(place / "script", "#!/bin/sh\nexit 7\n", 0755);
  CHECK(run(place / "script") == Errno{7});
}

POSIX_CASE("execution: a running program cannot be written, one open for writing cannot run") {
  make_file(place / "sleep", content_of("/bin/sleep"), 0755);
  const std::string path = place / "sleep";
  int ready[2] = {-1, -1};
  NEED_OK(::pipe2(ready, O_CLOEXEC));  // closed by the exec
  Child child([&] {
    ::execl(path.c_str(), path.c_str(), "60", static_cast<char*>(nullptr));
    return Errno{errno};
  });
  const UniqueFd read_end(ready[0]);
  ::close(ready[1]);
  char byte = 0;
  CHECK(::read(read_end.get(), &byte, 1) == 0);
  EXPECT_ERRNO(ETXTBSY, sys::open(path, O_WRONLY));
  EXPECT_ERRNO(ETXTBSY, sys::truncate(path, 10));
  EXPECT_OK(UniqueFd(sys::open(path, O_RDONLY)).get());
  child.kill();
  const UniqueFd writer = open_file(path, O_WRONLY);
  CHECK(run(path) == Errno{ETXTBSY});
}

POSIX_CASE("execution: a set-uid program runs as its owner") {
  make_file(place / "id", content_of("/usr/bin/id"), 0755);
  NEED_OK(sys::lchown(place / "id", kBob.uid, kBob.gid));
  NEED_OK(sys::chmod(place / "id", 04755));
  const UniqueFd out = open_file(place / "out", O_CREAT | O_RDWR, 0666);
  const std::string path = place / "id";
  CHECK(as_user(kAlice, [&] {
          ::dup2(out.get(), 1);
          ::execl(path.c_str(), path.c_str(), "-u", static_cast<char*>(nullptr));
          return Errno{errno};
        }) == Errno{});
  CHECK(pread_some(out.get(), 100, 0) == std::to_string(kBob.uid) + "\n");
}

}  // namespace pmemfs::test
