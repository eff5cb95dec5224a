#pragma once

#include <sys/types.h>

#include <string>

#include "base/unique_fd.hpp"
#include "pmemfs/result.hpp"

namespace pmemfs::virtiofs {

// A listening socket in the file system, removed at the end of its life. Not thread-safe.
class Listener {
 public:
  Listener() = default;
  Listener(Listener&& other) noexcept;
  Listener& operator=(Listener&& other) noexcept;
  ~Listener() { close(); }

  // Binds `path`, mode 0600 from its first moment on, and listens. A socket that nobody listens at
  // is replaced; EADDRINUSE: somebody does. EEXIST: `path` is something else. Other errors are the
  // system's. `why`: one line, what, why and way out.
  static Result<Listener> listen(const std::string& path, std::string* why);

  [[nodiscard]] int fd() const { return socket_.get(); }
  // Stops listening and removes the socket, unless another one has taken its place.
  void close();

 private:
  base::UniqueFd socket_;
  std::string path_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

}  // namespace pmemfs::virtiofs
