#include "fuse/window_files.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

#include "base/descriptor.hpp"
#include "base/threads.hpp"
#include "fuse/capabilities.hpp"
#include "fuse/device.hpp"
#include "fuse/libfuse.hpp"
#include "fuse/libfuse_session.hpp"
#include "fuse/window_opener.hpp"
#include "pmemfs/filesystem.hpp"

namespace pmemfs::fuse {
namespace {

using base::UniqueFd;

constexpr double kForLong = 1e9;  // seconds
constexpr int kInitMillis = 10'000;

// The host files that are about to be opened, by number. Thread-safe.
class Named {
 public:
  Result<std::uint64_t> add(int backing) {
    UniqueFd own(::fcntl(backing, F_DUPFD_CLOEXEC, 0));
    if (!own) {
      return Error(errno);
    }
    const std::lock_guard lock(mutex_);
    files_.emplace(next_, std::move(own));
    return next_++;
  }
  [[nodiscard]] bool has(std::uint64_t number) const {
    const std::lock_guard lock(mutex_);
    return files_.contains(number);
  }
  // The kernel's id for it.
  [[nodiscard]] Result<int> enroll(std::uint64_t number, int device) const {
    const std::lock_guard lock(mutex_);
    const auto found = files_.find(number);
    return found == files_.end() ? Result<int>(Error(ENOENT))
                                 : register_backing(device, found->second.get());
  }
  void drop(std::uint64_t number) {
    const std::lock_guard lock(mutex_);
    files_.erase(number);
  }

 private:
  mutable std::mutex mutex_;
  std::map<std::uint64_t, UniqueFd> files_;
  std::uint64_t next_ = FUSE_ROOT_ID + 1;
};

struct Served {
  Wanted wanted;
  Granted granted;
  Named files;
  int device = -1;
};

Served& served_by(fuse_req_t req) {
  return *static_cast<Served*>(fuse_req_userdata(req));
}

struct stat attributes_of(fuse_ino_t node) {
  struct stat st {};
  st.st_ino = node;
  st.st_mode = node == FUSE_ROOT_ID ? S_IFDIR | 0700 : S_IFREG | 0600;
  st.st_nlink = 1;
  st.st_size = node == FUSE_ROOT_ID ? 0 : static_cast<off_t>(kWindowFileSize);
  return st;
}

void init(void* userdata, fuse_conn_info* connection) {
  Served& served = *static_cast<Served*>(userdata);
  served.granted = negotiate(*connection, served.wanted);
}

void lookup(fuse_req_t req, fuse_ino_t /*parent*/, const char* name) {
  fuse_entry_param entry{};
  const char* end = name + std::strlen(name);
  const auto [rest, error] = std::from_chars(name, end, entry.ino);
  if (error != std::errc() || rest != end || !served_by(req).files.has(entry.ino)) {
    fuse_reply_err(req, ENOENT);
    return;
  }
  entry.attr = attributes_of(entry.ino);
  entry.attr_timeout = kForLong;
  fuse_reply_entry(req, &entry);
}

void unlink(fuse_req_t req, fuse_ino_t /*parent*/, const char* /*name*/) {
  fuse_reply_err(req, 0);
}

void getattr(fuse_req_t req, fuse_ino_t node, fuse_file_info* /*info*/) {
  const struct stat st = attributes_of(node);
  fuse_reply_attr(req, &st, kForLong);
}

void open_file(fuse_req_t req, fuse_ino_t node, fuse_file_info* info) {
  const Served& served = served_by(req);
  const auto id = served.files.enroll(node, served.device);
  if (!id) {
    fuse_reply_err(req, EIO);
    return;
  }
  info->backing_id = *id;
  info->fh = static_cast<std::uint64_t>(*id);
  info->noflush = 1;  // whoever is sent the descriptor closes it without waiting for us
  if (fuse_reply_open(req, info) != 0) {
    unregister_backing(served.device, *id);
  }
}

void release(fuse_req_t req, fuse_ino_t /*node*/, fuse_file_info* info) {
  unregister_backing(served_by(req).device, static_cast<int>(info->fh));
  fuse_reply_err(req, 0);
}

// What is left out is answered with ENOSYS: nothing can be made, changed or listed here.
constexpr fuse_lowlevel_ops operations() {
  fuse_lowlevel_ops ops{};
  ops.init = init;
  ops.lookup = lookup;
  ops.unlink = unlink;
  ops.getattr = getattr;
  ops.open = open_file;
  ops.release = release;
  return ops;
}

LibfuseSession new_session(Served& served) {
  static const fuse_lowlevel_ops kOps = operations();
  std::array<char, 7> program{"pmemfs"};
  std::array<char*, 1> argv{program.data()};
  fuse_args args = FUSE_ARGS_INIT(1, argv.data());
  LibfuseSession session(fuse_session_new(&args, &kOps, sizeof(kOps), &served));
  fuse_opt_free_args(&args);
  return session;
}

// A mount that is in no tree; it lives as long as the descriptor and the files that are open on it.
Result<UniqueFd> mount_nowhere(int device) {
  const UniqueFd context(::fsopen("fuse", FSOPEN_CLOEXEC));
  if (!context) {
    return Error(errno);
  }
  const auto set = [&](const char* key, const std::string& value) {
    return ::fsconfig(context.get(), FSCONFIG_SET_STRING, key, value.c_str(), 0) == 0;
  };
  const bool ready = set("source", "pmemfs-window") && set("fd", std::to_string(device)) &&
                     set("rootmode", "40000") && set("user_id", "0") && set("group_id", "0") &&
                     ::fsconfig(context.get(), FSCONFIG_SET_FLAG, "allow_other", nullptr, 0) == 0 &&
                     ::fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) == 0;
  if (!ready) {
    return Error(errno);
  }
  UniqueFd mount(::fsmount(context.get(), FSMOUNT_CLOEXEC,
                           MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC));
  if (!mount) {
    return Error(errno);
  }
  return mount;
}

// Without a request to the mount, which nobody serves yet.
Result<dev_t> device_of(int mount) {
  PMEMFS_TRY(const struct statx st, base::known_of(mount, 0));
  return makedev(st.stx_dev_major, st.stx_dev_minor);
}

}  // namespace

