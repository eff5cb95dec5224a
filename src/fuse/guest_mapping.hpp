// SETUPMAPPING and REMOVEMAPPING, decoded.
#pragma once

#include "fuse/guest_message.hpp"
#include "fuse/guest_session.hpp"
#include "pmemfs/result.hpp"

namespace pmemfs::fuse {

// Of a message that passed its check. EINVAL: flags that nobody knows or none, not aligned, empty,
// or beyond what offsets can tell. The inode is not looked at.
[[nodiscard]] Result<MappingRequest> mapping_request(const GuestMessage& message,
                                                     const GuestOptions& options);

// Calls `unmap` for each range, unless one is wrong (EINVAL). Goes on after a failure, whose code
// it returns.
[[nodiscard]] Status remove_mappings(const GuestMessage& message, const GuestOptions& options);

}  // namespace pmemfs::fuse
