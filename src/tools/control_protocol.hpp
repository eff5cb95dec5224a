#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "pmemfs/format.hpp"

// How pmemfsctl and the helpers talk to a daemon: a unix socket, one request, then lines of answer.
//
//   request  {"command":"status"} and a newline, at most kMaxRequest bytes
//   answers  any number of {"progress":…}, then one of {"result":…} or {"error":"text"}
//
// Commands: state, status, durable, media, counters, reset_counters;
//   scrub, with progress, and ended when the asking side goes away;
//   grow {"size":N} in bytes, 0 for all that the region has;
//   defrag {"inode":N}, 0 for all files; compact {"size":N}; evacuate {"offset":N,"length":N};
//   shrink {"size":N}: with progress, and ended when the asking side goes away; stamp_to_move
//   {"inode":N}: a stamp; unlink_moved {"directory":N,"name":[bytes],"stamp":…}.
namespace pmemfs::tools::control {

using Json = nlohmann::json;

inline constexpr std::size_t kMaxRequest = 64U << 10U;
inline constexpr std::size_t kMaxAnswerLine = 256U << 20U;
inline constexpr std::chrono::seconds kPatience{10};  // for the other side's next byte

// "/run/pmemfs/<uuid>.sock"
std::string socket_path(const format::Uuid& uuid);

// Lines over a connected socket. Not thread-safe.
class LineSocket {
 public:
  explicit LineSocket(int fd) : fd_(fd) {}  // the descriptor stays the caller's

  // The next line without its newline; nothing at the end, after an error or a time-out, or when it
  // is longer than `limit` bytes.
  std::optional<std::string> read_line(std::size_t limit);
  // False when the other side is gone.
  bool write_line(std::string line) const;
  // False when the other side is known to be gone.
  [[nodiscard]] bool is_there() const;

 private:
  int fd_;
  std::string buffer_;
};

// Gives the socket time limits for reading and writing.
void set_patience(int fd, std::chrono::seconds patience);

// The user and process at the other end, or nothing.
struct Peer {
  unsigned uid = 0;
  int pid = 0;
};
std::optional<Peer> peer_of(int fd);

}  // namespace pmemfs::tools::control
