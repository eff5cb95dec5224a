#pragma once

#include <optional>
#include <string>
#include <vector>

#include "pmemfs/filesystem.hpp"
#include "tools/report.hpp"

// What pmemfsctl media and scrub show; keys as report.hpp.
namespace pmemfs::tools {

Json media_report(const std::vector<BadMemory>& bad);
Json scrub_report(const Scrubbed& done);

std::string show_media(const Json& report);
std::string show_scrub(const Json& report);

// Why a scrub is no success, if that is what its report says: a line for people about `path`.
std::optional<std::string> what_is_wrong(const std::string& path, const Json& report);

}  // namespace pmemfs::tools
