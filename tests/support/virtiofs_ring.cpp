#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <stdexcept>

#include "support/virtiofs_frontend.hpp"

namespace pmemfs::test {
namespace {

constexpr int kPatience = 20'000;  // milliseconds
constexpr std::uint16_t kPerRequest = 4;
constexpr std::uint64_t kPage = 4096;

std::uint16_t load(std::uint16_t& shared) {
  return std::atomic_ref(shared).load(std::memory_order_seq_cst);
}
void store(std::uint16_t& shared, std::uint16_t value) {
  std::atomic_ref(shared).store(value, std::memory_order_seq_cst);
}
std::uint64_t pages(std::uint64_t bytes) {
  return (bytes + kPage - 1) / kPage * kPage;
}

}  // namespace

SharedMemory::SharedMemory(std::uint64_t size, std::uint64_t guest, std::uint64_t user)
    : fd_(::memfd_create("guest", MFD_CLOEXEC)), size_(size), guest_(guest), user_(user) {
  if (!fd_ || ::ftruncate(fd_.get(), static_cast<off_t>(size)) != 0) {
    throw std::runtime_error("no memory for a guest");
  }
  void* const got = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get(), 0);
  if (got == MAP_FAILED) {
    throw std::runtime_error("no memory for a guest");
  }
  data_ = static_cast<std::byte*>(got);
}

SharedMemory::~SharedMemory() {
  ::munmap(data_, size_);
}

// Descriptors, available ring and used ring each begin a page, as do the places.
DriverRing::DriverRing(SharedMemory& memory, std::uint64_t offset, Options options)
    : memory_(memory),
      offset_(offset),
      options_(options),
      kick_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      call_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      room_(options.num / kPerRequest) {
  for (auto place = static_cast<std::uint16_t>(room_.size()); place > 0; --place) {
    free_.push_back(static_cast<std::uint16_t>(place - 1));
  }
}

std::uint64_t DriverRing::size() const {
  return place_offset(static_cast<std::uint16_t>(room_.size())) - offset_;
}

wire::Descriptor* DriverRing::descriptors() const {
  return reinterpret_cast<wire::Descriptor*>(memory_.data() + offset_);
}

std::uint16_t* DriverRing::available() const {
  return reinterpret_cast<std::uint16_t*>(memory_.data() + offset_ +
                                          pages(options_.num * sizeof(wire::Descriptor)));
}

std::uint16_t* DriverRing::used() const {
  return reinterpret_cast<std::uint16_t*>(reinterpret_cast<std::byte*>(available()) +
                                          pages(2 * (options_.num + 3U)));
}

std::uint64_t DriverRing::place_offset(std::uint16_t place) const {
  const auto rings =
      static_cast<std::uint64_t>(reinterpret_cast<std::byte*>(used()) - memory_.data()) +
      pages(6 + options_.num * sizeof(wire::UsedElement));
  // A page of descriptors, then the bytes.
  return rings + place * (kPage + pages(options_.room));
}

wire::VringAddr DriverRing::addresses(std::uint32_t index) const {
  const auto at = [this](const void* p) {
    return memory_.user(
        static_cast<std::uint64_t>(static_cast<const std::byte*>(p) - memory_.data()));
  };
  return {index, 0, at(descriptors()), at(used()), at(available()), 0};
}

