#pragma once

// What the tests of daemons that serve virtual machines need.

#include <cstdint>
#include <filesystem>
#include <string>

#include <nlohmann/json.hpp>

#include "mount/durable_support.hpp"
#include "support/eventually.hpp"
#include "support/guest_machine.hpp"

namespace pmemfs::test {

inline constexpr std::uint64_t kPlace = GuestMachine::kMappingUnit;

inline MountSpec with_guests(Kind kind, std::vector<std::string> guests) {
  MountSpec spec{kind};
  if (kind == Kind::kDirectory) {
    spec.host_size = "48M";
  }
  spec.guests = std::move(guests);
  return spec;
}

// The report of `pmemfsctl status`, by the region's path.
inline nlohmann::json status_of(const Mount& mount) {
  const ProgramResult result =
      run_program({program("pmemfsctl"), "status", "--json", mount.region()}, false);
  return nlohmann::json::parse(result.output);
}

// Of all guests and kinds so far, or of one kind.
inline std::uint64_t guest_requests(const Mount& mount, const std::string& kind = {}) {
  std::uint64_t sum = 0;
  const nlohmann::json status = status_of(mount);
  for (const nlohmann::json& guest : status.at("virtiofs")) {
    for (const auto& [name, count] : guest.at("requests").items()) {
      sum += kind.empty() || kind == name ? count.get<std::uint64_t>() : 0;
    }
  }
  return sum;
}

inline std::uint64_t free_bytes(const Mount& mount) {
  return status_of(mount).at("data_bytes_free").get<std::uint64_t>();
}

// The host file of a directory region that holds this inode's data.
inline std::string host_file(const Mount& mount, std::uint64_t ino) {
  const std::string begin = std::to_string(ino) + ".";
  for (const auto& entry :
       std::filesystem::recursive_directory_iterator(mount.region() + "/data")) {
    if (entry.path().filename().string().starts_with(begin)) {
      return entry.path();
    }
  }
  throw std::runtime_error("inode " + std::to_string(ino) + " has no host file");
}

// Places of two MiB from the start of the file on, to the start of the window.
inline int map_places(GuestMachine& machine, const GuestFile& file, unsigned places) {
  return machine.setup_mapping(file.node, 0, 0, places * kPlace).error;
}

inline std::string read_at(const std::string& path, std::uint64_t off, std::size_t size) {
  return pread_some(open_file(path, O_RDONLY).get(), size, static_cast<off_t>(off));
}

// Not what the kernel has cached.
inline std::string content_on_media(const std::string& path) {
  ::posix_fadvise(open_file(path, O_RDONLY).get(), 0, 0, POSIX_FADV_DONTNEED);
  return content_of(path);
}

// Where the daemon cannot give QEMU more than a file's length to map.
inline void need_window_files(const Mount& mount) {
  if (mount.log().find("no FUSE passthrough for windows") != std::string::npos) {
    PMEMFS_SKIP("needs FUSE passthrough (Linux 6.9) for windows onto host files");
  }
}

}  // namespace pmemfs::test
