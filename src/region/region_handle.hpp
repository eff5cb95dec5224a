#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "base/unique_fd.hpp"
#include "pmemfs/region.hpp"
#include "pmemfs/result.hpp"
#include "region/mapped_region.hpp"
#include "region/probe.hpp"

// Making and opening regions, the way mkfs, fsck and the daemon do it.
//
// A directory region is a directory with the metadata file `region` and the directory `data`, whose
// content belongs to the layer backing. A file region is the file. Errors carry a line for people
// in `why` (see reason.hpp).
namespace pmemfs::region {

inline constexpr std::uint64_t kDefaultMetadataSize = 16ULL << 20U;
inline constexpr const char* kMetadataName = "region";
inline constexpr const char* kDataName = "data";

// An open region: its memory, its descriptors and the lock, which ends with this object (and with
// those of children forked meanwhile). Immutable after construction, so thread-safe; the Region has
// rules of its own.
class RegionHandle {
 public:
  RegionHandle(const RegionHandle&) = delete;
  RegionHandle& operator=(const RegionHandle&) = delete;
  ~RegionHandle() = default;

  [[nodiscard]] Region& region() const { return *region_; }
  [[nodiscard]] HostKind kind() const { return host_.kind; }  // kDirectory, kFile or kDevdax
  [[nodiscard]] const std::string& path() const { return path_; }
  // What was found below the region file.
  [[nodiscard]] const Probe& host() const { return host_; }
  // The medium itself cannot be written; a read-only open of a writable one leaves this false.
  [[nodiscard]] bool medium_read_only() const { return host_.read_only; }
  [[nodiscard]] int file_fd() const { return file_.get(); }  // of the region file or device
  [[nodiscard]] int directory_fd() const { return directory_.get(); }  // -1 for others
  [[nodiscard]] int data_fd() const { return data_.get(); }            // -1 for others

 private:
  friend class HandleBuilder;
  RegionHandle() = default;

  std::string path_;
  Probe host_;
  base::UniqueFd directory_;
  base::UniqueFd data_;
  base::UniqueFd file_;
  std::unique_ptr<MappedRegion> region_;  // unmapped before file_ is closed
};

struct CreateOptions {
  bool emulate = false;  // take memory that is not persistent
  bool force = false;    // take what holds data
  std::uint64_t size =
      0;  // bytes; 0: 16 MiB of metadata for a directory, the size that the file has
};

// A new region of zeros at `path`, locked exclusively: the metadata file of an existing directory
// (empty, or with force) or of one that is made where nothing is; or an existing regular file, or
// with a size a new one. A former region's backing files in `data` are left for the caller to
// remove. On failure nothing is left changed.
//   EBUSY in use · ETXTBSY virtual machines still map what was there · EEXIST, ENOTEMPTY holds
//   something, needs force · EINVAL, EFBIG bad size · ENOTSUP needs emulate · EROFS · EPERM others
//   could write there · ENODEV a device · ENOSPC · ENOENT and others as open(2)
Result<std::unique_ptr<RegionHandle>> create(const std::string& path, const CreateOptions& options,
                                             std::string& why);

struct OpenOptions {
  bool read_only = false;     // stores go to a private copy, so that the journal can be replayed
  unsigned wait_seconds = 0;  // how long an owner that shuts down is waited for
};

// An existing region, locked exclusively, or shared where the medium is read-only. What it holds is
// not looked at; its size() is that of the file and exceeds the superblock's after a crash within
// grow(). Persistence is not demanded either: the caller compares region().granularity() with what
// the superblock says about emulation.
//   EBUSY in use · EUCLEAN not a region or a damaged one · EROFS · EPERM others could write there ·
//   ENOENT …
Result<std::unique_ptr<RegionHandle>> open(const std::string& path, const OpenOptions& options,
                                           std::string& why);

// Bytes [off, off + n) of the region at `path`, whoever has it open, without a lock: to name the
// owner of a region in use.
Status peek(const std::string& path, std::uint64_t off, void* dst, std::size_t n, std::string& why);

}  // namespace pmemfs::region
