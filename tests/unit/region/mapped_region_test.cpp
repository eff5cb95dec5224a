#include "region/mapped_region.hpp"

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <vector>

#include "base/unique_fd.hpp"
#include "harness/catch.hpp"
#include "region/probe.hpp"
#include "region/region_handle.hpp"
#include "support/child.hpp"
#include "support/memory_region.hpp"
#include "support/temp_dir.hpp"

namespace {

using namespace pmemfs;
using test::TempDir;

constexpr std::uint64_t kMiB = 1ULL << 20U;

}  // namespace

TEST_CASE("granularity has the names that the documents use") {
  CHECK(to_string(Granularity::kByte) == "byte");
  CHECK(to_string(Granularity::kCacheLine) == "cacheline");
  CHECK(to_string(Granularity::kPage) == "page");
  CHECK(to_string(Granularity::kNone) == "none");
}

TEST_CASE("probe: tmpfs is volatile, what is below temporary files is told by name") {
  const TempDir memory(test::kTmpfs);
  std::string why;
  const auto shm = region::probe(memory.path(), why);
  REQUIRE(shm);
  CHECK(shm->kind == region::HostKind::kDirectory);
  CHECK(shm->filesystem == "tmpfs");
  CHECK(shm->volatile_fs);
  CHECK_FALSE(shm->map_sync);
  CHECK(shm->granularity == Granularity::kNone);
  CHECK(std::filesystem::is_empty(memory.path()));
  CHECK(region::probe(memory / "missing", why).code() == ENOENT);
  CHECK_FALSE(why.empty());
  CHECK(region::probe("/dev/null", why)->kind == region::HostKind::kOther);
}

TEST_CASE("probe: a filesystem with a page cache has page granularity") {
  const TempDir dir;
  std::string why;
  const auto host = region::probe(dir.path(), why);
  REQUIRE(host);
  if (host->volatile_fs || host->map_sync) {
    PMEMFS_SKIP("needs a disk filesystem without DAX at TMPDIR");
  }
  CHECK(host->granularity == Granularity::kPage);
  CHECK(host->filesystem != "unknown");
  region::CreateOptions options;
  CHECK(region::create(dir / "r", options, why).code() == ENOTSUP);
  options.emulate = true;
  const auto made = region::create(dir / "r", options, why);
  REQUIRE(made);
  CHECK((*made)->region().granularity() == Granularity::kPage);
}

TEST_CASE("mapped region: stores, streams and zeros arrive, at any alignment") {
  const test::MemoryRegion memory(16 * kMiB);
  Region& region = *memory;
  CHECK(reinterpret_cast<std::uintptr_t>(region.data()) % (2 * kMiB) == 0);
  std::vector<std::byte> bytes(5000);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<std::byte>(i * 7 + 1);
  }
  region.stream(ByteOff(4096 + 3), bytes.data(), bytes.size());
  region.fence();
  CHECK(std::memcmp(region.data() + 4096 + 3, bytes.data(), bytes.size()) == 0);
  CHECK(region.data()[4096 + 2] == std::byte{0});
  region.store(ByteOff(100000), bytes.data(), 100);
  region.flush(ByteOff(100000), 100);
  region.fence();
  CHECK(std::memcmp(region.data() + 100000, bytes.data(), 100) == 0);
  region.stream_zeros(ByteOff(4096 + 10), 4000);
  region.fence();
  CHECK(region.data()[4096 + 9] != std::byte{0});
  CHECK(region.data()[4096 + 10] == std::byte{0});
  CHECK(region.data()[4096 + 4009] == std::byte{0});
  CHECK(region.data()[4096 + 4010] != std::byte{0});
  region.store_u64(ByteOff(8), 0x0102030405060708);
  CHECK(region.data()[8] == std::byte{8});
  CHECK(region.data()[15] == std::byte{1});
  CHECK(region.contains(ByteOff(16 * kMiB), 0));
  CHECK_FALSE(region.contains(ByteOff(16 * kMiB - 8), 9));
}

TEST_CASE(
    "mapped region: growth keeps data() and contents, and new bytes are zeros on allocated "
    "blocks") {
  const TempDir dir(test::kTmpfs);
  region::CreateOptions options;
  options.emulate = true;
  std::string why;
  {
    const auto made = region::create(dir / "r", options, why);
    REQUIRE(made);
    Region& region = (*made)->region();
    const std::byte* const before = region.data();
    region.store_u64(ByteOff(16 * kMiB - 8), 42);
    REQUIRE(region.grow(16 * kMiB + 4096).ok());
    REQUIRE(region.grow(48 * kMiB).ok());
    CHECK(region.data() == before);
    CHECK(region.size() == 48 * kMiB);
    CHECK(region.data()[16 * kMiB - 8] == std::byte{42});
    CHECK(region.data()[48 * kMiB - 1] == std::byte{0});
    region.store_u64(ByteOff(48 * kMiB - 8), 43);
    struct stat st {};
    REQUIRE(::fstat((*made)->file_fd(), &st) == 0);
    CHECK(static_cast<std::uint64_t>(st.st_blocks) * 512 >= 48 * kMiB);
  }
  const auto again = region::open(dir / "r", {}, why);
  REQUIRE(again);
  CHECK((*again)->region().size() == 48 * kMiB);
  CHECK((*again)->region().data()[48 * kMiB - 8] == std::byte{43});
}

