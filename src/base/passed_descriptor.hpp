#pragma once

#include <sys/socket.h>

#include <array>
#include <cstring>

#include "base/unique_fd.hpp"

namespace pmemfs::base {

// Room for one descriptor that goes with a message over a Unix socket (SCM_RIGHTS). Outlives the
// use of the header that it was told to.
class PassedDescriptor {
 public:
  // `fd` goes with the message, and stays the sender's.
  void send_with(msghdr& header, int fd) {
    expect_with(header);
    cmsghdr* const right = CMSG_FIRSTHDR(&header);
    right->cmsg_level = SOL_SOCKET;
    right->cmsg_type = SCM_RIGHTS;
    right->cmsg_len = CMSG_LEN(sizeof(fd));
    std::memcpy(CMSG_DATA(right), &fd, sizeof(fd));
  }
  // One may come with the message.
  void expect_with(msghdr& header) {
    header.msg_control = room_.data();
    header.msg_controllen = room_.size();
  }
  // What came with it, if anything did.
  static UniqueFd received_with(const msghdr& header) {
    const cmsghdr* const right = CMSG_FIRSTHDR(&header);
    if (right == nullptr || right->cmsg_level != SOL_SOCKET || right->cmsg_type != SCM_RIGHTS) {
      return {};
    }
    int fd = -1;
    std::memcpy(&fd, CMSG_DATA(right), sizeof(fd));
    return UniqueFd(fd);
  }

 private:
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> room_{};
};

}  // namespace pmemfs::base
