// Messages of a VMM that lies, with whatever descriptors, while threads serve the rings that come
// of them: every answer is well-formed, and nothing of the VMM is left afterwards.
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <vector>

#include "base/log.hpp"
#include "input.hpp"
#include "support/virtiofs_frontend.hpp"
#include "virtiofs/connection.hpp"

namespace {

using namespace pmemfs;
using namespace pmemfs::virtiofs;
using test::Bytes;
using test::DriverRing;
using test::SharedMemory;
using wire::Request;

constexpr std::size_t kMostMessages = 40;
constexpr std::uint32_t kQueues = 2;

// What is there in every run: memory with two rings in it, requests in them, and odd descriptors.
struct World {
  World() {
    std::array<int, 2> pair{};
    fuzz::demand(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()) == 0, "sockets");
    odd = {base::UniqueFd(pair[0]), base::UniqueFd(pair[1]),
           base::UniqueFd(::open("/dev/zero", O_RDWR | O_CLOEXEC)),
           base::UniqueFd(::open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC))};
  }
  int fd(std::uint8_t which) {
    switch (which % 8) {
      case 0:
      case 1:
      case 2:
        return memory.fd();
      case 3:
        return rings[0].kick_fd();
      case 4:
        return rings[1].call_fd();
      default:
        return odd[which / 8U % odd.size()].get();
    }
  }

  SharedMemory memory{1U << 20U};
  std::array<DriverRing, 2> rings{
      {{memory, 0, {.num = 16, .room = 256}}, {memory, 512U << 10U, {.num = 16, .room = 256}}}};
  std::array<base::UniqueFd, 4> odd;
};

std::uint64_t number(fuzz::Input& input, const World& world) {
  const std::uint8_t what = input.byte();
  switch (what % 8) {
    case 0:
      return world.memory.user((what / 8U) * 4096U);
    case 1:
      return world.memory.guest((what / 8U) * 4096U);
    case 2:
      return std::uint64_t{1} << (what / 4U);
    case 3:
      return ~std::uint64_t{0} - what;
    case 4:
      return 1U << 20U;
    case 5:
      return input.number<std::uint64_t>();
    default:
      return what / 8U;
  }
}

template <typename T>
Bytes bytes(const T& value) {
  const auto span = bytes_of(value);
  return {span.begin(), span.end()};
}

wire::MemoryRegion region(fuzz::Input& input, World& world) {
  wire::MemoryRegion made = world.memory.region();
  switch (input.byte() % 4) {
    case 0:
      made.size = number(input, world);
      break;
    case 1:
      made = {number(input, world), number(input, world), number(input, world),
              number(input, world)};
      break;
    default:
      break;
  }
  return made;
}

wire::VringAddr addresses(fuzz::Input& input, World& world) {
  const std::uint32_t index = input.byte() % (kQueues + 1U);
  wire::VringAddr made = world.rings[index % kQueues].addresses(index);
  if (input.byte() % 4 == 0) {
    made.used = number(input, world);
  }
  return made;
}

// The payload that a message should have, its numbers by the input.
Bytes payload(Request request, fuzz::Input& input, World& world) {
  switch (request) {
    case Request::kSetVringNum:
      return bytes(wire::VringState{input.byte() % (kQueues + 1U),
                                    input.byte() % 4 == 0 ? input.word() : 16U});
    case Request::kSetVringBase:
    case Request::kGetVringBase:
    case Request::kSetVringEnable:
      return bytes(wire::VringState{input.byte() % (kQueues + 1U),
                                    static_cast<std::uint32_t>(number(input, world))});
    case Request::kSetVringAddr:
      return bytes(addresses(input, world));
    case Request::kSetMemTable:
      return bytes(
          wire::MemoryTable{input.byte() % 4U,
                            0,
                            {region(input, world), region(input, world), region(input, world)}});
    case Request::kAddMemReg:
    case Request::kRemMemReg:
      return bytes(wire::SingleRegion{0, region(input, world)});
    case Request::kGetConfig:
    case Request::kSetConfig: {
      Bytes made = bytes(wire::ConfigAccess{input.byte(), input.byte(), 0});
      made.resize(made.size() + input.byte());
      return made;
    }
    case Request::kSetVringKick:
    case Request::kSetVringCall:
    case Request::kSetVringErr:
      return bytes(std::uint64_t{input.word() & 0x1ffU & ~0xfcU});
    case Request::kSetFeatures:
    case Request::kSetProtocolFeatures:
      return bytes(number(input, world));
    default:
      return {};
  }
}

void tell(test::VirtiofsFrontend& vmm, fuzz::Input& input, World& world) {
  constexpr std::array kRequests{
      Request::kGetFeatures,         Request::kSetFeatures,         Request::kSetOwner,
      Request::kResetOwner,          Request::kSetMemTable,         Request::kSetVringNum,
      Request::kSetVringAddr,        Request::kSetVringBase,        Request::kGetVringBase,
      Request::kSetVringKick,        Request::kSetVringCall,        Request::kSetVringErr,
      Request::kGetProtocolFeatures, Request::kSetProtocolFeatures, Request::kGetQueueNum,
      Request::kSetVringEnable,      Request::kSetBackendReqFd,     Request::kGetConfig,
      Request::kSetConfig,           Request::kResetDevice,         Request::kGetMaxMemSlots,
      Request::kAddMemReg,           Request::kRemMemReg,           Request::kGetShmemConfig};
  const std::uint8_t what = input.byte();
  if (what >= 250) {
    const auto raw = input.bytes(what - 249U);
    vmm.send_raw(std::as_bytes(raw));
    return;
  }
  const Request request = kRequests[what % kRequests.size()];
  std::vector<int> fds;
  const std::uint8_t count = input.byte();
  for (std::size_t i = 0; i < count % 4U; ++i) {
    fds.push_back(world.fd(input.byte()));
  }
  Bytes content = payload(request, input, world);
  if (count >= 240) {
    content.resize(input.byte());
  }
  vmm.send(request, content, fds, wire::kVersion | (count >= 128 ? wire::kNeedReply : 0U));
}

