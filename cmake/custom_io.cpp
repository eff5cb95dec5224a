// Exits with 0 when this libfuse takes requests from memory: run by scripts/setup and
// libfuse.cmake.
#define FUSE_USE_VERSION 317
#include <fcntl.h>
#include <fuse_lowlevel.h>

int main() {
  char name[] = "probe";
  char* arguments[] = {name, nullptr};
  fuse_args args = FUSE_ARGS_INIT(1, arguments);
  fuse_lowlevel_ops ops{};
  fuse_session* session = fuse_session_new(&args, &ops, sizeof(ops), nullptr);
  if (session == nullptr) {
    return 2;
  }
  fuse_custom_io io{};
  io.read = [](int, void*, size_t, void*) -> ssize_t {
    return -1;
  };
  io.writev = [](int, iovec*, int, void*) -> ssize_t {
    return -1;
  };
  return fuse_session_custom_io(session, &io, sizeof(io), open("/dev/null", O_RDWR)) == 0 ? 0 : 1;
}
