// Rings and chains of a guest that lies: what the device takes of them is what a second reading of
// the rules takes, and it writes where it may and nowhere else.
#include "virtiofs/virtqueue.hpp"

#include <array>
#include <cstring>
#include <map>
#include <optional>
#include <vector>

#include "input.hpp"
#include "support/virtiofs_frontend.hpp"

namespace {

using namespace pmemfs;
using namespace pmemfs::virtiofs;
using test::SharedMemory;

// Two regions that touch each other in the guest only, each with its own file, and nothing around.
constexpr std::uint64_t kRegion = 32768;
constexpr std::uint64_t kGuest = 0x10000;
constexpr std::uint64_t kSize = 2 * kRegion;
constexpr std::uint64_t kUser = 0x5000'0000'0000;

// Where the rings are: offsets in the guest's memory.
constexpr std::uint64_t kTable = 0;
constexpr std::uint64_t kAvailable = 4096;
constexpr std::uint64_t kUsed = 8192;
constexpr std::uint64_t kTables = 12288;  // where tables of their own like to be

struct Machine {
  SharedMemory low{kRegion, kGuest, kUser};
  SharedMemory high{kRegion, kGuest + kRegion, 0x4000'0000'0000};
  ShownFiles shown;
  GuestMemoryMap map{shown};

  Machine() {
    fuzz::demand(map.add(low.region(), low.fd()).ok(), "a region");
    fuzz::demand(map.add(high.region(), high.fd()).ok(), "a region");
  }
  std::byte* at(std::uint64_t offset) const {
    return offset < kRegion ? low.data() + offset : high.data() + (offset - kRegion);
  }
  template <typename T>
  void put(std::uint64_t offset, const T& value) const {
    const auto bytes = std::as_bytes(std::span(&value, 1));
    for (std::size_t i = 0; i < sizeof value && offset + i < kSize; ++i) {
      *at(offset + i) = bytes[i];
    }
  }
  std::vector<std::byte> all() const {
    std::vector<std::byte> bytes(low.data(), low.data() + kRegion);
    bytes.insert(bytes.end(), high.data(), high.data() + kRegion);
    return bytes;
  }
};

// Bytes of the guest's memory, each by its offset, up to the first one that is not in it.
struct Reading {
  std::vector<std::uint64_t> readable;
  std::vector<std::uint64_t> writable;
  bool writes = false;  // something is to be written
  bool readable_ends = false;
  bool writable_ends = false;

  [[nodiscard]] bool unreachable() const { return readable_ends || writable_ends; }
  // So that it can be refused: with the headers of message and answer.
  [[nodiscard]] bool refusable() const { return readable.size() >= 40 && writable.size() >= 16; }
};

// A chain as the rules have it; nothing when they are broken. Short, slow, and on a copy.
class Model {
 public:
  Model(const std::vector<std::byte>& memory, std::uint16_t num, bool indirect)
      : memory_(memory), num_(num), indirect_(indirect) {}

  std::optional<Reading> read(std::uint16_t head) {
    Reading reading;
    std::uint64_t table = kTable;
    std::uint64_t count = num_;
    bool own = false;
    for (unsigned seen = 0, index = head;;) {
      wire::Descriptor d{};
      if (index >= count || !load(table + index * sizeof d, d)) {
        return std::nullopt;
      }
      if ((d.flags & wire::kIndirect) != 0) {
        if (own || !indirect_ || (d.flags & (wire::kNext | wire::kDeviceWrites)) != 0 ||
            d.len == 0 || d.len % sizeof d != 0 || d.len / sizeof d > num_) {
          return std::nullopt;
        }
        table = d.address - kGuest;
        count = d.len / sizeof d;
        own = true;
        index = 0;
        continue;
      }
      if (++seen > num_ || d.len == 0 || !add(d, reading)) {
        return std::nullopt;
      }
      if ((d.flags & wire::kNext) == 0) {
        return reading.unreachable() && !reading.refusable() ? std::nullopt
                                                             : std::optional(reading);
      }
      index = d.next;
    }
  }

