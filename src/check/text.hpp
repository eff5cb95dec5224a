// Names from media as people may see them.
#pragma once

#include <string>
#include <string_view>

namespace pmemfs::check {

// What a terminal should not get, and what would end the line, as \xNN.
[[nodiscard]] std::string printable(std::string_view name);

}  // namespace pmemfs::check
