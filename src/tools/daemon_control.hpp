#pragma once

#include <atomic>
#include <map>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <vector>

#include "fuse/session.hpp"
#include "tools/control_server.hpp"
#include "tools/guest_server.hpp"
#include "tools/opened_region.hpp"

namespace pmemfs::tools {

// The commands that a running daemon answers. Thread-safe.
class DaemonControl {
 public:
  struct Identity {
    std::string mount_point;
    std::vector<std::string> options;  // our own mount options, as given
  };

  // All outlive the call of stopping(). `session`: null when nothing is mounted.
  DaemonControl(OpenedRegion& region, const fuse::Session* session, const Guests& guests,
                Identity identity)
      : region_(region), session_(session), guests_(guests), identity_(std::move(identity)) {}

  // Listens. Without the socket the filesystem works all the same: failing is a warning.
  void start();
  // From now on the answer is that the daemon is about to end; waits for commands under way.
  void stopping();

 private:
  [[nodiscard]] control::Json state() const;
  [[nodiscard]] control::Json status() const;
  [[nodiscard]] fuse::SessionStatus session_status() const;
  [[nodiscard]] control::Json counters() const;
  control::Json reset_counters();
  // Moves data, with progress; ends early when nobody listens any more or the mount comes down.
  control::Json defrag(const control::Json& request, const control::Progress& progress);
  control::Json compact(const control::Json& request, const control::Progress& progress);
  control::Json media();
  control::Json scrub(const control::Progress& progress);
  control::Json grow(const control::Json& request);
  control::Json stamp_to_move(const control::Json& request);
  control::Json unlink_moved(const control::Json& request);
  control::Json shrink(const control::Json& request, const control::Progress& progress);
  control::Json evacuate(const control::Json& request, const control::Progress& progress);
  [[nodiscard]] RelocationWatch watch(const control::Progress& progress) const;
  // The command wrapped so that it is not run while or after the filesystem closes.
  template <typename Body>
  control::Command guarded(Body body);

  OpenedRegion& region_;
  const fuse::Session* session_;
  const Guests& guests_;
  Identity identity_;
  mutable std::shared_mutex gate_;   // shared by commands; exclusive to change stopping_
  bool stopping_ = false;            // under gate_
  std::atomic<bool> ending_{false};  // long work is to end
  mutable std::mutex baseline_mutex_;
  std::map<std::string, std::uint64_t> baseline_;  // counts at the last reset; baseline_mutex_
  control::Server server_;
};

}  // namespace pmemfs::tools
