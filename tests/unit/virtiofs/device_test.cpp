// The device as a VMM and its guest see it.
#include <sys/stat.h>
#include <unistd.h>

#include "rig.hpp"

namespace pmemfs::virtiofs {
namespace {

TEST_CASE("a VMM learns what the device is") {
  Rig rig;
  VirtiofsFrontend vmm(rig.socket());
  CHECK(vmm.ask(Request::kGetFeatures) == VirtiofsFrontend::kAllFeatures);
  const std::uint64_t protocol = vmm.ask(Request::kGetProtocolFeatures);
  CHECK(protocol == (wire::kMultiQueue | wire::kReplyAck | wire::kBackendReq | wire::kConfig |
                     wire::kBackendSendFd | wire::kCanResetDevice | wire::kShmem));
  vmm.handshake();
  CHECK(vmm.ask(Request::kGetQueueNum) == 3);

  vmm.send(Request::kGetShmemConfig);
  const Bytes shmem = vmm.receive(Request::kGetShmemConfig);
  wire::ShmemConfig regions{};
  REQUIRE(shmem.size() == sizeof regions);
  std::memcpy(&regions, shmem.data(), sizeof regions);
  CHECK(regions.count == 1);
  CHECK(regions.sizes[0] == 8U << 20U);
  CHECK(regions.sizes[1] == 0);
}

TEST_CASE("regions of memory are taken one by one only where that is asked for") {
  CHECK_FALSE(DeviceOptions().memory_slots);
  Rig rig;
  VirtiofsFrontend vmm(rig.socket());
  CHECK((vmm.ask(Request::kGetProtocolFeatures) & wire::kMemSlots) == 0);
  vmm.handshake();
  vmm.send(Request::kGetMaxMemSlots);
  CHECK(vmm.hung_up());
}

TEST_CASE("a device without a window has no shared memory") {
  Rig rig(Rig::no_window());
  VirtiofsFrontend vmm(rig.socket());
  const std::uint64_t protocol = vmm.ask(Request::kGetProtocolFeatures);
  CHECK((protocol & (wire::kShmem | wire::kMemSlots)) == wire::kMemSlots);
  vmm.handshake();
  CHECK(vmm.ask(Request::kGetMaxMemSlots) == GuestMemoryMap::kMostRegions);
  vmm.send(Request::kGetShmemConfig);
  CHECK(vmm.hung_up());
}

TEST_CASE("the configuration space has the tag and the number of queues") {
  Rig rig;
  VirtiofsFrontend& vmm = rig.connect();
  const auto ask = [&vmm](std::uint32_t offset, std::uint32_t size) {
    Bytes request(sizeof(wire::ConfigAccess) + size);
    const wire::ConfigAccess access{offset, size, 0};
    std::memcpy(request.data(), &access, sizeof access);
    vmm.send(Request::kGetConfig, request);
    return vmm.receive(Request::kGetConfig);
  };
  const Bytes whole = ask(0, sizeof(wire::FsConfig));
  REQUIRE(whole.size() == sizeof(wire::ConfigAccess) + sizeof(wire::FsConfig));
  wire::FsConfig config{};
  std::memcpy(&config, whole.data() + sizeof(wire::ConfigAccess), sizeof config);
  CHECK(std::string(config.tag.data()) == "pmem");
  CHECK(config.request_queues == 2);
  CHECK(config.notify_buf_size == 0);

  const Bytes part = ask(offsetof(wire::FsConfig, request_queues), 4);
  CHECK(part.at(sizeof(wire::ConfigAccess)) == std::byte{2});
  CHECK(ask(0, 256).size() == sizeof(wire::ConfigAccess) + 256);
  CHECK(ask(256, 0).size() == sizeof(wire::ConfigAccess));
  CHECK(ask(250, 7).empty());
  CHECK(ask(0xffff'ffff, 2).empty());

  const Bytes write(sizeof(wire::ConfigAccess) + 4);
  CHECK(vmm.acknowledged_bytes(Request::kSetConfig, write) == 1);
  CHECK(vmm.ask(Request::kGetQueueNum) == 3);
}

TEST_CASE("requests are served, whatever the driver has agreed on") {
  const bool indirect = GENERATE(false, true);
  const bool event_idx = GENERATE(false, true);
  Rig rig;
  rig.connect((indirect ? 0 : wire::kRingIndirect) | (event_idx ? 0 : wire::kRingEventIdx));
  DriverRing& ring = rig.start(1, {.num = 16, .indirect = indirect, .event_idx = event_idx});
  for (std::uint32_t i = 0; i < 200; ++i) {
    const Bytes request = message(Op::kEcho, i, kHeader + i);
    REQUIRE(echo(ring, request) == request);
  }
  CHECK(rig.device().status().requests == 200);
  CHECK(rig.device().status().broken == 0);
}

TEST_CASE("an answer that lies where it goes is not copied") {
  const bool indirect = GENERATE(false, true);
  Rig rig;
  rig.connect(indirect ? 0 : wire::kRingIndirect);
  DriverRing& ring = rig.start(1, {.num = 16, .indirect = indirect});
  for (const std::size_t size : {kHeader, kHeader + 1, std::size_t{1500}}) {
    const Bytes request = message(Op::kPlaced, 5, size);
    CHECK(echo(ring, request) == request);
  }
  CHECK(rig.refused_answers == 0);
}

TEST_CASE("what is not to be copied is read where the guest has it, and nothing else is") {
  const bool indirect = GENERATE(false, true);
  Rig rig;
  rig.connect(indirect ? 0 : wire::kRingIndirect);
  DriverRing& ring = rig.start(1, {.num = 16, .indirect = indirect});
  constexpr std::size_t kDescriptors = 4096;  // of a place, before its bytes
  const auto at = static_cast<off_t>(ring.place_offset(0) + kDescriptors);
  const std::byte* const there = rig.memory().data() + at;
  for (const std::size_t size :
       {kHeader, kCopied, kCopied + 1, std::size_t{99}, std::size_t{1500}}) {
    const Bytes request = message(Op::kInPlace, 5, size);
    CHECK(echo(ring, request) == request);
    CHECK(std::equal(request.begin(), request.end(), there));
    const Bytes changed(size, std::byte{'!'});
    rig.before_echo([&rig, at, changed] {  // the guest changes all of it
      (void)!::pwrite(rig.memory().fd(), changed.data(), changed.size(), at);
    });
    Bytes expected = changed;
    std::copy_n(request.begin(), std::min(size, kCopied), expected.begin());
    CHECK(echo(ring, request) == expected);
    rig.before_echo([] {});
  }
}

TEST_CASE("rings go around, 65536 indices and more") {
  Rig rig;
  rig.connect();
  DriverRing& ring = rig.start(1, {.num = 8});
  const std::uint32_t requests = 66'000;
  std::uint32_t done = 0;
  for (std::uint32_t sent = 0; done < requests;) {
    for (; sent < requests && sent - done < 2; ++sent) {
      ring.submit(message(Op::kEcho, sent), kHeader);
    }
    REQUIRE(ring.wait().written == kHeader);
    ++done;
  }
  CHECK(rig.device().status().requests == requests);
}

TEST_CASE("large messages come through in both directions") {
  Rig rig;
  rig.connect();
  DriverRing& ring = rig.start(1, {.num = 4, .room = (2U << 20U) + 16384});
  const Bytes request = message(Op::kEcho, 1, kMostMessage);
  CHECK(echo(ring, request) == request);
  // One byte more is no message, and is given back.
  const Bytes longer = message(Op::kEcho, 1, kMostMessage + 1);
  ring.submit(longer, 64);
  CHECK(ring.wait().written == 0);
  const Bytes shorter = message(Op::kEcho, 1, kHeader - 1 + 1);
  ring.submit(std::span(shorter).first(kHeader - 1), 64);
  CHECK(ring.wait().written == 0);
  CHECK(rig.device().status().malformed == 2);
  CHECK(echo(ring, message(Op::kEcho, 2)) == message(Op::kEcho, 2));
}

TEST_CASE("messages without an answer, with two, with too long a one") {
  Rig rig;
  rig.connect();
  DriverRing& ring = rig.start(1);
  ring.submit(message(Op::kForget, 1), 0);
  CHECK(ring.wait().written == 0);
  CHECK(echo(ring, message(Op::kTwice, 2)) == message(Op::kTwice, 2));
  CHECK(rig.refused_answers == 1);
  CHECK(echo(ring, message(Op::kHuge, 3)) == message(Op::kHuge, 3));
  CHECK(rig.refused_answers == 2);
  ring.submit(message(Op::kEcho, 4), kHeader - 1);
  CHECK(ring.wait().written == 0);
  CHECK(rig.refused_answers == 3);
}

TEST_CASE("a request that is held up does not hold up others") {
  const Op op = GENERATE(Op::kHold, Op::kLong);
  Rig rig;
  rig.connect();
  DriverRing& ring = rig.start(1);
  DriverRing& priority = rig.start(0);
  const std::uint16_t held = ring.submit(message(op, 1), kHeader);
  REQUIRE(rig.wait_held(1));
  for (std::uint32_t i = 0; i < 50; ++i) {
    REQUIRE(echo(ring, message(Op::kEcho, i)) == message(Op::kEcho, i));
    REQUIRE(echo(priority, message(Op::kEcho, i)) == message(Op::kEcho, i));
  }
  rig.release();
  const DriverRing::Done done = ring.wait();
  CHECK(done.place == held);
  CHECK(done.answer == message(op, 1));
}

TEST_CASE("all threads of a queue are held up, and no more are made") {
  DeviceOptions options = Rig::defaults();
  options.threads = 3;
  Rig rig(options);
  rig.connect();
  DriverRing& ring = rig.start(1);
  DriverRing& other = rig.start(2);
  for (std::uint32_t i = 0; i < 10; ++i) {
    ring.submit(message(Op::kHold, i), kHeader);
  }
  REQUIRE(rig.wait_held(3));
  REQUIRE(echo(other, message(Op::kEcho, 1)) == message(Op::kEcho, 1));
  CHECK(rig.threads_seen() == 4);
  rig.release();
  for (int i = 0; i < 10; ++i) {
    CHECK(ring.wait().written == kHeader);
  }
  CHECK(rig.threads_seen() <= 6);
}

TEST_CASE("several queues and threads at once") {
  Rig rig;
  rig.connect();
  std::vector<std::thread> drivers;
  std::atomic<std::uint32_t> right{0};
  std::vector<DriverRing*> rings;
  for (std::uint32_t q = 0; q < 3; ++q) {
    rings.push_back(&rig.start(q, {.num = 64, .indirect = q == 2}));
  }
  constexpr std::uint32_t kRequests = 3000;
  for (std::uint32_t q = 0; q < 3; ++q) {
    drivers.emplace_back([ring = rings[q], q, &right] {
      std::vector<Bytes> at(16);
      std::uint32_t sent = 0;
      for (std::uint32_t done = 0; done < kRequests;) {
        for (; sent < kRequests && sent - done < 1 + sent % 16; ++sent) {
          const Bytes request = message(Op::kEcho, sent * 3 + q, kHeader + sent % 500);
          at[ring->submit(request, request.size())] = request;
        }
        const DriverRing::Done answer = ring->wait();
        right += answer.answer == at[answer.place] ? 1 : 0;
        ++done;
      }
    });
  }
  for (std::thread& driver : drivers) {
    driver.join();
  }
  CHECK(right == 3 * kRequests);
}

TEST_CASE("a ring stops after what is under way, and goes on where it was") {
  Rig rig;
  VirtiofsFrontend& vmm = rig.connect();
  DriverRing& ring = rig.start(1);
  REQUIRE(echo(ring, message(Op::kEcho, 1)) == message(Op::kEcho, 1));
  ring.submit(message(Op::kHold, 2), kHeader);
  REQUIRE(rig.wait_held(1));
  vmm.send_value(Request::kGetVringBase, wire::VringState{1, 0});
  std::thread later([&rig] { rig.release(); });
  const Bytes base = vmm.receive(Request::kGetVringBase);
  later.join();
  CHECK(ring.poll().has_value());
  CHECK(base.at(4) == std::byte{2});

  // Nothing is served meanwhile.
  ring.submit(message(Op::kEcho, 3), kHeader);
  ring.kick();
  CHECK(vmm.ask(Request::kGetQueueNum) == 3);
  CHECK_FALSE(ring.poll().has_value());
  CHECK(rig.device().status().running == 0);
  vmm.start_ring(1, ring, 2);
  CHECK(ring.wait().answer == message(Op::kEcho, 3));
  CHECK(rig.gone == 0);
}

TEST_CASE("a ring that is not enabled is not served") {
  Rig rig;
  VirtiofsFrontend& vmm = rig.connect();
  DriverRing& ring = rig.start(1);
  REQUIRE(vmm.acknowledged(Request::kSetVringEnable, wire::VringState{1, 0}) == 0);
  ring.submit(message(Op::kEcho, 1), kHeader);
  ring.kick();
  CHECK(vmm.ask(Request::kGetQueueNum) == 3);
  CHECK_FALSE(ring.poll().has_value());
  REQUIRE(vmm.acknowledged(Request::kSetVringEnable, wire::VringState{1, 1}) == 0);
  CHECK(ring.wait().answer == message(Op::kEcho, 1));
}

TEST_CASE("without kicks the ring is looked at") {
  Rig rig;
  VirtiofsFrontend& vmm = rig.connect();
  DriverRing& ring = rig.start(1);
  vmm.stop_ring(1);
  REQUIRE(vmm.acknowledged(Request::kSetVringKick, std::uint64_t{1 | wire::kNoFd}) == 0);
  for (std::uint32_t i = 0; i < 20; ++i) {
    REQUIRE(echo(ring, message(Op::kEcho, i)) == message(Op::kEcho, i));
  }
}

TEST_CASE("VMMs come one after the other") {
  Rig rig;
  for (int i = 1; i <= 5; ++i) {
    rig.connect();
    DriverRing& ring = rig.start(1);
    REQUIRE(echo(ring, message(Op::kEcho, 1)) == message(Op::kEcho, 1));
    CHECK(rig.connected == i);
    CHECK(rig.gone == i - 1);
    // Goes with requests under way, one of them held.
    rig.hold_again();
    ring.submit(message(Op::kHold, 2), kHeader);
    ring.submit(message(Op::kEcho, 3), kHeader);
    REQUIRE(rig.wait_held(1));
    rig.frontend().close();
    rig.release();
    rig.disconnect();
    CHECK(rig.gone == i);
    CHECK(rig.serving_when_gone == 0);
    std::memset(rig.memory().data(), 0, 4U << 20U);
    std::memset(rig.memory().data() + (4U << 20U), 0, 4U << 20U);
  }
  CHECK(rig.device().status().connections == 5);
}

TEST_CASE("a second VMM waits until the first has gone") {
  Rig rig;
  rig.connect();
  VirtiofsFrontend second(rig.socket());
  second.send(Request::kGetFeatures);
  CHECK(rig.frontend().ask(Request::kGetQueueNum) == 3);
  CHECK(rig.connected == 1);
  rig.frontend().close();
  CHECK(second.receive(Request::kGetFeatures).size() == 8);
  CHECK(rig.connected == 2);
}

TEST_CASE("a reset ends all rings, and the guest begins anew") {
  Rig rig;
  VirtiofsFrontend& vmm = rig.connect();
  DriverRing& ring = rig.start(1);
  REQUIRE(echo(ring, message(Op::kEcho, 1)) == message(Op::kEcho, 1));
  REQUIRE(vmm.acknowledged_bytes(Request::kResetDevice, {}) == 0);
  CHECK(rig.gone == 1);
  CHECK(rig.connected == 2);
  CHECK(rig.device().status().running == 0);
  std::memset(rig.memory().data(), 0, 16U << 20U);
  DriverRing& again = rig.start(1);
  CHECK(echo(again, message(Op::kEcho, 2)) == message(Op::kEcho, 2));
}

TEST_CASE("rings that begin anew are another guest's, told or not") {
  Rig rig;
  VirtiofsFrontend& vmm = rig.connect();
  DriverRing& ring = rig.start(1);
  rig.start(2);
  CHECK(rig.gone == 0);
  REQUIRE(echo(ring, message(Op::kEcho, 1)) == message(Op::kEcho, 1));
  vmm.stop_ring(1);
  vmm.stop_ring(2);
  std::memset(rig.memory().data(), 0, 16U << 20U);
  DriverRing& again = rig.start(1);
  rig.start(2);
  CHECK(rig.gone == 1);
  CHECK(rig.connected == 2);
  CHECK(echo(again, message(Op::kEcho, 2)) == message(Op::kEcho, 2));
}

TEST_CASE("rings that had not been used are the new guest's too, whatever their order") {
  Rig rig;
  VirtiofsFrontend& vmm = rig.connect();
  rig.start(0);
  DriverRing& ring = rig.start(1);
  REQUIRE(echo(ring, message(Op::kEcho, 1)) == message(Op::kEcho, 1));
  vmm.stop_ring(0);
  vmm.stop_ring(1);
  std::memset(rig.memory().data(), 0, 16U << 20U);
  DriverRing& priority = rig.start(0);  // begins at 0, where it had stopped
  DriverRing& again = rig.start(1);
  CHECK(rig.gone == 1);
  CHECK(echo(again, message(Op::kEcho, 2)) == message(Op::kEcho, 2));
  CHECK(echo(priority, message(Op::kEcho, 3)) == message(Op::kEcho, 3));
}

TEST_CASE("a ring that begins anew while another runs stops that first") {
  Rig rig;
  VirtiofsFrontend& vmm = rig.connect();
  DriverRing& ring = rig.start(1);
  DriverRing& other = rig.start(2);
  REQUIRE(echo(ring, message(Op::kEcho, 1)) == message(Op::kEcho, 1));
  other.submit(message(Op::kHold, 1), kHeader);
  REQUIRE(rig.wait_held(1));
  vmm.stop_ring(1);
  std::thread later([&rig] { rig.release(); });
  rig.start(1);
  later.join();
  CHECK(rig.gone == 1);
  CHECK(rig.serving_when_gone == 0);
  CHECK(other.poll().has_value());
  CHECK(rig.device().status().running == 2);  // it goes on afterwards
}

TEST_CASE("memory changes while rings run") {
  Rig rig(Rig::no_window());
  VirtiofsFrontend& vmm = rig.connect();
  DriverRing& ring = rig.start(1);
  SharedMemory more(2U << 20U, 0x8000'0000, 0x6000'0000'0000);
  const auto one_piece = [&](std::uint64_t guest) {
    wire::Descriptor* const d = ring.descriptors();
    const Bytes request = message(Op::kEcho, 5);
    std::memcpy(more.data(), request.data(), request.size());
    d[0] = {guest, kHeader, wire::kNext, 1};
    d[1] = {rig.memory().guest(15U << 20U), kHeader, wire::kDeviceWrites, 0};
    ring.expose(0);
  };
  vmm.add_memory(more);
  one_piece(more.guest(0));
  REQUIRE(eventually([&] { return rig.device().status().requests == 1; }));

  const wire::SingleRegion region{0, more.region()};
  REQUIRE(vmm.acknowledged(Request::kRemMemReg, region) == 0);
  CHECK(vmm.acknowledged(Request::kRemMemReg, region) == 1);
  one_piece(more.guest(0));
  CHECK(eventually([&] { return rig.device().status().broken == 1; }));
  CHECK(rig.log().find("outside of the guest's memory") != std::string::npos);
  // The queue comes back when the guest starts it again.
  vmm.stop_ring(1);
  std::memset(rig.memory().data() + (4U << 20U), 0, 4U << 20U);
  DriverRing& again = rig.start(1);
  CHECK(echo(again, message(Op::kEcho, 6)) == message(Op::kEcho, 6));
}

TEST_CASE("a table of memory takes the place of the one before") {
  Rig rig;
  VirtiofsFrontend& vmm = rig.connect();
  DriverRing& ring = rig.start(1);
  SharedMemory more(2U << 20U, 0x8000'0000, 0x6000'0000'0000);
  wire::MemoryTable table{2, 0, {}};
  table.regions[0] = rig.memory().region();
  table.regions[1] = more.region();
  const std::array both{rig.memory().fd(), more.fd()};
  const auto bytes = std::as_bytes(std::span(&table, 1)).first(8 + 2 * sizeof(wire::MemoryRegion));
  REQUIRE(vmm.acknowledged_bytes(Request::kSetMemTable, bytes, both) == 0);
  CHECK(echo(ring, message(Op::kEcho, 1)) == message(Op::kEcho, 1));
  // Without the memory of the ring it cannot go on.
  table.count = 1;
  table.regions[0] = more.region();
  const std::array one{more.fd()};
  REQUIRE(vmm.acknowledged(Request::kSetMemTable, table, one) == 0);
  CHECK(rig.device().status().broken == 1);
}

TEST_CASE("tables of memory come again and again while rings run") {
  Rig rig;
  VirtiofsFrontend& vmm = rig.connect();
  const SharedMemory more(2U << 20U, 0x8000'0000, 0x6000'0000'0000);
  // One of a thread that sleeps, one with requests under way, one that is busy.
  DriverRing& quiet = rig.start(0);
  DriverRing& holds = rig.start(1);
  DriverRing& busy = rig.start(2);
  holds.submit(message(Op::kHold, 1), kHeader);
  REQUIRE(rig.wait_held(1));
  std::atomic<bool> enough{false};
  unsigned wrong = 0;
  std::thread driver([&] {
    for (std::uint32_t i = 0; !enough || i < 100; ++i) {
      wrong += echo(busy, message(Op::kEcho, i)) == message(Op::kEcho, i) ? 0U : 1U;
    }
  });
  for (int i = 0; i < 100; ++i) {
    CHECK(vmm.set_memory({&rig.memory(), &more}) == 0);
    CHECK(vmm.set_memory({&rig.memory(), &more}) == 0);
    CHECK(vmm.set_memory({&more, &rig.memory()}) == 0);
    CHECK(vmm.set_memory({&rig.memory()}) == 0);
  }
  enough = true;
  driver.join();
  CHECK(wrong == 0);
  CHECK(echo(quiet, message(Op::kEcho, 2)) == message(Op::kEcho, 2));
  CHECK(echo(holds, message(Op::kEcho, 3)) == message(Op::kEcho, 3));
  rig.release();
  CHECK(holds.wait().answer == message(Op::kHold, 1));
  CHECK(rig.device().status().broken == 0);
}

TEST_CASE("a ring whose memory is another file's is looked at there") {
  Rig rig;
  VirtiofsFrontend& vmm = rig.connect();
  const SharedMemory copy(16U << 20U);
  DriverRing& ring = rig.start(1);
  REQUIRE(echo(ring, message(Op::kEcho, 1)) == message(Op::kEcho, 1));
  std::memcpy(copy.data(), rig.memory().data(), 16U << 20U);
  const auto used = reinterpret_cast<std::byte*>(ring.used()) - rig.memory().data();
  auto* const there = reinterpret_cast<std::uint16_t*>(copy.data() + used);
  std::uint16_t& wants_kick_at = there[2 + 4 * std::size_t{ring.options().num}];
  wants_kick_at = 77;
  REQUIRE(vmm.set_memory({&copy}) == 0);
  // A thread that sleeps has to ask for kicks there, too.
  CHECK(eventually([&] { return std::atomic_ref(wants_kick_at).load() == 1; }));
  // The guest's stores into what was its memory before are nothing to anybody.
  ring.submit(message(Op::kEcho, 2), kHeader);
  CHECK(vmm.ask(Request::kGetQueueNum) == 3);
  CHECK_FALSE(ring.poll().has_value());
  std::memcpy(copy.data(), rig.memory().data(), 16U << 20U);
  ring.kick();
  CHECK(eventually([&] { return std::atomic_ref(there[1]).load() == 2; }));
}

TEST_CASE("stop() finishes what is under way and removes the socket") {
  auto rig = std::make_unique<Rig>();
  const std::string path = rig->socket();
  rig->connect();
  DriverRing& ring = rig->start(1);
  ring.submit(message(Op::kHold, 1), kHeader);
  REQUIRE(rig->wait_held(1));
  std::thread stopping([&] { rig->device().stop(); });
  rig->release();
  stopping.join();
  CHECK(ring.poll().has_value());
  CHECK(rig->gone == 1);
  struct stat st {};
  CHECK(::lstat(path.c_str(), &st) != 0);
}

}  // namespace
}  // namespace pmemfs::virtiofs
