#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "pmemfs/result.hpp"

// Uncorrectable errors of mapped memory. The kernel answers a load or store that meets one with
// SIGBUS. In a watched range the signal's handler puts zeros, which are this process's alone, in
// the place of the page and lets the program go on: loads give zeros from then on and stores go
// nowhere. So whoever hands out what was loaded, or says that something is stored, asks afterwards
// whether it was lost. SIGBUS elsewhere does what it did before.
//
// A thread that touches watched memory must not block SIGBUS. System calls that meet a bad page by
// themselves fail with EFAULT or EIO: nothing here is called.
namespace pmemfs::base {

// Of the calling thread; for the functions below alone. Every transaction asks several times, so it
// is one load and no call.
extern constinit thread_local std::uint64_t media_errors_of_thread
    __attribute__((tls_model("initial-exec")));

// How many media errors the calling thread has met: as it loaded or stored, or by storing where it
// was known that stores are lost (note_media_error). Only grows; what happened between two equal
// values met none.
[[nodiscard]] inline std::uint64_t media_errors_met() noexcept {
  return media_errors_of_thread;
}
void note_media_error() noexcept;

// What the thread meets in its life is not counted in the end: for those who have a second copy.
class MediaErrorsForgiven {
 public:
  MediaErrorsForgiven() noexcept : before_(media_errors_met()) {}
  MediaErrorsForgiven(const MediaErrorsForgiven&) = delete;
  MediaErrorsForgiven& operator=(const MediaErrorsForgiven&) = delete;
  ~MediaErrorsForgiven();

 private:
  std::uint64_t before_;
};

// A watched range of addresses. The first watch of the process installs the handler. start(),
// grow() and stop() are one thread's; nobody touches the range outside of them. The rest is
// thread-safe.
class MediaWatch {
 public:
  MediaWatch() = default;
  MediaWatch(const MediaWatch&) = delete;
  MediaWatch& operator=(const MediaWatch&) = delete;
  ~MediaWatch() { stop(); }

  // `size` bytes from `begin`, both multiples of `unit` bytes: what is replaced at once, a power of
  // two of at least 4096, to be larger only where mappings cannot be split finer. ENOMEM: too many
  // ranges are watched.
  Status start(std::byte* begin, std::uint64_t size, std::uint64_t unit);
  void grow(std::uint64_t size);
  void stop();  // before the range is unmapped; nothing to do when not started

  // Moves before anything in the range is replaced; 0: nothing was. Valid for the life of the
  // process, and this watch's until stop().
  [[nodiscard]] const std::atomic<std::uint64_t>& events() const;
  // Some byte of [off, off + n) was replaced.
  [[nodiscard]] bool lost(std::uint64_t off, std::uint64_t n) const;
  // Pieces of `unit` bytes that were replaced, as far as they are listed.
  [[nodiscard]] std::uint64_t pieces() const;
  // The offset of each of these, in no order.
  [[nodiscard]] std::vector<std::uint64_t> listed() const;
  // These bytes are not lost any more: the caller has mapped the medium in the place of the zeros.
  // Pieces that are met again at the same time are listed again.
  void forget(std::uint64_t off, std::uint64_t n);
  // More pieces were bad than are listed: all of the range was replaced, and counts as lost.
  [[nodiscard]] bool failed() const;

  static constexpr std::size_t kMostPieces = 512;

  struct Range;

 private:
  Range* range_ = nullptr;  // one of a fixed number, never freed
};

}  // namespace pmemfs::base
