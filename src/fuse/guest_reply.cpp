#include "fuse/guest_reply.hpp"

#include <linux/fuse.h>

#include <algorithm>
#include <cerrno>
#include <numeric>

namespace pmemfs::fuse {
namespace {

std::size_t size_of(std::span<const iovec> parts) {
  return std::accumulate(parts.begin(), parts.end(), std::size_t{0},
                         [](std::size_t sum, const iovec& part) { return sum + part.iov_len; });
}

}  // namespace

GuestReply::GuestReply(std::uint64_t unique, std::span<const iovec> room, const AnswerSink& sink)
    : unique_(unique), pieces_(room), room_(size_of(room)), sink_(sink) {}

GuestReply::Places GuestReply::places(std::size_t size) const {
  Places places;
  std::size_t head = sizeof(fuse_out_header);
  for (const iovec& piece : pieces_) {
    const std::size_t skipped = std::min(head, piece.iov_len);
    const std::size_t taken = std::min(size, piece.iov_len - skipped);
    head -= skipped;
    size -= taken;
    if (taken == 0) {
      continue;
    }
    if (piece.iov_base == nullptr) {
      return {};
    }
    places.emplace_back(static_cast<std::byte*>(piece.iov_base) + skipped, taken);
  }
  return size == 0 ? places : Places();
}

bool GuestReply::send(std::span<const iovec> parts) {
  if (size_of(parts) > room_) {
    (void)error(EIO);
    return false;
  }
  return sink_(parts);
}

bool GuestReply::send_placed(const Places& places, std::size_t size) {
  fuse_out_header out{static_cast<std::uint32_t>(sizeof(out) + size), 0, unique_};
  std::vector<iovec> parts{{&out, sizeof(out)}};
  for (const std::span<std::byte> place : places) {
    const std::size_t taken = std::min(size, place.size());
    parts.push_back({place.data(), taken});
    size -= taken;
  }
  return send(parts);
}

bool GuestReply::error(int code) {
  fuse_out_header out{sizeof(out), -code, unique_};
  const iovec part{&out, sizeof(out)};
  return sizeof(out) <= room_ && sink_({&part, 1});
}

}  // namespace pmemfs::fuse
