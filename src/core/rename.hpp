// rename(2) and renameat2(2).
#pragma once

#include <string_view>

#include "core/context.hpp"

namespace pmemfs::core {

Status rename(Context& c, const Caller& caller, InodeNo from, std::string_view name, InodeNo to,
              std::string_view new_name, unsigned flags);

}  // namespace pmemfs::core
