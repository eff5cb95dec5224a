#include "virtiofs/memory.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "harness/catch.hpp"
#include "support/mapped_memfd.hpp"
#include "support/virtiofs_frontend.hpp"

namespace pmemfs::virtiofs {
namespace {

using test::SharedMemory;

constexpr std::uint64_t kMiB = 1U << 20U;

std::string text_of(const Spans& spans) {
  std::string text;
  for (const auto& span : spans) {
    text.append(reinterpret_cast<const char*>(span.data()), span.size());
  }
  return text;
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
  GuestMemoryMap map;
};

TEST_CASE("a range that crosses regions comes in pieces") {
  const Memory memory;
  Spans spans;
  REQUIRE(memory.map.picture()->holds(0x20'0000 - 4, 8, true));
  memory.map.picture()->pieces(0x20'0000 - 4, 8, spans);
  CHECK(spans.size() == 2);
  CHECK(text_of(spans) == "abcdefgh");
  std::array<std::byte, 8> copy{};
  REQUIRE(memory.map.picture()->read(0x20'0000 - 4, copy));
  CHECK(std::memcmp(copy.data(), "abcdefgh", 8) == 0);
  CHECK_FALSE(memory.map.picture()->holds(0x30'0000 - 4, 8, false));
  CHECK_FALSE(memory.map.picture()->read(0x30'0000 - 4, copy));
  CHECK_FALSE(memory.map.picture()->holds(0x10'0000 - 1, 2, false));
  CHECK_FALSE(memory.map.picture()->holds(0x10'0000, ~std::uint64_t{0}, false));
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
  GuestMemoryMap map;
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
  GuestMemoryMap map;
  REQUIRE(map.add(memory.region(), only_read.get()).ok());
  CHECK(map.picture()->holds(memory.guest(0), 8, false));
  CHECK_FALSE(map.picture()->holds(memory.guest(0), 8, true));
  CHECK(map.picture()->at_user(memory.user(0), 8, false) != nullptr);
  CHECK(map.picture()->at_user(memory.user(0), 8, true) == nullptr);
}

TEST_CASE("a picture keeps what it shows, and nothing else stays mapped") {
  auto memory = std::make_unique<SharedMemory>(kMiB);
  const base::UniqueFd file(::fcntl(memory->fd(), F_DUPFD_CLOEXEC, 0));
  const wire::MemoryRegion region = memory->region();
  GuestMemoryMap map;
  REQUIRE(map.add(region, file.get()).ok());
  memory.reset();
  auto picture = map.picture();
  REQUIRE(map.remove(region).ok());
  CHECK(map.remove(region).code() == EINVAL);
  CHECK_FALSE(map.picture()->holds(region.guest, 1, false));
  Spans spans;
  picture->pieces(region.guest, 1, spans);
  spans[0][0] = std::byte{1};
  CHECK(test::is_mapped(file.get()));
  picture.reset();
  CHECK_FALSE(test::is_mapped(file.get()));
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
  GuestMemoryMap map;
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
  GuestMemoryMap map;
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
  GuestMemoryMap map;
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
