#include "fuse/guest_mapping.hpp"

#include <cerrno>
#include <cstddef>

namespace pmemfs::fuse {
namespace {

bool aligned(std::uint64_t number, unsigned shift) {
  return (number & ((std::uint64_t{1} << shift) - 1)) == 0;
}

// Not empty, and no sum overflows a signed number.
bool is_range(std::uint64_t off, std::uint64_t len, unsigned shift) {
  constexpr auto kMost = static_cast<std::uint64_t>(INT64_MAX);
  return len != 0 && off <= kMost && len <= kMost - off && aligned(off, shift) &&
         aligned(len, shift);
}

}  // namespace

Result<MappingRequest> mapping_request(const GuestMessage& message, const GuestOptions& options) {
  const auto in = message.argument<fuse_setupmapping_in>();
  constexpr std::uint64_t kKnown = FUSE_SETUPMAPPING_FLAG_READ | FUSE_SETUPMAPPING_FLAG_WRITE;
  if ((in.flags & ~kKnown) != 0 || (in.flags & kKnown) == 0 ||
      !is_range(in.foffset, in.len, options.map_alignment) ||
      !is_range(in.moffset, in.len, options.map_alignment)) {
    return Error(EINVAL);
  }
  // in.fh means nothing: kernels send -1.
  return MappingRequest{InodeNo(message.header().nodeid), in.foffset, in.len, in.moffset};
}

Status remove_mappings(const GuestMessage& message, const GuestOptions& options) {
  const std::uint32_t count = message.argument<fuse_removemapping_in>().count;
  const auto range = [&](std::uint32_t i) {
    return message.argument<fuse_removemapping_one>(sizeof(fuse_removemapping_in) +
                                                    i * sizeof(fuse_removemapping_one));
  };
  for (std::uint32_t i = 0; i < count; ++i) {
    if (!is_range(range(i).moffset, range(i).len, options.map_alignment)) {
      return Error(EINVAL);
    }
  }
  Status result;
  for (std::uint32_t i = 0; i < count; ++i) {
    const Status status = options.unmap(range(i).moffset, range(i).len);
    if (!status && result) {
      result = status;
    }
  }
  return result;
}

}  // namespace pmemfs::fuse