TEST_CASE("mapped region: growth that finds no room changes nothing") {
  const TempDir dir(test::kTmpfs);
  test::ChildProcess child([&] {
    // A file size limit stands for a full host: fallocate says EFBIG then.
    region::CreateOptions options;
    options.emulate = true;
    std::string why;
    const auto made = region::create(dir / "r", options, why);
    const struct rlimit limit = {20 * kMiB, 20 * kMiB};
    ::signal(SIGXFSZ, SIG_IGN);
    if (!made || ::setrlimit(RLIMIT_FSIZE, &limit) != 0) {
      return 1;
    }
    Region& region = (*made)->region();
    if (region.grow(32 * kMiB).code() != EFBIG || region.size() != 16 * kMiB) {
      return 2;
    }
    if (std::filesystem::file_size(dir / "r/region") != 16 * kMiB) {
      return 3;
    }
    return region.grow(20 * kMiB).ok() && region.data()[20 * kMiB - 1] == std::byte{0} ? 0 : 4;
  });
  CHECK(child.wait() == 0);
}

TEST_CASE("mapped region: growth that stops in the middle is taken back") {
  const TempDir dir(test::kTmpfs);
  test::ChildProcess child([&] {
    // ramfs knows no fallocate, so that the zeros themselves meet the limit.
    if (::unshare(CLONE_NEWNS) != 0 ||
        ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        ::mount("none", dir.path().c_str(), "ramfs", 0, "mode=700") != 0) {
      return 77;
    }
    region::CreateOptions options;
    options.emulate = true;
    std::string why;
    const auto made = region::create(dir / "r", options, why);
    const struct rlimit limit = {20 * kMiB, 20 * kMiB};
    ::signal(SIGXFSZ, SIG_IGN);
    if (!made || ::setrlimit(RLIMIT_FSIZE, &limit) != 0) {
      return 1;
    }
    if ((*made)->region().grow(32 * kMiB).code() != EFBIG) {
      return 2;
    }
    return std::filesystem::file_size(dir / "r/region") == 16 * kMiB ? 0 : 3;
  });
  const int status = child.wait();
  if (status == 77) {
    PMEMFS_SKIP("needs the right to mount");
  }
  CHECK(status == 0);
}

TEST_CASE("mapped region: shrinking cuts the file and takes the addresses away") {
  const TempDir dir(test::kTmpfs);
  region::CreateOptions options;
  options.emulate = true;
  options.size = 32 * kMiB;
  std::string why;
  const auto made = region::create(dir / "r", options, why);
  REQUIRE(made.ok());
  Region& region = (*made)->region();
  const std::uint64_t value = ~0ULL;
  region.stream(ByteOff(20 * kMiB - 8), &value, sizeof value);
  region.stream(ByteOff(20 * kMiB + 4096), &value, sizeof value);
  region.fence();
  const std::byte* const base = region.data();
  REQUIRE(region.shrink(20 * kMiB).ok());
  CHECK(region.size() == 20 * kMiB);
  CHECK(region.data() == base);
  CHECK(std::filesystem::file_size(dir / "r") == 20 * kMiB);
  CHECK(base[20 * kMiB - 1] == std::byte{0xFF});
  test::ChildProcess touching([&] {
    ::signal(SIGSEGV, SIG_DFL);
    const struct rlimit no_core = {0, 0};
    ::setrlimit(RLIMIT_CORE, &no_core);
    return base[20 * kMiB] == std::byte{0} ? 0 : 1;
  });
  CHECK(touching.wait() != 0);
  REQUIRE(region.grow(24 * kMiB).ok());
  CHECK(base[20 * kMiB + 4096] == std::byte{0});
  CHECK(std::filesystem::file_size(dir / "r") == 24 * kMiB);
}

TEST_CASE("mapped region: what cannot shrink says so and stays") {
  const TempDir dir(test::kTmpfs);
  const std::string path = dir / "file";
  std::ofstream(path).close();
  std::filesystem::resize_file(path, 20 * kMiB);
  const base::UniqueFd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  region::MapOptions options;
  const auto fixed = region::MappedRegion::map(fd.get(), 20 * kMiB, options);
  REQUIRE(fixed.ok());
  CHECK((*fixed)->shrink(16 * kMiB).code() == EOPNOTSUPP);
  CHECK((*fixed)->size() == 20 * kMiB);
  options.read_only = true;
  const auto read_only = region::MappedRegion::map(fd.get(), 20 * kMiB, options);
  REQUIRE(read_only.ok());
  CHECK((*read_only)->shrink(16 * kMiB).code() == EROFS);
  CHECK(std::filesystem::file_size(path) == 20 * kMiB);
}

TEST_CASE("mapped region: a process with little address space gets what it can have") {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  PMEMFS_SKIP("needs a build without sanitizers, which take the address space themselves");
#endif
  const TempDir dir(test::kTmpfs);
  test::ChildProcess child([&] {
    const struct rlimit limit = {4ULL << 30U, 4ULL << 30U};
    region::CreateOptions options;
    options.emulate = true;
    std::string why;
    if (::setrlimit(RLIMIT_AS, &limit) != 0) {
      return 1;
    }
    const auto made = region::create(dir / "r", options, why);
    if (!made) {
      return 2;
    }
    return (*made)->region().grow(32 * kMiB).ok() &&
                   (*made)->region().grow(1ULL << 40U).code() == EFBIG
               ? 0
               : 3;
  });
  CHECK(child.wait() == 0);
}