struct WindowFiles::Impl {
  ~Impl();

  Status start();
  bool serve_one();
  void serve();
  void run();

  Served served;
  LibfuseSession session;  // owns the device
  fuse_buf buffer{};
  std::unique_ptr<WindowOpener> opener;  // has the mount
  dev_t device = 0;
  UniqueFd stop{::eventfd(0, EFD_CLOEXEC)};
  std::thread thread;
};

WindowFiles::Impl::~Impl() {
  if (thread.joinable()) {
    const std::uint64_t one = 1;
    (void)!::write(stop.get(), &one, sizeof(one));
    thread.join();
  }
  std::free(buffer.mem);  // libfuse's
}

// False when the connection has ended.
bool WindowFiles::Impl::serve_one() {
  const int size = fuse_session_receive_buf(session.get(), &buffer);
  if (size > 0) {
    fuse_session_process_buf(session.get(), &buffer);
  }
  return size > 0 || size == -EINTR || size == -EAGAIN;
}

// Until it is told to stop, or an error.
void WindowFiles::Impl::serve() {
  std::array<pollfd, 2> ready{{{served.device, POLLIN, 0}, {stop.get(), POLLIN, 0}}};
  for (;;) {
    if (::poll(ready.data(), ready.size(), -1) < 0) {
      if (errno == EINTR) {
        continue;
      }
      return;
    }
    if (ready[1].revents != 0 || (ready[0].revents != 0 && !serve_one())) {
      return;
    }
  }
}

// The device is closed with the session: a mount that nobody serves any more lets nobody wait.
void WindowFiles::Impl::run() {
  serve();
  session.reset();
}

Status WindowFiles::Impl::start() {
  PMEMFS_TRY(UniqueFd opened, open_device());
  session = new_session(served);
  if (!session || !stop) {
    return Error(ENOMEM);
  }
  const std::string place = fmt::format("/dev/fd/{}", opened.get());
  if (fuse_session_mount(session.get(), place.c_str()) != 0) {
    return Error(EIO);
  }
  served.device = opened.release();
  PMEMFS_TRY(UniqueFd mount, mount_nowhere(served.device));
  pollfd ready{served.device, POLLIN, 0};
  if (::poll(&ready, 1, kInitMillis) != 1 || !serve_one()) {
    return Error(EPROTO);
  }
  if (!served.granted.passthrough) {
    return Error(EOPNOTSUPP);
  }
  PMEMFS_CHECK(probe_backing(served.device));
  PMEMFS_TRY(device, device_of(mount.get()));
  PMEMFS_TRY(opener, WindowOpener::start(std::move(mount)));
  return base::start_thread(thread, [this] { run(); });
}

WindowFiles::WindowFiles(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

WindowFiles::~WindowFiles() = default;

Result<std::unique_ptr<WindowFiles>> WindowFiles::create(bool region_is_stacked) {
  auto impl = std::make_unique<Impl>();
  impl->served.wanted.region_is_stacked = region_is_stacked;
  PMEMFS_CHECK(impl->start());
  return std::unique_ptr<WindowFiles>(new WindowFiles(std::move(impl)));
}

Result<UniqueFd> WindowFiles::open(int backing) {
  PMEMFS_TRY(const std::uint64_t number, impl_->served.files.add(backing));
  auto file = impl_->opener->open(number);
  impl_->served.files.drop(number);
  return file;
}

dev_t WindowFiles::device() const {
  return impl_->device;
}

}  // namespace pmemfs::fuse
