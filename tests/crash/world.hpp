// A filesystem on simulated memory and, for backing files, a simulated host, driven by paths.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>

#include "pmemfs/filesystem.hpp"
#include "store/store.hpp"
#include "support/chooser.hpp"
#include "support/sim_backing_dir.hpp"
#include "support/sim_region.hpp"

namespace pmemfs::crash {

enum class Placement : std::uint8_t { kExtents, kBacking };

// What lies on media: the region and, with backing files, the host's directory.
struct Media {
  std::unique_ptr<test::SimRegion> region;
  std::unique_ptr<test::SimBackingDir> host;

  // What a power cut leaves, as `chooser` says: first of the region, then of the host.
  [[nodiscard]] Media crash(test::Chooser& chooser) const;
};

// Why a filesystem could not be opened: what no crash may lead to.
class MountFailed : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Paths are relative to the root directory, without a leading slash; "" is the root itself. What
// acts returns an errno value, 0 for success. Not thread-safe.
class World {
 public:
  // Makes an empty filesystem of 16 MiB.
  explicit World(Placement placement);
  // Mounts what is there. Throws MountFailed, also when the mount found damage or a doubt.
  explicit World(Media media);
  // What the core sees instead of the host: for hosts that break a rule.
  World(Media media, const std::function<std::unique_ptr<BackingDir>(BackingDir&)>& host);

  [[nodiscard]] Placement placement() const {
    return media_.host ? Placement::kBacking : Placement::kExtents;
  }
  [[nodiscard]] Filesystem& fs() { return *fs_; }
  [[nodiscard]] const Media& media() const { return media_; }
  // The daemon dies; what it leaves.
  [[nodiscard]] Media abandon();
  // An orderly unmount. Throws MountFailed.
  [[nodiscard]] Media unmount();

  // --- Names ---
  int create(std::string_view path, std::uint32_t mode = 0644);
  int mkdir(std::string_view path);
  int mkfifo(std::string_view path);
  int symlink(std::string_view target, std::string_view path);
  int link(std::string_view from, std::string_view to);
  int unlink(std::string_view path);
  int unlink_while_open(std::string_view path);
  int rmdir(std::string_view path);
  int rename(std::string_view from, std::string_view to, unsigned flags = 0);
  int link_tmpfile(std::string_view path, std::uint64_t length, char fill);

  // --- Attributes ---
  int chmod(std::string_view path, std::uint32_t mode);
  int chown(std::string_view path, std::uint32_t uid, std::uint32_t gid);
  int set_times(std::string_view path, std::int64_t sec);
  int set_xattr(std::string_view path, std::string_view name, std::string_view value, int flags);
  int remove_xattr(std::string_view path, std::string_view name);
  int set_durable(std::string_view path, std::string_view value);

  // --- Data; handles are closed when these return ---
  int write(std::string_view path, std::uint64_t off, std::uint64_t length, char fill);
  int append(std::string_view path, std::uint64_t length, char fill);
  int truncate(std::string_view path, std::uint64_t size);
  int open_truncated(std::string_view path);
  int allocate(std::string_view path, int mode, std::uint64_t off, std::uint64_t length);
  int copy(std::string_view from, std::string_view to, std::uint64_t length);
  // Stores through a shared mapping and flushes, as a program does that has the file mapped;
  // up to the end of the file.
  int store(std::string_view path, std::uint64_t off, std::uint64_t length, char fill);
  int fsync(std::string_view path);
  int fsync_dir(std::string_view path);
  int sync();

  // --- Moving; 0 also when some of it had to stay ---
  int defrag(std::string_view path);  // "": all files
  int make_frames(std::uint64_t more);
  int evacuate(std::uint64_t off, std::uint64_t length);
  int resize_region(std::uint64_t size);

  // The inode that a path leads to; symbolic links are not followed.
  Result<Attributes> find(std::string_view path);

 private:
  struct Place {
    InodeNo dir;
    std::string_view name;
  };
  void open(BackingDir* host);
  Result<Place> place_of(std::string_view path);
  Result<Attributes> drop(Result<Attributes> found);
  int on_handle(std::string_view path, int flags,
                const std::function<int(HandleId, InodeNo)>& work);
  int store_in_mapping(HandleId handle, std::uint64_t off, std::string_view bytes);
  int store_in_region(InodeNo ino, std::uint64_t off, std::string_view bytes);

  Media media_;
  std::unique_ptr<BackingDir> decorated_;
  std::unique_ptr<Filesystem> fs_;
};

}  // namespace pmemfs::crash
