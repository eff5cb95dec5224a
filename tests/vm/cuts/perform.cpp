#include "vm/cuts/perform.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <functional>
#include <system_error>
#include <thread>

#include "base/unique_fd.hpp"
#include "pmemfs/durable.h"
#include "vm/guest_flush.hpp"

namespace pmemfs::vm {
namespace {

void need(bool done, const char* what) {
  if (!done) {
    throw std::system_error(errno, std::generic_category(), what);
  }
}

// The flag waits for the last handle, and RELEASE comes after close(2) returned.
void once_idle(const std::function<int()>& call, const char* what) {
  int rc = -1;
  for (int i = 0; i < 3000 && (rc = call()) != 0 && errno == EBUSY; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  need(rc == 0, what);
}

// Stores through a mapping and flushes, as a program does that knows persistent memory.
void store(int fd, const Operation& op, const std::string& bytes) {
  const std::size_t size = (op.first + op.count) * kCell;
  void* const at = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  need(at != MAP_FAILED, "mmap");
  auto* const to = static_cast<std::byte*>(at) + op.first * kCell;
  std::memcpy(to, bytes.data(), bytes.size());
  for (std::size_t off = 0; off < bytes.size(); off += kLine) {
    flush_line(to + off);
  }
  fence();
  ::munmap(at, size);
}

void write_all(int fd, std::size_t off, const std::string& bytes) {
  for (std::size_t done = 0; done < bytes.size();) {
    const ssize_t n =
        ::pwrite(fd, bytes.data() + done, bytes.size() - done, static_cast<off_t>(off + done));
    need(n > 0, "pwrite");
    done += static_cast<std::size_t>(n);
  }
}

void change_data(const std::string& path, const Who& who, const Operation& op, const Node& after,
                 Medium medium) {
  const base::UniqueFd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  need(static_cast<bool>(fd), "open");
  if (op.action == Action::kTruncate) {
    need(::ftruncate(fd.get(), static_cast<off_t>(op.count * kCell)) == 0, "ftruncate");
  } else {
    const std::string bytes = content_of(who, after.cells, op.first, op.count);
    if (op.action == Action::kStore && medium == Medium::kDirectory) {
      store(fd.get(), op, bytes);
    } else {
      write_all(fd.get(), op.first * kCell, bytes);
    }
  }
  need(after.durable || medium == Medium::kExtents || ::fsync(fd.get()) == 0, "fsync");
}

void change_traits(const std::string& path, const Operation& op, const Node& after) {
  const std::string value = xattr_value(op.sequence);
  switch (op.action) {
    case Action::kSetDurable:
      once_idle([&] { return ::setxattr(path.c_str(), PMEMFS_XATTR_DURABLE, "1", 1, 0); },
                "setting durable");
      break;
    case Action::kClearDurable:
      once_idle([&] { return ::removexattr(path.c_str(), PMEMFS_XATTR_DURABLE); },
                "clearing durable");
      break;
    case Action::kChmod:
      need(::chmod(path.c_str(), after.mode) == 0, "chmod");
      break;
    case Action::kSetXattr:
      need(::setxattr(path.c_str(), "user.v", value.data(), value.size(), 0) == 0, "setxattr");
      break;
    default:
      need(::removexattr(path.c_str(), "user.v") == 0, "removexattr");
      break;
  }
}

void create(const std::string& path, const Node& after) {
  const base::UniqueFd fd(
      ::open(path.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, after.mode));
  need(static_cast<bool>(fd), "create");
}

}  // namespace

void perform(const std::string& directory, const Who& who, const Operation& op, const State& after,
             Medium medium) {
  const std::string path = directory + "/" + op.path;
  const std::string other = directory + "/" + op.other;
  switch (op.action) {
    case Action::kCreate:
      return create(path, *after.at(op.path));
    case Action::kMkdir:
      return need(::mkdir(path.c_str(), 0755) == 0, "mkdir");
    case Action::kSymlink:
      return need(::symlink(after.at(op.path)->target.c_str(), path.c_str()) == 0, "symlink");
    case Action::kLink:
      return need(::link(path.c_str(), other.c_str()) == 0, "link");
    case Action::kUnlink:
      return need(::unlink(path.c_str()) == 0, "unlink");
    case Action::kRmdir:
      return need(::rmdir(path.c_str()) == 0, "rmdir");
    case Action::kRename:
      return need(::rename(path.c_str(), other.c_str()) == 0, "rename");
    case Action::kExchange:
      return need(
          ::renameat2(AT_FDCWD, path.c_str(), AT_FDCWD, other.c_str(), RENAME_EXCHANGE) == 0,
          "exchange");
    case Action::kWrite:
    case Action::kTruncate:
    case Action::kStore:
      return change_data(path, who, op, *after.at(op.path), medium);
    default:
      return change_traits(path, op, *after.at(op.path));
  }
}

}  // namespace pmemfs::vm
