#pragma once

#include <memory>
#include <string>
#include <vector>

#include "backing/host_dir.hpp"
#include "pmemfs/filesystem.hpp"
#include "region/region_handle.hpp"
#include "store/store.hpp"
#include "tools/region_access.hpp"
#include "tools/report.hpp"

namespace pmemfs::tools {

// A region and the filesystem in it, opened together. The members are in order of dependence: the
// filesystem goes first.
class OpenedRegion {
 public:
  struct Options {
    bool read_only = false;
    bool keep_atime = false;  // of host files, whatever reads them
    unsigned wait_seconds = 0;
    // Completes the filesystem's options once the capacity in bytes is known.
    std::function<FilesystemOptions(std::uint64_t capacity)> filesystem;
  };

  // Throws Failure; the region is unchanged then.
  static std::unique_ptr<OpenedRegion> open(const std::string& path, const Options& options);

  [[nodiscard]] Filesystem& filesystem() { return *filesystem_; }
  [[nodiscard]] const region::RegionHandle& handle() const { return *handle_; }
  [[nodiscard]] bool read_only() const { return read_only_; }
  // What a person should know: emulation, a damaged superblock, a format that is read-only here.
  [[nodiscard]] const std::vector<std::string>& warnings() const { return warnings_; }
  [[nodiscard]] RegionFacts facts() const;

 private:
  OpenedRegion() = default;
  void open_handle(const std::string& path, const Options& options);
  void open_backing(bool keep_atime);
  // Whether host files that nothing refers to may be deleted; says why not.
  [[nodiscard]] bool may_collect(const store::OpenReport& report);
  [[nodiscard]] std::uint64_t capacity();
  void warn_of_memory();

  std::unique_ptr<region::RegionHandle> handle_;
  std::unique_ptr<backing::HostDir> backing_;
  std::unique_ptr<Filesystem> filesystem_;
  CheckedSuperblock superblock_;
  bool read_only_ = false;
  std::vector<std::string> warnings_;
};

}  // namespace pmemfs::tools
