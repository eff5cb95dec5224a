// A split virtqueue: the device's side of one ring in the guest's memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "virtiofs/chain.hpp"
#include "virtiofs/memory.hpp"

namespace pmemfs::virtiofs {

constexpr std::uint32_t kMostDescriptors = 1024;  // of one ring

// What the VMM says of a ring.
struct RingSetup {
  std::uint32_t num = 0;          // descriptors, a power of two
  std::uint64_t descriptors = 0;  // addresses of the VMM
  std::uint64_t available = 0;
  std::uint64_t used = 0;
  bool indirect = false;
  bool event_idx = false;
};

// Not thread-safe; the guest is another thread all the same, so every number is read once, and the
// indices with the order that they need.
class Virtqueue {
 public:
  enum class Popped { kNothing, kChain, kBroken, kNoMemory };

  // Sets where the ring is. Null, or what is wrong; then the ring is not there. Keeps its place.
  const char* attach(const RingSetup& setup, std::shared_ptr<const GuestMemory> memory);
  void detach();
  [[nodiscard]] bool attached() const { return memory_ != nullptr; }

  // The next index in the available ring that is taken.
  [[nodiscard]] std::uint16_t next() const { return next_; }
  void start_at(std::uint16_t index) { next_ = index; }

  // Needs attached(), as all below. Goes on in the used ring where it is.
  void continue_used();

  // Takes the next chain. kBroken: the guest breaks the rules, see
  // wrong(); the ring cannot go on. kNoMemory: to describe it, so that it is still there.
  Popped pop(Chain& chain);
  [[nodiscard]] const char* wrong() const { return wrong_; }
  // The guest has made more available than was taken.
  [[nodiscard]] bool more() const { return available_index() != next_; }

  // Gives a chain back with `written` bytes. True: the guest wants to be called.
  bool push(std::uint16_t head, std::uint32_t written);

  // Asks the guest for a kick with the next chain. True: it was added already, so none may come.
  bool want_kick();
  // No kicks while the ring is looked at anyway.
  void no_kicks();

  // What more() looks at, for a thread that looks without the lock; keeps the memory mapped.
  struct Peek {
    std::shared_ptr<const GuestMemory> memory;
    std::uint16_t* index = nullptr;
    std::uint16_t seen = 0;

    [[nodiscard]] bool more() const;
  };
  [[nodiscard]] Peek peek() const { return {memory_, available_ + 1, next_}; }

 private:
  [[nodiscard]] std::uint16_t available_index() const;
  [[nodiscard]] std::uint16_t& used_field(std::size_t at) const;
  [[nodiscard]] bool wants_call(std::uint16_t before) const;

  RingSetup setup_;
  std::shared_ptr<const GuestMemory> memory_;
  std::byte* descriptors_ = nullptr;
  std::uint16_t* available_ = nullptr;  // flags, index, ring, used event
  std::byte* used_ = nullptr;           // flags, index, ring, available event
  std::uint16_t next_ = 0;
  std::uint16_t used_index_ = 0;
  const char* wrong_ = nullptr;
};

}  // namespace pmemfs::virtiofs
