// A VMM that breaks the protocol.
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <iterator>

#include "rig.hpp"

namespace pmemfs::virtiofs {
namespace {

Bytes raw(std::uint32_t request, std::uint32_t flags, std::uint32_t size, std::size_t payload) {
  const wire::Header header{request, flags, size};
  const auto head = std::as_bytes(std::span(&header, 1));
  Bytes bytes(head.begin(), head.end());
  bytes.resize(bytes.size() + payload);
  return bytes;
}

struct Lie {
  const char* name;
  void (*tell)(VirtiofsFrontend& vmm, SharedMemory& memory);
};

constexpr auto kNumber = static_cast<std::uint32_t>(Request::kGetFeatures);

// Each ends the connection.
const std::array kLies{
    Lie{"another version",
        [](VirtiofsFrontend& vmm, SharedMemory&) {
          vmm.send_raw(raw(kNumber, 2, 0, 0));
        }},
    Lie{"an unknown flag",
        [](VirtiofsFrontend& vmm, SharedMemory&) {
          vmm.send_raw(raw(kNumber, 0x11, 0, 0));
        }},
    Lie{"an answer to nothing",
        [](VirtiofsFrontend& vmm, SharedMemory&) {
          vmm.send_raw(raw(kNumber, 5, 0, 0));
        }},
    Lie{"an unknown message",
        [](VirtiofsFrontend& vmm, SharedMemory&) {
          vmm.send_raw(raw(250, 1, 0, 0));
        }},
    Lie{"a message of four gigabytes",
        [](VirtiofsFrontend& vmm, SharedMemory&) {
          vmm.send_raw(raw(kNumber, 1, ~0U, 0));
        }},
    Lie{"a message longer than any",
        [](VirtiofsFrontend& vmm, SharedMemory&) {
          vmm.send_raw(raw(kNumber, 1, 100'000, 100'000));
        }},
    Lie{"a payload where there is none",
        [](VirtiofsFrontend& vmm, SharedMemory&) {
          vmm.send_raw(raw(kNumber, 1, 4, 4));
        }},
    Lie{"a payload that is too short",
        [](VirtiofsFrontend& vmm, SharedMemory&) {
          vmm.send(Request::kSetVringBase, Bytes(4));
        }},
    Lie{"features that were not offered",
        [](VirtiofsFrontend& vmm, SharedMemory&) {
          vmm.send_value(Request::kSetFeatures, VirtiofsFrontend::kAllFeatures | wire::bit(26));
        }},
    Lie{"features of the protocol that were not offered",
        [](VirtiofsFrontend& vmm, SharedMemory&) {
          vmm.send_value(Request::kSetProtocolFeatures, wire::bit(12));
        }},
    Lie{"a message that was not agreed on",
        [](VirtiofsFrontend& vmm, SharedMemory& memory) {
          vmm.send_value(Request::kSetProtocolFeatures, std::uint64_t{0});
          const std::array fds{memory.fd()};
          vmm.send_value(Request::kAddMemReg, wire::SingleRegion{0, memory.region()}, fds);
        }},
    Lie{"a queue that is not there",
        [](VirtiofsFrontend& vmm, SharedMemory&) {
          vmm.send_value(Request::kSetVringNum, wire::VringState{3, 64});
        }},
    Lie{"a queue that is not there, for an event",
        [](VirtiofsFrontend& vmm, SharedMemory&) {
          vmm.send_value(Request::kSetVringCall, std::uint64_t{200 | wire::kNoFd});
        }},
    Lie{"a size that is no power of two",
        [](VirtiofsFrontend& vmm, SharedMemory&) {
          vmm.send_value(Request::kSetVringNum, wire::VringState{1, 48});
        }},
    Lie{"a size of none",
        [](VirtiofsFrontend& vmm, SharedMemory&) {
          vmm.send_value(Request::kSetVringNum, wire::VringState{1, 0});
        }},
    Lie{"a size of too many",
        [](VirtiofsFrontend& vmm, SharedMemory&) {
          vmm.send_value(Request::kSetVringNum, wire::VringState{1, 2048});
        }},
    Lie{"a place beyond the indices",
        [](VirtiofsFrontend& vmm, SharedMemory&) {
          vmm.send_value(Request::kSetVringBase, wire::VringState{1, 0x10000});
        }},
    Lie{"descriptors that are not aligned",
        [](VirtiofsFrontend& vmm, SharedMemory& memory) {
          vmm.send_value(Request::kSetVringAddr,
                         wire::VringAddr{1, 0, memory.user(8), memory.user(0), memory.user(0), 0});
        }},
    Lie{"an available ring that is not aligned",
        [](VirtiofsFrontend& vmm, SharedMemory& memory) {
          vmm.send_value(Request::kSetVringAddr,
                         wire::VringAddr{1, 0, memory.user(0), memory.user(0), memory.user(1), 0});
        }},
    Lie{"a used ring that is not aligned",
        [](VirtiofsFrontend& vmm, SharedMemory& memory) {
          vmm.send_value(Request::kSetVringAddr,
                         wire::VringAddr{1, 0, memory.user(0), memory.user(2), memory.user(0), 0});
        }},
    Lie{"a log that was not offered",
        [](VirtiofsFrontend& vmm, SharedMemory& memory) {
          vmm.send_value(Request::kSetVringAddr,
                         wire::VringAddr{1, 1, memory.user(0), memory.user(0), memory.user(0), 0});
        }},
    Lie{"a kick without its descriptor",
        [](VirtiofsFrontend& vmm, SharedMemory&) {
          vmm.send_value(Request::kSetVringKick, std::uint64_t{1});
        }},
    Lie{"a descriptor where there is said to be none",
        [](VirtiofsFrontend& vmm, SharedMemory&) {
          const base::UniqueFd event(::eventfd(0, EFD_CLOEXEC));
          const std::array fds{event.get()};
          vmm.send_value(Request::kSetVringCall, std::uint64_t{1 | wire::kNoFd}, fds);
        }},
    Lie{"a kick that is no event",
        [](VirtiofsFrontend& vmm, SharedMemory& memory) {
          const std::array fds{memory.fd()};
          vmm.send_value(Request::kSetVringKick, std::uint64_t{1}, fds);
        }},
    Lie{"two descriptors for one kick",
        [](VirtiofsFrontend& vmm, SharedMemory&) {
          const base::UniqueFd event(::eventfd(0, EFD_CLOEXEC));
          const std::array fds{event.get(), event.get()};
          vmm.send_value(Request::kSetVringKick, std::uint64_t{1}, fds);
        }},
    Lie{"a descriptor with a message that has none",
        [](VirtiofsFrontend& vmm, SharedMemory& memory) {
          const std::array fds{memory.fd()};
          vmm.send(Request::kSetOwner, {}, fds);
        }},
    Lie{"more descriptors than any message has",
        [](VirtiofsFrontend& vmm, SharedMemory& memory) {
          const std::vector<int> fds(60, memory.fd());
          vmm.send(Request::kSetOwner, {}, fds);
        }},
    Lie{"one descriptor more than any message has",
        [](VirtiofsFrontend& vmm, SharedMemory& memory) {
          const std::vector<int> fds(9, memory.fd());
          // All would be well without the ninth.
          wire::MemoryTable table{8, 0, {}};
          for (std::uint64_t i = 0; i < 8; ++i) {
            table.regions[i] = {memory.guest(i << 17U), 4096, memory.user(i << 17U), 0};
          }
          vmm.send_value(Request::kSetMemTable, table, fds);
        }},
    Lie{"a table of more regions than it has",
        [](VirtiofsFrontend& vmm, SharedMemory& memory) {
          const std::array fds{memory.fd(), memory.fd()};
          wire::MemoryTable table{2, 0, {memory.region()}};
          vmm.send(Request::kSetMemTable, std::as_bytes(std::span(&table, 1)).first(40), fds);
        }},
    Lie{"a table of many regions",
        [](VirtiofsFrontend& vmm, SharedMemory&) {
          vmm.send_value(Request::kSetMemTable, wire::MemoryTable{~0U, 0, {}});
        }},
    Lie{"a table without descriptors",
        [](VirtiofsFrontend& vmm, SharedMemory& memory) {
          vmm.send_value(Request::kSetMemTable, wire::MemoryTable{1, 0, {memory.region()}});
        }},
    Lie{"a table with a descriptor too many",
        [](VirtiofsFrontend& vmm, SharedMemory& memory) {
          const std::array fds{memory.fd(), memory.fd()};
          vmm.send_value(Request::kSetMemTable, wire::MemoryTable{1, 0, {memory.region()}}, fds);
        }},
    Lie{"a region without its descriptor",
        [](VirtiofsFrontend& vmm, SharedMemory& memory) {
          vmm.send_value(Request::kAddMemReg, wire::SingleRegion{0, memory.region()});
        }},
    Lie{"a region that cannot be, and no wish to hear of it",
        [](VirtiofsFrontend& vmm, SharedMemory& memory) {
          const std::array fds{memory.fd()};
          wire::MemoryRegion region = memory.region();
          region.size *= 2;
          vmm.send_value(Request::kAddMemReg, wire::SingleRegion{0, region}, fds);
        }},
    Lie{"a channel without its descriptor",
        [](VirtiofsFrontend& vmm, SharedMemory&) {
          vmm.send(Request::kSetBackendReqFd);
        }},
    Lie{"a channel that is a socket of another kind",
        [](VirtiofsFrontend& vmm, SharedMemory&) {
          const base::UniqueFd datagrams(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
          const std::array fds{datagrams.get()};
          vmm.send(Request::kSetBackendReqFd, {}, fds);
        }},
    Lie{"a channel that is no socket",
        [](VirtiofsFrontend& vmm, SharedMemory& memory) {
          const std::array fds{memory.fd()};
          vmm.send(Request::kSetBackendReqFd, {}, fds);
        }},
    Lie{"enabled by more than one",
        [](VirtiofsFrontend& vmm, SharedMemory&) {
          vmm.send_value(Request::kSetVringEnable, wire::VringState{1, 2});
        }},
};

std::size_t open_descriptors() {
  return static_cast<std::size_t>(
      std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {}));
}

TEST_CASE("a VMM that breaks the protocol is hung up on, and the next is served") {
  Rig rig(Rig::no_window());
  SharedMemory memory(1U << 20U, 0x8000'0000, 0x6000'0000'0000);
  const std::size_t descriptors = open_descriptors();
  for (const Lie& lie : kLies) {
    INFO(lie.name);
    {
      VirtiofsFrontend vmm(rig.socket());
      vmm.handshake();
      REQUIRE(vmm.ask(Request::kGetQueueNum) == 3);
      lie.tell(vmm, memory);
      CHECK(vmm.hung_up());
    }
    REQUIRE(eventually([&] { return !rig.device().status().connected; }));
    CHECK(rig.log().find("its connection is ended") != std::string::npos);
    CHECK(rig.gone == rig.connected);
    // Nothing that came along is kept.
    CHECK(open_descriptors() == descriptors);
  }
  rig.connect();
  CHECK(echo(rig.start(1), message(Op::kEcho, 1)) == message(Op::kEcho, 1));
}

TEST_CASE("a device with a window takes no single regions") {
  const Request request =
      GENERATE(Request::kGetMaxMemSlots, Request::kAddMemReg, Request::kRemMemReg);
  Rig rig;
  VirtiofsFrontend vmm(rig.socket());
  vmm.handshake();
  const SharedMemory memory(1U << 20U);
  const std::array fds{memory.fd()};
  if (request == Request::kGetMaxMemSlots) {
    vmm.send(request);
  } else {
    vmm.send_value(request, wire::SingleRegion{0, memory.region()}, fds);
  }
  CHECK(vmm.hung_up());
}

TEST_CASE("a running ring is not given another size or place") {
  const Request request = GENERATE(Request::kSetVringNum, Request::kSetVringBase);
  Rig rig;
  VirtiofsFrontend& vmm = rig.connect();
  rig.start(1);
  vmm.send_value(request, wire::VringState{1, 32});
  CHECK(vmm.hung_up());
}

TEST_CASE("a VMM that wants to know is told before it is hung up on") {
  Rig rig;
  VirtiofsFrontend& vmm = rig.connect();
  CHECK(vmm.acknowledged(Request::kSetVringNum, wire::VringState{1, 48}) == 1);
  CHECK(vmm.hung_up());
}

TEST_CASE("half a message, and the VMM goes or the device is stopped") {
  auto rig = std::make_unique<Rig>();
  const Bytes whole = raw(kNumber, wire::kVersion, 0, 0);
  for (std::size_t n = 1; n < whole.size(); n += 5) {
    VirtiofsFrontend vmm(rig->socket());
    vmm.send_raw(std::span(whole).first(n));
    vmm.close();
    REQUIRE(eventually([&] { return rig->gone > 0 && !rig->device().status().connected; }));
    rig->gone = 0;
  }
  VirtiofsFrontend vmm(rig->socket());
  vmm.send_raw(std::span(whole).first(7));
  REQUIRE(eventually([&] { return rig->device().status().connected; }));
  rig->device().stop();  // does not wait for the rest
  CHECK(vmm.hung_up());
}

TEST_CASE("half a message is not waited for by who is to stop") {
  std::array<int, 2> pair{};
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()) == 0);
  const base::UniqueFd ours(pair[0]);
  const base::UniqueFd theirs(pair[1]);
  const auto stop = Event::create();
  REQUIRE(stop.ok());
  int code = -1;
  bool whole = true;
  std::thread reader([&] {
    Message message;
    const auto got = receive(ours.get(), stop->fd(), message);
    code = got.code();
    whole = got.ok() && *got;
  });
  REQUIRE(::send(theirs.get(), "1234567", 7, 0) == 7);
  CHECK(eventually([&] {
    int unread = -1;
    return ::ioctl(ours.get(), FIONREAD, &unread) == 0 && unread == 0;
  }));
  stop->signal();
  reader.join();
  CHECK(code == 0);
  CHECK_FALSE(whole);
}

// A VMM may read from our end of the channel, too, what we were told is there.
TEST_CASE("an answer that somebody else has read is not waited for without end") {
  std::array<int, 2> pair{};
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()) == 0);
  const base::UniqueFd ours(pair[0]);
  const base::UniqueFd theirs(pair[1]);
  Message message;
  CHECK(receive(ours.get(), -1, message, std::chrono::milliseconds(10)).code() == ETIMEDOUT);
}

