#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "pmemfs/format.hpp"

namespace pmemfs::tools {

// Random, version 4 of RFC 4122.
format::Uuid make_uuid();

// 8-4-4-4-12 hexadecimal digits, lower case when shown, either case when parsed.
std::optional<format::Uuid> parse_uuid(std::string_view text);
std::string show_uuid(const format::Uuid& uuid);

}  // namespace pmemfs::tools
