// The second seam: the host files of a directory region, one for each regular file of pmemfs.
//
// A name is used at most once in the life of a region (a relocated or recreated file takes a new
// generation), so a host file found under a name is that file's or nobody's.
// What has not been synced may be lost in a crash of the host, in any subset: see docs/DESIGN.md.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "pmemfs/result.hpp"
#include "pmemfs/types.hpp"

namespace pmemfs {

// data/<low byte of ino, 2 hex>/<ino hex>.<gen hex>
struct BackingName {
  InodeNo ino;
  std::uint64_t gen = 0;

  constexpr auto operator<=>(const BackingName&) const = default;  // NOLINT(modernize-use-nullptr)
};

// What fstat of a host file tells. blocks is in units of 512 bytes.
struct HostStat {
  std::uint64_t size = 0;
  std::uint64_t blocks = 0;
  Timestamp atime;
  Timestamp mtime;
  Timestamp ctime;
};

// A run of a host file as the host's block map has it, in bytes. What the host does not tell about
// is not `located`, and `physical` means nothing then.
struct HostExtent {
  std::uint64_t off = 0;
  std::uint64_t len = 0;
  std::uint64_t physical = 0;  // on the host's device
  bool located = false;
  bool unwritten = false;  // allocated, reads as zeros

  bool operator==(const HostExtent&) const = default;
};

// Capacity of the host filesystem; units as in struct statvfs with f_frsize = block_size.
struct HostSpace {
  std::uint64_t block_size = 4096;
  std::uint64_t blocks = 0;
  std::uint64_t blocks_free = 0;
  std::uint64_t blocks_available = 0;
  std::uint64_t files = 0;
  std::uint64_t files_free = 0;
};

// For set_times: the host's present time, which is in order with what it stamps by itself; and
// "leave it".
inline constexpr Timestamp kHostNow{0, UTIME_NOW};
inline constexpr Timestamp kHostKeep{0, UTIME_OMIT};

// Thread-safe. Descriptors are plain file descriptors owned by the caller, who closes them with
// close(2); all access to content goes through the functions below, so that a simulator sees it.
//
// Errors: EUCLEAN for anything that is not a regular 0600 file of ours with one link inside the
// region directory; else what the host says.
class BackingDir {
 public:
  BackingDir() = default;
  BackingDir(const BackingDir&) = delete;
  BackingDir& operator=(const BackingDir&) = delete;
  virtual ~BackingDir() = default;

  // A new empty file, open for reading and writing. EEXIST if the name exists (a broken invariant).
  virtual Result<int> create(BackingName name) = 0;
  // An existing file, for reading and (unless the region is read-only) writing. ENOENT if missing.
  virtual Result<int> open(BackingName name) = 0;
  virtual Status unlink(BackingName name) = 0;
  virtual Result<HostStat> stat(BackingName name) = 0;
  virtual Result<HostStat> stat_fd(int fd) = 0;

  // Short counts only at end of file (read) or where the host stops (write, ENOSPC).
  virtual Result<std::size_t> read(int fd, std::uint64_t off, void* dst, std::size_t n) = 0;
  // The same into several places, one after the other.
  virtual Result<std::size_t> read_parts(int fd, std::uint64_t off,
                                         std::span<const std::span<std::byte>> parts);
  // The same with O_NOATIME, where the host grants that.
  virtual Result<std::size_t> read_parts_quietly(int fd, std::uint64_t off,
                                                 std::span<const std::span<std::byte>> parts) {
    return read_parts(fd, off, parts);
  }
  virtual Result<std::size_t> write(int fd, std::uint64_t off, const void* src, std::size_t n) = 0;
  // The same from several places. A piece that cannot be read is EFAULT, as write(2) has it: what
  // comes before may be written.
  virtual Result<std::size_t> write_parts(int fd, std::uint64_t off,
                                          std::span<const std::span<const std::byte>> parts);
  // copy_file_range(2) between two backing files.
  virtual Result<std::size_t> copy(int from, std::uint64_t from_off, int to, std::uint64_t to_off,
                                   std::size_t n) = 0;
  virtual Status truncate(int fd, std::uint64_t size) = 0;
  // mode: FALLOC_FL_* as fallocate(2).
  virtual Status allocate(int fd, int mode, std::uint64_t off, std::uint64_t len) = 0;
  // whence: SEEK_DATA or SEEK_HOLE.
  virtual Result<std::uint64_t> seek(int fd, std::uint64_t off, int whence) = 0;
  // The first `most` runs of the file, of blocks beyond its end too. EOPNOTSUPP where the host
  // tells of none.
  virtual Result<std::vector<HostExtent>> extents(int fd, std::size_t most) = 0;
  // kHostNow and kHostKeep are no times but ask for what their names say.
  virtual Status set_times(int fd, Timestamp atime, Timestamp mtime) = 0;
  // Asks the host's own defragmentation to leave the file alone, or no longer. A wish: hosts
  // without such a flag, and any failure, leave things as they are.
  virtual void set_nodefrag(int fd, bool on) = 0;

  // Makes every page of [off, off + len) written, without changing a byte: an atomic
  // fetch_or(word, 0) on one word of each 4 KiB page through a shared mapping. The range must lie
  // inside the file. Safe beside programs that store through mappings of their own.
  virtual Status touch(int fd, std::uint64_t off, std::uint64_t len) = 0;

  virtual Status sync_file(int fd) = 0;           // fsync
  virtual Status sync_parent(BackingName n) = 0;  // fsync of the directory that holds the name
  virtual Status sync_all() = 0;                  // syncfs of the host filesystem

  // F_SETLEASE(F_WRLCK): granted only when no other open file description and no mapping of the
  // file exists anywhere, earlier daemons' included; else EBUSY.
  virtual Status take_lease(int fd) = 0;
  [[nodiscard]] virtual bool lease_held(int fd) = 0;  // F_GETLEASE is still F_WRLCK
  virtual void drop_lease(int fd) = 0;

  // Calls back for each entry of the data directories: a name of ours, or (second) the text of
  // anything else found there. Order unspecified. The callback may unlink the name it is given.
  virtual Status for_each(const std::function<void(BackingName)>& ours,
                          const std::function<void(const std::string&)>& foreign) = 0;

  virtual Result<HostSpace> space() = 0;
};

inline Result<std::size_t> BackingDir::read_parts(int fd, std::uint64_t off,
                                                  std::span<const std::span<std::byte>> parts) {
  std::size_t done = 0;
  for (const std::span<std::byte> part : parts) {
    const auto got = read(fd, off + done, part.data(), part.size());
    if (!got) {
      return done > 0 ? Result<std::size_t>(done) : got;
    }
    done += *got;
    if (*got < part.size()) {
      break;
    }
  }
  return done;
}

inline Result<std::size_t> BackingDir::write_parts(
    int fd, std::uint64_t off, std::span<const std::span<const std::byte>> parts) {
  std::size_t done = 0;
  for (const std::span<const std::byte> part : parts) {
    const auto put = write(fd, off + done, part.data(), part.size());
    if (!put) {
      return done > 0 ? Result<std::size_t>(done) : put;
    }
    done += *put;
    if (*put < part.size()) {
      break;
    }
  }
  return done;
}

}  // namespace pmemfs
