#pragma once

#include <cstdint>

// How far long work of pmemfsctl is: one line that is written over, on a terminal alone.
namespace pmemfs::tools {

void show_progress(std::uint64_t moved, std::uint64_t total);  // bytes
void end_progress();

}  // namespace pmemfs::tools
