#include <dirent.h>
#include <fcntl.h>
#include <fmt/core.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <string_view>
#include <vector>

#include "base/file_flags.hpp"
#include "pmemfs/format.hpp"
#include "region/devdax_region.hpp"
#include "region/handle_builder.hpp"
#include "region/host_file.hpp"
#include "region/reason.hpp"
#include "region/region_handle.hpp"
#include "region/safe_path.hpp"

namespace pmemfs::region {
namespace {

using base::UniqueFd;
using Handle = Result<std::unique_ptr<RegionHandle>>;

// Removes what create() made unless it got to the end.
class Undo {
 public:
  Undo() = default;
  Undo(const Undo&) = delete;
  Undo& operator=(const Undo&) = delete;
  ~Undo() {
    while (!steps_.empty()) {
      const Step& last = steps_.back();
      ::unlinkat(last.folder, last.name.c_str(), last.flags);
      steps_.pop_back();
    }
  }
  // The descriptor stays the caller's and must live longer.
  void add(int folder, std::string name, int flags) {
    steps_.push_back({folder, std::move(name), flags});
  }
  void keep() { steps_.clear(); }

 private:
  struct Step {
    int folder;
    std::string name;
    int flags;
  };
  std::vector<Step> steps_;
};

// Asks for DAX in an existing directory, before anything is made there; taken back unless create()
// got to the end. Has a descriptor of its own.
class DaxWish {
 public:
  explicit DaxWish(int directory)
      : directory_(::fcntl(directory, F_DUPFD_CLOEXEC, 0)),
        changed_(base::prefer_dax(directory_.get())) {}
  DaxWish(const DaxWish&) = delete;
  DaxWish& operator=(const DaxWish&) = delete;
  ~DaxWish() {
    if (changed_) {
      (void)base::change_file_flags(directory_.get(), FS_XFLAG_DAX, false);
    }
  }
  void keep() { changed_ = false; }

