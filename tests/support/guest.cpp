#include "support/guest.hpp"

#include <algorithm>
#include <atomic>
#include <stdexcept>
#include <utility>

namespace pmemfs::test {

GuestRequest::GuestRequest(std::uint32_t opcode, std::uint64_t node) {
  static std::atomic<std::uint64_t> unique{1};
  header.opcode = opcode;
  header.nodeid = node;
  header.unique = unique++;
}

GuestRequest& GuestRequest::add_bytes(std::string_view bytes) {
  payload_.append(bytes);
  return *this;
}

GuestRequest& GuestRequest::add_name(std::string_view name) {
  payload_.append(name).push_back('\0');
  return *this;
}

GuestRequest& GuestRequest::as(std::uint32_t uid, std::uint32_t gid) {
  header.uid = uid;
  header.gid = gid;
  return *this;
}

GuestRequest& GuestRequest::by_process(std::uint32_t pid) {
  header.pid = pid;
  return *this;
}

std::span<std::byte> GuestRequest::bytes() {
  const std::size_t size = sizeof(header) + payload_.size();
  header.len = length.value_or(static_cast<std::uint32_t>(size));
  bytes_.assign(size, std::byte{0});
  bytes_.shrink_to_fit();  // so that a sanitizer sees a byte too many
  std::memcpy(bytes_.data(), &header, sizeof(header));
  std::memcpy(bytes_.data() + sizeof(header), payload_.data(), payload_.size());
  return bytes_;
}

Guest::Guest(Filesystem& fs, fuse::GuestOptions options) {
  auto created = fuse::GuestSession::create(fs, std::move(options));
  if (!created) {
    throw std::runtime_error("no guest session: errno " + std::to_string(created.code()));
  }
  session_ = std::move(*created);
}

GuestRoom::GuestRoom(std::size_t size, bool known) {
  if (!known) {
    pieces_.push_back({nullptr, size});
    return;
  }
  constexpr std::size_t kGap = 64;
  constexpr std::size_t kSizes[] = {5, 30, 1, 4096, 100};
  memory_.resize(size + (size / 4096 + std::size(kSizes) + 1) * kGap);
  std::size_t at = 0;
  for (std::size_t i = 0; size > 0; ++i) {
    const std::size_t piece = std::min(size, i < std::size(kSizes) ? kSizes[i] : 8192);
    pieces_.push_back({memory_.data() + at, piece});
    at += piece + kGap;
    size -= piece;
  }
}

GuestReply Guest::ask(GuestRequest request) {
  GuestReply reply;
  const GuestRoom memory(room, request.header.opcode == FUSE_READ);
  session_->serve(request.bytes(), memory.pieces(), [&](std::span<const iovec> parts) {
    if (reply.came) {
      throw std::runtime_error("answered twice");
    }
    reply.came = true;
    if (!takes) {
      return false;
    }
    std::string whole;
    for (const iovec& part : parts) {
      whole.append(static_cast<const char*>(part.iov_base), part.iov_len);
    }
    fuse_out_header header{};
    std::memcpy(&header, whole.data(), std::min(sizeof(header), whole.size()));
    reply.error = header.len == whole.size() ? -header.error : -1;
    reply.unique = header.unique;
    reply.body = whole.substr(std::min(sizeof(header), whole.size()));
    return true;
  });
  return reply;
}

GuestReply Guest::init(std::uint64_t flags, std::uint32_t minor) {
  fuse_init_in in{};
  in.major = FUSE_KERNEL_VERSION;
  in.minor = minor;
  in.max_readahead = 131'072;
  in.flags = static_cast<std::uint32_t>(flags);
  in.flags2 = static_cast<std::uint32_t>(flags >> 32U);
  return ask(GuestRequest(FUSE_INIT, 0).add(in));
}

GuestReply Guest::lookup(std::string_view name, std::uint64_t dir) {
  return ask(GuestRequest(FUSE_LOOKUP, dir).add_name(name));
}

GuestReply Guest::getattr(std::uint64_t node) {
  return ask(GuestRequest(FUSE_GETATTR, node).add(fuse_getattr_in{}));
}

GuestFile Guest::create(std::string_view name, std::uint64_t dir, std::uint32_t mode,
                        std::uint32_t flags) {
  const GuestReply reply =
      ask(GuestRequest(FUSE_CREATE, dir).add(fuse_create_in{flags, mode, 022, 0}).add_name(name));
  return {reply.get<fuse_entry_out>().nodeid, reply.get<fuse_open_out>(sizeof(fuse_entry_out)).fh,
          reply.error};
}

GuestFile Guest::open(std::uint64_t node, std::uint32_t flags) {
  const GuestReply reply = ask(GuestRequest(FUSE_OPEN, node).add(fuse_open_in{flags, 0}));
  return {node, reply.get<fuse_open_out>().fh, reply.error};
}

GuestReply Guest::read(const GuestFile& file, std::uint64_t off, std::uint32_t size) {
  fuse_read_in in{};
  in.fh = file.fh;
  in.offset = off;
  in.size = size;
  return ask(GuestRequest(FUSE_READ, file.node).add(in));
}

GuestReply Guest::write(const GuestFile& file, std::uint64_t off, std::string_view data) {
  fuse_write_in in{};
  in.fh = file.fh;
  in.offset = off;
  in.size = static_cast<std::uint32_t>(data.size());
  return ask(GuestRequest(FUSE_WRITE, file.node).add(in).add_bytes(data));
}

GuestReply Guest::release(const GuestFile& file) {
  fuse_release_in in{};
  in.fh = file.fh;
  return ask(GuestRequest(FUSE_RELEASE, file.node).add(in));
}

void Guest::forget(std::uint64_t node, std::uint64_t count) {
  (void)ask(GuestRequest(FUSE_FORGET, node).add(fuse_forget_in{count}));
}

GuestReply Guest::setxattr(std::uint64_t node, std::string_view name, std::string_view value) {
  fuse_setxattr_in in{};
  in.size = static_cast<std::uint32_t>(value.size());
  return ask(GuestRequest(FUSE_SETXATTR, node).add(in).add_name(name).add_bytes(value));
}

GuestReply Guest::getxattr(std::uint64_t node, std::string_view name, std::uint32_t size) {
  return ask(GuestRequest(FUSE_GETXATTR, node).add(fuse_getxattr_in{size, 0}).add_name(name));
}

}  // namespace pmemfs::test
