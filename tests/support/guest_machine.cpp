#include "support/guest_machine.hpp"

#include <cstring>
#include <stdexcept>

#include "pmemfs/durable.h"

namespace pmemfs::test {
namespace {

constexpr std::uint32_t kRequests = 1;  // the first queue for requests
constexpr std::size_t kMostWritten = std::size_t{64} << 10U;
constexpr std::size_t kMostAnswered = std::size_t{96} << 10U;

bool wants_answer(std::uint32_t opcode) {
  return opcode != FUSE_FORGET && opcode != FUSE_BATCH_FORGET;
}

}  // namespace

GuestMachine::GuestMachine(const std::string& socket, std::uint64_t window)
    : vmm_(socket), ring_(memory_, 0, {.num = 16, .room = kRoom}) {
  if (ring_.size() > memory_.region().size) {
    throw std::runtime_error("a guest's memory is too small for its ring");
  }
  vmm_.handshake(0, window != 0 ? 0 : wire::kShmem);
  vmm_.add_memory(memory_);
  if (window != 0) {
    vmm_.open_channel(window);
  }
  vmm_.start_ring(kRequests, ring_);
  init_ = init();
  if (init_.error != 0) {
    throw std::runtime_error("INIT was answered with errno " + std::to_string(init_.error));
  }
}

GuestReply GuestMachine::ask(GuestRequest request) {
  const std::lock_guard lock(mutex_);
  const bool answered = wants_answer(request.header.opcode);
  ring_.submit(request.bytes(), answered ? kMostAnswered : 0);
  const Bytes answer = ring_.wait().answer;
  if (!answered) {
    return {};
  }
  GuestReply reply = GuestReply::of({reinterpret_cast<const char*>(answer.data()), answer.size()});
  if (reply.unique != request.header.unique) {
    throw std::runtime_error("that is the answer to another request");
  }
  return reply;
}

void GuestMachine::store(std::uint64_t off, std::string_view bytes) const {
  std::memcpy(window(off), bytes.data(), bytes.size());
}

std::string GuestMachine::seen(std::uint64_t off, std::size_t size) const {
  return {reinterpret_cast<const char*>(window(off)), size};
}

GuestFile GuestMachine::durable_file(std::string_view name, std::string_view content) {
  const auto need = [](int code) {
    if (code != 0) {
      throw std::runtime_error("no durable file can be made: errno " + std::to_string(code));
    }
  };
  const GuestFile made = create(name);
  need(made.error);
  for (std::size_t at = 0; at < content.size(); at += kMostWritten) {
    need(write(made, at, content.substr(at, kMostWritten)).error);
  }
  release(made);  // while it is open, cached, it cannot become durable
  need(setxattr(made.node, PMEMFS_XATTR_DURABLE, "1").error);
  // Its number is another one now, so that the guest's kernel takes it for another inode.
  forget(made.node);
  const GuestFile file = open(lookup(name).get<fuse_entry_out>().nodeid);
  need(file.error);
  return file;
}

}  // namespace pmemfs::test
