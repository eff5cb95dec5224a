// What a device asks of the one who answers its requests.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <functional>
#include <span>

namespace pmemfs::virtiofs {

// Takes the answer in pieces; false when it does not fit the room that the guest gave, or when
// there was an answer already.
using AnswerSink = std::function<bool(std::span<const iovec>)>;

// Called from threads of the device.
struct DeviceHandler {
  // One message, in memory of our own, which may be changed, and the room for its answer (bytes).
  // From several threads at once; none of them may throw.
  std::function<void(std::span<std::byte> message, std::size_t room, const AnswerSink& sink)> serve;
  // The message may wait for a lock, the host or the VMM: another thread looks after the queue
  // meanwhile, without waiting to see. May be empty.
  std::function<bool(std::span<const std::byte> message)> may_take_long;
  // A VMM came, or has reset the device; then gone() was called before. May be empty.
  std::function<void()> connected;
  // It went, or resets the device: no request is under way, and nothing is mapped in its window any
  // more. May be empty.
  std::function<void()> gone;
};

}  // namespace pmemfs::virtiofs