TEST_CASE("a message in single bytes is a message") {
  Rig rig;
  VirtiofsFrontend& vmm = rig.connect();
  const Bytes whole = raw(static_cast<std::uint32_t>(Request::kGetQueueNum), wire::kVersion, 0, 0);
  for (std::size_t i = 0; i < whole.size(); ++i) {
    REQUIRE(vmm.send_raw(std::span(whole).subspan(i, 1)));
  }
  CHECK(vmm.receive(Request::kGetQueueNum).size() == 8);
}

TEST_CASE("regions that cannot be are refused, and those that are stay") {
  Rig rig(Rig::no_window());
  VirtiofsFrontend& vmm = rig.connect();
  DriverRing& ring = rig.start(1);
  SharedMemory more(1U << 20U, 0x8000'0000, 0x6000'0000'0000);
  const auto add = [&](auto change, int fd) {
    wire::SingleRegion region{0, more.region()};
    change(region.region);
    const std::array fds{fd};
    return vmm.acknowledged(Request::kAddMemReg, region, fds);
  };
  const auto as_it_is = [](wire::MemoryRegion&) {
  };
  const int fd = more.fd();
  CHECK(add([](auto& r) { r.size = 0; }, fd) == 1);
  CHECK(add([](auto& r) { r.size = 2U << 20U; }, fd) == 1);
  CHECK(add([](auto& r) { r.offset = 4096; }, fd) == 1);
  CHECK(add([](auto& r) { r.offset = ~std::uint64_t{4095}; }, fd) == 1);
  CHECK(add([](auto& r) { r.guest = ~std::uint64_t{4095}; }, fd) == 1);
  CHECK(add([](auto& r) { r.user = ~std::uint64_t{4095}; }, fd) == 1);
  CHECK(add([](auto& r) { r.size = ~std::uint64_t{0}; }, fd) == 1);
  CHECK(add([&](auto& r) { r.guest = rig.memory().guest(0) - 4096; }, fd) == 1);
  CHECK(add([&](auto& r) { r.user = rig.memory().user(15U << 20U) + (1U << 19U); }, fd) == 1);
  // What is no memory at all.
  const base::UniqueFd event(::eventfd(0, EFD_CLOEXEC));
  const base::UniqueFd zero(::open("/dev/zero", O_RDWR | O_CLOEXEC));
  const base::UniqueFd proc(::open("/proc/self/maps", O_RDONLY | O_CLOEXEC));
  const base::UniqueFd folder(::open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  for (const int odd : {event.get(), zero.get(), proc.get(), folder.get()}) {
    CHECK(add(as_it_is, odd) == 1);
  }
  CHECK(echo(ring, message(Op::kEcho, 1)) == message(Op::kEcho, 1));
  CHECK(add(as_it_is, fd) == 0);
  CHECK(add(as_it_is, fd) == 1);
  CHECK(echo(ring, message(Op::kEcho, 2)) == message(Op::kEcho, 2));
}

TEST_CASE("one more region than there may be is refused") {
  Rig rig(Rig::no_window());
  VirtiofsFrontend& vmm = rig.connect();
  SharedMemory more(4096, 0x8000'0000, 0x6000'0000'0000);
  const std::array fds{more.fd()};
  wire::SingleRegion region{0, more.region()};
  const std::uint64_t most = vmm.ask(Request::kGetMaxMemSlots);
  for (std::uint64_t i = 1; i < most; ++i) {
    region.region.guest += 4096;
    region.region.user += 4096;
    REQUIRE(vmm.acknowledged(Request::kAddMemReg, region, fds) == 0);
  }
  region.region.guest += 4096;
  region.region.user += 4096;
  CHECK(vmm.acknowledged(Request::kAddMemReg, region, fds) == 1);
}

}  // namespace
}  // namespace pmemfs::virtiofs
