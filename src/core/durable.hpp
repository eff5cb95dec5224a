// The mmap-durable flag: setting, clearing, and what the read-only companions say.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "core/context.hpp"

namespace pmemfs::core {

// Names that pmemfs answers itself. They are hidden from listxattr.
enum class OwnName : std::uint8_t {
  kNone,     // not ours
  kDurable,  // user. or trusted.pmemfs.mmap_durable
  kGranularity,
  kMapping,
  kPlacement,
  kExtents,
  kUnknown,  // in our place, but not one of ours: EOPNOTSUPP
};
[[nodiscard]] OwnName own_name(std::string_view name);

// EPERM without the right, EINVAL for another value than "0" and "1", EROFS, EOPNOTSUPP on what is
// neither file nor directory or where the region is neither persistent nor emulated, EDQUOT,
// ENOSPC, EBUSY. `flags` as setxattr(2).
Status set_durable(Context& c, const Caller& caller, InodeNo ino, std::span<const std::byte> value,
                   int flags);
Status clear_durable(Context& c, const Caller& caller, InodeNo ino);

// The value of one of our names. ENODATA: mmap_durable of a file that is not durable.
Result<std::string> own_value(Context& c, InodeNo ino, OwnName name, const Asker& asker);

}  // namespace pmemfs::core
