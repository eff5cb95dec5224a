#include "support/virtiofs_frontend.hpp"

#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <stdexcept>

namespace pmemfs::test {
namespace {

constexpr int kPatience = 20'000;  // milliseconds
constexpr std::size_t kMostSent = 64;

bool readable(int fd, int millis) {
  pollfd event{fd, POLLIN, 0};
  return ::poll(&event, 1, millis) > 0;
}

// All of `out`; false at the end of the stream.
bool read_all(int fd, std::span<std::byte> out) {
  while (!out.empty()) {
    if (!readable(fd, kPatience)) {
      throw std::runtime_error("nothing comes over the socket");
    }
    const ssize_t n = ::recv(fd, out.data(), out.size(), 0);
    if (n <= 0) {
      return false;
    }
    out = out.subspan(static_cast<std::size_t>(n));
  }
  return true;
}

}  // namespace

VirtiofsFrontend::VirtiofsFrontend(const std::string& path)
    : socket_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(static_cast<char*>(address.sun_path), sizeof address.sun_path - 1);
  if (::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    throw std::runtime_error("cannot connect to " + path + ": " + std::strerror(errno));
  }
}

VirtiofsFrontend::~VirtiofsFrontend() {
  socket_.reset();
  close_channel();
  if (window_ != nullptr) {
    ::munmap(reserved_, window_size_ + kAlignment);
  }
}

bool VirtiofsFrontend::send_raw(std::span<const std::byte> bytes, std::span<const int> fds) {
  std::array<char, CMSG_SPACE(kMostSent * sizeof(int))> control{};
  iovec part{const_cast<std::byte*>(bytes.data()), bytes.size()};  // NOLINT(*-const-cast)
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  if (!fds.empty()) {
    header.msg_control = control.data();
    header.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* c = CMSG_FIRSTHDR(&header);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(c), fds.data(), fds.size_bytes());
  }
  return ::sendmsg(socket_.get(), &header, MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size());
}

bool VirtiofsFrontend::send(wire::Request request, std::span<const std::byte> payload,
                            std::span<const int> fds, std::uint32_t flags) {
  const wire::Header header{static_cast<std::uint32_t>(request), flags,
                            static_cast<std::uint32_t>(payload.size())};
  const auto head = std::as_bytes(std::span(&header, 1));
  Bytes message(head.begin(), head.end());
  message.insert(message.end(), payload.begin(), payload.end());
  return send_raw(message, fds);
}

Bytes VirtiofsFrontend::receive(wire::Request request) {
  wire::Header header{};
  if (!read_all(socket_.get(), std::as_writable_bytes(std::span(&header, 1)))) {
    throw std::runtime_error("the device has hung up");
  }
  Bytes payload(header.size);
  if (header.request != static_cast<std::uint32_t>(request) ||
      header.flags != (wire::kVersion | wire::kIsReply) || !read_all(socket_.get(), payload)) {
    throw std::runtime_error("that is no answer");
  }
  return payload;
}

std::uint64_t VirtiofsFrontend::ask(wire::Request request) {
  send(request);
  const Bytes payload = receive(request);
  std::uint64_t value = 0;
  if (payload.size() != sizeof value) {
    throw std::runtime_error("that is no number");
  }
  std::memcpy(&value, payload.data(), sizeof value);
  return value;
}

std::uint64_t VirtiofsFrontend::acknowledged_bytes(wire::Request request,
                                                   std::span<const std::byte> payload,
                                                   std::span<const int> fds) {
  send(request, payload, fds, wire::kVersion | wire::kNeedReply);
  const Bytes answer = receive(request);
  std::uint64_t value = 0;
  std::memcpy(&value, answer.data(), std::min(answer.size(), sizeof value));
  return value;
}

bool VirtiofsFrontend::hung_up() {
  std::byte byte{};
  while (readable(socket_.get(), kPatience)) {
    if (::recv(socket_.get(), &byte, 1, 0) <= 0) {
      return true;
    }
  }
  return false;
}

