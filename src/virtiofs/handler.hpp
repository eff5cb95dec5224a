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
  // One message, in memory of our own, which may be changed, and the room for its answer: pieces of
  // the guest's memory. What is put there, and given to `sink` as it lies, is not copied.
  // From several threads at once; none of them may throw.
  std::function<void(std::span<std::byte> message, std::span<const iovec> room,
                     const AnswerSink& sink)>
      serve;
  // The message may wait for a lock, the host or the VMM: another thread looks after the queue
  // meanwhile, without waiting to see. May be empty.
  std::function<bool(std::span<const std::byte> message)> may_take_long;
  // A VMM came; or its guest begins anew (a reset, a boot), after gone(). May be empty.
  std::function<void()> connected;
  // The VMM went, or its guest is gone: no request is under way, and nothing is mapped in the
  // window any more, since a VMM empties it with a reset. May be empty.
  std::function<void()> gone;
};

}  // namespace pmemfs::virtiofs
