// One VMM: what it says over the socket, from its coming to its going.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/unique_fd.hpp"
#include "pmemfs/result.hpp"
#include "virtiofs/backend_channel.hpp"
#include "virtiofs/memory.hpp"
#include "virtiofs/queue.hpp"
#include "virtiofs/socket.hpp"

namespace pmemfs::virtiofs {

// What the VMM is told of the device, and what it is told of works on.
struct ConnectionParts {
  std::string name;  // for the log
  wire::FsConfig config;
  std::uint64_t window;  // bytes; 0: none
  bool memory_slots;     // DeviceOptions
  std::vector<std::unique_ptr<Queue>>& queues;
  BackendChannel& channel;
  const ShownFiles& shown;
  std::function<void()> reset;  // the guest begins anew: all queues stand still
};

// Not thread-safe.
class Connection {
 public:
  explicit Connection(ConnectionParts parts);

  // Answers until the VMM goes, breaks the protocol (which is logged), or `interrupt` is readable.
  // Then all queues have stopped, and nothing of the VMM is left in them.
  void serve(int socket, int interrupt);

 private:
  // What a message has to be like, and what happens to it.
  struct Rule {
    wire::Request request;
    std::uint32_t least;  // bytes of payload
    std::uint32_t most;
    std::size_t fds;      // at most
    std::uint64_t needs;  // features of the protocol
    Status (Connection::*handle)(Message&);
  };
  static const Rule* rule_of(std::uint32_t request);

  Result<bool> take(int socket, int interrupt, Message& message);
  Status answer(int socket, Message& message);
  Status handle(Message& message);
  template <typename T>
  void reply(const T& value) {
    reply_bytes(bytes_of(value));
  }
  void reply_bytes(std::span<const std::byte> bytes);

  Status get_features(Message& message);
  Status set_features(Message& message);
  Status get_protocol_features(Message& message);
  Status set_protocol_features(Message& message);
  Status nothing(Message& message);
  Status get_queue_num(Message& message);
  Status get_config(Message& message);
  Status set_config(Message& message);
  Status get_shmem_config(Message& message);
  Status reset_device(Message& message);
  Status set_backend_fd(Message& message);

  Status set_mem_table(Message& message);
  Status get_mem_slots(Message& message);
  Status add_region(Message& message);
  Status remove_region(Message& message);
  void publish_memory();

  Status set_vring_num(Message& message);
  Status set_vring_addr(Message& message);
  Status set_vring_base(Message& message);
  Status get_vring_base(Message& message);
  Status set_vring_kick(Message& message);
  Status set_vring_call(Message& message);
  Status set_vring_err(Message& message);
  Status set_vring_enable(Message& message);

  Result<Queue*> queue(std::uint64_t index);
  Result<std::optional<Event>> event(Message& message, Queue** ring);
  [[nodiscard]] std::uint64_t offered() const;
  std::vector<Queue*> restart();

  ConnectionParts parts_;
  GuestMemoryMap memory_;
  std::uint64_t features_ = 0;
  std::uint64_t protocol_features_ = 0;
  bool started_ = false;          // some ring was, since the VMM came or reset the device
  bool anew_ = false;             // a ring is to start elsewhere than where it stopped
  std::vector<std::byte> reply_;  // payload
  bool replies_ = false;
};

}  // namespace pmemfs::virtiofs
