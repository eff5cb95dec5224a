// The layer region on a real DAX device, named by PMEMFS_TEST_DEVDAX, all of whose content is lost.
// Only guests run this.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>

#include "base/unique_fd.hpp"
#include "harness/catch.hpp"
#include "region/region_handle.hpp"
#include "support/child.hpp"

namespace {

using namespace pmemfs;

constexpr std::uint64_t kMiB = 1ULL << 20U;

std::string device() {
  const char* name = std::getenv("PMEMFS_TEST_DEVDAX");
  REQUIRE(name != nullptr);
  return name;
}

region::CreateOptions create_options(bool force, std::uint64_t size = 0) {
  region::CreateOptions options;
  options.force = force;
  options.size = size;
  return options;
}

std::unique_ptr<region::RegionHandle> make_region(const std::string& path, std::uint64_t size = 0) {
  std::string why;
  auto made = region::create(path, create_options(true, size), why);
  INFO(why);
  REQUIRE(made);
  return std::move(made).value();
}

void refuses(const std::string& path, const region::CreateOptions& options, int code,
             const std::string& part) {
  std::string why;
  CHECK(region::create(path, options, why).code() == code);
  INFO(why);
  CHECK(why.find(part) != std::string::npos);
}

// One byte, at `off` from the end when negative, as another program would leave it there.
void scribble(const std::string& path, std::int64_t off) {
  const auto region = make_region(path);
  const std::uint64_t at = off < 0 ? region->region().size() - static_cast<std::uint64_t>(-off)
                                   : static_cast<std::uint64_t>(off);
  region->region().store(ByteOff(at), "x", 1);
  region->region().flush(ByteOff(at), 1);
  region->region().fence();
}

void wipe(const std::string& path) {
  const auto region = make_region(path);
  region->region().stream_zeros(ByteOff(0), region->region().size());
  region->region().fence();
}

}  // namespace

TEST_CASE("a DAX device: taken whole, persistent, and found again") {
  const std::string path = device();
  std::uint64_t size = 0;
  {
    const auto made = make_region(path);
    CHECK(made->kind() == region::HostKind::kDevdax);
    CHECK(made->host().map_sync);
    CHECK_FALSE(made->medium_read_only());
    CHECK(made->region().granularity() != Granularity::kNone);
    CHECK(made->region().granularity() != Granularity::kPage);
    CHECK(reinterpret_cast<std::uintptr_t>(made->region().data()) % made->host().alignment == 0);
    size = made->region().size();
    made->region().store_u64(ByteOff(size - 8), 0x1122334455667788);
    made->region().flush(ByteOff(size - 8), 8);
    made->region().fence();
  }
  std::string why;
  const auto handle = region::open(path, {}, why);
  REQUIRE(handle);
  CHECK((*handle)->region().size() == size);
  CHECK((*handle)->region().data()[size - 1] == std::byte{0x11});
  std::uint64_t peeked = 0;
  REQUIRE(region::peek(path, size - 8, &peeked, sizeof peeked, why));
  CHECK(peeked == 0x1122334455667788);
  CHECK((*handle)->region().grow(size + 4096).code() == EOPNOTSUPP);
}

TEST_CASE("a DAX device: what holds data is not overwritten without force") {
  const std::string path = device();
  wipe(path);
  std::string why;
  REQUIRE(region::create(path, create_options(false), why));
  for (const std::int64_t off : {std::int64_t{0}, std::int64_t{kMiB - 1}, std::int64_t{-1}}) {
    scribble(path, off);
    refuses(path, create_options(false), EEXIST, "holds data");
    wipe(path);
  }
  scribble(path, 2 * kMiB);  // neither at the head nor at the tail, as with files
  CHECK(region::create(path, create_options(false), why));
}

TEST_CASE("a DAX device: the former superblocks are gone, and sizes are kept to") {
  const std::string path = device();
  scribble(path, 0);
  scribble(path, 2 * kMiB - 4096);
  const auto made = make_region(path, 16 * kMiB + 4096);
  CHECK(made->region().size() == 16 * kMiB + 4096);
  CHECK(made->region().data()[0] == std::byte{0});
  CHECK(made->region().data()[2 * kMiB - 4096] == std::byte{0});
  refuses(path, create_options(true, 1ULL << 50U), EINVAL, "has only");
  refuses(path, create_options(true, kMiB), EINVAL, "too small");
  refuses(path, create_options(true, 16 * kMiB + 1), EINVAL, "multiple of 4096");
}

TEST_CASE("a DAX device: one program at a time, until it ends or is killed") {
  const std::string path = device();
  make_region(path);
  const test::Signal opened;
  test::ChildProcess owner([&] {
    std::string why;
    const auto handle = region::open(path, {}, why);
    opened.send();
    ::pause();
    return handle ? 0 : 1;
  });
  opened.await();
  std::string why;
  region::OpenOptions read_only;
  read_only.read_only = true;
  CHECK(region::open(path, {}, why).code() == EBUSY);
  CHECK(region::open(path, read_only, why).code() == EBUSY);
  refuses(path, create_options(true), EBUSY, "in use");
  // flock is left to descriptors that virtual machines hold.
  const base::UniqueFd exported(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  CHECK(::flock(exported.get(), LOCK_EX | LOCK_NB) == 0);
  owner.kill();
  CHECK(owner.wait() == 256 + SIGKILL);
  CHECK(region::open(path, {}, why));
}

TEST_CASE("a DAX device: read-only stores stay private") {
  const std::string path = device();
  make_region(path);
  std::string why;
  {
    region::OpenOptions options;
    options.read_only = true;
    auto handle = region::open(path, options, why);
    REQUIRE(handle);
    Region& region = (*handle)->region();
    const std::uint64_t step = (*handle)->host().alignment;
    for (const std::uint64_t off : {std::uint64_t{4096}, 2 * step - 4, region.size() - 8}) {
      REQUIRE(region.make_private(ByteOff(off), 8));
      region.store(ByteOff(off), "12345678", 8);
      region.flush(ByteOff(off), 8);
      CHECK(std::memcmp(region.data() + off, "12345678", 8) == 0);
    }
    region.fence();
  }
  const auto handle = region::open(path, {}, why);
  REQUIRE(handle);
  CHECK((*handle)->region().data()[4096] == std::byte{0});
}

TEST_CASE("an export of the device lives as long as its last mapping") {
  const auto handle = make_region(device());
  Region& memory = handle->region();
  REQUIRE_FALSE(memory.any_exported());
  const std::uint64_t alignment = memory.mapping_alignment();
  CHECK(alignment == 2 * kMiB);
  base::UniqueFd fd;
  {
    const auto exported = memory.export_memory(7);
    REQUIRE(exported.ok());
    fd = base::UniqueFd(*exported);
  }
  void* mapped = ::mmap(nullptr, alignment, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(),
                        static_cast<off_t>(4 * alignment));
  REQUIRE(mapped != MAP_FAILED);
  fd = {};
  std::memcpy(mapped, "guest", 5);
  CHECK(std::memcmp(memory.data() + 4 * alignment, "guest", 5) == 0);
  CHECK(memory.exported(7));
  CHECK_FALSE(memory.exported(8));
  ::munmap(mapped, alignment);
  CHECK_FALSE(memory.any_exported());
}

TEST_CASE("control: a DAX device refuses private mappings, which is why they are made by hand") {
  const std::string path = device();
  const base::UniqueFd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  REQUIRE(fd);
  CHECK(::mmap(nullptr, 2 * kMiB, PROT_READ, MAP_PRIVATE, fd.get(), 0) == MAP_FAILED);
}
