// Reading everything there is, to find what has gone bad before somebody needs it.
#pragma once

#include "core/context.hpp"

namespace pmemfs::core {

// As Filesystem::scrub. No locks held.
Result<Scrubbed> scrub(Context& c, const RelocationWatch& watch);

}  // namespace pmemfs::core
