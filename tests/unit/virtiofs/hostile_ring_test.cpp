// A guest that breaks the rules of its ring.
#include <fcntl.h>
#include <unistd.h>

#include "rig.hpp"

namespace pmemfs::virtiofs {
namespace {

constexpr std::uint64_t kBytes = 14U << 20U;  // where there is memory for requests

struct Lie {
  const char* name;
  const char* reason;  // part of the line in the log
  void (*tell)(DriverRing& ring, SharedMemory& memory);
};

wire::Descriptor readable(const SharedMemory& memory, std::uint16_t flags = 0,
                          std::uint16_t next = 0) {
  return {memory.guest(kBytes), kHeader, flags, next};
}

// A table in the guest's memory.
wire::Descriptor* table(SharedMemory& memory) {
  return reinterpret_cast<wire::Descriptor*>(memory.data() + kBytes + 4096);
}

wire::Descriptor indirect(const SharedMemory& memory, std::uint32_t count,
                          std::uint16_t flags = wire::kIndirect) {
  return {memory.guest(kBytes + 4096), static_cast<std::uint32_t>(count * sizeof(wire::Descriptor)),
          flags, 0};
}

const std::array kLies{
    Lie{"a head beyond the ring", "index is beyond the ring",
        [](DriverRing& ring, SharedMemory&) {
          ring.expose(64);
        }},
    Lie{"more available than the ring holds", "more is available",
        [](DriverRing& ring, SharedMemory&) {
          std::atomic_ref(ring.available()[1]).store(65);
          ring.kick();
        }},
    Lie{"an index that goes back", "more is available",
        [](DriverRing& ring, SharedMemory&) {
          std::atomic_ref(ring.available()[1]).store(0xffff);
          ring.kick();
        }},
    Lie{"a next one beyond the ring", "index is beyond the ring",
        [](DriverRing& ring, SharedMemory& memory) {
          ring.descriptors()[0] = readable(memory, wire::kNext, 64);
          ring.expose(0);
        }},
    Lie{"a loop of one", "more descriptors than the ring",
        [](DriverRing& ring, SharedMemory& memory) {
          ring.descriptors()[0] = readable(memory, wire::kNext, 0);
          ring.expose(0);
        }},
    Lie{"a loop of two", "more descriptors than the ring",
        [](DriverRing& ring, SharedMemory& memory) {
          ring.descriptors()[0] = readable(memory, wire::kNext, 1);
          ring.descriptors()[1] = readable(memory, wire::kNext, 0);
          ring.expose(0);
        }},
    Lie{"a descriptor of no bytes", "of no bytes",
        [](DriverRing& ring, SharedMemory& memory) {
          ring.descriptors()[0] = {memory.guest(kBytes), 0, 0, 0};
          ring.expose(0);
        }},
    Lie{"memory that is not there", "outside of the guest's memory",
        [](DriverRing& ring, SharedMemory& memory) {
          ring.descriptors()[0] = {memory.guest(16U << 20U), kHeader, 0, 0};
          ring.expose(0);
        }},
    Lie{"memory before the first", "outside of the guest's memory",
        [](DriverRing& ring, SharedMemory& memory) {
          ring.descriptors()[0] = {memory.guest(0) - 1, kHeader, 0, 0};
          ring.expose(0);
        }},
    Lie{"memory that ends too early", "outside of the guest's memory",
        [](DriverRing& ring, SharedMemory& memory) {
          ring.descriptors()[0] = {memory.guest(16U << 20U) - kHeader + 1, kHeader, 0, 0};
          ring.expose(0);
        }},
    Lie{"an address and a length that overflow", "outside of the guest's memory",
        [](DriverRing& ring, SharedMemory&) {
          ring.descriptors()[0] = {~std::uint64_t{0} - 4, 100, 0, 0};
          ring.expose(0);
        }},
    Lie{"an address of the VMM", "outside of the guest's memory",
        [](DriverRing& ring, SharedMemory& memory) {
          ring.descriptors()[0] = {memory.user(kBytes), kHeader, 0, 0};
          ring.expose(0);
        }},
    Lie{"an answer outside of memory", "to be written is outside",
        [](DriverRing& ring, SharedMemory& memory) {
          ring.descriptors()[0] = readable(memory, wire::kNext, 1);
          ring.descriptors()[1] = {8, kHeader, wire::kDeviceWrites, 0};
          ring.expose(0);
        }},
    Lie{"a message that ends outside of memory before its header does",
        "outside of the guest's memory",
        [](DriverRing& ring, SharedMemory& memory) {
          ring.descriptors()[0] = {memory.guest(kBytes), kHeader - 1, wire::kNext, 1};
          ring.descriptors()[1] = {8, 1, wire::kNext, 2};
          ring.descriptors()[2] = {memory.guest(kBytes), 16, wire::kDeviceWrites, 0};
          ring.expose(0);
        }},
    Lie{"an answer that ends outside of memory before its header does", "to be written is outside",
        [](DriverRing& ring, SharedMemory& memory) {
          ring.descriptors()[0] = readable(memory, wire::kNext, 1);
          ring.descriptors()[1] = {memory.guest(16U << 20U) - 15, 16, wire::kDeviceWrites, 0};
          ring.expose(0);
        }},
    Lie{"a message outside of memory that wants no answer", "outside of the guest's memory",
        [](DriverRing& ring, SharedMemory& memory) {
          ring.descriptors()[0] = readable(memory, wire::kNext, 1);
          ring.descriptors()[1] = {8, 1, 0, 0};
          ring.expose(0);
        }},
    Lie{"to be read behind to be written outside of memory", "to be read behind",
        [](DriverRing& ring, SharedMemory& memory) {
          ring.descriptors()[0] = {8, 100, wire::kNext | wire::kDeviceWrites, 1};
          ring.descriptors()[1] = readable(memory);
          ring.expose(0);
        }},
    Lie{"to be read behind to be written", "to be read behind",
        [](DriverRing& ring, SharedMemory& memory) {
          ring.descriptors()[0] = readable(memory, wire::kNext | wire::kDeviceWrites, 1);
          ring.descriptors()[1] = readable(memory);
          ring.expose(0);
        }},
    Lie{"a table in a table", "in an indirect table",
        [](DriverRing& ring, SharedMemory& memory) {
          table(memory)[0] = indirect(memory, 1);
          ring.descriptors()[0] = indirect(memory, 1);
          ring.expose(0);
        }},
    Lie{"a table that is followed by more", "followed by more",
        [](DriverRing& ring, SharedMemory& memory) {
          table(memory)[0] = readable(memory);
          ring.descriptors()[0] = indirect(memory, 1, wire::kIndirect | wire::kNext);
          ring.expose(0);
        }},
    Lie{"a table to be written", "to be written",
        [](DriverRing& ring, SharedMemory& memory) {
          table(memory)[0] = readable(memory);
          ring.descriptors()[0] = indirect(memory, 1, wire::kIndirect | wire::kDeviceWrites);
          ring.expose(0);
        }},
    Lie{"a table of no descriptors", "no whole descriptors",
        [](DriverRing& ring, SharedMemory& memory) {
          ring.descriptors()[0] = indirect(memory, 0);
          ring.expose(0);
        }},
    Lie{"a table of half a descriptor", "no whole descriptors",
        [](DriverRing& ring, SharedMemory& memory) {
          ring.descriptors()[0] = indirect(memory, 1);
          ring.descriptors()[0].len = 24;
          ring.expose(0);
        }},
    Lie{"a table longer than the ring", "more than the ring",
        [](DriverRing& ring, SharedMemory& memory) {
          table(memory)[0] = readable(memory);
          ring.descriptors()[0] = indirect(memory, 65);
          ring.expose(0);
        }},
    Lie{"a table outside of memory", "table is outside",
        [](DriverRing& ring, SharedMemory& memory) {
          ring.descriptors()[0] = {memory.guest(16U << 20U) - 8, 16, wire::kIndirect, 0};
          ring.expose(0);
        }},
    Lie{"a table at the end of all addresses", "table is outside",
        [](DriverRing& ring, SharedMemory&) {
          ring.descriptors()[0] = {~std::uint64_t{0} - 15, 32, wire::kIndirect, 0};
          ring.expose(0);
        }},
    Lie{"a next one beyond the table", "beyond the indirect table",
        [](DriverRing& ring, SharedMemory& memory) {
          table(memory)[0] = readable(memory, wire::kNext, 1);
          ring.descriptors()[0] = indirect(memory, 1);
          ring.expose(0);
        }},
    Lie{"a loop in a table", "more descriptors than the ring",
        [](DriverRing& ring, SharedMemory& memory) {
          table(memory)[0] = readable(memory, wire::kNext, 1);
          table(memory)[1] = readable(memory, wire::kNext, 0);
          ring.descriptors()[0] = indirect(memory, 2);
          ring.expose(0);
        }},
};

std::size_t times(const std::string& text, const std::string& word) {
  std::size_t n = 0;
  for (std::size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) {
    ++n;
  }
  return n;
}

TEST_CASE("a ring whose rules are broken stands still, and nothing else does") {
  for (const Lie& lie : kLies) {
    INFO(lie.name);
    Rig rig;
    VirtiofsFrontend& vmm = rig.connect();
    DriverRing& ring = rig.start(1);
    DriverRing& other = rig.start(2);
    lie.tell(ring, rig.memory());
    REQUIRE(eventually([&] { return rig.device().status().broken == 1; }));
    ring.kick();
    CHECK(echo(other, message(Op::kEcho, 1)) == message(Op::kEcho, 1));
    CHECK(vmm.ask(Request::kGetQueueNum) == 3);
    CHECK(rig.device().status().broken == 1);
    CHECK(rig.device().status().running == 1);
    CHECK(times(rig.log(), lie.reason) == 1);
    CHECK(rig.device().status().requests == 1);
    // The guest starts anew.
    vmm.stop_ring(1);
    std::memset(rig.memory().data() + (4U << 20U), 0, 4U << 20U);
    DriverRing& again = rig.start(1);
    CHECK(echo(again, message(Op::kEcho, 2)) == message(Op::kEcho, 2));
  }
}

TEST_CASE("the VMM is told of a ring that was stopped") {
  Rig rig;
  VirtiofsFrontend& vmm = rig.connect();
  DriverRing& ring = rig.start(1);
  auto error = Event::create();
  REQUIRE(error.ok());
  const std::array fds{error->fd()};
  REQUIRE(vmm.acknowledged(Request::kSetVringErr, std::uint64_t{1}, fds) == 0);
  ring.expose(64);
  std::uint64_t count = 0;
  CHECK(eventually([&] { return ::read(error->fd(), &count, sizeof count) == sizeof count; }));
}

TEST_CASE("an indirect table that was not agreed on breaks the ring") {
  Rig rig;
  rig.connect(wire::kRingIndirect);
  DriverRing& ring = rig.start(1);
  table(rig.memory())[0] = readable(rig.memory());
  ring.descriptors()[0] = indirect(rig.memory(), 1);
  ring.expose(0);
  CHECK(eventually([&] { return rig.device().status().broken == 1; }));
  CHECK(rig.log().find("was not agreed on") != std::string::npos);
}

TEST_CASE("a chain that ends in a table is a chain") {
  Rig rig;
  rig.connect();
  DriverRing& ring = rig.start(1);
  SharedMemory& memory = rig.memory();
  const Bytes request = message(Op::kEcho, 3, 100);
  std::memcpy(memory.data() + kBytes, request.data(), request.size());
  ring.descriptors()[0] = {memory.guest(kBytes), 60, wire::kNext, 5};
  ring.descriptors()[5] = indirect(memory, 2);
  table(memory)[0] = {memory.guest(kBytes) + 60, 40, wire::kNext, 1};
  table(memory)[1] = {memory.guest(kBytes) + 200, 100, wire::kDeviceWrites, 0};
  ring.expose(0);
  REQUIRE(eventually([&] { return std::atomic_ref(ring.used()[1]).load() == 1; }));
  CHECK(std::memcmp(memory.data() + kBytes + 200, request.data(), request.size()) == 0);
}

// Of a chain that can be refused: a descriptor, its address one of these or a little beyond.
constexpr std::uint64_t kNowhere = 8;
constexpr std::uint64_t kMessage = std::uint64_t{1} << 32U;  // where the message is
constexpr std::uint64_t kAnswer = kMessage + 8192;
constexpr std::uint64_t kLast = std::uint64_t{1} << 40U;  // where memory ends; before it counts too

struct Part {
  std::uint64_t address;
  std::uint32_t len;
  bool write;
};

struct Unreachable {
  const char* name;
  std::vector<Part> parts;
};

const std::array kUnreachable{
    Unreachable{"data to be read",
                {{kMessage, 40, false}, {kNowhere, 100, false}, {kAnswer, 16, true}}},
    Unreachable{"room for data",
                {{kMessage, 40, false}, {kAnswer, 16, true}, {kNowhere, 100, true}}},
    Unreachable{"both",
                {{kMessage, 40, false},
                 {kNowhere, 100, false},
                 {kMessage, 9, false},
                 {kAnswer, 16, true},
                 {kNowhere, 100, true},
                 {kAnswer + 16, 9, true}}},
    Unreachable{"the end of a piece to be read", {{kLast - 60, 100, false}, {kAnswer, 80, true}}},
    Unreachable{"the end of a piece to be written",
                {{kMessage, 60, false}, {kLast - 20, 100, true}}},
    Unreachable{"what comes behind a header in two pieces",
                {{kMessage, 8, false},
                 {kMessage + 8, 32, false},
                 {kNowhere, 100, false},
                 {kAnswer, 3, true},
                 {kAnswer + 3, 13, true},
                 {kNowhere, 100, true}}},
    Unreachable{"the end of more than any message has",
                {{kLast - (3U << 20U), 4U << 20U, false}, {kAnswer, 16, true}}},
};

TEST_CASE("a request that is not all in memory is refused, and not served") {
  const bool in_table = GENERATE(false, true);
  const Unreachable& request =
      kUnreachable.at(GENERATE(range(std::size_t{0}, kUnreachable.size())));
  INFO(request.name);
  Rig rig;
  rig.connect();
  DriverRing& ring = rig.start(1);
  SharedMemory& memory = rig.memory();
  const auto offset = [](std::uint64_t address) {
    return address >= kLast - (8U << 20U) ? address - kLast + (16U << 20U)
                                          : address - kMessage + kBytes;
  };
  const Bytes text = message(Op::kEcho, 3, 100);
  wire::Descriptor* const d = in_table ? table(memory) : ring.descriptors();
  const auto count = static_cast<std::uint32_t>(request.parts.size());
  std::uint64_t answer = 0;
  for (std::uint32_t i = count; i-- > 0;) {
    const Part& part = request.parts[i];
    const int flags = (part.write ? wire::kDeviceWrites : 0) | (i + 1 < count ? wire::kNext : 0);
    d[i] = {part.address == kNowhere ? kNowhere : memory.guest(offset(part.address)), part.len,
            static_cast<std::uint16_t>(flags), static_cast<std::uint16_t>(i + 1)};
    answer = part.write && part.address != kNowhere ? offset(part.address) : answer;
  }
  const std::uint64_t first = offset(request.parts[0].address);
  std::memcpy(memory.data() + first, text.data(),
              std::min<std::size_t>(text.size(), (16U << 20U) - first));
  const std::byte after = memory.data()[answer + 16] = std::byte{0x77};
  if (in_table) {
    ring.descriptors()[20] = indirect(memory, count);
  }
  ring.expose(in_table ? 20 : 0);
  REQUIRE(eventually([&] { return std::atomic_ref(ring.used()[1]).load() == 1; }));

  struct {
    std::uint32_t len;
    std::int32_t error;
    std::uint64_t unique;
  } refusal{};
  std::memcpy(&refusal, memory.data() + answer, sizeof refusal);
  CHECK(refusal.len == 16);
  CHECK(refusal.error == -EFAULT);
  CHECK(std::memcmp(&refusal.unique, text.data() + 8, 8) == 0);
  CHECK(memory.data()[answer + 16] == after);
  wire::UsedElement element{};
  std::memcpy(&element, ring.used() + 2, sizeof element);
  CHECK(element.len == 16);
  CHECK(rig.device().status().requests == 0);
  CHECK(rig.device().status().unreachable == 1);

  // The ring goes on.
  d[0] = {memory.guest(kBytes), kHeader, wire::kNext, 1};
  d[1] = {memory.guest(kBytes) + 200, kHeader, wire::kDeviceWrites, 0};
  ring.expose(in_table ? 20 : 0);
  CHECK(eventually([&] { return rig.device().status().requests == 1; }));
  CHECK(rig.device().status().broken == 0);
}

TEST_CASE("an answer of four gigabytes of room costs nothing") {
  Rig rig;
  rig.connect();
  DriverRing& ring = rig.start(1);
  SharedMemory& memory = rig.memory();
  const Bytes request = message(Op::kHuge, 3);  // tries one byte more than it is told
  std::memcpy(memory.data() + kBytes, request.data(), request.size());
  ring.descriptors()[0] = {memory.guest(kBytes), kHeader, wire::kNext, 1};
  for (std::uint16_t i = 1; i < 60; ++i) {
    ring.descriptors()[i] = {memory.guest(0), 8U << 20U,
                             static_cast<std::uint16_t>(wire::kDeviceWrites | wire::kNext),
                             static_cast<std::uint16_t>(i + 1)};
  }
  ring.descriptors()[60] = {memory.guest(kBytes + 4096), 4096, wire::kDeviceWrites, 0};
  ring.descriptors()[1].address = memory.guest(12U << 20U) + 8192;
  ring.descriptors()[1].len = 1U << 20U;
  ring.expose(0);
  REQUIRE(eventually([&] { return rig.device().status().requests == 1; }));
  CHECK(rig.refused_answers == 1);
  CHECK(rig.device().status().broken == 0);
}

TEST_CASE("a ring that was not told is broken when it starts") {
  Rig rig;
  VirtiofsFrontend& vmm = rig.connect();
  DriverRing ring(rig.memory(), 0, {});
  const std::array kick{ring.kick_fd()};
  SECTION("no size") {
    vmm.send_value(Request::kSetVringAddr, ring.addresses(1));
  }
  SECTION("no addresses") {
    vmm.send_value(Request::kSetVringNum, wire::VringState{1, 64});
  }
  SECTION("addresses that end beyond memory") {
    vmm.send_value(Request::kSetVringNum, wire::VringState{1, 64});
    wire::VringAddr address = ring.addresses(1);
    address.used = rig.memory().user(16U << 20U) - 512;
    vmm.send_value(Request::kSetVringAddr, address);
  }
  SECTION("addresses of the guest") {
    vmm.send_value(Request::kSetVringNum, wire::VringState{1, 64});
    wire::VringAddr address = ring.addresses(1);
    address.descriptors = rig.memory().guest(0);
    vmm.send_value(Request::kSetVringAddr, address);
  }
  vmm.send_value(Request::kSetVringKick, std::uint64_t{1}, kick);
  CHECK(vmm.acknowledged(Request::kSetVringEnable, wire::VringState{1, 1}) == 0);
  CHECK(rig.device().status().broken == 1);
  CHECK(rig.device().status().running == 0);
}

TEST_CASE("memory that shrinks under the device ends the connection and nothing else") {
  const bool in_ring = GENERATE(false, true);
  Rig rig;
  VirtiofsFrontend& vmm = rig.connect();
  SharedMemory lost(4U << 20U, 0x8000'0000, 0x6000'0000'0000);
  vmm.add_memory(lost);
  if (in_ring) {
    DriverRing ring(lost, 0, {.num = 16});
    vmm.start_ring(1, ring);
    REQUIRE(::ftruncate(lost.fd(), 0) == 0);
    ring.kick();
    REQUIRE(vmm.hung_up());
  } else {
    DriverRing& ring = rig.start(1);
    REQUIRE(::ftruncate(lost.fd(), 0) == 0);
    ring.descriptors()[0] = {lost.guest(0), kHeader, 0, 0};
    ring.expose(0);
    REQUIRE(vmm.hung_up());
  }
  CHECK(rig.log().find("a part of the guest's memory is gone; its connection is ended") !=
        std::string::npos);
  rig.disconnect();
  CHECK(rig.device().status().requests == 0);
  std::memset(rig.memory().data(), 0, 16U << 20U);
  rig.connect();
  CHECK(echo(rig.start(1), message(Op::kEcho, 1)) == message(Op::kEcho, 1));
}

TEST_CASE("memory that is lost while it is read in place ends the connection and nothing else") {
  Rig rig;
  VirtiofsFrontend& vmm = rig.connect();
  SharedMemory lost(4U << 20U, 0x8000'0000, 0x6000'0000'0000);
  vmm.add_memory(lost);
  DriverRing& ring = rig.start(1, {.room = 8192});
  std::atomic<int> cut{-1};
  rig.before_echo([&] { cut = ::ftruncate(lost.fd(), 0); });
  const Bytes head = message(Op::kInPlace, 1, kCopied);
  ring.submit(head, kCopied + 5000, {lost.guest(4096), 5000});
  REQUIRE(vmm.hung_up());
  CHECK(cut == 0);
  rig.disconnect();
  CHECK(rig.device().status().requests == 1);
  std::memset(rig.memory().data(), 0, 16U << 20U);
  rig.connect();
  CHECK(echo(rig.start(1), message(Op::kEcho, 1)) == message(Op::kEcho, 1));
}

TEST_CASE("a VMM that fills its call event does not keep the device") {
  const bool replaced = GENERATE(false, true);
  Rig rig;
  VirtiofsFrontend& vmm = rig.connect();
  DriverRing& ring = rig.start(1);
  // One less than it takes, and no more O_NONBLOCK: the device's thread waits in write(2).
  const std::uint64_t full = ~std::uint64_t{1};
  REQUIRE(::fcntl(ring.call_fd(), F_SETFL, 0) == 0);
  REQUIRE(::write(ring.call_fd(), &full, sizeof full) == sizeof full);
  ring.submit(message(Op::kEcho, 1), kHeader);
  REQUIRE(eventually([&] { return ring.poll().has_value(); }));
  auto other = Event::create();
  REQUIRE(other.ok());
  const std::array fds{other->fd()};
  if (replaced) {
    REQUIRE(vmm.acknowledged(Request::kSetVringCall, std::uint64_t{1}, fds) == 0);
  }
  CHECK(vmm.stop_ring(1) == 1);
}

}  // namespace
}  // namespace pmemfs::virtiofs
