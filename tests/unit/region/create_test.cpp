// What create() takes, refuses and leaves behind.
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "harness/catch.hpp"
#include "region/region_handle.hpp"
#include "support/child.hpp"
#include "support/temp_dir.hpp"

namespace fs = std::filesystem;

namespace {

using namespace pmemfs;
using region::CreateOptions;
using test::TempDir;

constexpr std::uint64_t kMiB = 1ULL << 20U;

CreateOptions emulated(std::uint64_t size = 0, bool force = false) {
  CreateOptions options;
  options.emulate = true;
  options.size = size;
  options.force = force;
  return options;
}

mode_t mode_of(const std::string& path) {
  struct stat st {};
  REQUIRE(::lstat(path.c_str(), &st) == 0);
  return st.st_mode & 07777U;
}

void make_file(const std::string& path, std::uint64_t size, mode_t mode = 0600) {
  std::ofstream(path).close();
  fs::resize_file(path, size);
  REQUIRE(::chmod(path.c_str(), mode) == 0);
}

// Fails with `code` and a reason of one line that has `part` in it.
void refuses(const std::string& path, const CreateOptions& options, int code,
             const std::string& part) {
  std::string why;
  const auto made = region::create(path, options, why);
  CHECK(made.code() == code);
  INFO(why);
  CHECK(why.find(part) != std::string::npos);
  CHECK(why.find('\n') == std::string::npos);
}

}  // namespace

TEST_CASE("create: a directory that does not exist is made, private and laid out") {
  const TempDir dir(test::kTmpfs);
  const std::string path = dir / "r";
  std::string why;
  const auto made = region::create(path, emulated(), why);
  INFO(why);
  REQUIRE(made);
  CHECK(mode_of(path) == 0700);
  CHECK(mode_of(path + "/region") == 0600);
  CHECK(mode_of(path + "/data") == 0700);
  const region::RegionHandle& handle = **made;
  CHECK(handle.kind() == region::HostKind::kDirectory);
  CHECK(handle.path() == path);
  CHECK(handle.directory_fd() >= 0);
  CHECK(handle.data_fd() >= 0);
  CHECK(handle.host().filesystem == "tmpfs");
  CHECK(handle.region().size() == 16 * kMiB);
  CHECK(handle.region().granularity() == Granularity::kNone);
  CHECK_FALSE(handle.region().read_only());
}

TEST_CASE("create: the metadata file is allocated, so that no later store needs room") {
  const TempDir dir;
  std::string why;
  const auto made = region::create(dir / "r", emulated(), why);
  REQUIRE(made);
  struct stat st {};
  REQUIRE(::fstat((*made)->file_fd(), &st) == 0);
  CHECK(static_cast<std::uint64_t>(st.st_blocks) * 512 >= 16 * kMiB);
}

TEST_CASE("create: an existing empty directory is taken and closed to others") {
  const TempDir dir(test::kTmpfs);
  REQUIRE(::mkdir((dir / "r").c_str(), 0755) == 0);
  REQUIRE(::mkdir((dir / "r/lost+found").c_str(), 0700) == 0);
  std::string why;
  REQUIRE(region::create(dir / "r/", emulated(32 * kMiB), why));
  CHECK(mode_of(dir / "r") == 0700);
  CHECK(fs::file_size(dir / "r/region") == 32 * kMiB);
}

TEST_CASE("create: a file region takes an existing file of zeros, or makes one of a size") {
  const TempDir dir(test::kTmpfs);
  std::string why;
  make_file(dir / "old", 20 * kMiB);
  const auto old = region::create(dir / "old", emulated(), why);
  REQUIRE(old);
  CHECK((*old)->kind() == region::HostKind::kFile);
  CHECK((*old)->region().size() == 20 * kMiB);
  CHECK((*old)->data_fd() == -1);
  CHECK((*old)->directory_fd() == -1);
  const auto fresh = region::create(dir / "new", emulated(16 * kMiB), why);
  REQUIRE(fresh);
  CHECK(mode_of(dir / "new") == 0600);
  CHECK((*fresh)->region().grow(32 * kMiB).ok());  // when asked to: pmemfsctl grow
  CHECK((*fresh)->region().size() == 32 * kMiB);
}

TEST_CASE("create: memory that is not persistent needs --emulate, and nothing is left behind") {
  const TempDir dir(test::kTmpfs);
  refuses(dir / "r", CreateOptions(), ENOTSUP, "--emulate");
  CHECK_FALSE(fs::exists(dir / "r"));
  refuses(dir.path(), CreateOptions(), ENOTSUP, "tmpfs");
  CHECK(fs::is_empty(dir.path()));
}

TEST_CASE("create: bad sizes") {
  const TempDir dir(test::kTmpfs);
  refuses(dir / "small", emulated(16 * kMiB - 4096), EINVAL, "at least 16 MiB");
  refuses(dir / "odd", emulated(16 * kMiB + 1), EINVAL, "multiple of 4096");
  refuses(dir / "big", emulated((64ULL << 40U) + 4096), EFBIG, "64 TiB");
  make_file(dir / "file", 8 * kMiB);
  refuses(dir / "file", emulated(), EINVAL, "too small");
  make_file(dir / "file", 16 * kMiB);
  refuses(dir / "file", emulated(32 * kMiB), EEXIST, "exists already");
  CHECK_FALSE(fs::exists(dir / "small"));
}

