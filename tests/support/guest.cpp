#include "support/guest.hpp"

#include <algorithm>
#include <cstring>
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

GuestRoom::GuestRoom(std::size_t size, bool known) {
  if (!known) {
    pieces_.push_back({nullptr, size});
    return;
  }
  constexpr std::size_t kGap = 64;
  constexpr std::size_t kSizes[] = {5, 30, 1, 4096, 100};
  memory_.resize(size + (size / 4096 + std::size(kSizes) + 1) * kGap);
  std::size_t at = 0;
  for (std::size_t i = 0; size > 0; ++i) {
    const std::size_t piece = std::min(size, i < std::size(kSizes) ? kSizes[i] : 8192);
    pieces_.push_back({memory_.data() + at, piece});
    at += piece + kGap;
    size -= piece;
  }
}

void GuestRoom::fill(std::span<const std::byte> bytes) {
  for (const iovec& piece : pieces_) {
    const std::size_t n = std::min(bytes.size(), piece.iov_len);
    std::memcpy(piece.iov_base, bytes.data(), n);
    bytes = bytes.subspan(n);
  }
}

GuestReply Guest::ask(GuestRequest request) {
  const std::span<std::byte> bytes = request.bytes();
  const std::size_t copied = std::min(bytes.size(), fuse::GuestSession::copied(bytes));
  GuestRoom rest(bytes.size() - copied, true);
  rest.fill(bytes.subspan(copied));
  return serve(bytes.first(copied), rest.pieces(), request.header.opcode == FUSE_READ);
}

GuestReply Guest::ask(GuestRequest request, std::span<const iovec> rest) {
  return serve(request.bytes(), rest, false);
}

GuestReply Guest::serve(std::span<std::byte> bytes, std::span<const iovec> rest, bool reads) {
  GuestReply reply;
  const GuestRoom memory(room, reads);
  session_->serve(bytes, rest, memory.pieces(), [&](std::span<const iovec> parts) {
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
