#include "fuse/convert.hpp"

#include <sys/sysmacros.h>

namespace pmemfs::fuse {
namespace {

constexpr std::uint32_t kPermissionBits = 07777;

timespec to_timespec(Timestamp time) {
  return {time.sec, static_cast<long>(time.nsec)};
}

Timestamp to_timestamp(const timespec& time) {
  return {time.tv_sec, static_cast<std::uint32_t>(time.tv_nsec)};
}

statx_timestamp to_statx_time(Timestamp time) {
  statx_timestamp result{};
  result.tv_sec = time.sec;
  result.tv_nsec = time.nsec;
  return result;
}

}  // namespace

double attribute_timeout(const Attributes& attributes, const View& view) {
  return attributes.stable ? view.stable : view.unstable;
}

struct stat to_stat(const Attributes& attributes, const View& view) {
  struct stat st {};
  st.st_ino = attributes.ino.value;
  st.st_mode = attributes.mode;
  st.st_nlink = attributes.nlink;
  st.st_uid = attributes.uid;
  st.st_gid = attributes.gid;
  st.st_rdev = attributes.rdev;  // handed on as it is: the kernel's own encoding
  st.st_size = static_cast<off_t>(attributes.size);
  st.st_blksize = kBlockSize + (view.marks_durable && attributes.durable ? 1 : 0);
  st.st_blocks = static_cast<blkcnt_t>(attributes.blocks);
  st.st_atim = to_timespec(attributes.atime);
  st.st_mtim = to_timespec(attributes.mtime);
  st.st_ctim = to_timespec(attributes.ctime);
  return st;
}

struct statx to_statx(const Attributes& attributes) {
  struct statx st {};
  st.stx_mask = STATX_BASIC_STATS | STATX_BTIME;
  st.stx_blksize = kBlockSize;
  st.stx_nlink = attributes.nlink;
  st.stx_uid = attributes.uid;
  st.stx_gid = attributes.gid;
  st.stx_mode = static_cast<std::uint16_t>(attributes.mode);
  st.stx_ino = attributes.ino.value;
  st.stx_size = attributes.size;
  st.stx_blocks = attributes.blocks;
  st.stx_atime = to_statx_time(attributes.atime);
  st.stx_btime = to_statx_time(attributes.btime);
  st.stx_ctime = to_statx_time(attributes.ctime);
  st.stx_mtime = to_statx_time(attributes.mtime);
  st.stx_rdev_major = gnu_dev_major(attributes.rdev);
  st.stx_rdev_minor = gnu_dev_minor(attributes.rdev);
  return st;
}

struct statvfs to_statvfs(const FilesystemSpace& space) {
  constexpr unsigned long kNameMax = 255;
  struct statvfs st {};
  st.f_bsize = space.block_size;
  st.f_frsize = space.block_size;
  st.f_blocks = space.blocks;
  st.f_bfree = space.blocks_free;
  st.f_bavail = space.blocks_available;
  st.f_files = space.files;
  st.f_ffree = space.files_free;
  st.f_favail = space.files_free;
  st.f_namemax = kNameMax;
  return st;
}

fuse_entry_param to_entry(const Attributes& attributes, const View& view) {
  fuse_entry_param entry{};
  entry.ino = attributes.ino.value;
  entry.generation = attributes.generation;
  entry.attr = to_stat(attributes, view);
  entry.attr_timeout = attribute_timeout(attributes, view);
  entry.entry_timeout = view.names;
  return entry;
}

fuse_entry_param missing_entry(const View& view) {
  fuse_entry_param entry{};
  entry.entry_timeout = view.names;
  return entry;
}

AttributeChange to_change(const struct stat& values, int to_set) {
  AttributeChange change;
  if ((to_set & FUSE_SET_ATTR_MODE) != 0) {
    change.mode = values.st_mode & kPermissionBits;
  }
  if ((to_set & FUSE_SET_ATTR_UID) != 0) {
    change.uid = values.st_uid;
  }
  if ((to_set & FUSE_SET_ATTR_GID) != 0) {
    change.gid = values.st_gid;
  }
  if ((to_set & FUSE_SET_ATTR_SIZE) != 0) {
    change.size = static_cast<std::uint64_t>(values.st_size);
  }
  change.atime_now = (to_set & FUSE_SET_ATTR_ATIME_NOW) != 0;
  if ((to_set & FUSE_SET_ATTR_ATIME) != 0 && !change.atime_now) {
    change.atime = to_timestamp(values.st_atim);
  }
  change.mtime_now = (to_set & FUSE_SET_ATTR_MTIME_NOW) != 0;
  if ((to_set & FUSE_SET_ATTR_MTIME) != 0 && !change.mtime_now) {
    change.mtime = to_timestamp(values.st_mtim);
  }
  if ((to_set & FUSE_SET_ATTR_CTIME) != 0) {
    change.ctime = to_timestamp(values.st_ctim);
  }
  change.kill_suid_sgid = (to_set & (FUSE_SET_ATTR_KILL_SUID | FUSE_SET_ATTR_KILL_SGID)) != 0;
  change.write_kill = to_set == 0;
  return change;
}

}  // namespace pmemfs::fuse
