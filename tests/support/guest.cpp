#include "support/guest.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace pmemfs::test {

Guest::Guest(Filesystem& fs, fuse::GuestOptions options) {
  auto created = fuse::GuestSession::create(fs, std::move(options));
  if (!created) {
    throw std::runtime_error("no guest session: errno " + std::to_string(created.code()));
  }
  session_ = std::move(*created);
}

GuestReply Guest::ask(GuestRequest request) {
  GuestReply reply;
  session_->serve(request.bytes(), room, [&](std::span<const iovec> parts) {
    if (reply.came) {
      throw std::runtime_error("answered twice");
    }
    reply.came = true;
    if (!takes) {
      return false;
    }
    std::string whole;
    for (const iovec& part : parts) {
      whole.append(static_cast<const char*>(part.iov_base), part.iov_len);
    }
    reply = GuestReply::of(whole);
    return true;
  });
  return reply;
}

}  // namespace pmemfs::test