void VirtiofsFrontend::handshake(std::uint64_t without, std::uint64_t protocol_without) {
  const std::uint64_t features = ask(wire::Request::kGetFeatures) & ~without;
  protocol_ = ask(wire::Request::kGetProtocolFeatures) & ~protocol_without;
  send_value(wire::Request::kSetProtocolFeatures, protocol_);
  send(wire::Request::kSetOwner);
  send_value(wire::Request::kSetFeatures, features);
}

void VirtiofsFrontend::add_memory(const SharedMemory& memory) {
  std::uint64_t refused = 0;
  if ((protocol_ & wire::kMemSlots) != 0) {
    const std::array fds{memory.fd()};
    refused = acknowledged(wire::Request::kAddMemReg, wire::SingleRegion{0, memory.region()}, fds);
  } else {
    std::vector<const SharedMemory*> all = told_;
    all.push_back(&memory);
    refused = set_memory(std::move(all));
  }
  if (refused != 0) {
    throw std::runtime_error("the device does not take the memory");
  }
}

std::uint64_t VirtiofsFrontend::set_memory(std::vector<const SharedMemory*> memory) {
  told_ = std::move(memory);
  wire::MemoryTable table{};
  std::vector<int> fds;
  for (const SharedMemory* const one : told_) {
    table.regions.at(table.count++) = one->region();
    fds.push_back(one->fd());
  }
  return acknowledged(wire::Request::kSetMemTable, table, fds);
}

void VirtiofsFrontend::start_ring(std::uint32_t index, const DriverRing& ring, std::uint16_t base) {
  send_value(wire::Request::kSetVringNum, wire::VringState{index, ring.options().num});
  send_value(wire::Request::kSetVringBase, wire::VringState{index, base});
  send_value(wire::Request::kSetVringAddr, ring.addresses(index));
  const std::array kick{ring.kick_fd()};
  const std::array call{ring.call_fd()};
  send_value(wire::Request::kSetVringCall, std::uint64_t{index}, call);
  send_value(wire::Request::kSetVringKick, std::uint64_t{index}, kick);
  if (acknowledged(wire::Request::kSetVringEnable, wire::VringState{index, 1}) != 0) {
    throw std::runtime_error("the device does not enable the ring");
  }
}

std::uint32_t VirtiofsFrontend::stop_ring(std::uint32_t index) {
  send_value(wire::Request::kGetVringBase, wire::VringState{index, 0});
  const Bytes payload = receive(wire::Request::kGetVringBase);
  wire::VringState state{};
  std::memcpy(&state, payload.data(), std::min(payload.size(), sizeof state));
  if (state.index != index) {
    throw std::runtime_error("another ring was stopped");
  }
  return state.num;
}

