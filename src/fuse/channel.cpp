#include "fuse/channel.hpp"

#include <linux/fuse.h>

#include <cerrno>
#include <string>
#include <string_view>
#include <utility>

#include "fuse/device.hpp"

namespace pmemfs::fuse {

using base::UniqueFd;

Result<std::unique_ptr<Channel>> Channel::create(UniqueFd device, Edge& edge, bool debug) {
  LibfuseSession session = new_libfuse_session(edge, debug);
  if (!session) {
    return Error(EIO);
  }
  // How libfuse is given a descriptor that somebody else mounts. It closes it at the end.
  const std::string place = "/dev/fd/" + std::to_string(device.get());
  if (fuse_session_mount(session.get(), place.c_str()) != 0) {
    return Error(EIO);
  }
  return std::unique_ptr<Channel>(new Channel(std::move(session), device.release(), edge, debug));
}

Channel::Channel(LibfuseSession session, int device, Edge& edge, bool debug)
    : session_(std::move(session)), device_(device), edge_(edge), debug_(debug) {}

Channel::~Channel() = default;

Result<std::unique_ptr<Channel>> Channel::clone() const {
  PMEMFS_TRY(UniqueFd device, clone_device(device_));
  PMEMFS_TRY(std::unique_ptr<Channel> channel, create(std::move(device), edge_, debug_));
  channel->serve(Request(init_));
  return channel;
}

void Channel::serve(const Request& request) {
  if (request.opcode() == FUSE_INIT) {
    init_.assign(request.bytes().begin(), request.bytes().end());
  }
  fuse_buf buffer{};
  buffer.size = request.bytes().size();
  buffer.mem = const_cast<std::byte*>(request.bytes().data());  // libfuse only reads it
  fuse_session_process_buf(session_.get(), &buffer);
}

// It may know neither (ENOENT), and it may be on its way out.
void Channel::name_gone(InodeNo dir, InodeNo child, std::string_view name) {
  (void)fuse_lowlevel_notify_inval_entry(session_.get(), dir.value, name.data(), name.size());
  (void)fuse_lowlevel_notify_inval_inode(session_.get(), child.value, -1, 0);
}

}  // namespace pmemfs::fuse
