// Who waits for whom at a window that others map in, or whose VMM is slow or silent.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include "window_books_rig.hpp"

namespace pmemfs::test {
namespace {

using namespace std::chrono_literals;
using virtiofs::Window;

// Agrees to all it is asked, after a while.
struct SlowVmm {
  Window::Vmm functions() {
    return {[this](int, std::uint64_t, std::uint64_t, std::uint64_t) { return answer(); },
            [this](std::uint64_t, std::uint64_t) {
              return answer();
            }};
  }
  Status answer() {
    ++calls;
    do {
      std::this_thread::sleep_for(500us);
    } while (silent);
    return {};
  }
  std::atomic<int> calls{0};
  std::atomic<bool> silent{false};
};

using Rig = WindowBooksRig<SlowVmm>;

}  // namespace

TEST_CASE("who cuts a file waits for a place of each who maps, and not for all that they map") {
  constexpr int kGuests = 3;
  Rig rig;
  const InodeNo cut = rig.file("cut", kPlace);
  const InodeNo busy = rig.file("busy", (kPlaces - 1) * kPlace);
  std::atomic<bool> ended{false};
  std::atomic<int> rounds{0};
  std::vector<std::thread> guests;
  guests.reserve(kGuests);
  for (int i = 0; i < kGuests; ++i) {
    guests.emplace_back([&] {
      while (!ended) {
        (void)rig.window.map(busy, 0, 0, (kPlaces - 1) * kPlace);
        (void)rig.window.unmap(0, (kPlaces - 1) * kPlace);
        ++rounds;
      }
    });
  }
  while (rounds < 1) {
    std::this_thread::sleep_for(1ms);
  }
  std::vector<int> waited;
  bool mapped = true;
  for (int i = 0; i < 31; ++i) {
    mapped &= rig.window.map(cut, 0, (kPlaces - 1) * kPlace, kPlace).ok();
    const int before = rig.vmm.calls;
    rig.window.unmap_beyond(cut, 0);
    waited.push_back(rig.vmm.calls - before);
  }
  ended = true;
  for (std::thread& guest : guests) {
    guest.join();
  }
  CHECK(mapped);
  // Its own, and of each other one that which is under way and one that came just before it. A busy
  // machine may let it rest before it asks, now and then.
  const auto long_waits = std::count_if(waited.begin(), waited.end(),
                                        [](int calls) { return calls > 1 + 2 * kGuests; });
  CHECK(long_waits <= 2);
}

TEST_CASE("what is cut while a guest gives it back is not mapped again") {
  Rig rig;
  const InodeNo ino = rig.file("file", kPlaces * kPlace);
  REQUIRE(rig.window.map(ino, 0, 0, kPlaces * kPlace).ok());
  const int calls = rig.vmm.calls;
  const bool all = GENERATE(false, true);
  rig.vmm.silent = true;
  auto guest = std::async(std::launch::async, [&] {
    if (all) {
      rig.window.unmap_all();
    }
    return all || rig.window.unmap(0, kPlaces * kPlace).ok();
  });
  while (rig.vmm.calls == calls) {
    std::this_thread::sleep_for(1ms);
  }
  auto host = std::async(std::launch::async, [&] { rig.window.unmap_beyond(ino, 0); });
  std::this_thread::sleep_for(20ms);  // until it waits for its turn
  rig.vmm.silent = false;
  host.get();
  CHECK(guest.get());
  REQUIRE(rig.window.map_again(ino, UINT64_MAX).ok());
  CHECK(rig.window.mapped() == 0);
}

TEST_CASE("who cuts a file, or asks how much is mapped, waits for no window without that file") {
  Rig rig;
  const InodeNo there = rig.file("there", kPlace);
  const InodeNo elsewhere = rig.file("elsewhere", kPlace);
  REQUIRE(rig.window.map(there, 0, 0, kPlace).ok());
  rig.window.unmap_beyond(there, 0);
  rig.vmm.silent = true;
  const int calls = rig.vmm.calls;
  auto guest =
      std::async(std::launch::async, [&] { return rig.window.map(there, 0, kPlace, kPlace).ok(); });
  while (rig.vmm.calls == calls) {
    std::this_thread::sleep_for(1ms);
  }
  auto host = std::async(std::launch::async, [&] {
    rig.window.unmap_beyond(elsewhere, 0);
    return rig.window.map_again(elsewhere, UINT64_MAX).ok() && rig.window.mapped() == kPlace;
  });
  const bool done = host.wait_for(20s) == std::future_status::ready;
  rig.vmm.silent = false;
  CHECK(done);
  CHECK(host.get());
  CHECK(guest.get());
}

}  // namespace pmemfs::test
