#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "tools/control_client.hpp"
#include "tools/mount_table.hpp"

// Finding and watching the daemon of a mounted region.
namespace pmemfs::tools {

// A connection to the daemon that serves this region; nothing when none answers.
std::optional<control::Client> connect_daemon(const std::string& region);

struct DaemonState {
  bool stopping = false;
  bool read_only = false;
  std::string mount_point;  // empty: it serves virtual machines alone
  std::vector<std::string> options;
};
// Nothing when the daemon does not answer soon.
std::optional<DaemonState> ask_state(const std::string& region);

// Watches one process from before the unmount on, so that its number cannot be another's.
class DaemonWatch {
 public:
  // Of the daemon that serves the region, by its socket, else by the region's superblock.
  explicit DaemonWatch(std::string region);

  // Waits for its end, as long as it takes to close the region; returns false when it goes on
  // serving (the filesystem is still mounted elsewhere, or in use after a lazy unmount). True at
  // once when no daemon was found.
  [[nodiscard]] bool wait_for_end(std::chrono::milliseconds grace) const;

 private:
  [[nodiscard]] bool ended(std::chrono::milliseconds wait) const;

  std::string region_;
  base::UniqueFd process_;
};

}  // namespace pmemfs::tools