TEST_CASE("create: places that do not exist or cannot hold a region") {
  const TempDir dir(test::kTmpfs);
  refuses(dir / "missing/r", emulated(), ENOENT, "missing");
  refuses("/dev/null", emulated(), ENODEV, "not a DAX device");
  REQUIRE(::mkfifo((dir / "fifo").c_str(), 0600) == 0);
  refuses(dir / "fifo", emulated(), ENODEV, "neither a directory nor a regular file");
  make_file(dir / "target", 16 * kMiB);
  REQUIRE(::symlink("target", (dir / "link").c_str()) == 0);
  refuses(dir / "link", emulated(), ELOOP, "symbolic link");
}

TEST_CASE("create: what holds something is not overwritten without force") {
  const TempDir dir(test::kTmpfs);
  std::string why;
  SECTION("a directory with a foreign file") {
    REQUIRE(::mkdir((dir / "r").c_str(), 0700) == 0);
    make_file(dir / "r/mine", 5);
    refuses(dir / "r", emulated(), ENOTEMPTY, "not empty");
    CHECK_FALSE(fs::exists(dir / "r/region"));
    REQUIRE(region::create(dir / "r", emulated(0, true), why));
    CHECK(fs::exists(dir / "r/mine"));
  }
  SECTION("a region") {
    {
      auto made = region::create(dir / "r", emulated(), why);
      REQUIRE(made);
      (*made)->region().store_u64(ByteOff(4096), 77);
      make_file(dir / "r/data/kept", 1);
    }
    refuses(dir / "r", emulated(), EEXIST, "holds a pmemfs region");
    auto again = region::create(dir / "r", emulated(20 * kMiB, true), why);
    INFO(why);
    REQUIRE(again);
    CHECK((*again)->region().data()[4096] == std::byte{0});
    CHECK((*again)->region().size() == 20 * kMiB);
    CHECK(fs::exists(dir / "r/data/kept"));
  }
  SECTION("a file with bytes at its end") {
    make_file(dir / "f", 16 * kMiB);
    std::ofstream(dir / "f", std::ios::in | std::ios::binary).seekp(16 * kMiB - 1).put('x');
    refuses(dir / "f", emulated(), EEXIST, "holds data");
    REQUIRE(region::create(dir / "f", emulated(0, true), why));
    std::ifstream f(dir / "f", std::ios::binary);
    f.seekg(16 * kMiB - 1);
    CHECK(f.get() == 0);
  }
}

TEST_CASE("create: a region in use is refused, force or not") {
  const TempDir dir(test::kTmpfs);
  std::string why;
  const auto first = region::create(dir / "r", emulated(), why);
  REQUIRE(first);
  refuses(dir / "r", emulated(), EBUSY, "in use");
  refuses(dir / "r", emulated(0, true), EBUSY, "in use");
  const auto file = region::create(dir / "f", emulated(16 * kMiB), why);
  REQUIRE(file);
  refuses(dir / "f", emulated(0, true), EBUSY, "in use");
}

TEST_CASE("create: places where others have a hand are refused") {
  const TempDir dir(test::kTmpfs);
  REQUIRE(::mkdir((dir / "open").c_str(), 0700) == 0);
  REQUIRE(::chmod((dir / "open").c_str(), 0770) == 0);
  refuses(dir / "open", emulated(), EPERM, "chmod 700");
  refuses(dir / "open/r", emulated(), EPERM, "chmod go-w");
  refuses(dir / "open/f", emulated(16 * kMiB), EPERM, "chmod go-w");
  REQUIRE(::chmod((dir / "open").c_str(), 01777) == 0);
  std::string why;
  CHECK(region::create(dir / "open/r", emulated(), why));
  make_file(dir / "f", 16 * kMiB, 0644);
  refuses(dir / "f", emulated(), EPERM, "chmod 600");
  make_file(dir / "g", 16 * kMiB);
  REQUIRE(::link((dir / "g").c_str(), (dir / "h").c_str()) == 0);
  refuses(dir / "g", emulated(), EPERM, "2 names");
}

TEST_CASE("create: directories and parents of another user are refused") {
  if (::geteuid() != 0) {
    PMEMFS_SKIP("needs root, to give a directory away");
  }
  const TempDir dir(test::kTmpfs);
  REQUIRE(::mkdir((dir / "theirs").c_str(), 0700) == 0);
  REQUIRE(::chown((dir / "theirs").c_str(), 1, 1) == 0);
  refuses(dir / "theirs", emulated(), EPERM, "owned by uid 1");
  refuses(dir / "theirs/r", emulated(), EPERM, "owned by uid 1");
}

TEST_CASE("create: a full filesystem leaves nothing behind") {
  const TempDir dir(test::kTmpfs);
  test::ChildProcess child([&] {
    if (::unshare(CLONE_NEWNS) != 0 ||
        ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        ::mount("none", dir.path().c_str(), "tmpfs", 0, "size=8m,mode=700") != 0) {
      return 77;
    }
    std::string why;
    const int code = region::create(dir / "r", emulated(), why).code();
    return code == ENOSPC && why.find("no space") != std::string::npos && fs::is_empty(dir.path())
               ? 0
               : 1;
  });
  const int status = child.wait();
  if (status == 77) {
    PMEMFS_SKIP("needs the right to mount");
  }
  CHECK(status == 0);
}
