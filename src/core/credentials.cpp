#include "core/credentials.hpp"

#include <algorithm>
#include <fstream>
#include <sstream>
#include <string>

namespace pmemfs::core {

namespace {

bool granted(const std::vector<std::uint32_t>& list, std::uint32_t id) {
  return std::find(list.begin(), list.end(), id) != list.end();
}

// The process may have changed its fsuid since the request, or be another by now: its file must
// still show the uid that the kernel vouched for, read from the same opening of the file.
bool supplementary_group_granted(const DurablePolicy& policy, const Caller& caller) {
  if (caller.pid <= 0) {
    return false;
  }
  std::ifstream status("/proc/" + std::to_string(caller.pid) + "/status");
  bool same_user = false;
  for (std::string line; std::getline(status, line);) {
    std::istringstream fields(line);
    std::string key;
    fields >> key;
    std::uint32_t id = 0;
    if (key == "Uid:") {
      for (int i = 0; i < 4; i++) {
        fields >> id;  // real, effective, saved, filesystem
      }
      same_user = !fields.fail() && id == caller.uid;
    } else if (key == "Groups:" && same_user) {
      while (fields >> id) {
        if (granted(policy.gids, id)) {
          return true;
        }
      }
    }
  }
  return false;
}

}  // namespace

bool may_set_durable(const DurablePolicy& policy, const Caller& caller) {
  if (policy.all || caller.uid == 0 || granted(policy.uids, caller.uid) ||
      granted(policy.gids, caller.gid)) {
    return true;
  }
  return !policy.gids.empty() && supplementary_group_granted(policy, caller);
}

}  // namespace pmemfs::core
