// Where the answer to a guest's request goes.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "fuse/guest_session.hpp"

namespace pmemfs::fuse {

// One answer: once, and no longer than the room that the guest gave. Not thread-safe; `room` and
// `sink` outlive it.
class GuestReply {
 public:
  using Places = std::vector<std::span<std::byte>>;

  GuestReply(std::uint64_t unique, std::span<const iovec> room, const AnswerSink& sink);

  [[nodiscard]] std::size_t room() const { return room_; }  // bytes
  // Where so many bytes behind the header of the answer go. Nothing: that is not known, or there is
  // not so much room.
  [[nodiscard]] Places places(std::size_t size) const;

  // These say whether the guest has it. What is too long becomes EIO.
  bool send(std::span<const iovec> parts);
  // The first `size` bytes of what lies in its places.
  bool send_placed(const Places& places, std::size_t size);
  bool error(int code);  // 0: success without a value

 private:
  std::uint64_t unique_;
  std::span<const iovec> pieces_;
  std::size_t room_;
  const AnswerSink& sink_;
};

}  // namespace pmemfs::fuse
