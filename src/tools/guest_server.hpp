#pragma once

#include <memory>
#include <string>
#include <vector>

#include "pmemfs/filesystem.hpp"
#include "tools/control_protocol.hpp"
#include "tools/guest_options.hpp"
#include "tools/opened_region.hpp"

namespace pmemfs::fuse {
class WindowFiles;
}

namespace pmemfs::tools {

// One virtual machine's way in: its socket, its FUSE session and its window.
class GuestServer;

// All of a daemon's. Thread-safe once started.
class Guests {
 public:
  // Binds the sockets. `region` outlives it. Throws Failure.
  Guests(OpenedRegion& region, const std::vector<GuestOptions>& options, bool debug);
  ~Guests();  // as stop()
  Guests(const Guests&) = delete;
  Guests& operator=(const Guests&) = delete;

  // Throws Failure.
  void start();
  // Ends all connections, after the requests under way.
  void stop();

  // An array with an object for each.
  [[nodiscard]] control::Json status() const;
  [[nodiscard]] bool empty() const { return servers_.empty(); }

 private:
  Filesystem& fs_;
  std::unique_ptr<fuse::WindowFiles> files_;
  std::vector<std::unique_ptr<GuestServer>> servers_;
};

}  // namespace pmemfs::tools
