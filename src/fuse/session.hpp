// A mounted filesystem: the FUSE edge as its users see it. No libfuse types here.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "pmemfs/filesystem.hpp"
#include "pmemfs/result.hpp"

namespace pmemfs::fuse {

struct SessionOptions {
  std::string source;      // first column of /proc/mounts
  std::string mountpoint;  // an existing directory
  // Words of -o that concern the kernel, validated by the caller: ro, rw, [no]suid, [no]dev,
  // [no]exec, [no]atime …, allow_other, context=…; suid and dev are honoured unless switched off,
  // default_permissions is always on.
  std::vector<std::string> kernel_options;
  bool read_only = false;
  bool debug = false;       // every request to the log
  unsigned threads = 0;     // upper limit of worker threads; 0: 64
  bool passthrough = true;  // ask for it; say so when it is missing
  bool shared = false;      // guests change the filesystem too: cache as CachePolicy::kAuto
  bool region_is_stacked =
      false;  // backing files lie on overlayfs or the like (then nothing stacks on the mount)
  std::chrono::microseconds spin{
      100};  // longest busy wait for the next request of a busy client; 0: never
  std::chrono::milliseconds idle_backing{
      10'000};                          // how long a registration outlives the last close
  std::size_t max_idle_backing = 1024;  // how many of them
};

// How the edge fares, for status reports.
struct SessionStatus {
  bool passthrough = false;
  unsigned threads = 0;
  std::size_t backing_files = 0;  // registered with the kernel, idle ones included
  // Requests since the mount by opcode, as the kernel names them; only those that came, in order of
  // opcode.
  std::vector<std::pair<std::string, std::uint64_t>> requests;
};

// From mount to unmount. mount() starts no thread, so that a daemon may fork between mount() and
// run(): the parent then leaves by _exit, without running destructors.
class Session final {
 public:
  // Mounts, has the kernel's INIT answered, and tells `fs` what was granted (set_passthrough,
  // set_hooks). `fs` outlives the session. On failure nothing is mounted and *why is one line for
  // the user.
  static Result<std::unique_ptr<Session>> mount(Filesystem& fs, const SessionOptions& options,
                                                std::string* why);

  // Unmounts if need be; run() must have returned.
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Serves requests until the filesystem is unmounted or stop() is called (both are success), or
  // until the device fails. When it returns no request is under way and the mount point is free;
  // programs that still have files open get ENOTCONN once the session is destroyed, their mappings
  // live on. `on_ready` is called once, when requests are being served. Once per session. Takes
  // SIGRTMIN + 3 for itself.
  Status run(const std::function<void()>& on_ready);

  // Makes run() unmount and return. Async-signal-safe, from any thread, any number of times, before
  // run() too.
  void stop();

  // True when run() ended since somebody unmounted, false when stop() was first.
  [[nodiscard]] bool unmounted() const;
  // After run(): no program has a file open or mapped any more (see WorkerPool::users_gone).
  [[nodiscard]] bool users_gone() const;
  [[nodiscard]] bool passthrough() const;      // granted by the kernel and proven to work
  [[nodiscard]] SessionStatus status() const;  // thread-safe

 private:
  struct Impl;
  explicit Session(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace pmemfs::fuse
