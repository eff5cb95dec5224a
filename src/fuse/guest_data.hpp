// READ and WRITE of guests without a copy on the way. libfuse has no word for where data go, and
// wants in one piece what is to be written.
#pragma once

#include <optional>

#include "fuse/guest_channel.hpp"
#include "fuse/guest_message.hpp"
#include "fuse/guest_reply.hpp"
#include "pmemfs/filesystem.hpp"

namespace pmemfs::fuse {

// Of messages that passed check(), with the core's handle in them. What to answer, unless that was
// done; then the answer was given to `reply` or `take`. Thread-safe.

// `places`: the reply's, not empty.
std::optional<int> read_into(Filesystem& fs, const GuestMessage& message,
                             const GuestReply::Places& places, GuestReply& reply);
// Data that are lost in the guest's memory are an error here, and met by this thread: whoever
// watches that memory knows (base/media_faults.hpp).
std::optional<int> write_from(Filesystem& fs, const GuestMessage& message,
                              const GuestChannel::Take& take);

}  // namespace pmemfs::fuse
