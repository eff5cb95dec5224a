// Whether a guest may do what it asks for.
#pragma once

#include "fuse/guest_message.hpp"
#include "fuse/guest_rights.hpp"

namespace pmemfs::fuse {

// EACCES, EPERM, or why that cannot be told; for a guest whose rights are limited. What a local
// filesystem would take from such a user on the way (set-id bits that are to be set, or that a
// write ends) is taken from the message, too. Of a message that passed GuestMessage::check, with
// inode numbers for nodes and the filesystem's ids.
//
// What is looked at may change before the request is served, by others than this guest.
[[nodiscard]] Status check_rights(const GuestRights& rights, GuestMessage& message,
                                  bool setxattr_ext);

}  // namespace pmemfs::fuse
