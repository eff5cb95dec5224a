#include "backing/host_dir.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <string_view>

#include "backing/host_open.hpp"
#include "backing/layout.hpp"

namespace pmemfs::backing {
namespace {

using base::UniqueFd;

constexpr unsigned kStatFields = STATX_BASIC_STATS | STATX_MNT_ID;

Timestamp timestamp_of(const struct statx_timestamp& t) {
  return {t.tv_sec, t.tv_nsec};
}

HostStat stat_of(const struct statx& sx) {
  return {sx.stx_size, sx.stx_blocks, timestamp_of(sx.stx_atime), timestamp_of(sx.stx_mtime),
          timestamp_of(sx.stx_ctime)};
}

Result<std::uint64_t> mount_id_of(int fd) {
  struct statx sx {};
  if (::statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &sx) != 0) {
    return Error(errno);
  }
  return std::uint64_t{sx.stx_mnt_id};
}

// Calls back with each entry but "." and "..".
Status list(int directory, const std::function<void(const char*)>& entry) {
  UniqueFd fd(::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(fd ? ::fdopendir(fd.get()) : nullptr, &::closedir);
  if (!dir) {
    return Error(errno);
  }
  (void)fd.release();
  while (true) {
    errno = 0;
    const dirent* e = ::readdir(dir.get());
    if (e == nullptr) {
      return errno == 0 ? Status() : Status(Error(errno));
    }
    if (std::strcmp(e->d_name, ".") != 0 && std::strcmp(e->d_name, "..") != 0) {
      entry(e->d_name);
    }
  }
}

// The same directory on a mount of our own, unseen by others: passthrough goes by the options of
// the mount that a host file was opened on, not by the flags of the handle. None where that is not
// allowed.
UniqueFd without_atime(int directory) {
  UniqueFd own(::open_tree(directory, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
  struct mount_attr attributes {};
  attributes.attr_set = MOUNT_ATTR_NOATIME;
  attributes.attr_clr = MOUNT_ATTR__ATIME;
  if (!own || ::mount_setattr(own.get(), "", AT_EMPTY_PATH, &attributes, sizeof attributes) != 0) {
    return {};
  }
  return own;
}

}  // namespace

Result<std::unique_ptr<HostDir>> HostDir::open_at(int data_fd, bool read_only, bool keep_atime) {
  std::unique_ptr<HostDir> dir(new HostDir(read_only));
  const UniqueFd own = keep_atime ? without_atime(data_fd) : UniqueFd();
  data_fd = own ? own.get() : data_fd;
  PMEMFS_TRY(dir->data_, open_beneath(data_fd, ".", O_RDONLY | O_DIRECTORY));
  PMEMFS_TRY(dir->mount_id_, mount_id_of(data_fd));
  for (unsigned i = 0; i < kDirectories; ++i) {
    Result<UniqueFd> sub = open_beneath(data_fd, directory_name(i).c_str(), O_RDONLY | O_DIRECTORY);
    if (!sub) {
      return Error(sub.code() == ENOENT ? EUCLEAN : sub.code());
    }
    PMEMFS_CHECK(check_private_directory(sub->get()));
    dir->directories_[i] = std::move(sub).value();
  }
  return dir;
}

Result<int> HostDir::create(BackingName name) {
  if (read_only_) {
    return Error(EROFS);
  }
  // No fstat: what O_EXCL makes is a regular file of ours with one link.
  PMEMFS_TRY(UniqueFd fd,
             open_beneath(directory(name), Leaf(name).c_str(), O_RDWR | O_CREAT | O_EXCL, 0600));
  return fd.release();
}

Result<int> HostDir::open(BackingName name) {
  PMEMFS_TRY(UniqueFd fd,
             open_beneath(directory(name), Leaf(name).c_str(), read_only_ ? O_RDONLY : O_RDWR));
  PMEMFS_CHECK(check_private_file(fd.get()));
  return fd.release();
}

Status HostDir::unlink(BackingName name) {
  if (read_only_) {
    return Error(EROFS);
  }
  if (::unlinkat(directory(name), Leaf(name).c_str(), 0) == 0) {
    return {};
  }
  return Error(errno == EISDIR ? EUCLEAN : errno);
}

Result<HostStat> HostDir::stat(BackingName name) {
  struct statx sx {};
  const int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT;
  if (::statx(directory(name), Leaf(name).c_str(), flags, kStatFields, &sx) != 0) {
    return Error(errno);
  }
  if (!is_private_file(sx.stx_mode, sx.stx_uid, sx.stx_nlink) || sx.stx_mnt_id != mount_id_) {
    return Error(EUCLEAN);
  }
  return stat_of(sx);
}

Result<HostStat> HostDir::stat_fd(int fd) {
  struct statx sx {};
  if (::statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &sx) != 0) {
    return Error(errno);
  }
  return stat_of(sx);
}

Status HostDir::sync_parent(BackingName n) {
  return ::fsync(directory(n)) == 0 ? Status() : Status(Error(errno));
}

Status HostDir::sync_all() {
  return ::syncfs(data_.get()) == 0 ? Status() : Status(Error(errno));
}

Status HostDir::for_each(const std::function<void(BackingName)>& ours,
                         const std::function<void(const std::string&)>& foreign) {
  for (unsigned i = 0; i < kDirectories; ++i) {
    PMEMFS_CHECK(list(directories_[i].get(), [&](const char* leaf) {
      if (const auto name = parse_leaf(i, leaf)) {
        ours(*name);
      } else {
        foreign(directory_name(i) + "/" + leaf);
      }
    }));
  }
  return list(data_.get(), [&](const char* entry) {
    if (!parse_directory(entry) && std::string_view(entry) != kOwnerName) {
      foreign(entry);
    }
  });
}

Result<HostSpace> HostDir::space() {
  struct statvfs fs {};
  if (::fstatvfs(data_.get(), &fs) != 0) {
    return Error(errno);
  }
  return HostSpace{fs.f_frsize, fs.f_blocks, fs.f_bfree, fs.f_bavail, fs.f_files, fs.f_ffree};
}

}  // namespace pmemfs::backing
