// Opens files of a mount that another thread of this process serves.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>

#include "base/unique_fd.hpp"
#include "pmemfs/result.hpp"

namespace pmemfs::fuse {

// A process that is killed while it waits for its own answer never ends: the kernel waits for an
// answer to what the dead server has read (fs/fuse/dev.c, request_wait_answer), and closes the FUSE
// device, which would end that, with the last thread that has it. So what may wait is done by a
// thread with a table of descriptors of its own, without the device: that is closed with all other
// threads. Nothing but system calls is done there, since libraries keep numbers of descriptors.
//
// Thread-safe; one file is opened at a time.
class WindowOpener {
 public:
  // Of the root directory `mount`, which nobody else needs any more. Errors as socketpair(2),
  // unshare(2) and base::start_thread.
  static Result<std::unique_ptr<WindowOpener>> start(base::UniqueFd mount);
  ~WindowOpener();
  WindowOpener(const WindowOpener&) = delete;
  WindowOpener& operator=(const WindowOpener&) = delete;

  // To read and write; the name is removed. open(2)'s errors.
  Result<base::UniqueFd> open(std::uint64_t name);

 private:
  explicit WindowOpener(base::UniqueFd socket) : socket_(std::move(socket)) {}

  std::mutex mutex_;
  base::UniqueFd socket_;  // to the thread
  std::thread thread_;
};

}  // namespace pmemfs::fuse
