#include "virtiofs/connection.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <new>

#include "base/log.hpp"

namespace pmemfs::virtiofs {
namespace {

constexpr std::uint64_t kFeatures =
    wire::kVersion1 | wire::kRingIndirect | wire::kRingEventIdx | wire::kHasProtocolFeatures;
constexpr std::uint64_t kProtocolFeatures = wire::kMultiQueue | wire::kReplyAck |
                                            wire::kBackendReq | wire::kConfig |
                                            wire::kBackendSendFd | wire::kCanResetDevice;
constexpr std::uint32_t kConfigHead = sizeof(wire::ConfigAccess);

// Sockets of other kinds may be readable for ever, and have nothing to read.
bool is_stream(int fd) {
  const auto option = [fd](int name) {
    int value = -1;
    socklen_t size = sizeof value;
    return ::getsockopt(fd, SOL_SOCKET, name, &value, &size) == 0 ? value : -1;
  };
  return option(SO_DOMAIN) == AF_UNIX && option(SO_TYPE) == SOCK_STREAM;
}

}  // namespace

Connection::Connection(ConnectionParts parts) : parts_(std::move(parts)), memory_(parts_.shown) {
  publish_memory();
}

// Single regions only where they are asked for: QEMU tells what windows show as memory, and ends
// where that are too many (docs/decisions/0009-qemu-memory-slots.md).
std::uint64_t Connection::offered() const {
  return kProtocolFeatures | (parts_.window > 0 ? wire::kShmem : 0) |
         (parts_.memory_slots ? wire::kMemSlots : 0);
}

const Connection::Rule* Connection::rule_of(std::uint32_t request) {
  using R = wire::Request;
  using C = Connection;
  static constexpr std::uint32_t kU64 = sizeof(std::uint64_t);
  static constexpr std::uint32_t kState = sizeof(wire::VringState);
  static constexpr std::uint32_t kRegion = sizeof(wire::SingleRegion);
  static constexpr std::array kRules{
      Rule{R::kGetFeatures, 0, 0, 0, 0, &C::get_features},
      Rule{R::kSetFeatures, kU64, kU64, 0, 0, &C::set_features},
      Rule{R::kSetOwner, 0, 0, 0, 0, &C::nothing},
      Rule{R::kResetOwner, 0, 0, 0, 0, &C::nothing},
      Rule{R::kSetMemTable, 8, sizeof(wire::MemoryTable), wire::kTableRegions, 0,
           &C::set_mem_table},
      Rule{R::kSetVringNum, kState, kState, 0, 0, &C::set_vring_num},
      Rule{R::kSetVringAddr, sizeof(wire::VringAddr), sizeof(wire::VringAddr), 0, 0,
           &C::set_vring_addr},
      Rule{R::kSetVringBase, kState, kState, 0, 0, &C::set_vring_base},
      Rule{R::kGetVringBase, kState, kState, 0, 0, &C::get_vring_base},
      Rule{R::kSetVringKick, kU64, kU64, 1, 0, &C::set_vring_kick},
      Rule{R::kSetVringCall, kU64, kU64, 1, 0, &C::set_vring_call},
      Rule{R::kSetVringErr, kU64, kU64, 1, 0, &C::set_vring_err},
      Rule{R::kGetProtocolFeatures, 0, 0, 0, 0, &C::get_protocol_features},
      Rule{R::kSetProtocolFeatures, kU64, kU64, 0, 0, &C::set_protocol_features},
      Rule{R::kGetQueueNum, 0, 0, 0, wire::kMultiQueue, &C::get_queue_num},
      Rule{R::kSetVringEnable, kState, kState, 0, 0, &C::set_vring_enable},
      Rule{R::kSetBackendReqFd, 0, 0, 1, wire::kBackendReq, &C::set_backend_fd},
      Rule{R::kGetConfig, kConfigHead, kConfigHead + wire::kMostConfig, 0, wire::kConfig,
           &C::get_config},
      Rule{R::kSetConfig, kConfigHead, kConfigHead + wire::kMostConfig, 0, wire::kConfig,
           &C::set_config},
      Rule{R::kResetDevice, 0, 0, 0, wire::kCanResetDevice, &C::reset_device},
      Rule{R::kGetMaxMemSlots, 0, 0, 0, wire::kMemSlots, &C::get_mem_slots},
      Rule{R::kAddMemReg, kRegion, kRegion, 1, wire::kMemSlots, &C::add_region},
      Rule{R::kRemMemReg, kRegion, kRegion, 1, wire::kMemSlots, &C::remove_region},
      Rule{R::kGetShmemConfig, 0, 0, 0, wire::kShmem, &C::get_shmem_config},
  };
  const auto found = std::find_if(kRules.begin(), kRules.end(), [request](const Rule& rule) {
    return static_cast<std::uint32_t>(rule.request) == request;
  });
  return found == kRules.end() ? nullptr : &*found;
}

void Connection::reply_bytes(std::span<const std::byte> bytes) {
  reply_.assign(bytes.begin(), bytes.end());
  replies_ = true;
}

void Connection::serve(int socket, int interrupt) {
  for (;;) {
    Message message;
    const auto taken = take(socket, interrupt, message);
    if (!taken) {
      base::log::warn("{}: message {} of the VMM: {}; its connection is ended", parts_.name,
                      message.header.request, std::strerror(taken.code()));
    }
    if (!taken || !*taken) {
      break;
    }
  }
  parts_.channel.close();
  for (const auto& queue : parts_.queues) {
    queue->reset();
  }
}

// False: the VMM has gone, or must.
Result<bool> Connection::take(int socket, int interrupt, Message& message) {
  try {
    PMEMFS_TRY(const bool got, receive(socket, interrupt, message));
    if (got) {
      PMEMFS_CHECK(answer(socket, message));
    }
    return got;
  } catch (const std::bad_alloc&) {
    return Error(ENOMEM);
  }
}

// Errors end the connection, unless the VMM asked to be told and can go on.
Status Connection::answer(int socket, Message& message) {
  replies_ = false;
  reply_.clear();
  const bool wants =
      (message.header.flags & wire::kNeedReply) != 0 && (protocol_features_ & wire::kReplyAck) != 0;
  const Status done = handle(message);
  if (!replies_ && wants) {
    reply(std::uint64_t{done ? 0U : 1U});
  }
  if (replies_) {
    const wire::Header header{message.header.request, wire::kVersion | wire::kIsReply,
                              static_cast<std::uint32_t>(reply_.size())};
    const auto head = bytes_of(header);
    reply_.insert(reply_.begin(), head.begin(), head.end());
    PMEMFS_CHECK(send(socket, reply_));
  }
  if (!done && (!wants || done.code() == EPROTO)) {
    return done;
  }
  if (!done) {
    base::log::warn("{}: message {} of the VMM was refused: {}", parts_.name,
                    message.header.request, std::strerror(done.code()));
  }
  return {};
}

Status Connection::handle(Message& message) {
  const wire::Header& header = message.header;
  const Rule* const rule = rule_of(header.request);
  if (rule == nullptr || (header.flags & wire::kIsReply) != 0 || header.size < rule->least ||
      header.size > rule->most || message.fd_count > rule->fds ||
      (protocol_features_ & rule->needs) != rule->needs) {
    return Error(EPROTO);
  }
  return (this->*rule->handle)(message);
}

Status Connection::nothing(Message&) {
  return {};
}

Status Connection::get_features(Message&) {
  reply(kFeatures);
  return {};
}

Status Connection::set_features(Message& message) {
  const auto features = message.as<std::uint64_t>();
  if ((features & ~kFeatures) != 0) {
    return Error(EPROTO);
  }
  features_ = features;
  for (const auto& queue : parts_.queues) {
    queue->set_features((features & wire::kRingIndirect) != 0,
                        (features & wire::kRingEventIdx) != 0);
    if ((features & wire::kHasProtocolFeatures) == 0) {
      queue->enable(true);
    }
  }
  return {};
}

Status Connection::get_protocol_features(Message&) {
  reply(offered());
  return {};
}

Status Connection::set_protocol_features(Message& message) {
  const auto features = message.as<std::uint64_t>();
  if ((features & ~offered()) != 0) {
    return Error(EPROTO);
  }
  protocol_features_ = features;
  parts_.channel.negotiated((features & wire::kShmem) != 0, (features & wire::kReplyAck) != 0);
  return {};
}

Status Connection::get_queue_num(Message&) {
  reply(std::uint64_t{parts_.queues.size()});
  return {};
}

Status Connection::get_config(Message& message) {
  const auto access = message.as<wire::ConfigAccess>();
  std::array<std::byte, wire::kMostConfig> config{};
  std::memcpy(config.data(), &parts_.config, sizeof parts_.config);
  replies_ = true;
  if (access.offset > config.size() || access.size > config.size() - access.offset ||
      message.header.size != kConfigHead + access.size) {
    return {};  // a reply of no bytes says so
  }
  const auto head = bytes_of(access);
  reply_.assign(head.begin(), head.end());
  const auto part = std::span(config).subspan(access.offset, access.size);
  reply_.insert(reply_.end(), part.begin(), part.end());
  return {};
}

Status Connection::set_config(Message&) {
  return Error(EINVAL);  // nothing of it can be written
}

Status Connection::get_shmem_config(Message&) {
  wire::ShmemConfig config{};
  config.count = 1;
  config.sizes[0] = parts_.window;
  reply(config);
  return {};
}

Status Connection::reset_device(Message&) {
  parts_.channel.suspend();
  restart();
  for (const auto& queue : parts_.queues) {
    queue->enable(false);
    PMEMFS_CHECK(queue->set_base(0));
  }
  return {};
}

// The guest of before is gone, and another one, or the same after a boot, begins. Returns the rings
// that ran.
std::vector<Queue*> Connection::restart() {
  std::vector<Queue*> ran;
  for (const auto& queue : parts_.queues) {
    if (queue->started()) {
      ran.push_back(queue.get());
    }
    queue->stop();
  }
  started_ = false;
  anew_ = false;
  parts_.reset();
  return ran;
}

Status Connection::set_backend_fd(Message& message) {
  if (message.fd_count != 1 || !is_stream(message.fds[0].get())) {
    return Error(EPROTO);
  }
  parts_.channel.open(std::move(message.fds[0]));
  return {};
}

}  // namespace pmemfs::virtiofs
