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
  // One message: what `copied` wants of it in memory of our own, which may be changed, and `rest`,
  // pieces of the guest's memory, which it may change at any time and which may be lost when they
  // are read. And the room for its answer: pieces of the guest's memory, too. What is put there,
  // and given to `sink` as it lies, is not copied. From several threads at once; none of them may
  // throw.
  std::function<void(std::span<std::byte> message, std::span<const iovec> rest,
                     std::span<const iovec> room, const AnswerSink& sink)>
      serve;
  // How many bytes of a message that begins so are copied, the header of 40 at least. Empty: all.
  std::function<std::size_t(std::span<const std::byte> header)> copied;
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
