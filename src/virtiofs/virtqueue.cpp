#include "virtiofs/virtqueue.hpp"

#include <atomic>
#include <bit>
#include <cstring>
#include <new>
#include <utility>

namespace pmemfs::virtiofs {
namespace {

// Of both rings, in units of 16 bits.
constexpr std::size_t kFlags = 0;
constexpr std::size_t kIndex = 1;
constexpr std::size_t kRing = 2;
constexpr std::size_t kRingBytes = 4;  // where the used ring's elements begin

std::uint16_t load(std::uint16_t& shared, std::memory_order order) {
  return std::atomic_ref(shared).load(order);
}

void store(std::uint16_t& shared, std::uint16_t value, std::memory_order order) {
  std::atomic_ref(shared).store(value, order);
}

template <typename T>
T* aligned(std::byte* bytes) {
  return reinterpret_cast<std::uintptr_t>(bytes) % alignof(T) == 0 ? reinterpret_cast<T*>(bytes)
                                                                   : nullptr;
}

}  // namespace

const char* Virtqueue::attach(const RingSetup& setup, std::shared_ptr<const GuestMemory> memory) {
  detach();
  if (!memory) {
    return wrong_ = "the guest's memory was not told";
  }
  const std::uint64_t num = setup.num;
  if (num > kMostDescriptors || !std::has_single_bit(num)) {
    return wrong_ = "its size was not told";
  }
  std::byte* const descriptors =
      memory->at_user(setup.descriptors, num * sizeof(wire::Descriptor), false);
  std::byte* const available = memory->at_user(setup.available, 2 * (num + 3), false);
  std::byte* const used = memory->at_user(setup.used, 6 + num * sizeof(wire::UsedElement), true);
  if (descriptors == nullptr || available == nullptr || used == nullptr) {
    return wrong_ = "it is not in the guest's memory";
  }
  if (aligned<std::uint64_t>(descriptors) == nullptr ||
      aligned<std::uint16_t>(available) == nullptr || aligned<std::uint32_t>(used) == nullptr) {
    return wrong_ = "it is not aligned";
  }
  setup_ = setup;
  memory_ = std::move(memory);
  descriptors_ = descriptors;
  available_ = aligned<std::uint16_t>(available);
  used_ = used;
  wrong_ = nullptr;
  return nullptr;
}

void Virtqueue::detach() {
  memory_.reset();
  descriptors_ = nullptr;
  available_ = nullptr;
  used_ = nullptr;
}

void Virtqueue::continue_used() {
  used_index_ = load(used_field(kIndex), std::memory_order_acquire);
}

std::uint16_t& Virtqueue::used_field(std::size_t at) const {
  return reinterpret_cast<std::uint16_t*>(used_)[at];
}

std::uint16_t Virtqueue::available_index() const {
  return load(available_[kIndex], std::memory_order_acquire);
}

bool Virtqueue::Peek::more() const {
  return load(*index, std::memory_order_acquire) != seen;
}

Virtqueue::Popped Virtqueue::pop(Chain& chain) {
  const auto waiting = static_cast<std::uint16_t>(available_index() - next_);
  if (waiting == 0) {
    return Popped::kNothing;
  }
  if (waiting > setup_.num) {
    wrong_ = "more is available than the ring holds";
    return Popped::kBroken;
  }
  const std::size_t place = next_ & (setup_.num - 1);
  const std::uint16_t head = load(available_[kRing + place], std::memory_order_relaxed);
  chain.clear();
  chain.memory = memory_;
  ChainReader reader(descriptors_, static_cast<std::uint16_t>(setup_.num), setup_.indirect,
                     *memory_);
  try {
    wrong_ = reader.read(head, chain);
  } catch (const std::bad_alloc&) {
    return Popped::kNoMemory;
  }
  if (wrong_ != nullptr) {
    return Popped::kBroken;
  }
  ++next_;
  return Popped::kChain;
}

bool Virtqueue::push(std::uint16_t head, std::uint32_t written) {
  const wire::UsedElement element{head, written};
  const std::size_t place = used_index_ & (setup_.num - 1);
  std::memcpy(used_ + kRingBytes + place * sizeof element, &element, sizeof element);
  const std::uint16_t before = used_index_++;
  // Sequentially consistent, as the load that follows: the used index is seen before what the guest
  // says of calls is read. Else both could miss.
  store(used_field(kIndex), used_index_, std::memory_order_seq_cst);
  return wants_call(before);
}

bool Virtqueue::wants_call(std::uint16_t before) const {
  if (!setup_.event_idx) {
    return (load(available_[kFlags], std::memory_order_seq_cst) & wire::kNoInterrupt) == 0;
  }
  const std::uint16_t event = load(available_[kRing + setup_.num], std::memory_order_seq_cst);
  return static_cast<std::uint16_t>(used_index_ - event - 1) <
         static_cast<std::uint16_t>(used_index_ - before);
}

bool Virtqueue::want_kick() {
  if (setup_.event_idx) {
    constexpr std::size_t kUnit = sizeof(std::uint16_t);
    const std::size_t event = (kRingBytes + setup_.num * sizeof(wire::UsedElement)) / kUnit;
    store(used_field(event), next_, std::memory_order_seq_cst);
  } else {
    store(used_field(kFlags), 0, std::memory_order_seq_cst);
  }
  return load(available_[kIndex], std::memory_order_seq_cst) != next_;
}

void Virtqueue::no_kicks() {
  if (!setup_.event_idx) {
    store(used_field(kFlags), wire::kNoNotify, std::memory_order_relaxed);
  }
}

}  // namespace pmemfs::virtiofs
