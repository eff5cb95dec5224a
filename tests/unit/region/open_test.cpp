// Opening regions: locks, read-only, damage, and who could tamper.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "harness/catch.hpp"
#include "region/region_handle.hpp"
#include "support/child.hpp"
#include "support/temp_dir.hpp"

namespace fs = std::filesystem;

namespace {

using namespace pmemfs;
using region::OpenOptions;
using test::TempDir;

constexpr std::uint64_t kMiB = 1ULL << 20U;

void make_region(const std::string& path, std::uint64_t size = 0) {
  region::CreateOptions options;
  options.emulate = true;
  options.size = size;
  std::string why;
  const auto made = region::create(path, options, why);
  INFO(why);
  REQUIRE(made);
}

int open_code(const std::string& path, const OpenOptions& options = {}) {
  std::string why;
  return region::open(path, options, why).code();
}

void refuses(const std::string& path, int code, const std::string& part,
             const OpenOptions& options = {}) {
  std::string why;
  CHECK(region::open(path, options, why).code() == code);
  INFO(why);
  CHECK(why.find(part) != std::string::npos);
  CHECK(why.find('\n') == std::string::npos);
}

OpenOptions read_only() {
  OpenOptions options;
  options.read_only = true;
  return options;
}

}  // namespace

TEST_CASE("open: what was stored is found again") {
  const TempDir dir(test::kTmpfs);
  const std::vector<std::pair<std::string, std::uint64_t>> regions = {{"dir", 0},
                                                                      {"file", 16 * kMiB}};
  for (const auto& [name, size] : regions) {
    make_region(dir / name, size);
    std::string why;
    {
      auto handle = region::open(dir / name, {}, why);
      REQUIRE(handle);
      (*handle)->region().store_u64(ByteOff(8 * kMiB), 0x1122334455667788);
      (*handle)->region().flush(ByteOff(8 * kMiB), 8);
      (*handle)->region().fence();
    }
    auto handle = region::open(dir / name, {}, why);
    REQUIRE(handle);
    CHECK((*handle)->region().data()[8 * kMiB] == std::byte{0x88});
    CHECK((*handle)->kind() ==
          (size == 0 ? region::HostKind::kDirectory : region::HostKind::kFile));
  }
}

TEST_CASE(
    "open: two processes cannot hold one region, and the second one waits as long as it is told") {
  const TempDir dir(test::kTmpfs);
  make_region(dir / "r");
  const test::Signal opened;
  const test::Signal close_it;
  test::ChildProcess owner([&] {
    std::string why;
    const auto handle = region::open(dir / "r", {}, why);
    opened.send();
    close_it.await();
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    return handle ? 0 : 1;
  });
  opened.await();
  refuses(dir / "r", EBUSY, "in use");
  refuses(dir / "r", EBUSY, "in use", read_only());
  std::array<std::byte, 16> bytes{};
  std::string why;
  CHECK(region::peek(dir / "r", 0, bytes.data(), bytes.size(), why));
  close_it.send();
  OpenOptions waiting;
  waiting.wait_seconds = 20;
  CHECK(open_code(dir / "r", waiting) == 0);
  CHECK(owner.wait() == 0);
}

TEST_CASE("open: a killed owner leaves no lock") {
  const TempDir dir(test::kTmpfs);
  make_region(dir / "r");
  const test::Signal opened;
  test::ChildProcess owner([&] {
    std::string why;
    const auto handle = region::open(dir / "r", {}, why);
    opened.send();
    ::pause();
    return 0;
  });
  opened.await();
  owner.kill();
  CHECK(owner.wait() == 256 + SIGKILL);
  CHECK(open_code(dir / "r") == 0);
}

TEST_CASE("open: flock of the region file is somebody else's business") {
  const TempDir dir(test::kTmpfs);
  make_region(dir / "f", 16 * kMiB);
  std::string why;
  const auto handle = region::open(dir / "f", {}, why);
  REQUIRE(handle);
  const base::UniqueFd exported(::open((dir / "f").c_str(), O_RDWR | O_CLOEXEC));
  CHECK(::flock(exported.get(), LOCK_EX | LOCK_NB) == 0);
}

TEST_CASE("open: read-only stores stay private") {
  const TempDir dir(test::kTmpfs);
  make_region(dir / "r");
  {
    std::string why;
    auto handle = region::open(dir / "r", read_only(), why);
    REQUIRE(handle);
    Region& region = (*handle)->region();
    CHECK(region.read_only());
    CHECK_FALSE((*handle)->medium_read_only());
    region.store_u64(ByteOff(4096), 5);
    region.flush(ByteOff(4096), 8);
    region.fence();
    CHECK(region.data()[4096] == std::byte{5});
    CHECK(region.grow(32 * kMiB).code() == EROFS);
  }
  std::string why;
  auto handle = region::open(dir / "r", {}, why);
  REQUIRE(handle);
  CHECK((*handle)->region().data()[4096] == std::byte{0});
}

