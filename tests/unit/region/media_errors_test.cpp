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
