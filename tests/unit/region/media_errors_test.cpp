// Mapped regions whose file is cut behind their back, which the kernel answers as it does bad
// memory: SIGBUS.
#include <sys/mman.h>
#include <unistd.h>

#include <csignal>
#include <cstring>

#include "base/media_faults.hpp"
#include "base/unique_fd.hpp"
#include "harness/catch.hpp"
#include "region/mapped_region.hpp"
#include "support/child.hpp"
#include "support/memory_region.hpp"
#include "support/temp_dir.hpp"

using namespace pmemfs;
using region::MapOptions;
using region::MappedRegion;

namespace {

constexpr std::uint64_t kMiB = 1ULL << 20U;
constexpr std::uint64_t kPage = 4096;

struct Cut {
  explicit Cut(const MapOptions& options) : fd(::memfd_create("cut", MFD_CLOEXEC)) {
    REQUIRE(::ftruncate(fd.get(), 8 * kMiB) == 0);
    auto mapped = MappedRegion::map(fd.get(), 8 * kMiB, options);
    REQUIRE(mapped);
    region = std::move(*mapped);
  }
  void at(std::uint64_t size) const {
    REQUIRE(::ftruncate(fd.get(), static_cast<off_t>(size)) == 0);
  }
  [[nodiscard]] int load(std::uint64_t off) const {
    return static_cast<int>(*static_cast<const volatile std::byte*>(region->data() + off));
  }

  base::UniqueFd fd;
  std::unique_ptr<MappedRegion> region;
};

// What the thread met while `act` ran.
template <typename Act>
std::uint64_t met(const Act& act) {
  const std::uint64_t before = base::media_errors_met();
  act();
  return base::media_errors_met() - before;
}

}  // namespace

TEST_CASE("mapped region: loads of lost memory are zeros, and the region knows") {
  MapOptions options;
  options.read_only = GENERATE(false, true);
  const Cut cut(options);
  CHECK(cut.region->media_events() == 0);
  CHECK(cut.region->media_errors() == 0);
  cut.at(4 * kMiB);
  CHECK(cut.load(4 * kMiB - 1) == 0);
  CHECK(cut.region->media_events() == 0);
  CHECK(met([&] { CHECK(cut.load(5 * kMiB) == 0); }) == 1);
  CHECK(met([&] { CHECK(cut.load(6 * kMiB) == 0); }) == 1);
  CHECK(cut.region->media_errors() == 2);
  CHECK(cut.region->lost(ByteOff(5 * kMiB), 1));
  CHECK(cut.region->lost(ByteOff(0), 8 * kMiB));
  CHECK_FALSE(cut.region->lost(ByteOff(5 * kMiB - kPage), kPage));
  CHECK(cut.region->damage(ByteOff(6 * kMiB), 8).code() == EIO);
  CHECK(cut.region->damage(ByteOff(0), 8).code() == EUCLEAN);
  CHECK_FALSE(cut.region->media_failed());
}

TEST_CASE("mapped region: each way of storing tells when it stored nowhere") {
  const Cut cut(MapOptions{});
  cut.at(4 * kMiB);
  Region& region = *cut.region;
  const std::vector<std::byte> bytes(3 * kPage, std::byte{7});
  const auto each = [&](std::uint64_t at) {
    const ByteOff off(at);
    CHECK(met([&] { region.store(off, bytes.data(), 100); }) > 0);
    CHECK(met([&] { region.store_u64(ByteOff(at + kPage), 7); }) > 0);
    CHECK(met([&] { region.stream(ByteOff(at + 2 * kPage), bytes.data(), 2 * kPage); }) > 0);
    CHECK(met([&] { region.stream_zeros(ByteOff(at + 4 * kPage), kPage); }) > 0);
  };
  each(5 * kMiB);  // the stores meet it
  each(5 * kMiB);  // it is known
  CHECK(region.media_errors() == 5);
  CHECK(met([&] { region.store(ByteOff(kMiB), bytes.data(), bytes.size()); }) == 0);
  CHECK(met([&] { region.flush(ByteOff(7 * kMiB), 64); }) == 1);
}

TEST_CASE("mapped region: on a device a whole stretch is lost, and the region has failed") {
  MapOptions options;
  options.device_alignment = 2 * kMiB;
  const Cut cut(options);
  cut.at(5 * kMiB);
  CHECK(cut.load(4 * kMiB) == 0);
  CHECK_FALSE(cut.region->media_failed());
  CHECK(cut.load(5 * kMiB) == 0);
  CHECK(cut.region->media_failed());
  CHECK(cut.region->media_errors() == 1);
  CHECK(cut.region->lost(ByteOff(4 * kMiB), 1));
  CHECK_FALSE(cut.region->lost(ByteOff(0), 4 * kMiB));
  CHECK_FALSE(cut.region->lost(ByteOff(6 * kMiB), 2 * kMiB));
}

TEST_CASE("mapped region: what was added by growth is watched too") {
  test::MemoryRegion memory(4 * kMiB);
  REQUIRE(memory->grow(8 * kMiB));
  memory.lose(ByteOff(7 * kMiB));
  CHECK(met([&] { CHECK(memory->data()[7 * kMiB] == std::byte{0}); }) == 1);
  CHECK(memory->lost(ByteOff(7 * kMiB), 1));
}