std::uint16_t DriverRing::submit(std::span<const std::byte> request, std::size_t room,
                                 Elsewhere data) {
  if (free_.empty() || request.size() + room > options_.room || request.size() < 2) {
    throw std::runtime_error("no place for a request");
  }
  const std::uint16_t place = free_.back();
  free_.pop_back();
  room_[place] = room;
  const std::uint64_t table = place_offset(place);
  const std::uint64_t bytes = table + kPage;
  std::memcpy(memory_.data() + bytes, request.data(), request.size());
  const std::uint64_t half = request.size() / 2;
  const std::uint64_t answer = bytes + request.size();
  const std::uint64_t answer_half = data.len == 0 ? room / 2 : 0;
  struct Piece {
    std::uint64_t at;
    std::uint64_t len;
    bool write;
  };
  const std::array<Piece, kPerRequest + 1> pieces{{
      {memory_.guest(bytes), half, false},
      {memory_.guest(bytes + half), request.size() - half, false},
      {data.guest, data.len, false},
      {memory_.guest(answer), answer_half, true},
      {memory_.guest(answer + answer_half), room - answer_half, true},
  }};
  const auto head = static_cast<std::uint16_t>(place * kPerRequest);
  const std::uint16_t first = options_.indirect ? 0 : head;
  auto* const list = options_.indirect ? reinterpret_cast<wire::Descriptor*>(memory_.data() + table)
                                       : descriptors() + head;
  std::uint16_t used = 0;
  for (const auto& [at, len, write] : pieces) {
    if (len > 0) {
      list[used] = {at, static_cast<std::uint32_t>(len),
                    static_cast<std::uint16_t>(wire::kNext | (write ? wire::kDeviceWrites : 0)),
                    static_cast<std::uint16_t>(first + used + 1)};
      ++used;
    }
  }
  list[used - 1].flags = static_cast<std::uint16_t>(list[used - 1].flags & ~wire::kNext);
  if (options_.indirect) {
    descriptors()[head] = {memory_.guest(table),
                           static_cast<std::uint32_t>(used * sizeof(wire::Descriptor)),
                           wire::kIndirect, 0};
  }
  expose(head);
  return place;
}

void DriverRing::expose(std::uint16_t head) {
  available()[2 + available_index_ % options_.num] = head;
  const std::uint16_t before = available_index_++;
  store(available()[1], available_index_);
  if (wants_kick(before)) {
    kick();
  }
}

bool DriverRing::wants_kick(std::uint16_t before) const {
  if (!options_.event_idx) {
    return (load(used()[0]) & wire::kNoNotify) == 0;
  }
  const std::uint16_t event = load(used()[2 + options_.num * 4]);
  return static_cast<std::uint16_t>(available_index_ - event - 1) <
         static_cast<std::uint16_t>(available_index_ - before);
}

void DriverRing::kick() const {
  const std::uint64_t one = 1;
  if (::write(kick_.get(), &one, sizeof one) != sizeof one) {
    throw std::runtime_error("cannot kick");
  }
  const_cast<DriverRing*>(this)->kicks_++;  // NOLINT(*-const-cast)
}

std::optional<DriverRing::Done> DriverRing::poll() {
  if (load(used()[1]) == used_index_) {
    return std::nullopt;
  }
  wire::UsedElement element{};
  std::memcpy(&element, used() + 2 + (used_index_ % options_.num) * 4, sizeof element);
  ++used_index_;
  Done done;
  done.place = static_cast<std::uint16_t>(element.id / kPerRequest);
  done.written = element.len;
  if (element.id % kPerRequest != 0 || done.place >= room_.size() ||
      element.len > room_[done.place]) {
    throw std::runtime_error("the device gave back what it was not given");
  }
  // The answer is behind the request, whose length its first piece and second piece tell.
  auto* const list =
      options_.indirect
          ? reinterpret_cast<wire::Descriptor*>(memory_.data() + place_offset(done.place))
          : descriptors() + element.id;
  const std::uint64_t request = list[0].len + list[1].len;
  const std::byte* const answer = memory_.data() + place_offset(done.place) + kPage + request;
  done.answer.assign(answer, answer + element.len);
  free_.push_back(done.place);
  return done;
}

DriverRing::Done DriverRing::wait() {
  for (;;) {
    // Asked for before it is looked at again: the device calls, or it is seen.
    store(available()[2 + options_.num], used_index_);
    if (auto done = poll(); done) {
      return *done;
    }
    pollfd event{call_.get(), POLLIN, 0};
    if (::poll(&event, 1, kPatience) <= 0) {
      throw std::runtime_error("the device did not answer");
    }
    std::uint64_t count = 0;
    [[maybe_unused]] const ssize_t got = ::read(call_.get(), &count, sizeof count);
  }
}

}  // namespace pmemfs::test
