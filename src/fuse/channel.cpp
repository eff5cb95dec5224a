#include "fuse/channel.hpp"

#include <linux/fuse.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <string>
#include <string_view>
#include <utility>

#include "base/log.hpp"
#include "fuse/device.hpp"
#include "fuse/libfuse.hpp"

namespace pmemfs::fuse {
namespace {

using base::UniqueFd;

// What libfuse has to say goes to our log: one line without its end.
void log_libfuse(fuse_log_level level, const char* format, va_list arguments) {
  std::array<char, 1024> text{};
  const int length = std::vsnprintf(text.data(), text.size(), format, arguments);
  std::string_view line(text.data(),
                        std::min(text.size() - 1, static_cast<std::size_t>(std::max(length, 0))));
  while (line.ends_with('\n')) {
    line.remove_suffix(1);
  }
  if (level <= FUSE_LOG_ERR) {
    base::log::error("libfuse: {}", line);
  } else if (level <= FUSE_LOG_WARNING) {
    base::log::warn("libfuse: {}", line);
  } else {
    base::log::debug("libfuse: {}", line);
  }
}

fuse_session* new_session(Edge& edge, bool debug) {
  static const fuse_lowlevel_ops kOps = [] {
    fuse_set_log_func(log_libfuse);
    return all_operations();
  }();
  std::array<char, 7> program{"pmemfs"};
  std::array<char, 8> debug_option{"-odebug"};
  std::array<char*, 2> argv{program.data(), debug_option.data()};
  fuse_args args = FUSE_ARGS_INIT(debug ? 2 : 1, argv.data());
  fuse_session* session = fuse_session_new(&args, &kOps, sizeof(kOps), &edge);
  fuse_opt_free_args(&args);
  return session;
}

}  // namespace

struct Channel::Session {
  explicit Session(fuse_session* s) : libfuse(s) {}
  ~Session() { fuse_session_destroy(libfuse); }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  fuse_session* libfuse;
};

Result<std::unique_ptr<Channel>> Channel::create(UniqueFd device, Edge& edge, bool debug) {
  fuse_session* raw = new_session(edge, debug);
  if (raw == nullptr) {
    return Error(EIO);
  }
  auto session = std::make_unique<Session>(raw);
  // How libfuse is given a descriptor that somebody else mounts. It closes it at the end.
  const std::string place = "/dev/fd/" + std::to_string(device.get());
  if (fuse_session_mount(raw, place.c_str()) != 0) {
    return Error(EIO);
  }
  return std::unique_ptr<Channel>(new Channel(std::move(session), device.release(), edge, debug));
}

Channel::Channel(std::unique_ptr<Session> session, int device, Edge& edge, bool debug)
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
  fuse_session_process_buf(session_->libfuse, &buffer);
}

// It may know neither (ENOENT), and it may be on its way out.
void Channel::name_gone(InodeNo dir, InodeNo child, std::string_view name) {
  (void)fuse_lowlevel_notify_inval_entry(session_->libfuse, dir.value, name.data(), name.size());
  (void)fuse_lowlevel_notify_inval_inode(session_->libfuse, child.value, -1, 0);
}

}  // namespace pmemfs::fuse
