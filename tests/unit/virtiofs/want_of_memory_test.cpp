// Each allocation of a device's threads fails once: the request fails, or the VMM is hung up on,
// and the daemon goes on.
#include <atomic>
#include <cstdlib>
#include <new>

#include "rig.hpp"

namespace {

std::atomic<long> left{-1};  // allocations of the device before one fails; negative: none will
thread_local bool spared = false;  // the test's own thread

}  // namespace

void* operator new(std::size_t size) {
  if (!spared && left.load(std::memory_order_relaxed) >= 0 && left.fetch_sub(1) == 0) {
    throw std::bad_alloc();
  }
  if (void* const got = std::malloc(size == 0 ? 1 : size); got != nullptr) {
    return got;
  }
  throw std::bad_alloc();
}

// A sanitizer has its own of whatever is not replaced, and wants the two to fit.
void* operator new(std::size_t size, const std::nothrow_t& /*tag*/) noexcept {
  try {
    return operator new(size);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t /*size*/) noexcept {
  std::free(memory);
}

namespace pmemfs::virtiofs {
namespace {

constexpr std::size_t kSize = 1000;
constexpr std::size_t kRings = std::size_t{9} << 20U;  // bytes of memory that hold them

std::int32_t error_of(const Bytes& answer) {
  std::int32_t error = 0;
  REQUIRE(answer.size() >= kAnswerHeader);
  std::memcpy(&error, answer.data() + 4, sizeof error);
  return error;
}

// True: echoed; false: there was no memory for it.
bool echoes(DriverRing& ring, std::uint32_t number) {
  const Bytes request = message(Op::kEcho, number, kSize);
  const Bytes answer = echo(ring, request);
  if (answer == request) {
    return true;
  }
  CHECK(error_of(answer) == -ENOMEM);
  return false;
}

// Another thread serves while one is held up, which the watchdog sees.
bool serves_beside(Rig& rig, DriverRing& ring) {
  rig.hold_again();
  const Bytes held = message(Op::kHold, 100);
  ring.submit(held, held.size());
  bool all = echoes(ring, 101);
  rig.release();
  return all && ring.wait().answer == held;
}

// A machine comes, asks, and goes. False: something failed.
bool visit(Rig& rig) {
  bool all = true;
  std::fill_n(rig.memory().data(), kRings, std::byte());  // as rings are before they start
  try {
    rig.connect();
    DriverRing& direct = rig.start(1);
    DriverRing& indirect = rig.start(2, {.indirect = true});
    for (std::uint32_t i = 0; i < 2; ++i) {
      all &= echoes(direct, i);
      all &= echoes(indirect, i);
    }
    all &= serves_beside(rig, direct);
  } catch (const std::runtime_error&) {
    all = false;  // it was hung up on
  }
  rig.disconnect();
  return all;
}

TEST_CASE("whichever allocation fails, the next request and the next machine are served") {
  spared = true;
  int refused = 0;
  long n = 0;
  for (bool met = true; met; ++n) {
    Rig rig(Rig::no_window());
    left = n;
    const bool all = visit(rig);
    met = left.exchange(-1) < 0;
    refused += all ? 0 : 1;
    REQUIRE((all || met));
    REQUIRE(visit(rig));
  }
  INFO(n << " allocations, of which " << refused << " were missed");
  CHECK(n > 30);
  CHECK(refused > 10);
  spared = false;
}

}  // namespace
}  // namespace pmemfs::virtiofs
