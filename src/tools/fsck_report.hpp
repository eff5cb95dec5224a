// What fsck.pmemfs says of a check.
#pragma once

#include <string>

#include "check/check.hpp"

namespace pmemfs::tools {

// Lines for people, the last one the verdict. `counts`: with what there is.
[[nodiscard]] std::string fsck_text(const std::string& path, const check::Report& report,
                                    bool counts);

[[nodiscard]] std::string fsck_json(const std::string& path, const check::Report& report);

}  // namespace pmemfs::tools
