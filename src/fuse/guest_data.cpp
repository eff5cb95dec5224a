#include "fuse/guest_data.hpp"

#include <fcntl.h>

#include <array>
#include <cerrno>
#include <span>

#include "base/media_faults.hpp"
#include "fuse/convert.hpp"
#include "fuse/reply.hpp"
#include "fuse/request.hpp"

namespace pmemfs::fuse {
namespace {

constexpr std::size_t kPage = 4096;

// A page that the kernel could not read for us is lost, but no signal has told of it yet.
void meet_losses(std::span<const std::span<const std::byte>> pieces) {
  for (const std::span<const std::byte> piece : pieces) {
    for (std::size_t at = 0; at < piece.size(); at += kPage) {
      (void)*static_cast<const volatile std::byte*>(&piece[at]);
    }
    (void)*static_cast<const volatile std::byte*>(&piece.back());
  }
}

Result<std::size_t> write(Filesystem& fs, const GuestMessage& message) {
  const auto in = message.argument<fuse_write_in>();
  const auto pieces = message.data();
  // Pages that a mapping dirtied have their place, whatever the handle says.
  const bool append = (in.flags & O_APPEND) != 0 && (in.write_flags & FUSE_WRITE_CACHE) == 0;
  const bool kill = Request(message.bytes()).kills_suid_sgid();
  auto count = fs.write_parts(FileHandle::decode(in.fh).handle, in.offset, pieces, append, kill);
  if (count ? *count < in.size : count.code() == EFAULT) {
    meet_losses(pieces);
  }
  return count;
}

// Calls the core: EIO, whatever it says, when this thread met a media error meanwhile.
template <typename Call>
Result<std::size_t> counted(const Call& call) {
  const std::uint64_t errors = base::media_errors_met();
  auto count = guarded(call);
  return base::media_errors_met() == errors ? count : Error(EIO);
}

}  // namespace

std::optional<int> read_into(Filesystem& fs, const GuestMessage& message,
                             const GuestReply::Places& places, GuestReply& reply) {
  const auto in = message.argument<fuse_read_in>();
  const auto count =
      counted([&] { return fs.read_parts(FileHandle::decode(in.fh).handle, in.offset, places); });
  if (!count) {
    return count.code();
  }
  (void)reply.send_placed(places, *count);
  return std::nullopt;
}

std::optional<int> write_from(Filesystem& fs, const GuestMessage& message,
                              const GuestChannel::Take& take) {
  const auto count = counted([&] { return write(fs, message); });
  if (!count) {
    return count.code();
  }
  fuse_write_out body{static_cast<std::uint32_t>(*count), 0};
  fuse_out_header head{sizeof(head) + sizeof(body), 0, message.unique()};
  std::array<iovec, 2> parts{{{&head, sizeof(head)}, {&body, sizeof(body)}}};
  take(parts);
  return std::nullopt;
}

}  // namespace pmemfs::fuse
