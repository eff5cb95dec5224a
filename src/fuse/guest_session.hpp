// One guest's FUSE session: the operations of the mount, for a kernel that is not ours. No libfuse
// types here.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "fuse/id_map.hpp"
#include "fuse/view.hpp"
#include "pmemfs/filesystem.hpp"
#include "pmemfs/result.hpp"

namespace pmemfs::fuse {

// SETUPMAPPING: `len` bytes of a file are to be seen in the guest's window. All three numbers are
// multiples of 2^map_alignment, len is not 0, and none of the sums overflows; what lies beyond the
// window's end the callee refuses.
struct MappingRequest {
  InodeNo ino;
  std::uint64_t file_off = 0;
  std::uint64_t len = 0;
  std::uint64_t window_off = 0;
};

struct GuestOptions {
  CachePolicy cache = CachePolicy::kAuto;
  bool read_only = false;  // whatever changes something is EROFS; reading moves no access times
  IdMap uids{};
  IdMap gids{};
  unsigned map_alignment = 21;  // log2 of bytes
  bool window = false;  // files may be mapped directly, by the two functions below, and written
                        // so: does not count with read_only
  bool debug = false;   // every request to the log
  std::size_t max_nodes = std::size_t{1} << 22U;    // that the guest may remember at a time: ENFILE
  std::size_t max_handles = std::size_t{1} << 18U;  // open files: ENFILE
  // Called from serve(), several at a time; must not call into the session. They have taken effect
  // when they return.
  std::function<Status(const MappingRequest&)> map{};
  // Asked when the guest begins; empty: yes. Whether map() can be done for this machine.
  std::function<bool()> can_map{};
  // REMOVEMAPPING, one range, aligned and not empty.
  std::function<Status(std::uint64_t window_off, std::uint64_t len)> unmap{};
  // The guest is about to learn that the file has `size` bytes, or some number of bytes
  // (UINT64_MAX): so many can be reached where it has them mapped when this returns. An error is
  // told to the guest instead, who then knows of no more bytes than before.
  std::function<Status(InodeNo ino, std::uint64_t size)> reach{};
  // The guest begins anew, as after a reset of the machine, or has unmounted: what it had mapped
  // goes.
  std::function<void()> unmap_all{};
};

struct GuestStatus {
  bool mounted = false;  // INIT came, and no DESTROY since
  bool direct = false;   // durable files are marked for direct mapping
  std::size_t nodes = 0;
  std::size_t handles = 0;
  // As SessionStatus::requests.
  std::vector<std::pair<std::string, std::uint64_t>> requests;
};

// Takes the answer in pieces; false when the guest can no longer have it. At most one call for each
// request.
using AnswerSink = std::function<bool(std::span<const iovec>)>;

// The guest is taken for hostile: what it sends is checked before libfuse sees it, it can use only
// the nodes and handles that it was given and has not given back, and it owns nothing of other
// guests or of the host. Its root may do to the exported files what the maps of ids let it.
//
// Thread-safe.
class GuestSession final {
 public:
  // `fs` outlives the session. ENOTSUP: this libfuse was built without custom I/O.
  static Result<std::unique_ptr<GuestSession>> create(Filesystem& fs, GuestOptions options);
  ~GuestSession();  // as end()
  GuestSession(const GuestSession&) = delete;
  GuestSession& operator=(const GuestSession&) = delete;

  // Serves one FUSE message, which begins at a multiple of 8, is altered, and is nobody else's
  // meanwhile. Answers before it returns, unless the message wants no answer or has no header.
  // `rest`: what follows, in pieces, of WRITE behind its arguments alone; others may store there,
  // and in watched memory (base/media_faults.hpp) it may be lost.
  // `room`: what the guest gave for the answer, in pieces; no answer is longer. Where it can be
  // written to it may be, but for the first 16 bytes, before `sink` is called, with parts that are
  // there already; a piece without an address is left alone. Does not throw.
  void serve(std::span<std::byte> bytes, std::span<const iovec> rest, std::span<const iovec> room,
             const AnswerSink& sink) noexcept;

  // How much of a message that begins so must come in `bytes`: at least that, and the header.
  [[nodiscard]] static std::size_t copied(std::span<const std::byte> header);

  // A hint for who hands out threads.
  [[nodiscard]] static bool may_take_long(std::span<const std::byte> message);

  // The guest is gone, or starts anew: its references and handles are given back. Waits for
  // requests under way. The window is the caller's to empty.
  void end();

  [[nodiscard]] GuestStatus status() const;

 private:
  struct Impl;
  explicit GuestSession(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace pmemfs::fuse
