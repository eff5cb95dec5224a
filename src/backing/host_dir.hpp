#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "backing/names.hpp"
#include "base/unique_fd.hpp"
#include "pmemfs/backing_dir.hpp"

namespace pmemfs::backing {

// The `data` directory of a directory region, as make_layout (layout.hpp) made it. Contracts: see
// BackingDir.
//
// Keeps its 256 directories open (256 descriptors), so that creating is one openat2, opening one
// openat2 and one fstat, and stat one statx. Files and directories must belong to the user of this
// process and be closed to all others.
//
// Read-only (a read-only medium or mount): descriptors are for reading and everything that changes
// something is EROFS.
class HostDir final : public BackingDir {
 public:
  // `data_fd` is only used during the call. EUCLEAN when one of the directories is missing or not
  // as it should be. `keep_atime`: reading moves no time of access, even when the kernel reads for
  // others; where this process may not make a mount, the host's mount options decide.
  static Result<std::unique_ptr<HostDir>> open_at(int data_fd, bool read_only,
                                                  bool keep_atime = false);

  Result<int> create(BackingName name) override;
  Result<int> open(BackingName name) override;
  Status unlink(BackingName name) override;
  Result<HostStat> stat(BackingName name) override;
  Result<HostStat> stat_fd(int fd) override;

  Result<std::size_t> read(int fd, std::uint64_t off, void* dst, std::size_t n) override;
  Result<std::size_t> read_parts(int fd, std::uint64_t off,
                                 std::span<const std::span<std::byte>> parts) override;
  Result<std::size_t> read_parts_quietly(int fd, std::uint64_t off,
                                         std::span<const std::span<std::byte>> parts) override;
  Result<std::size_t> write(int fd, std::uint64_t off, const void* src, std::size_t n) override;
  Result<std::size_t> write_parts(int fd, std::uint64_t off,
                                  std::span<const std::span<const std::byte>> parts) override;
  Result<std::size_t> copy(int from, std::uint64_t from_off, int to, std::uint64_t to_off,
                           std::size_t n) override;
  Status truncate(int fd, std::uint64_t size) override;
  Status allocate(int fd, int mode, std::uint64_t off, std::uint64_t len) override;
  Result<std::uint64_t> seek(int fd, std::uint64_t off, int whence) override;
  Result<std::vector<HostExtent>> extents(int fd, std::size_t most) override;
  Status set_times(int fd, Timestamp atime, Timestamp mtime) override;
  void set_nodefrag(int fd, bool on) override;
  Status touch(int fd, std::uint64_t off, std::uint64_t len) override;

  Status sync_file(int fd) override;
  Status sync_parent(BackingName n) override;
  Status sync_all() override;

  // The signal of a broken lease is SIGURG, which is ignored unless the program handles it.
  Status take_lease(int fd) override;
  [[nodiscard]] bool lease_held(int fd) override;
  void drop_lease(int fd) override;

  Status for_each(const std::function<void(BackingName)>& ours,
                  const std::function<void(const std::string&)>& foreign) override;
  Result<HostSpace> space() override;

 private:
  explicit HostDir(bool read_only) : read_only_(read_only) {}

  [[nodiscard]] int directory(BackingName name) const {
    return directories_[directory_of(name)].get();
  }

  bool read_only_;
  std::uint64_t mount_id_ = 0;  // of the kernel, for stat; opening checks it by itself
  base::UniqueFd data_;
  std::array<base::UniqueFd, kDirectories> directories_;
};

}  // namespace pmemfs::backing