 private:
  bool load(std::uint64_t offset, wire::Descriptor& d) const {
    if (offset > memory_.size() || memory_.size() - offset < sizeof d) {
      return false;
    }
    std::memcpy(&d, memory_.data() + offset, sizeof d);
    return true;
  }
  static bool add(const wire::Descriptor& d, Reading& reading) {
    const bool write = (d.flags & wire::kDeviceWrites) != 0;
#ifndef PMEMFS_CONTROL_MODEL
    if (!write && reading.writes) {
      return false;
    }
#endif
    reading.writes |= write;
    bool& ends = write ? reading.writable_ends : reading.readable_ends;
    for (std::uint64_t at = d.address; !ends && at - d.address < d.len; ++at) {
      ends = at < kGuest || at - kGuest >= kSize;
      if (!ends) {
        (write ? reading.writable : reading.readable).push_back(at - kGuest);
      }
    }
    return true;
  }

  const std::vector<std::byte>& memory_;
  std::uint16_t num_;
  bool indirect_;
};

wire::Descriptor descriptor(fuzz::Input& input) {
  constexpr std::array<std::uint64_t, 8> kPlaces{
      kGuest + 16384, kGuest + kTables,    kGuest + kRegion - 8, kGuest + kSize - 16,
      kGuest - 8,     kGuest + kSize + 64, ~std::uint64_t{15},   kUser};
  const std::uint8_t what = input.byte();
  wire::Descriptor d{};
  d.address = kPlaces[(what & 0x80U) != 0 ? input.below(8) : input.below(2)] +
              ((what & 0x40U) != 0 ? input.byte() : 0);
  d.len = (what & 0x20U) != 0 ? input.word() : input.byte();
  d.flags = what & 7U;
  if ((d.flags & wire::kIndirect) != 0 && (what & 8U) == 0) {
    d.flags = wire::kIndirect;
    d.address = kGuest + kTables + (what & 0x10U) * 16;
    d.len = static_cast<std::uint32_t>(sizeof d * (1 + input.below(20)));
  }
  d.next = static_cast<std::uint16_t>(input.byte() % 20);
  return d;
}

void fill(fuzz::Input& input, const Machine& machine, std::uint16_t num) {
  std::memset(machine.low.data(), 0, kRegion);
  std::memset(machine.high.data(), 0, kRegion);
  const std::size_t heads = input.below(num + 2U);
  machine.put(kAvailable + 2, static_cast<std::uint16_t>(heads));
  for (std::size_t i = 0; i < heads; ++i) {
    machine.put(kAvailable + 4 + 2 * i, static_cast<std::uint16_t>(input.byte() % (num + 1U)));
  }
  for (std::uint16_t i = 0; i < num && !input.empty(); ++i) {
    machine.put(kTable + i * sizeof(wire::Descriptor), descriptor(input));
  }
  for (std::uint64_t i = 0; i < 40 && !input.empty(); ++i) {
    machine.put(kTables + i * sizeof(wire::Descriptor), descriptor(input));
  }
}

// What the chain has, as offsets.
std::vector<std::uint64_t> offsets(const Spans& spans, const GuestMemory& memory) {
  std::vector<std::uint64_t> all;
  for (const auto& span : spans) {
    for (const GuestRegion& region : memory.regions()) {
      const std::byte* const first = region.mapping->first();
      if (span.data() >= first && span.data() < first + region.size) {
        const auto off = static_cast<std::uint64_t>(span.data() - first);
        fuzz::demand(span.size() <= region.size - off, "a piece that ends outside of its region");
        for (std::uint64_t i = 0; i < span.size(); ++i) {
          all.push_back(region.guest - kGuest + off + i);
        }
      }
    }
  }
  return all;
}

// Answers a chain; only what may be written has changed afterwards.
void answer(const Machine& machine, Virtqueue& ring, const Chain& chain, const Reading& reading) {
  std::vector<std::byte> expected = machine.all();
  std::vector<std::byte> message(chain.readable_bytes);
  chain.gather(message);
  for (std::size_t i = 0; i < message.size(); ++i) {
    fuzz::demand(message[i] == expected[reading.readable[i]], "a byte of the message");
  }
  std::vector<std::byte> text(chain.room + 1, std::byte{0xA5});
  const std::array<iovec, 2> pieces{
      {{text.data(), chain.room / 3}, {text.data(), chain.room - chain.room / 3}}};
  const std::array<iovec, 1> longer{{{text.data(), chain.room + 1}}};
  std::size_t written = 0;
  fuzz::demand(!chain.scatter(longer, written), "more than there is room for");
  fuzz::demand(chain.scatter(pieces, written) && written == chain.room, "what there is room for");
  for (const std::uint64_t offset : reading.writable) {
    expected[offset] = std::byte{0xA5};
  }
  fuzz::demand(machine.all() == expected, "memory that is not the answer's was changed");
  ring.push(chain.head, static_cast<std::uint32_t>(written));
}

// Takes one chain, compares it with the model's and answers it. False: there is none, or the ring
// is broken.
bool take(const Machine& machine, Virtqueue& ring, std::uint16_t num, bool indirect) {
  const std::vector<std::byte> before = machine.all();
  std::uint16_t available = 0;
  std::uint16_t head = 0;
  std::memcpy(&available, before.data() + kAvailable + 2, sizeof available);
  std::memcpy(&head, before.data() + kAvailable + 4 + 2U * (ring.next() % num), sizeof head);
  const auto waiting = static_cast<std::uint16_t>(available - ring.next());
  Model model(before, num, indirect);
  const auto reading = waiting > num ? std::nullopt : model.read(head);
  Chain chain;
  const Virtqueue::Popped popped = ring.pop(chain);
  fuzz::demand((waiting == 0) == (popped == Virtqueue::Popped::kNothing), "whether one is there");
  if (popped == Virtqueue::Popped::kNothing) {
    return false;
  }
  fuzz::demand(reading.has_value() == (popped == Virtqueue::Popped::kChain), "whether it is one");
  if (!reading) {
    fuzz::demand(ring.wrong() != nullptr, "what is wrong");
    return false;
  }
  const GuestMemory& memory = *machine.map.picture();
  fuzz::demand(reading->writable.size() <= kMostMessage, "a model of small memory");
  fuzz::demand(reading->unreachable() == chain.unreachable, "whether all of it is there");
  fuzz::demand(offsets(chain.readable, memory) == reading->readable, "what is read");
  fuzz::demand(offsets(chain.writable, memory) == reading->writable, "what is written");
  fuzz::demand_equal(reading->readable.size(), chain.readable_bytes, "the length of a message");
  fuzz::demand_equal(reading->writable.size(), chain.room, "the room of a message");
  answer(machine, ring, chain, *reading);
  ring.want_kick();
  ring.no_kicks();
  return true;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Machine kMachine;
  fuzz::Input input(data, size);
  const auto num = static_cast<std::uint16_t>(1U << input.below(5));
  RingSetup setup{num, kUser + kTable, kUser + kAvailable, kUser + kUsed, false, false};
  const std::uint8_t features = input.byte();
  setup.indirect = (features & 1U) == 0;
  setup.event_idx = (features & 2U) == 0;
  fill(input, kMachine, num);
  Virtqueue ring;
  fuzz::demand(ring.attach(setup, kMachine.map.picture()) == nullptr, "a ring that is there");
  ring.continue_used();
  // Answers may make more available.
  for (int taken = 0; taken < 100 && take(kMachine, ring, num, setup.indirect); ++taken) {
  }
  return 0;
}
