// The two superblocks.
#pragma once

#include <optional>

#include "check/check.hpp"
#include "check/findings.hpp"

namespace pmemfs::check {

// The one in force; says which copy no crash explains, and in a repair writes both anew, also when
// both are damaged (Options::remake). nullopt: nothing else can be read, and why was said. Errors:
// EINVAL, EOPNOTSUPP as check().
Result<std::optional<format::Superblock>> check_superblocks(Region& region, const Options& options,
                                                            Findings& out, Report& report);

}  // namespace pmemfs::check
