#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "pmemfs/filesystem.hpp"
#include "pmemfs/format.hpp"

// What pmemfsctl shows: built as JSON where the data is, turned into text where people read it.
// The keys are documented in pmemfsctl(1) and only ever grow in number.
namespace pmemfs::tools {

using Json = nlohmann::json;

// Facts about the region that the core does not know.
struct RegionFacts {
  std::string path;
  std::string kind;        // "directory", "file" or "devdax"
  std::string filesystem;  // the host's, "ext4"; of a device "persistent memory"
  format::Superblock superblock{};
};

Json status_report(const RegionFacts& facts, const FilesystemStatus& status,
                   const FilesystemSpace& space);
Json durable_report(const std::vector<DurableFile>& files);
Json relocated_report(const Relocated& done);

// A member of a report; 0 and "" when it is not there.
std::uint64_t number_in(const Json& report, const char* key);
std::string text_in(const Json& report, const char* key);
// Names may hold anything; a terminal must not obey it.
std::string printable(std::string text);

// Lines with aligned columns, each ended by a newline.
std::string show_status(const Json& report);
std::string show_durable(const Json& report);
std::string show_counters(const Json& report);
std::string show_relocated(const Json& report);
std::string show_grown(const Json& report);
std::string show_frames(const Json& report);

}  // namespace pmemfs::tools