TEST_CASE("open: a read-only medium can be read by several, and stored to privately") {
  const TempDir dir(test::kTmpfs);
  make_region(dir / "r");
  test::ChildProcess child([&] {
    if (::unshare(CLONE_NEWNS) != 0 ||
        ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        ::mount(dir.path().c_str(), dir.path().c_str(), nullptr, MS_BIND, nullptr) != 0 ||
        ::mount("none", dir.path().c_str(), nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY, nullptr) !=
            0) {
      return 77;
    }
    std::string why;
    if (region::open(dir / "r", {}, why).code() != EROFS ||
        why.find("-o ro") == std::string::npos) {
      return 1;
    }
    region::CreateOptions emulated;
    emulated.emulate = true;
    if (region::create(dir / "new", emulated, why).code() != EROFS) {
      return 2;
    }
    const auto first = region::open(dir / "r", read_only(), why);
    const auto second = region::open(dir / "r", read_only(), why);
    if (!first || !second || !(*first)->medium_read_only()) {
      return 3;
    }
    (*first)->region().store_u64(ByteOff(0), 1);
    return (*second)->region().data()[0] == std::byte{0} ? 0 : 4;
  });
  const int status = child.wait();
  if (status == 77) {
    PMEMFS_SKIP("needs the right to mount");
  }
  CHECK(status == 0);
}

TEST_CASE("open: what is no region") {
  const TempDir dir(test::kTmpfs);
  refuses(dir / "missing", ENOENT, "No such file");
  refuses(dir.path(), EUCLEAN, "not a pmemfs region");
  refuses("/dev/null", ENODEV, "not a DAX device");
  make_region(dir / "r");
  SECTION("a region file cut short") {
    fs::resize_file(dir / "r/region", 4096);
    refuses(dir / "r", EUCLEAN, "none that a region can have");
  }
  SECTION("a region file of an odd size") {
    fs::resize_file(dir / "r/region", 16 * kMiB + 5);
    refuses(dir / "r", EUCLEAN, "none that a region can have");
  }
  SECTION("no data directory") {
    fs::remove(dir / "r/data");
    refuses(dir / "r", EUCLEAN, "data");
  }
}

TEST_CASE("open: links, modes and owners that let others in") {
  const TempDir dir(test::kTmpfs);
  make_region(dir / "r");
  SECTION("the directory is writable by others") {
    REQUIRE(::chmod((dir / "r").c_str(), 0720) == 0);
    refuses(dir / "r", EPERM, "chmod 700");
  }
  SECTION("a parent is writable by others") {
    REQUIRE(::chmod(dir.path().c_str(), 0777) == 0);
    refuses(dir / "r", EPERM, dir.path() + ": writable by others");
    REQUIRE(::chmod(dir.path().c_str(), 01777) == 0);
    CHECK(open_code(dir / "r") == 0);
  }
  SECTION("the metadata file can be read by others") {
    REQUIRE(::chmod((dir / "r/region").c_str(), 0640) == 0);
    refuses(dir / "r", EPERM, "chmod 600");
  }
  SECTION("the metadata file has a second name") {
    REQUIRE(::link((dir / "r/region").c_str(), (dir / "other").c_str()) == 0);
    refuses(dir / "r", EPERM, "2 names");
  }
  SECTION("the metadata file is a symbolic link") {
    fs::rename(dir / "r/region", dir / "away");
    fs::create_symlink(dir / "away", dir / "r/region");
    refuses(dir / "r", ELOOP, "symbolic link");
  }
  SECTION("the metadata file is a FIFO") {
    fs::remove(dir / "r/region");
    REQUIRE(::mkfifo((dir / "r/region").c_str(), 0600) == 0);
    refuses(dir / "r", EINVAL, "not a regular file");
  }
}

TEST_CASE("open: symbolic links inside a region are not followed, one to it is") {
  const TempDir dir(test::kTmpfs);
  make_region(dir / "r");
  SECTION("data is a symbolic link") {
    fs::rename(dir / "r/data", dir / "away");
    fs::create_symlink(dir / "away", dir / "r/data");
    std::string why;
    CHECK(region::open(dir / "r", {}, why).code() != 0);
    CHECK_FALSE(why.empty());
  }
  SECTION("a symbolic link to the region directory is fine: its target is what counts") {
    fs::create_symlink(dir / "r", dir / "link");
    CHECK(open_code(dir / "link") == 0);
  }
}
