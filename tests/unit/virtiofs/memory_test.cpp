#include "virtiofs/memory.hpp"

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "harness/catch.hpp"
#include "region/exports.hpp"
#include "support/child.hpp"
#include "support/mapped_memfd.hpp"
#include "support/temp_dir.hpp"
#include "support/virtiofs_frontend.hpp"

namespace pmemfs::virtiofs {
namespace {

using test::SharedMemory;

constexpr std::uint64_t kMiB = 1U << 20U;
const ShownFiles kNothingShown;

std::string text_of(const Spans& spans) {
  std::string text;
  for (const auto& span : spans) {
    text.append(reinterpret_cast<const char*>(span.data()), span.size());
  }
  return text;
}

bool holds(const GuestMemoryMap& map, std::uint64_t guest, std::uint64_t len, bool write) {
  return map.picture()->held(guest, len, write) == len;
}

// Regions that touch each other in the guest, and are anything but neighbours elsewhere.
struct Memory {
  Memory() {
    std::memcpy(first.data() + kMiB - 4, "abcd", 4);
    std::memcpy(second.data(), "efgh", 4);
    REQUIRE(map.add(second.region(), second.fd()).ok());
    REQUIRE(map.add(first.region(), first.fd()).ok());
  }
  SharedMemory first{kMiB, 0x10'0000, 0x7000'0000'0000};
  SharedMemory second{kMiB, 0x20'0000, 0x6000'0000'0000};
  GuestMemoryMap map{kNothingShown};
};

TEST_CASE("a range that crosses regions comes in pieces") {
  const Memory memory;
  Spans spans;
  REQUIRE(holds(memory.map, 0x20'0000 - 4, 8, true));
  memory.map.picture()->pieces(0x20'0000 - 4, 8, spans);
  CHECK(spans.size() == 2);
  CHECK(text_of(spans) == "abcdefgh");
  std::array<std::byte, 8> copy{};
  REQUIRE(memory.map.picture()->read(0x20'0000 - 4, copy));
  CHECK(std::memcmp(copy.data(), "abcdefgh", 8) == 0);
  CHECK_FALSE(holds(memory.map, 0x30'0000 - 4, 8, false));
  CHECK_FALSE(memory.map.picture()->read(0x30'0000 - 4, copy));
  CHECK_FALSE(holds(memory.map, 0x10'0000 - 1, 2, false));
  CHECK(memory.map.picture()->held(0x30'0000 - 4, 8, false) == 4);
  CHECK(memory.map.picture()->held(0x10'0000, 8 * kMiB, true) == 2 * kMiB);
  CHECK_FALSE(holds(memory.map, 0x10'0000, ~std::uint64_t{0}, false));
}

TEST_CASE("an address of the VMM is in one region or in none") {
  const Memory memory;
  const GuestMemory& picture = *memory.map.picture();
  CHECK(std::memcmp(picture.at_user(memory.first.user(kMiB - 4), 4, true), "abcd", 4) == 0);
  CHECK(picture.at_user(memory.first.user(kMiB - 4), 5, true) == nullptr);
  CHECK(picture.at_user(memory.first.user(kMiB), 1, true) == nullptr);
  CHECK(picture.at_user(memory.second.user(0), ~std::uint64_t{0}, true) == nullptr);
  CHECK(picture.at_user(0x10'0000, 4, true) == nullptr);
}

TEST_CASE("a region may begin anywhere in its file") {
  SharedMemory memory(8 * kMiB);
  GuestMemoryMap map{kNothingShown};
  wire::MemoryRegion region = memory.region();
  region.offset = 3 * kMiB + 4096;
  region.size = kMiB;
  std::memcpy(memory.data() + region.offset, "here", 4);
  REQUIRE(map.add(region, memory.fd()).ok());
  Spans spans;
  map.picture()->pieces(region.guest, 4, spans);
  CHECK(text_of(spans) == "here");
  // As it lies in the file, so that huge pages fit.
  CHECK(reinterpret_cast<std::uintptr_t>(spans[0].data()) % kMappingUnit == kMiB + 4096);
}

TEST_CASE("a file that may only be read is memory that cannot be written") {
  SharedMemory memory(kMiB);
  const base::UniqueFd only_read(
      ::open(("/proc/self/fd/" + std::to_string(memory.fd())).c_str(), O_RDONLY | O_CLOEXEC));
  GuestMemoryMap map{kNothingShown};
  REQUIRE(map.add(memory.region(), only_read.get()).ok());
  CHECK(holds(map, memory.guest(0), 8, false));
  CHECK_FALSE(holds(map, memory.guest(0), 8, true));
  CHECK(map.picture()->at_user(memory.user(0), 8, false) != nullptr);
  CHECK(map.picture()->at_user(memory.user(0), 8, true) == nullptr);
}

// What Arenas::map says of a file that could be mapped, on an overlay in a namespace of its own;
// -1: there can be none.
int map_on_overlay(const std::string& folder) {
  for (const char* name : {"/l", "/u", "/w", "/m"}) {
    ::mkdir((folder + name).c_str(), 0700);
  }
  const std::string how =
      "lowerdir=" + folder + "/l,upperdir=" + folder + "/u,workdir=" + folder + "/w";
  if (::unshare(CLONE_NEWNS) != 0 ||
      ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
      ::mount("overlay", (folder + "/m").c_str(), "overlay", 0, how.c_str()) != 0) {
    return -1;
  }
  const base::UniqueFd file(
      ::open((folder + "/m/file").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (::ftruncate(file.get(), kMiB) != 0) {
    return -1;
  }
  Arenas arenas;
  const int code = arenas.map(file.get(), 0, kMiB).code();
  // If it were the one of a window's files, it would be taken, and be no memory.
  struct stat st {};
  ::fstat(file.get(), &st);
  const ShownFiles shown(st.st_dev);
  GuestMemoryMap map(shown);
  const bool taken = map.add({4096, kMiB, 4096, 0}, file.get()).ok();
  return taken && map.picture()->held(4096, 1, false) == 0 ? code : EBADF;
}

TEST_CASE("a file whose pages come from who knows where is no memory") {
  const test::TempDir dir(test::kTmpfs);
  test::ChildProcess child([&dir] {
    const int code = map_on_overlay(dir.path());
    return code < 0 ? 200 : code;
  });
  const int code = child.wait();
  if (code == 200) {
    PMEMFS_SKIP("needs the right to mount an overlay");
  }
  CHECK(code == EACCES);
}

TEST_CASE("a picture keeps what it shows, and nothing else stays mapped") {
  auto memory = std::make_unique<SharedMemory>(kMiB);
  const base::UniqueFd file(::fcntl(memory->fd(), F_DUPFD_CLOEXEC, 0));
  const wire::MemoryRegion region = memory->region();
  GuestMemoryMap map{kNothingShown};
  REQUIRE(map.add(region, file.get()).ok());
  memory.reset();
  auto picture = map.picture();
  REQUIRE(map.remove(region).ok());
  CHECK(map.remove(region).code() == EINVAL);
  CHECK_FALSE(holds(map, region.guest, 1, false));
  Spans spans;
  picture->pieces(region.guest, 1, spans);
  spans[0][0] = std::byte{1};
  CHECK(test::is_mapped(file.get()));
  picture.reset();
  CHECK_FALSE(test::is_mapped(file.get()));
}

// Regions as a table tells them, each time with other descriptors of the same files.
struct Table {
  Status tell(GuestMemoryMap& map) const {
    std::vector<base::UniqueFd> fds;
    for (const int fd : files) {
      fds.emplace_back(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
    }
    return map.set(regions, fds);
  }
  std::vector<wire::MemoryRegion> regions;
  std::vector<int> files;
};

const Mapping* mapping_at(const GuestMemoryMap& map, std::uint64_t guest) {
  for (const GuestRegion& region : map.picture()->regions()) {
    if (region.guest == guest) {
      return region.mapping.get();
    }
  }
  return nullptr;
}

TEST_CASE("a table that is told again maps what has changed, and nothing else") {
  const SharedMemory first(kMiB, 0x10'0000, 0x7000'0000'0000);
  const SharedMemory second(kMiB, 0x20'0000, 0x6000'0000'0000);
  Table table{{first.region(), second.region()}, {first.fd(), second.fd()}};
  GuestMemoryMap map{kNothingShown};
  REQUIRE(table.tell(map).ok());
  const auto before = map.picture();
  const Mapping* const kept = mapping_at(map, first.guest(0));
  REQUIRE(kept != nullptr);

  SECTION("nothing") {
    REQUIRE(table.tell(map).ok());
    CHECK(map.picture() == before);
  }
  SECTION("one less, one more") {
    table.regions.pop_back();
    table.files.pop_back();
    REQUIRE(table.tell(map).ok());
    CHECK(mapping_at(map, first.guest(0)) == kept);
    CHECK_FALSE(holds(map, second.guest(0), 1, false));
    table.regions.push_back(second.region());
    table.files.push_back(second.fd());
    REQUIRE(table.tell(map).ok());
    CHECK(mapping_at(map, first.guest(0)) == kept);
    CHECK(holds(map, second.guest(0), kMiB, true));
  }
  SECTION("another file in the same place") {
    const SharedMemory other(kMiB, 0x20'0000, 0x6000'0000'0000);
    other.data()[0] = std::byte{7};
    table.files[1] = other.fd();
    REQUIRE(table.tell(map).ok());
    CHECK(mapping_at(map, first.guest(0)) == kept);
    std::array<std::byte, 1> copy{};
    REQUIRE(map.picture()->read(second.guest(0), copy));
    CHECK(copy[0] == std::byte{7});
  }
  SECTION("another part of the same file, another place of the same part") {
    REQUIRE(::ftruncate(second.fd(), 2 * kMiB) == 0);
    table.regions[1].offset = kMiB;
    REQUIRE(table.tell(map).ok());
    REQUIRE(::pwrite(second.fd(), "there", 5, kMiB) == 5);
    table.regions[1].user += 64 * kMiB;
    REQUIRE(table.tell(map).ok());
    CHECK(mapping_at(map, first.guest(0)) == kept);
    CHECK(std::memcmp(map.picture()->at_user(table.regions[1].user, 5, true), "there", 5) == 0);
    CHECK(map.picture()->at_user(second.user(0), 5, true) == nullptr);
  }
  SECTION("the same file, to be read only") {
    const base::UniqueFd only_read(
        ::open(("/proc/self/fd/" + std::to_string(second.fd())).c_str(), O_RDONLY | O_CLOEXEC));
    table.files[1] = only_read.get();
    REQUIRE(table.tell(map).ok());
    CHECK(mapping_at(map, first.guest(0)) == kept);
    CHECK_FALSE(holds(map, second.guest(0), 1, true));
  }
  SECTION("one that cannot be: all stays") {
    table.regions[1].size = 2 * kMiB;
    CHECK(table.tell(map).code() == EINVAL);
    CHECK(map.picture() == before);
  }
}

TEST_CASE("what a window shows is told as memory, and is none") {
  const SharedMemory memory(kMiB, 0x10'0000, 0x7000'0000'0000);
  const SharedMemory file(kMiB, 0x20'0000, 0x6000'0000'0000);
  ShownFiles shown;
  REQUIRE(shown.add(file.fd()).ok());
  GuestMemoryMap map(shown);
  REQUIRE(map.add(memory.region(), memory.fd()).ok());
  REQUIRE(map.add(file.region(), file.fd()).ok());
  CHECK(map.picture()->held(memory.guest(0), 2 * kMiB, true) == kMiB);
  CHECK(map.picture()->at_user(file.user(0), 1, false) == nullptr);
  std::array<std::byte, 1> copy{};
  CHECK_FALSE(map.picture()->read(file.guest(0), copy));
  // Again, in a table.
  const Table table{{memory.region(), file.region()}, {memory.fd(), file.fd()}};
  const auto before = map.picture();
  REQUIRE(table.tell(map).ok());
  CHECK(map.picture() == before);
}

TEST_CASE("of what windows have shown the last is known") {
  ShownFiles shown;
  std::vector<base::UniqueFd> files;
  const test::TempDir dir(test::kTmpfs);
  for (std::size_t i = 0; i < ShownFiles::kMost + 1; ++i) {
    const base::UniqueFd file(::open(dir.path().c_str(), O_RDWR | O_TMPFILE | O_CLOEXEC, 0600));
    REQUIRE(shown.add(file.get()).ok());
    if (i < 2 || i == ShownFiles::kMost) {
      files.emplace_back(::fcntl(file.get(), F_DUPFD_CLOEXEC, 0));
    }
  }
  const auto has = [&](std::size_t i) {
    const auto id = FileId::of(files.at(i).get());
    return id.ok() && shown.has(*id);
  };
  CHECK_FALSE(has(0));
  CHECK(has(1));
  CHECK(has(2));
}

TEST_CASE("a region that another daemon has given away is no memory, as long as that lives") {
  const SharedMemory memory(kMiB, 0x10'0000, 0x7000'0000'0000);
  const SharedMemory file(kMiB, 0x20'0000, 0x6000'0000'0000);
  GuestMemoryMap map{kNothingShown};
  auto given = region::export_description(file.fd(), 7);
  REQUIRE(given.ok());
  REQUIRE(map.add(memory.region(), memory.fd()).ok());
  REQUIRE(map.add(file.region(), given->get()).ok());
  CHECK(map.picture()->held(memory.guest(0), 2 * kMiB, true) == kMiB);
  given->reset();
  REQUIRE(map.remove(file.region()).ok());
  REQUIRE(map.add(file.region(), file.fd()).ok());
  CHECK(map.picture()->held(memory.guest(0), 2 * kMiB, true) == 2 * kMiB);
}

TEST_CASE("address space is used again, whole") {
  SharedMemory memory(kMiB);
  // As much as an arena has: it fits into the first one only when nothing is left in pieces.
  SharedMemory large(4096);
  REQUIRE(::ftruncate(large.fd(), std::int64_t{16} << 30U) == 0);
  wire::MemoryRegion whole = large.region();
  whole.size = std::uint64_t{16} << 30U;
  std::array<wire::MemoryRegion, 3> regions{};
  for (std::size_t i = 0; i < regions.size(); ++i) {
    regions[i] = memory.region();
    regions[i].guest += i * kMiB;
    regions[i].user += i * kMiB;
  }
  GuestMemoryMap map{kNothingShown};
  const std::byte* first = nullptr;
  std::array<std::size_t, 3> order{0, 1, 2};
  do {
    for (const auto& region : regions) {
      REQUIRE(map.add(region, memory.fd()).ok());
    }
    for (const std::size_t i : order) {
      REQUIRE(map.remove(regions[i]).ok());
    }
    const Status added = map.add(whole, large.fd());
    if (added.code() == ENOMEM) {
      PMEMFS_SKIP("needs " + std::to_string(whole.size) + " bytes of address space");
    }
    REQUIRE(added.ok());
    Spans spans;
    map.picture()->pieces(whole.guest, 1, spans);
    first = first == nullptr ? spans[0].data() : first;
    CHECK(spans[0].data() == first);
    REQUIRE(map.remove(whole).ok());
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST_CASE("one VMM does not take all address space") {
  SharedMemory memory(4096);
  REQUIRE(::ftruncate(memory.fd(), std::int64_t{1} << 45U) == 0);
  GuestMemoryMap map{kNothingShown};
  wire::MemoryRegion region = memory.region();
  region.size = kMostTotal + kMappingUnit;
  CHECK(map.add(region, memory.fd()).code() == EINVAL);
  // More than half, twice.
  region.size = kMostTotal / 2 + kMappingUnit;
  region.guest = 0;
  region.user = 0;
  const Status added = map.add(region, memory.fd());
  if (added.code() == ENOMEM) {
    PMEMFS_SKIP("needs " + std::to_string(region.size) + " bytes of address space");
  }
  REQUIRE(added.ok());
  region.guest = std::uint64_t{1} << 50U;
  region.user = region.guest;
  CHECK(map.add(region, memory.fd()).code() == ENOSPC);
}

TEST_CASE("memory that is lost reads as zeros, and is told") {
  SharedMemory memory(4 * kMiB);
  std::memset(memory.data(), 0x55, 4 * kMiB);
  GuestMemoryMap map{kNothingShown};
  REQUIRE(map.add(memory.region(), memory.fd()).ok());
  CHECK_FALSE(map.picture()->faulted());
  REQUIRE(::ftruncate(memory.fd(), 2 * kMiB) == 0);
  std::array<std::byte, 4> copy{};
  REQUIRE(map.picture()->read(memory.guest(kMiB), copy));
  CHECK(copy[0] == std::byte{0x55});
  CHECK_FALSE(map.picture()->faulted());
  REQUIRE(map.picture()->read(memory.guest(3 * kMiB), copy));
  CHECK(copy[0] == std::byte{0});
  CHECK(map.picture()->faulted());
}

}  // namespace
}  // namespace pmemfs::virtiofs
