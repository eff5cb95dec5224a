// Who may set durable.
#pragma once

#include "core/context.hpp"

namespace pmemfs::core {

// fsuid 0 or a granted uid, or an fsgid or supplementary group that is granted. Supplementary
// groups are read from /proc/PID/status; any doubt is a no.
[[nodiscard]] bool may_set_durable(const DurablePolicy& policy, const Caller& caller);

}  // namespace pmemfs::core