bool has_window(std::uint8_t how) {
  return (how & 4U) != 0;
}

// Rings that can run, with requests in them; the input says what comes of it.
void begin(test::VirtiofsFrontend& vmm, World& world, std::uint8_t how) {
  vmm.send_value(Request::kSetProtocolFeatures,
                 0x2629 | (has_window(how) ? wire::kShmem : wire::kMemSlots));
  if ((how & 1U) == 0) {
    return;
  }
  vmm.send_value(Request::kSetFeatures, test::VirtiofsFrontend::kAllFeatures);
  const std::array memory{world.memory.fd()};
  if (has_window(how)) {
    vmm.send_value(Request::kSetMemTable, wire::MemoryTable{1, 0, {world.memory.region()}}, memory);
  } else {
    vmm.send_value(Request::kAddMemReg, wire::SingleRegion{0, world.memory.region()}, memory);
  }
  for (std::uint32_t i = 0; i < kQueues && (how & 2U) != 0; ++i) {
    const std::array kick{world.rings[i].kick_fd()};
    vmm.send_value(Request::kSetVringNum, wire::VringState{i, 16});
    vmm.send_value(Request::kSetVringAddr, world.rings[i].addresses(i));
    vmm.send_value(Request::kSetVringKick, std::uint64_t{i}, kick);
    vmm.send_value(Request::kSetVringEnable, wire::VringState{i, 1});
  }
}

std::size_t open_descriptors() {
  return static_cast<std::size_t>(
      std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {}));
}

// The device's side, without a listener.
void serve(int socket, std::uint64_t window) {
  const DeviceHandler handler{
      [](std::span<std::byte> message, std::span<const iovec> rest, std::span<const iovec>,
         const AnswerSink& sink) {
        std::vector<iovec> pieces{{message.data(), message.size()}};
        pieces.insert(pieces.end(), rest.begin(), rest.end());
        sink(pieces);
      },
      [](std::span<const std::byte> header) { return std::to_integer<std::size_t>(header[0]); },
      {},
      {},
      {}};
  QueueCounters counters;
  const QueueOwner owner{handler, counters, [] {},
                         [socket] {
                           ::shutdown(socket, SHUT_RDWR);
                         }};
  std::vector<std::unique_ptr<Queue>> queues;
  for (std::uint32_t i = 0; i < kQueues; ++i) {
    queues.push_back(std::make_unique<Queue>(QueueOptions{"queue", 1, {}}, owner));
    fuzz::demand(queues.back()->start_threads().ok(), "a thread");
  }
  BackendChannel channel(std::chrono::milliseconds(1), [] {});
  fuzz::demand(channel.prepare().ok(), "an event");
  const ShownFiles shown;
  Connection connection({"vm", {}, window, window == 0, queues, channel, shown, [] {
                         }});
  connection.serve(socket, -1);
  for (const auto& queue : queues) {
    fuzz::demand(!queue->running(), "a queue runs without a VMM");
  }
}

void check_answers(int socket) {
  Bytes all;
  std::array<std::byte, 4096> part{};
  for (;;) {
    const ssize_t n = ::recv(socket, part.data(), part.size(), MSG_DONTWAIT);
    if (n <= 0) {
      break;
    }
    all.insert(all.end(), part.begin(), part.begin() + n);
  }
  std::span<const std::byte> rest(all);
  while (!rest.empty()) {
    wire::Header header{};
    fuzz::demand(rest.size() >= sizeof header, "a whole header");
    std::memcpy(&header, rest.data(), sizeof header);
    rest = rest.subspan(sizeof header);
    fuzz::demand(header.flags == (wire::kVersion | wire::kIsReply), "the flags of an answer");
    fuzz::demand(header.size <= rest.size(), "a whole answer");
    rest = rest.subspan(header.size);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  base::log::init_callback([](base::log::Level, const std::string&) {});
  fuzz::Input input(data, size);
  World world;
  const std::size_t descriptors = open_descriptors();
  const std::uint8_t how = input.byte();
  {
    for (DriverRing& ring : world.rings) {
      for (int i = 0; i < 3; ++i) {
        ring.submit(Bytes(48), 64);
      }
    }
    std::array<int, 2> pair{};
    fuzz::demand(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()) == 0, "sockets");
    const base::UniqueFd ours(pair[0]);
    const int vmm_side = ::fcntl(pair[1], F_DUPFD_CLOEXEC, 0);
    const base::UniqueFd answers(pair[1]);
    {
      test::VirtiofsFrontend vmm{base::UniqueFd(vmm_side)};
      begin(vmm, world, how);
      for (std::size_t i = 0; i < kMostMessages && !input.empty(); ++i) {
        tell(vmm, input, world);
      }
    }
    ::shutdown(answers.get(), SHUT_WR);
    serve(ours.get(), has_window(how) ? 1U << 21U : 0);
    check_answers(answers.get());
  }
  fuzz::demand_equal(descriptors, open_descriptors(), "descriptors that are kept");
  return 0;
}
