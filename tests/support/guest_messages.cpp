#include "support/guest_messages.hpp"

#include <atomic>

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

GuestReply GuestReply::of(std::string_view whole) {
  fuse_out_header header{};
  const std::size_t head = std::min(sizeof(header), whole.size());
  std::memcpy(&header, whole.data(), head);
  GuestReply reply;
  reply.came = true;
  reply.error = header.len == whole.size() ? -header.error : -1;
  reply.unique = header.unique;
  reply.body = whole.substr(head);
  return reply;
}

GuestReply GuestKernel::init(std::uint64_t flags, std::uint32_t minor) {
  fuse_init_in in{};
  in.major = FUSE_KERNEL_VERSION;
  in.minor = minor;
  in.max_readahead = 131'072;
  in.flags = static_cast<std::uint32_t>(flags);
  in.flags2 = static_cast<std::uint32_t>(flags >> 32U);
  return ask(GuestRequest(FUSE_INIT, 0).add(in));
}

GuestReply GuestKernel::lookup(std::string_view name, std::uint64_t dir) {
  return ask(GuestRequest(FUSE_LOOKUP, dir).add_name(name));
}

GuestReply GuestKernel::getattr(std::uint64_t node) {
  return ask(GuestRequest(FUSE_GETATTR, node).add(fuse_getattr_in{}));
}

GuestReply GuestKernel::resize(std::uint64_t node, std::uint64_t size) {
  fuse_setattr_in in{};
  in.valid = FATTR_SIZE;
  in.size = size;
  return ask(GuestRequest(FUSE_SETATTR, node).add(in));
}

GuestReply GuestKernel::unlink(std::string_view name, std::uint64_t dir) {
  return ask(GuestRequest(FUSE_UNLINK, dir).add_name(name));
}

GuestFile GuestKernel::create(std::string_view name, std::uint64_t dir, std::uint32_t mode,
                              std::uint32_t flags) {
  const GuestReply reply =
      ask(GuestRequest(FUSE_CREATE, dir).add(fuse_create_in{flags, mode, 022, 0}).add_name(name));
  return {reply.get<fuse_entry_out>().nodeid, reply.get<fuse_open_out>(sizeof(fuse_entry_out)).fh,
          reply.error};
}

GuestFile GuestKernel::open(std::uint64_t node, std::uint32_t flags) {
  const GuestReply reply = ask(GuestRequest(FUSE_OPEN, node).add(fuse_open_in{flags, 0}));
  return {node, reply.get<fuse_open_out>().fh, reply.error};
}

GuestReply GuestKernel::read(const GuestFile& file, std::uint64_t off, std::uint32_t size) {
  fuse_read_in in{};
  in.fh = file.fh;
  in.offset = off;
  in.size = size;
  return ask(GuestRequest(FUSE_READ, file.node).add(in));
}

GuestReply GuestKernel::write(const GuestFile& file, std::uint64_t off, std::string_view data) {
  fuse_write_in in{};
  in.fh = file.fh;
  in.offset = off;
  in.size = static_cast<std::uint32_t>(data.size());
  return ask(GuestRequest(FUSE_WRITE, file.node).add(in).add_bytes(data));
}

GuestReply GuestKernel::fsync(const GuestFile& file) {
  fuse_fsync_in in{};
  in.fh = file.fh;
  return ask(GuestRequest(FUSE_FSYNC, file.node).add(in));
}

GuestReply GuestKernel::release(const GuestFile& file) {
  fuse_release_in in{};
  in.fh = file.fh;
  return ask(GuestRequest(FUSE_RELEASE, file.node).add(in));
}

void GuestKernel::forget(std::uint64_t node, std::uint64_t count) {
  (void)ask(GuestRequest(FUSE_FORGET, node).add(fuse_forget_in{count}));
}

GuestReply GuestKernel::setxattr(std::uint64_t node, std::string_view name,
                                 std::string_view value) {
  fuse_setxattr_in in{};
  in.size = static_cast<std::uint32_t>(value.size());
  return ask(GuestRequest(FUSE_SETXATTR, node).add(in).add_name(name).add_bytes(value));
}

GuestReply GuestKernel::getxattr(std::uint64_t node, std::string_view name, std::uint32_t size) {
  return ask(GuestRequest(FUSE_GETXATTR, node).add(fuse_getxattr_in{size, 0}).add_name(name));
}

GuestReply GuestKernel::setup_mapping(std::uint64_t node, std::uint64_t file_off,
                                      std::uint64_t window_off, std::uint64_t len) {
  fuse_setupmapping_in in{};
  in.fh = ~std::uint64_t{0};
  in.foffset = file_off;
  in.len = len;
  in.flags = FUSE_SETUPMAPPING_FLAG_READ | FUSE_SETUPMAPPING_FLAG_WRITE;
  in.moffset = window_off;
  return ask(GuestRequest(FUSE_SETUPMAPPING, node).add(in));
}

GuestReply GuestKernel::remove_mapping(std::uint64_t window_off, std::uint64_t len) {
  return ask(GuestRequest(FUSE_REMOVEMAPPING)
                 .add(fuse_removemapping_in{1})
                 .add(fuse_removemapping_one{window_off, len}));
}

}  // namespace pmemfs::test
