// What the VMM says of the guest's memory and of single rings.
#include <bit>
#include <cerrno>
#include <utility>

#include "virtiofs/connection.hpp"

namespace pmemfs::virtiofs {

void Connection::publish_memory() {
  for (const auto& queue : parts_.queues) {
    queue->set_memory(memory_.picture());
  }
}

Status Connection::set_mem_table(Message& message) {
  const auto table = message.as<wire::MemoryTable>();
  if (table.count > wire::kTableRegions || message.fd_count != table.count ||
      message.header.size <
          offsetof(wire::MemoryTable, regions) + table.count * sizeof(wire::MemoryRegion)) {
    return Error(EPROTO);
  }
  PMEMFS_CHECK(memory_.set(std::span(table.regions).first(table.count),
                           std::span(message.fds).first(table.count)));
  publish_memory();
  return {};
}

Status Connection::get_mem_slots(Message&) {
  reply(std::uint64_t{GuestMemoryMap::kMostRegions});
  return {};
}

Status Connection::add_region(Message& message) {
  if (message.fd_count != 1) {
    return Error(EPROTO);
  }
  PMEMFS_CHECK(memory_.add(message.as<wire::SingleRegion>().region, message.fds[0].get()));
  publish_memory();
  return {};
}

// Some front ends send a descriptor, which means nothing.
Status Connection::remove_region(Message& message) {
  PMEMFS_CHECK(memory_.remove(message.as<wire::SingleRegion>().region));
  publish_memory();
  return {};
}

Result<Queue*> Connection::queue(std::uint64_t index) {
  if (index >= parts_.queues.size()) {
    return Error(EPROTO);
  }
  return parts_.queues[index].get();
}

Status Connection::set_vring_num(Message& message) {
  const auto state = message.as<wire::VringState>();
  PMEMFS_TRY(Queue* const ring, queue(state.index));
  if (state.num > kMostDescriptors || !std::has_single_bit(state.num)) {
    return Error(EPROTO);
  }
  return ring->set_num(state.num) ? Status() : Error(EPROTO);
}

Status Connection::set_vring_addr(Message& message) {
  const auto address = message.as<wire::VringAddr>();
  PMEMFS_TRY(Queue* const ring, queue(address.index));
  // A log of what is written was not offered.
  if (address.flags != 0 || address.descriptors % 16 != 0 || address.available % 2 != 0 ||
      address.used % 4 != 0) {
    return Error(EPROTO);
  }
  ring->set_addresses(address.descriptors, address.available, address.used);
  return {};
}

Status Connection::set_vring_base(Message& message) {
  const auto state = message.as<wire::VringState>();
  PMEMFS_TRY(Queue* const ring, queue(state.index));
  if (state.num > 0xffff) {
    return Error(EPROTO);
  }
  // QEMU does not tell of a reset (RESET_DEVICE) when a machine boots again. One that was paused
  // goes on where it was; one that was reset begins at 0.
  anew_ |= started_ && state.num != ring->next();
  return ring->set_base(static_cast<std::uint16_t>(state.num)) ? Status() : Error(EPROTO);
}

Status Connection::get_vring_base(Message& message) {
  const auto state = message.as<wire::VringState>();
  PMEMFS_TRY(Queue* const ring, queue(state.index));
  // A request that waits for the VMM would wait for one that waits for us.
  parts_.channel.suspend();
  reply(wire::VringState{state.index, ring->stop()});
  return {};
}

// The queue that the message is for, and the event unless it says that there is none.
Result<std::optional<Event>> Connection::event(Message& message, Queue** ring) {
  const auto value = message.as<std::uint64_t>();
  PMEMFS_TRY(*ring, queue(value & wire::kVringIndexMask));
  const bool none = (value & wire::kNoFd) != 0;
  if ((value & ~(wire::kVringIndexMask | wire::kNoFd)) != 0 || message.fd_count != (none ? 0 : 1)) {
    return Error(EPROTO);
  }
  if (none) {
    return std::optional<Event>();
  }
  auto event = Event::take(std::move(message.fds[0]));
  if (!event) {
    return Error(EPROTO);
  }
  return std::optional<Event>(std::move(*event));
}

Status Connection::set_vring_kick(Message& message) {
  Queue* ring = nullptr;
  PMEMFS_TRY(auto kick, event(message, &ring));
  if (anew_) {
    // They were started for the new guest before one came that shows that it is one.
    for (Queue* const earlier : restart()) {
      earlier->start_again();
    }
  }
  started_ = true;
  parts_.channel.resume();
  ring->start(std::move(kick));
  return {};
}

Status Connection::set_vring_call(Message& message) {
  Queue* ring = nullptr;
  PMEMFS_TRY(auto call, event(message, &ring));
  ring->set_call(call ? std::move(*call) : Event());
  return {};
}

Status Connection::set_vring_err(Message& message) {
  Queue* ring = nullptr;
  PMEMFS_TRY(auto error, event(message, &ring));
  ring->set_error(error ? std::move(*error) : Event());
  return {};
}

Status Connection::set_vring_enable(Message& message) {
  const auto state = message.as<wire::VringState>();
  PMEMFS_TRY(Queue* const ring, queue(state.index));
  if (state.num > 1) {
    return Error(EPROTO);
  }
  ring->enable(state.num == 1);
  return {};
}

}  // namespace pmemfs::virtiofs
