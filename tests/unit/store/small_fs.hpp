#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "store/directory.hpp"
#include "store/store.hpp"

namespace pmemfs::test {

// As little of a filesystem as the tests of the store need: one directory, the root, whose files
// have no data. Throws std::runtime_error where the store fails and the test did not ask for it.
class SmallFs {
 public:
  // Makes a filesystem, or opens what is there.
  static void format(Region& region, format::RegionKind kind = format::RegionKind::kDirectory);
  explicit SmallFs(Region& region);

  [[nodiscard]] store::Store& store() { return *store_; }
  [[nodiscard]] store::Directory& root() { return *root_; }
  [[nodiscard]] format::Inode root_inode() const;
  [[nodiscard]] format::Inode inode(InodeNo ino) const;
  [[nodiscard]] const store::OpenReport& report() const { return report_; }

  // Errors as the store gives them. After one the directory is loaded anew: it may be ahead.
  Result<InodeNo> create(std::string_view name);
  Status unlink(std::string_view name);
  Status rename(std::string_view from, std::string_view to);  // `to` does not exist
  [[nodiscard]] InodeNo find(std::string_view name) const;    // 0: not there

  void close();  // in order, with a snapshot
  void reload_root();

 private:
  store::OpenReport report_;
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<store::Directory> root_;
};

// A sealed inode of a new regular file.
[[nodiscard]] format::Inode new_inode(InodeNo ino, std::uint64_t generation, std::uint32_t mode);

// Throws when the status is an error.
void must(const Status& status);
template <typename T>
T must(Result<T> result) {
  must(result ? Status{} : Status{result.error()});
  return std::move(result).value();
}

// Reads everything there is, as a filesystem would: inodes, directories, extents, xattrs, symlink
// targets. Damage is fine; returns the number of errors met.
std::uint64_t walk_everything(store::Store& store);

// What open() must find again: free blocks, free inode numbers and counters, as text.
[[nodiscard]] std::string free_state(store::Store& store);

}  // namespace pmemfs::test
