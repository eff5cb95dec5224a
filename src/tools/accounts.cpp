#include "tools/accounts.hpp"

#include <grp.h>
#include <pwd.h>

#include <string>

#include "tools/size.hpp"

namespace pmemfs::tools {
namespace {

std::optional<std::uint32_t> as_id(std::uint64_t number) {
  if (number >= UINT32_MAX) {
    return std::nullopt;
  }
  return static_cast<std::uint32_t>(number);
}

}  // namespace

// Called while options are parsed, before there are threads.
std::optional<std::uint32_t> find_user(std::string_view name_or_number) {
  if (const auto number = parse_number(name_or_number)) {
    return as_id(*number);
  }
  const passwd* const entry = ::getpwnam(std::string(name_or_number).c_str());
  return entry == nullptr ? std::nullopt : as_id(entry->pw_uid);
}

std::optional<std::uint32_t> find_group(std::string_view name_or_number) {
  if (const auto number = parse_number(name_or_number)) {
    return as_id(*number);
  }
  const group* const entry = ::getgrnam(std::string(name_or_number).c_str());
  return entry == nullptr ? std::nullopt : as_id(entry->gr_gid);
}

}  // namespace pmemfs::tools
