// Extended attributes and access control lists.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/context.hpp"

namespace pmemfs::core {

Result<std::vector<std::byte>> getxattr(Context& c, InodeNo ino, std::string_view name,
                                        const Asker& asker);
// trusted.* names are shown to uid 0 alone.
Result<std::vector<std::string>> listxattr(Context& c, const Caller& caller, InodeNo ino);
Status setxattr(Context& c, const Caller& caller, InodeNo ino, std::string_view name,
                std::span<const std::byte> value, int flags, bool kill_sgid);
Status removexattr(Context& c, const Caller& caller, InodeNo ino, std::string_view name);

}  // namespace pmemfs::core
