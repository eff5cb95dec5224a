#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fuse/id_map.hpp"
#include "fuse/view.hpp"

// What stands behind --virtiofs=: one socket at which one virtual machine is served.
namespace pmemfs::tools {

struct GuestOptions {
  std::string socket;
  std::string tag;           // what the guest mounts
  std::uint64_t window = 0;  // bytes; 0: nothing is mapped directly
  fuse::CachePolicy cache = fuse::CachePolicy::kAuto;
  bool read_only = false;
  unsigned queues = 2;        // request queues
  bool memory_slots = false;  // see virtiofs::DeviceOptions
  unsigned threads = 8;       // for each of them, at most
  fuse::IdMap uids;
  fuse::IdMap gids;
};

// One for each text, in their order. Throws Failure(kExitUsage) naming the word that is unknown or
// malformed.
std::vector<GuestOptions> parse_guest_options(std::span<const std::string> texts);

// Text for --help: one line for each word.
std::string describe_guest_options();

}  // namespace pmemfs::tools
