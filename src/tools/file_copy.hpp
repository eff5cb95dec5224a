#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <functional>
#include <string>

#include "base/unique_fd.hpp"

// Copies of files with all that belongs to them, for moving them to another filesystem. Everything
// goes by descriptors, so that nobody who may write to the directories can have root copy from or
// to elsewhere. Thread-safe.
namespace pmemfs::tools {

// An entry of an open directory, held whatever its name comes to mean.
class HeldEntry {
 public:
  // 0 or an errno value.
  static int open(int dir, const std::string& name, HeldEntry* entry);

  [[nodiscard]] const struct stat& st() const { return st_; }
  // A path that leads to it, and to nothing that it points to.
  [[nodiscard]] std::string path() const;
  [[nodiscard]] int fd() const { return fd_.get(); }  // O_PATH

 private:
  base::UniqueFd fd_;
  struct stat st_ {};
};

using CopyProgress = std::function<void(std::uint64_t bytes)>;

// Makes a copy of `from`, which is no directory, under a new name: data with its holes, owner,
// mode, extended attributes and ACLs, times. A regular file appears under the name complete and
// synced. 0; EEXIST, ENOSPC and what the filesystems say: then nothing is left.
int copy_entry(const HeldEntry& from, int to_dir, const std::string& name,
               const CopyProgress& progress);

// True when `name` is what copy_entry() makes of `from`.
bool is_copy(const HeldEntry& from, int to_dir, const std::string& name);

// Gives what `to_fd` holds the owner, mode, extended attributes and ACLs of `from`; the times.
int copy_attributes(const HeldEntry& from, int to_fd);
int copy_times(const struct stat& from, int to_fd);

}  // namespace pmemfs::tools