void VirtiofsFrontend::open_channel(std::uint64_t window) {
  std::array<int, 2> pair{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()) != 0) {
    throw std::runtime_error("no socket pair");
  }
  channel_.reset(pair[0]);
  const base::UniqueFd theirs(pair[1]);
  window_size_ = window;
  // Aligned as a BAR is: a DAX device is mapped in whole stretches.
  reserved_ = static_cast<std::byte*>(::mmap(nullptr, window + kAlignment, PROT_NONE,
                                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  const auto rest = reinterpret_cast<std::uintptr_t>(reserved_) % kAlignment;
  window_ = reserved_ + (rest == 0 ? 0 : kAlignment - rest);
  const std::array fds{theirs.get()};
  if (acknowledged_bytes(wire::Request::kSetBackendReqFd, {}, fds) != 0) {
    throw std::runtime_error("the device does not take the channel");
  }
  channel_thread_ = std::thread([this] { answer_channel(); });
}

void VirtiofsFrontend::close_channel() {
  closing_ = true;
  if (channel_) {
    ::shutdown(channel_.get(), SHUT_RDWR);
  }
  if (channel_thread_.joinable()) {
    channel_thread_.join();
  }
}

void VirtiofsFrontend::answer_channel() {
  while (!closing_) {
    if (readable(channel_.get(), 100) && !answer_one()) {
      return;
    }
  }
}

bool VirtiofsFrontend::answer_one() {
  struct Request {
    wire::Header header;
    std::array<std::byte, sizeof(wire::ShmemRange)> range;
  } request{};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  iovec part{&request, sizeof request};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control.data();
  header.msg_controllen = control.size();
  if (::recvmsg(channel_.get(), &header, MSG_CMSG_CLOEXEC | MSG_WAITALL) != sizeof request) {
    return false;
  }
  base::UniqueFd fd;
  if (const cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr) {
    int got = -1;
    std::memcpy(&got, CMSG_DATA(c), sizeof got);
    fd.reset(got);
  }
  wire::ShmemRange range{};
  std::memcpy(&range, request.range.data(), sizeof range);
  ++window_requests_;
  if (const std::lock_guard lock(watch_mutex_); watch_) {
    watch_(static_cast<wire::BackendRequest>(request.header.request), range);
  }
  while (mode_ == WindowMode::kHold && !closing_) {
    std::this_thread::yield();
  }
  const bool done =
      mode_ != WindowMode::kRefuse && perform(request.header.request, range, fd.get());
  ++performed_;
  struct Reply {
    wire::Header header;
    std::array<std::byte, sizeof(std::uint64_t)> value;
  } reply{};
  const std::uint64_t value = done ? 0 : 1;
  reply.header = {request.header.request, wire::kVersion | wire::kIsReply, sizeof value};
  if (mode_ == WindowMode::kNonsense) {
    reply.header.request += 100;
  }
  std::memcpy(reply.value.data(), &value, sizeof value);
  return ::send(channel_.get(), &reply, sizeof reply, MSG_NOSIGNAL) == sizeof reply;
}

// QEMU maps of a file no more than its length.
std::uint64_t VirtiofsFrontend::length_in_file(int fd, const wire::ShmemRange& range) {
  struct stat st {};
  if (::fstat(fd, &st) != 0) {
    return 0;
  }
  if (S_ISCHR(st.st_mode)) {
    return range.len;  // a DAX device has no length
  }
  const auto size = static_cast<std::uint64_t>(st.st_size);
  return range.fd_offset < size ? std::min(range.len, size - range.fd_offset) : 0;
}

// As QEMU does: nothing over something, and exactly what was mapped is unmapped.
bool VirtiofsFrontend::perform(std::uint32_t request, const wire::ShmemRange& range, int fd) {
  if (range.shmid != 0 || range.shm_offset > window_size_ ||
      range.len > window_size_ - range.shm_offset) {
    return false;
  }
  std::byte* const at = window_ + range.shm_offset;
  const auto same = std::find_if(mapped_.begin(), mapped_.end(), [&](const auto& m) {
    return m.shm_offset == range.shm_offset && m.len == range.len;
  });
  if (request == static_cast<std::uint32_t>(wire::BackendRequest::kShmemUnmap)) {
    if (same == mapped_.end()) {
      return false;
    }
    mapped_.erase(same);
    return ::mmap(at, range.len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == at;
  }
  const bool overlaps = std::any_of(mapped_.begin(), mapped_.end(), [&](const auto& m) {
    return m.shm_offset < range.shm_offset + range.len && range.shm_offset < m.shm_offset + m.len;
  });
  const int prot = PROT_READ | ((range.flags & wire::kMapWritable) != 0 ? PROT_WRITE : 0);
  const std::uint64_t len = overlaps ? 0 : length_in_file(fd, range);
  if (len == 0 || ::mmap(at, len, prot, MAP_SHARED | MAP_FIXED, fd,
                         static_cast<off_t>(range.fd_offset)) != at) {
    return false;
  }
  mapped_.push_back(range);
  return true;
}

}  // namespace pmemfs::test