TEST_CASE("mapped region: looking tells which pages cannot be read, and loses none") {
  MapOptions options;
  options.device_alignment = GENERATE(std::uint64_t{0}, 2 * kMiB);
  const Cut cut(options);
  CHECK(cut.region->readable(ByteOff(0), 8 * kMiB) == 8 * kMiB);
  cut.at(5 * kMiB + kPage);
  CHECK(met([&] {
          CHECK(cut.region->readable(ByteOff(0), 8 * kMiB) == 5 * kMiB + kPage);
          CHECK(cut.region->readable(ByteOff(5 * kMiB), 2 * kPage) == kPage);
          CHECK(cut.region->readable(ByteOff(6 * kMiB), kPage) == 0);
          CHECK(cut.region->readable(ByteOff(kPage), 3 * kPage) == 3 * kPage);
        }) == 0);
  CHECK(cut.region->media_events() == 0);
}

TEST_CASE("mapped region: a page of a file is healed: zeros that last, and stores that arrive") {
  test::MemoryRegion memory(4 * kMiB);
  const std::vector<std::byte> bytes(kPage, std::byte{7});
  constexpr ByteOff kBad(kMiB);
  memory->store(kBad, bytes.data(), kPage);
  memory.lose(kBad);
  const bool known = GENERATE(false, true);
  CHECK(met([&] { CHECK(memory->data()[kBad.value] == std::byte{0}); }) == 1);
  if (known) {
    memory->count_as_lost(kBad, kPage);
  }
  REQUIRE(memory->met_lost().size() == 1);
  CHECK(memory->met_lost()[0].off == kBad);
  CHECK(memory->heal(kBad, kPage).ok());
  CHECK_FALSE(memory->lost(ByteOff(0), 4 * kMiB));
  CHECK(memory->media_errors() == 0);
  CHECK(memory->met_lost().empty());
  CHECK(memory->data()[kBad.value] == std::byte{0});
  CHECK(met([&] { memory->store(kBad, bytes.data(), 10); }) == 0);
  memory.map_again();
  CHECK(memory->data()[kBad.value + 9] == std::byte{7});
  CHECK(memory->data()[kBad.value + 10] == std::byte{0});
  memory.lose(kBad);  // again, and it is listed again
  CHECK(met([&] { CHECK(memory->data()[kBad.value] == std::byte{0}); }) == 1);
  CHECK(memory->media_errors() == 1);
}

TEST_CASE("mapped region: a read-only one is not healed") {
  MapOptions options;
  options.read_only = true;
  const Cut cut(options);
  cut.at(4 * kMiB);
  CHECK(cut.load(5 * kMiB) == 0);
  CHECK(cut.region->heal(ByteOff(5 * kMiB), kPage).code() == EROFS);
  CHECK(cut.region->lost(ByteOff(5 * kMiB), kPage));
}

TEST_CASE(
    "mapped region: a device tells which pages of a lost stretch are bad; its tools heal it") {
  MapOptions options;
  options.device_alignment = 2 * kMiB;
  const Cut cut(options);
  Region& region = *cut.region;
  cut.at(6 * kMiB - 2 * kPage);
  region.count_as_lost(ByteOff(6 * kMiB - 2 * kPage), 2 * kPage);
  region.count_as_lost(ByteOff(kMiB), kPage);
  CHECK(region.met_lost().empty());  // nothing was touched
  CHECK_FALSE(region.media_failed());
  CHECK(region.heal(ByteOff(6 * kMiB - kPage), kPage).code() == EOPNOTSUPP);
  CHECK(region.lost(ByteOff(6 * kMiB - kPage), kPage));
  CHECK(region.heal(ByteOff(kMiB), kPage).ok());  // it can be read again
  CHECK_FALSE(region.lost(ByteOff(kMiB), kPage));
  CHECK(cut.load(6 * kMiB - 1) == 0);
  CHECK(region.media_failed());
  REQUIRE(region.met_lost().size() == 2);
  CHECK(region.met_lost()[0].off == ByteOff(6 * kMiB - 2 * kPage));
  CHECK(region.met_lost()[1].off == ByteOff(6 * kMiB - kPage));
}

TEST_CASE("region: what is known to be lost counts, touched or not, byte for byte") {
  const Cut cut(MapOptions{});
  Region& region = *cut.region;
  CHECK_FALSE(region.any_lost());
  region.count_as_lost(ByteOff(4 * kPage), 2 * kPage);
  region.count_as_lost(ByteOff(8 * kPage), kPage);
  region.count_as_lost(ByteOff(5 * kPage), 2 * kPage);
  CHECK(region.any_lost());
  CHECK_FALSE(region.lost(ByteOff(0), 4 * kPage));
  CHECK(region.lost(ByteOff(0), 4 * kPage + 1));
  CHECK(region.lost(ByteOff(7 * kPage - 1), 1));
  CHECK_FALSE(region.lost(ByteOff(7 * kPage), kPage));
  CHECK_FALSE(region.lost(ByteOff(9 * kPage), 8 * kMiB - 9 * kPage));
  CHECK(region.damage(ByteOff(8 * kPage), 8).code() == EIO);
  CHECK(met([&] { region.store_u64(ByteOff(8 * kPage), 1); }) == 1);
  region.count_as_good(ByteOff(5 * kPage), kPage);
  CHECK(region.lost(ByteOff(4 * kPage), kPage));
  CHECK_FALSE(region.lost(ByteOff(5 * kPage), kPage));
  CHECK(region.lost(ByteOff(6 * kPage), kPage));
  region.count_as_good(ByteOff(0), 8 * kMiB);
  CHECK_FALSE(region.lost(ByteOff(0), 8 * kMiB));
  CHECK(region.media_events() == 0);
}

// The control.
TEST_CASE("mapped region: without the handler lost memory is a death") {
  const Cut cut(MapOptions{});
  cut.at(4 * kMiB);
  test::ChildProcess child([&] {
    std::signal(SIGBUS, SIG_DFL);
    return cut.load(5 * kMiB);
  });
  CHECK(child.wait() == 256 + SIGBUS);
}
