// Requests of ours to the VMM: what its guest sees in the window.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>

#include "base/unique_fd.hpp"
#include "pmemfs/result.hpp"
#include "virtiofs/event.hpp"
#include "virtiofs/protocol.hpp"

namespace pmemfs::virtiofs {

// map() and unmap() are thread-safe; the rest is told by one thread. One request is under way at a
// time.
//
// The VMM answers on the thread that also talks to us, and while it waits for one of our answers
// there (that a ring has stopped) it answers nothing here. So a ring that stops ends what waits.
class BackendChannel {
 public:
  // `failed` is called when the VMM breaks the protocol or does not answer within `patience`.
  BackendChannel(std::chrono::milliseconds patience, std::function<void()> failed);

  // Before all else. EMFILE and others: no event can be had.
  Status prepare();

  // The VMM gives the socket, in place of the one before.
  void open(base::UniqueFd socket);
  // What it understands: without both nothing is asked for.
  void negotiated(bool shmem, bool reply_ack);
  [[nodiscard]] bool understood() const { return understood_.load(); }
  // A ring was started: requests may be made.
  void resume();
  // A ring is to stop, or the VMM to go: what waits ends with EAGAIN, and nothing is sent until
  // resume().
  void suspend();
  // As before the VMM came.
  void close();

  // ENOTCONN: no VMM, no channel, or no ring runs. EAGAIN: a ring stops meanwhile, and it is not
  // known whether this was done. EIO: the VMM refuses. ETIMEDOUT: it does not answer, and its
  // connection is ended. EPROTO: it answers nonsense; the same.
  Status map(int fd, std::uint64_t fd_offset, std::uint64_t window_off, std::uint64_t len);
  Status unmap(std::uint64_t window_off, std::uint64_t len);

 private:
  Status ask(wire::BackendRequest request, const wire::ShmemRange& range, int fd);
  Status answer(wire::BackendRequest request);
  Status take_answer(wire::BackendRequest request, std::chrono::milliseconds time, bool& refused);
  Status give_up(int code);

  const std::chrono::milliseconds patience_;
  const std::function<void()> failed_;
  Event interrupt_;  // readable while suspended
  std::atomic<bool> suspended_{true};
  std::atomic<bool> understood_{false};

  std::mutex mutex_;  // all below; held while a request is under way
  base::UniqueFd socket_;
  unsigned stale_ = 0;  // answers to come that nobody waits for any more
};

}  // namespace pmemfs::virtiofs
