// What goes on in the background: host syncs, orphans, memory.
#pragma once

#include <condition_variable>
#include <mutex>
#include <thread>

#include "core/context.hpp"

namespace pmemfs::core {

// Frees the inodes with link count 0 that a crash left. Before the first request.
void free_orphan_inodes(Context& c);

// Deletes host files whose (ino, gen) the inode table proves freed. Names that are not ours and
// everything in doubt stays, counted in Context::orphans_kept. Runs beside requests.
// `first_new`: generations from here on were given out after this mount began.
void collect_orphan_files(Context& c, std::uint64_t first_new, bool table_trusted);

// Syncs the host filesystem, then marks what was created before as synced.
Status sync_host(Context& c);

// Calls sync_host() at most five seconds behind a creation, settles what virtual machines have
// unmapped, has new media errors recorded, keeps
// directory indexes below their cap, and hands memory back to the system when the kernel has
// forgotten many inodes. Starts and stops a thread.
class Syncer {
 public:
  explicit Syncer(Context& c);
  Syncer(const Syncer&) = delete;
  Syncer& operator=(const Syncer&) = delete;
  ~Syncer();

 private:
  void run();
  void work();
  void trim_memory();

  Context& c_;
  std::uint64_t gone_ = 0;  // nodes that had gone when memory was last handed back
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace pmemfs::core
