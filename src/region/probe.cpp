#include "region/probe.hpp"

#include <fcntl.h>
#include <libpmem.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <sstream>

#include "base/unique_fd.hpp"
#include "region/devdax.hpp"
#include "region/reason.hpp"

namespace pmemfs::region {
namespace {

using base::UniqueFd;

constexpr std::size_t kTrialBytes = 4096;

// The type that /proc/self/mountinfo gives for the mount of `fd`: "36 35 98:0 / /mnt rw shared:1 -
// ext4 /dev/vda rw".
std::string filesystem_name(int fd) {
  struct statx sx {};
  if (::statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &sx) != 0) {
    return "unknown";
  }
  std::ifstream mounts("/proc/self/mountinfo");
  std::string line;
  while (std::getline(mounts, line)) {
    std::istringstream fields(line);
    std::uint64_t id = 0;
    const std::size_t dash = line.find(" - ");
    if (fields >> id && id == sx.stx_mnt_id && dash != std::string::npos) {
      const std::size_t start = dash + 3;
      return line.substr(start, line.find(' ', start) - start);
    }
  }
  return "unknown";
}

bool grants_map_sync(int fd, int protection) {
  void* p = ::mmap(nullptr, kTrialBytes, protection, MAP_SHARED_VALIDATE | MAP_SYNC, fd, 0);
  if (p == MAP_FAILED) {
    return false;
  }
  ::munmap(p, kTrialBytes);
  return true;
}

// Tries with a file without a name, which the kernel drops at close.
bool directory_grants_map_sync(int dir) {
  const UniqueFd file(::openat(dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  return file && ::ftruncate(file.get(), kTrialBytes) == 0 &&
         grants_map_sync(file.get(), PROT_READ | PROT_WRITE);
}

bool file_grants_map_sync(int fd) {
  const int mode = ::fcntl(fd, F_GETFL) & O_ACCMODE;
  return grants_map_sync(fd, mode == O_RDWR ? PROT_READ | PROT_WRITE : PROT_READ);
}

Granularity granularity_of(const Probe& p) {
  if (p.map_sync) {
    return pmem_has_auto_flush() == 1 ? Granularity::kByte : Granularity::kCacheLine;
  }
  return p.volatile_fs ? Granularity::kNone : Granularity::kPage;
}

HostKind kind_of(const struct stat& st) {
  if (S_ISDIR(st.st_mode)) {
    return HostKind::kDirectory;
  }
  if (S_ISREG(st.st_mode)) {
    return HostKind::kFile;
  }
  return S_ISCHR(st.st_mode) && is_dax_device(st.st_rdev) ? HostKind::kDevdax : HostKind::kOther;
}

}  // namespace

std::string_view to_string(HostKind kind) {
  switch (kind) {
    case HostKind::kDirectory:
      return "directory";
    case HostKind::kFile:
      return "file";
    case HostKind::kDevdax:
      return "devdax";
    case HostKind::kOther:
      break;
  }
  return "other";
}

Result<Probe> probe_fd(int fd, const std::string& shown, std::string& why) {
  struct stat st {};
  struct statfs fs {};
  struct statvfs vfs {};
  if (::fstat(fd, &st) != 0 || ::fstatfs(fd, &fs) != 0 || ::fstatvfs(fd, &vfs) != 0) {
    return because_errno(why, errno, shown);
  }
  Probe p;
  p.kind = kind_of(st);
  p.filesystem = filesystem_name(fd);
  p.volatile_fs =
      fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC || fs.f_type == HUGETLBFS_MAGIC;
  p.read_only = (vfs.f_flag & ST_RDONLY) != 0;
  if (p.kind == HostKind::kDirectory) {
    p.map_sync = directory_grants_map_sync(fd);
  } else if (p.kind == HostKind::kFile) {
    p.map_sync = file_grants_map_sync(fd);
  } else if (p.kind == HostKind::kDevdax) {
    PMEMFS_TRY(const DaxDevice device, read_dax_device(st.st_rdev, shown, why));
    p.map_sync = device.persistent;
    p.volatile_fs = !device.persistent;
    p.read_only = false;  // the mount of /dev says nothing about the memory
    p.alignment = device.alignment;
  }
  p.granularity = granularity_of(p);
  return p;
}

Result<Probe> probe(const std::string& path, std::string& why) {
  // O_PATH first: opening a device can have effects of its own.
  const UniqueFd place(::open(path.c_str(), O_PATH | O_CLOEXEC));
  struct stat st {};
  if (!place || ::fstat(place.get(), &st) != 0) {
    return because_errno(why, errno, path);
  }
  const HostKind kind = kind_of(st);
  if (kind != HostKind::kDirectory && kind != HostKind::kFile) {
    return probe_fd(place.get(), path, why);
  }
  UniqueFd fd(
      ::open(path.c_str(), (kind == HostKind::kFile ? O_RDWR : O_RDONLY) | O_NONBLOCK | O_CLOEXEC));
  if (!fd) {
    fd.reset(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  }
  if (!fd) {
    return because_errno(why, errno, path);
  }
  return probe_fd(fd.get(), path, why);
}

}  // namespace pmemfs::region