 private:
  UniqueFd directory_;
  bool changed_;
};

Error host_error(std::string& why, const std::string& path, int code) {
  if (code == ENOSPC) {
    return because(why, code,
                   fmt::format("{}: no space left for the region on its filesystem", path));
  }
  return because_errno(why, code, path);
}

Status check_writable(const Probe& host, const std::string& path, std::string& why) {
  if (host.read_only) {
    return because(why, EROFS, fmt::format("{}: lies on a read-only filesystem", path));
  }
  return {};
}

// Refuses memory that would not keep its promise, unless the caller knows.
Status check_fit(const Probe& host, const std::string& path, bool emulate, std::string& why) {
  PMEMFS_CHECK(check_writable(host, path, why));
  if (!host.map_sync && !emulate) {
    return because(
        why, ENOTSUP,
        fmt::format(
            "{}: lies on {}, which is not persistent memory here (it grants no MAP_SYNC); use a "
            "directory on ext4 or xfs on persistent memory, not mounted with dax=never, or "
            "--emulate to simulate one",
            path, host.filesystem));
  }
  return {};
}

// What a directory holds already. lost+found does not count: a fresh filesystem's root is empty.
struct Contents {
  bool region = false;
  bool anything = false;
};

Result<Contents> look_inside(int directory, const std::string& path, std::string& why) {
  UniqueFd copy(::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(copy ? ::fdopendir(copy.get()) : nullptr,
                                                &::closedir);
  if (!dir) {
    return host_error(why, path, errno);
  }
  (void)copy.release();
  Contents found;
  while (const dirent* entry = ::readdir(dir.get())) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != ".." && name != "lost+found") {
      found.anything = true;
      found.region = found.region || name == kMetadataName;
    }
  }
  return found;
}

Status check_contents(const Contents& found, const std::string& path, bool force,
                      std::string& why) {
  if (force || !found.anything) {
    return {};
  }
  if (found.region) {
    return because(
        why, EEXIST,
        fmt::format("{}: holds a pmemfs region; --force makes a new one and all it holds is lost",
                    path));
  }
  return because(
      why, ENOTEMPTY,
      fmt::format(
          "{}: is not empty; use an empty directory, or --force to make the region beside what is "
          "there",
          path));
}

// Brings an opened and locked region file to `size` bytes of synced zeros.
Status make_zeros(int file, std::uint64_t size, const std::string& path, std::string& why) {
  if (::ftruncate(file, static_cast<off_t>(size)) != 0 || ::fchmod(file, 0600) != 0) {
    return host_error(why, path, errno);
  }
  // Both superblocks of a former region go first, and are synced: half of it must not be taken for
  // a whole one.
  Status filled = fill_with_zeros(file, 0, format::kFrameSize);
  if (filled) {
    filled = fill_with_zeros(file, format::kFrameSize, size - format::kFrameSize);
  }
  return filled ? Status() : Status(host_error(why, path, filled.code()));
}

// The metadata file, locked: a former region's or a new one.
Result<UniqueFd> take_metadata_file(int directory, bool exists, const std::string& path, Undo& undo,
                                    std::string& why) {
  const std::string shown = fmt::format("{}/{}", path, kMetadataName);
  const int flags = O_RDWR | (exists ? 0 : O_CREAT | O_EXCL);
  PMEMFS_TRY(UniqueFd file,
             open_beneath(directory, kMetadataName, flags, exists ? 0 : 0600, shown, why));
  if (!exists) {
    undo.add(directory, kMetadataName, 0);
  }
  PMEMFS_CHECK(check_private_file(file.get(), shown, why));
  PMEMFS_CHECK(lock_for_new(file.get(), path, why));
  return file;
}

Result<UniqueFd> take_data_directory(int directory, const std::string& path, Undo& undo,
                                     std::string& why) {
  if (::mkdirat(directory, kDataName, 0700) == 0) {
    undo.add(directory, kDataName, AT_REMOVEDIR);
  } else if (errno != EEXIST) {
    return host_error(why, path, errno);
  }
  return open_data(directory, path, why);
}

// `directory` is checked and fit; everything from here is undone on failure.
Handle fill_directory(UniqueFd directory, const std::string& path, const CreateOptions& options,
                      std::string& why) {
  PMEMFS_TRY(const Contents found, look_inside(directory.get(), path, why));
  Undo undo;
  UniqueFd file;
  if (found.region) {
    // Locked before anything is said about force: in use is the better answer.
    PMEMFS_TRY(file, take_metadata_file(directory.get(), true, path, undo, why));
  }
  PMEMFS_CHECK(check_contents(found, path, options.force, why));
  if (!file) {
    PMEMFS_TRY(file, take_metadata_file(directory.get(), false, path, undo, why));
  }
  PMEMFS_TRY(UniqueFd data, take_data_directory(directory.get(), path, undo, why));
  PMEMFS_CHECK(make_zeros(file.get(), options.size, path, why));
  if (::fchmod(directory.get(), 0700) != 0 || ::fsync(directory.get()) != 0) {
    return host_error(why, path, errno);
  }
  // A second descriptor, since `undo` needs the first to the end.
  UniqueFd kept(::fcntl(directory.get(), F_DUPFD_CLOEXEC, 0));
  if (!kept) {
    return host_error(why, path, errno);
  }
  Handle handle =
      HandleBuilder::build(path, std::move(kept), std::move(data), std::move(file), false, why);
  if (handle && !handle.value()->host().map_sync && !options.emulate) {
    return because(why, ENOTSUP,
                   fmt::format("{0}/{1}: was made without DAX, which a file keeps; rm {0}/{1}",
                               path, kMetadataName));
  }
  if (handle) {
    undo.keep();
  }
  return handle;
}

Handle create_in_existing_directory(const std::string& path, const CreateOptions& options,
                                    std::string& why) {
  PMEMFS_TRY(UniqueFd directory, open_directory(path, why));
  PMEMFS_CHECK(check_private_directory(directory.get(), why));
  PMEMFS_CHECK(check_parents_above(directory.get(), why));
  DaxWish dax(directory.get());
  PMEMFS_TRY(const Probe host, probe_fd(directory.get(), path, why));
  PMEMFS_CHECK(check_fit(host, path, options.emulate, why));
  Handle handle = fill_directory(std::move(directory), path, options, why);
  if (handle) {
    dax.keep();
  }
  return handle;
}

// Where a region that does not exist yet may be made.
Result<Place> open_new_place(const std::string& path, std::string& why) {
  PMEMFS_TRY(Place place, open_place(path, why));
  PMEMFS_CHECK(check_parents(place.folder.get(), why));
  PMEMFS_TRY(const Probe host, probe_fd(place.folder.get(), path, why));
  PMEMFS_CHECK(check_writable(host, path, why));
  return place;
}

// A new, empty directory, fit for a region; removed by `undo`. Only in it can be seen whether its
// files will have DAX, since it must ask for that.
Result<UniqueFd> make_directory(const Place& place, const std::string& path,
                                const CreateOptions& options, Undo& undo, std::string& why) {
  if (::mkdirat(place.folder.get(), place.name.c_str(), 0700) != 0) {
    return host_error(why, path, errno);
  }
  undo.add(place.folder.get(), place.name, AT_REMOVEDIR);
  PMEMFS_TRY(UniqueFd directory,
             open_beneath(place.folder.get(), place.name, O_RDONLY | O_DIRECTORY, 0, path, why));
  (void)base::prefer_dax(directory.get());
  PMEMFS_TRY(const Probe host, probe_fd(directory.get(), path, why));
  PMEMFS_CHECK(check_fit(host, path, options.emulate, why));
  return directory;
}

Handle create_in_new_directory(const std::string& path, const CreateOptions& options,
                               std::string& why) {
  PMEMFS_TRY(const Place place, open_new_place(path, why));
  Undo undo;
  PMEMFS_TRY(UniqueFd directory, make_directory(place, path, options, undo, why));
  Handle handle = fill_directory(std::move(directory), path, options, why);
  if (!handle) {
    return handle;
  }
  if (::fsync(place.folder.get()) != 0) {
    return host_error(why, path, errno);
  }
  undo.keep();
  return handle;
}

Handle create_in_new_file(const std::string& path, const CreateOptions& options, std::string& why) {
  PMEMFS_TRY(const Place place, open_new_place(path, why));
  PMEMFS_TRY(const Probe host, probe_fd(place.folder.get(), path, why));
  PMEMFS_CHECK(check_fit(host, path, options.emulate, why));
  PMEMFS_TRY(UniqueFd file, open_beneath(place.folder.get(), place.name, O_RDWR | O_CREAT | O_EXCL,
                                         0600, path, why));
  Undo undo;
  undo.add(place.folder.get(), place.name, 0);
  PMEMFS_CHECK(lock_for_new(file.get(), path, why));
  PMEMFS_CHECK(make_zeros(file.get(), options.size, path, why));
  if (::fsync(place.folder.get()) != 0) {
    return host_error(why, path, errno);
  }
  Handle handle = HandleBuilder::build(path, UniqueFd(), UniqueFd(), std::move(file), false, why);
  if (handle) {
    undo.keep();
  }
  return handle;
}

// The size that the existing file is to have: its own, and a given one must agree.
Result<std::uint64_t> size_for(int file, const std::string& path, std::uint64_t wanted,
                               std::string& why) {
  struct stat st {};
  if (::fstat(file, &st) != 0) {
    return host_error(why, path, errno);
  }
  const auto size = static_cast<std::uint64_t>(st.st_size);
  if (wanted != 0 && size != wanted) {
    return because(
        why, EEXIST,
        fmt::format("{0}: exists already, with {1} bytes; leave out --size to use them, or rm {0}",
                    path, size));
  }
  PMEMFS_CHECK(check_size(path, size, why));
  return size;
}

Handle create_in_existing_file(const std::string& path, const CreateOptions& options,
                               std::string& why) {
  PMEMFS_TRY(const Place place, open_place(path, why));
  PMEMFS_CHECK(check_parents(place.folder.get(), why));
  PMEMFS_TRY(UniqueFd file, open_beneath(place.folder.get(), place.name, O_RDWR, 0, path, why));
  PMEMFS_CHECK(check_private_file(file.get(), path, why));
  PMEMFS_TRY(const Probe host, probe_fd(file.get(), path, why));
  PMEMFS_CHECK(check_fit(host, path, options.emulate, why));
  PMEMFS_TRY(const std::uint64_t size, size_for(file.get(), path, options.size, why));
  PMEMFS_CHECK(lock_for_new(file.get(), path, why));
  const Result<bool> used = holds_data(file.get(), size);
  if (!used) {
    return host_error(why, path, used.code());
  }
  if (used.value() && !options.force) {
    return because(why, EEXIST, fmt::format("{}: holds data; --force overwrites all of it", path));
  }
  PMEMFS_CHECK(make_zeros(file.get(), size, path, why));
  return HandleBuilder::build(path, UniqueFd(), UniqueFd(), std::move(file), false, why);
}

}  // namespace

Handle create(const std::string& path, const CreateOptions& options, std::string& why) {
  const Result<HostKind> kind = region_kind(path, why);
  if (!kind && kind.code() != ENOENT) {
    return kind.error();
  }
  if (kind && *kind == HostKind::kFile) {
    return create_in_existing_file(path, options, why);
  }
  if (kind && *kind == HostKind::kDevdax) {
    return create_on_device(path, options, why);
  }
  CreateOptions sized = options;
  sized.size = options.size == 0 ? kDefaultMetadataSize : options.size;
  PMEMFS_CHECK(check_size(path, sized.size, why));
  if (kind) {
    return create_in_existing_directory(path, sized, why);
  }
  return options.size == 0 ? create_in_new_directory(path, sized, why)
                           : create_in_new_file(path, sized, why);
}

}  // namespace pmemfs::region
