#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "tools/report.hpp"

// How far long work of pmemfsctl is: one line that is written over, on a terminal alone.
namespace pmemfs::tools {

// In bytes; `done` is what was done to them: "moved".
void show_progress(std::uint64_t moved, std::uint64_t total, std::string_view done = "moved");
void end_progress();

// What PATH stands for; found once for all that is asked about it.
struct LongTarget {
  std::string path;
  std::optional<std::string> region;
};
LongTarget long_target_of(const std::string& path);

// Asks the daemon for long work and shows how far it is. Throws Failure: not mounted, …
Json ask_long(const LongTarget& target, const Json& request, std::string_view done = "moved");

}  // namespace pmemfs::tools
