#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace pmemfs::tools {

// The id of a user or group given by number or by name; nothing when there is none of that name.
// The number that stands for "no id" (2^32 - 1) is refused.
std::optional<std::uint32_t> find_user(std::string_view name_or_number);
std::optional<std::uint32_t> find_group(std::string_view name_or_number);

}  // namespace pmemfs::tools
