// The core's face: a POSIX filesystem with durable files, driven by the FUSE edge, by tests and by
// fuzzers. No FUSE types here. Errors are errno values, as a local filesystem would return them.
//
// Permission checks for names and modes are the caller's (the kernel's, with default_permissions);
// the core checks what the kernel cannot: who may set durable, sticky and setgid rules of creation,
// kill duties, immutable facts of the format.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pmemfs/backing_dir.hpp"
#include "pmemfs/format.hpp"
#include "pmemfs/region.hpp"
#include "pmemfs/result.hpp"
#include "pmemfs/types.hpp"

namespace pmemfs::store {
class Store;
}

namespace pmemfs {

struct Attributes {
  InodeNo ino;
  std::uint64_t generation = 0;
  std::uint64_t size = 0;    // bytes
  std::uint64_t blocks = 0;  // 512-byte units
  std::uint32_t mode = 0;
  std::uint32_t nlink = 0;
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::uint32_t rdev = 0;  // kernel's new_encode_dev
  Timestamp atime;
  Timestamp mtime;
  Timestamp ctime;
  Timestamp btime;
  bool durable = false;
  bool stable = false;  // may be cached long: no writer and no mapping can change it unseen
};

// What decides who may do what with an inode.
struct Permissions {
  std::uint32_t mode = 0;
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::vector<std::byte> acl;  // system.posix_acl_access; empty: the mode says it all
};

// What setattr changes; unset members stay.
struct AttributeChange {
  std::optional<std::uint32_t> mode;  // permission bits with suid, sgid, sticky
  std::optional<std::uint32_t> uid;
  std::optional<std::uint32_t> gid;
  std::optional<std::uint64_t> size;
  std::optional<Timestamp> atime;
  std::optional<Timestamp> mtime;
  std::optional<Timestamp> ctime;
  bool atime_now = false;
  bool mtime_now = false;
  bool kill_suid_sgid = false;  // a write or truncation by one without CAP_FSETID
  bool write_kill = false;      // the kernel's empty SETATTR: a passthrough write, or chown(-1, -1)
};

// How the data of an open handle travels.
enum class DataPath : std::uint8_t {
  kPassthrough,        // read, write and mmap go to the backing file
  kPassthroughDirect,  // mmap goes to the backing file, read and write to the core
  kDirect,             // all to the core, shared mappings refused by the kernel (ENODEV)
  kCached,             // all to the core, the kernel's page cache serves
};

// What the kernel that opens a file can get at.
enum class Reach : std::uint8_t {
  kMount,   // the mount's: backing files, once set_passthrough() said so
  kServed,  // another's, a guest's: what the core serves, which it caches
  kDirect,  // the same, and it caches nothing
};

// Which files a window shows.
enum class ByWindow : std::uint8_t { kNone, kDurable, kAll };

// Who asks what a mapping would be: user.pmemfs.mapping.
struct Asker {
  Reach reach = Reach::kMount;
  ByWindow by_window = ByWindow::kNone;
};

using HandleId = std::uint64_t;

struct Opened {
  HandleId handle = 0;
  DataPath path = DataPath::kCached;
};

struct Created {
  Attributes attributes;
  Opened opened;
};

// One entry as readdir gives it. `next` is the cookie to go on after it.
struct ListedEntry {
  std::string_view name;
  InodeNo ino;
  std::uint8_t type = 0;  // DT_*
  std::uint64_t next = 0;
  const Attributes* attributes = nullptr;  // readdirplus: set, except for "." and ".."
};
// Returns false when the entry did not fit: it is offered again at the same cookie.
using ListSink = std::function<bool(const ListedEntry&)>;

struct FilesystemSpace {
  std::uint64_t block_size = 4096;
  std::uint64_t blocks = 0;
  std::uint64_t blocks_free = 0;
  std::uint64_t blocks_available = 0;
  std::uint64_t files = 0;
  std::uint64_t files_free = 0;
};

// Who may set durable, and how much of it there may be.
struct DurablePolicy {
  std::vector<std::uint32_t> uids;
  std::vector<std::uint32_t> gids;
  bool all = false;
  std::uint64_t max_bytes = UINT64_MAX;  // cap on the sum of pinned bytes
  bool fast_io = false;                  // -o durable_io=fast: plain passthrough for writers too
};

struct FilesystemOptions {
  DurablePolicy durable;
  bool passthrough = false;  // the edge can register backing files
  // Host files of freed inodes may be deleted: the store's OpenReport had no doubt, and the data
  // directory is this region's.
  bool collect_orphans = true;
  bool update_atime = true;            // as relatime, where the core keeps it; false: noatime
  bool update_directory_atime = true;  // false: nodiratime
  bool background = true;              // run the syncer and the orphan collector in threads
  std::uint64_t directory_index_bytes = 64ULL << 20U;  // cap of the DRAM indexes of directories
};

// What the core asks of the edge. Called without core locks that the edge could want.
struct EdgeHooks {
  // Drops the cached registration of a backing file with the kernel; true when none is left (idle
  // or never there), false when handles still use it.
  std::function<bool(InodeNo)> drop_backing = [](InodeNo) {
    return true;
  };
  // The inode's link count is 0: its registration goes soon, whether or not handles use it.
  std::function<void(InodeNo)> backing_unneeded = [](InodeNo) {
  };
  std::function<void()> drop_all_idle_backing = [] {
  };
  // unlink_moved() took a name away that the kernel may know. Never called after the edge's end,
  // since nobody calls that then.
  std::function<void(InodeNo dir, InodeNo child, std::string_view name)> name_gone =
      [](InodeNo, InodeNo, std::string_view) {
      };
};

// What the core asks of those who map files into windows of virtual machines.
struct WindowHooks {
  // The host file is about to end at `size`: unmaps what lies wholly beyond, in every window, and
  // returns when that is done or given up. Called without core locks.
  std::function<void(InodeNo, std::uint64_t size)> unmap_beyond{};  // may be empty
  // It ended there, or was left as it was: what it has of what was unmapped is mapped again. Called
  // without core locks. May be empty.
  std::function<void(InodeNo)> map_again{};
};

// Bytes that a host file seems to have where monitors take it for a window, since what they map
// reaches beyond its end. No other file has as many: daemons know each other's by it.
inline constexpr std::uint64_t kWindowFileSize = format::kMaxFileSize + format::kFrameSize;

// A part of a file as a mapping in another process finds it, in bytes, multiples of
// Region::mapping_alignment().
struct WindowPiece {
  std::uint64_t file_off = 0;
  std::uint64_t fd_off = 0;
  std::uint64_t len = 0;
};
struct WindowMapping {
  int fd = -1;                      // the caller's
  std::vector<WindowPiece> pieces;  // ascending, without gaps
};

// Counters for status reports.
struct FilesystemStatus {
  bool read_only = false;  // mounted so, or stopped by a media error
  bool emulated = false;
  Granularity granularity = Granularity::kNone;
  std::string placement;  // "backing" or "extents"
  bool passthrough = false;
  std::uint64_t region_bytes = 0;
  std::uint64_t region_bytes_free = 0;
  std::uint64_t region_longest_free = 0;  // bytes in a row
  std::uint64_t region_frames_free = 0;   // whole 2 MiB-aligned ones
  std::uint64_t inodes_used = 0;
  std::uint64_t inodes_in_memory = 0;
  std::uint64_t open_handles = 0;
  std::uint64_t durable_bytes = 0;
  std::uint64_t directory_index_bytes = 0;
  std::uint64_t relocations_refused = 0;
  std::uint64_t orphans_kept = 0;  // host files left alone because of a doubt
  std::uint64_t media_errors = 0;  // pages of the region that were found lost in this mount
  std::uint64_t bad_bytes = 0;     // memory that is on the list of bad blocks
  std::uint64_t window_bytes = 0;  // of files, that windows of virtual machines map
};

struct DurableFile {
  InodeNo ino;
  std::uint64_t bytes = 0;  // durable_len
  bool directory = false;
  std::string path;  // one of its names; empty when unlinked
};

// Long work on where data lies. Called now and then, without locks, with bytes that were moved and
// bytes that are to be; false ends the work early: what was moved stays moved.
using RelocationWatch = std::function<bool(std::uint64_t moved, std::uint64_t total)>;

// What such work had to leave where it was.
struct LeftBehind {
  InodeNo ino;
  std::uint64_t bytes = 0;
  int reason = 0;    // ETXTBSY: durable; EBUSY: open or mapped; ENOSPC: no room elsewhere; EUCLEAN
  std::string path;  // one of its names; empty when it has none
};

// Memory of the region that cannot be read or stored to.
struct BadMemory {
  enum class Owner : std::uint8_t {
    kFree,      // nobody's, and given to nobody
    kMetadata,  // a structure of the filesystem
    kFile,      // data, lost until it is overwritten
  };
  std::uint64_t off = 0;  // bytes from the start of the region
  std::uint64_t bytes = 0;
  Owner owner = Owner::kFree;
  InodeNo ino;                 // of a file
  std::uint64_t file_off = 0;  // where in it
  std::string path;            // one of its names; empty when it has none
};

// What does not hold, as far as a scrub looks at it.
struct Damage {
  InodeNo ino;       // 0: a structure of the filesystem
  std::string what;  // "inode", "extents", "directory", "xattrs", …
  int reason = 0;    // EIO: lost to a memory error; EUCLEAN
  std::string path;  // one of its names; empty when it has none
};

struct Scrubbed {
  std::uint64_t structures = 0;  // looked at
  std::uint64_t bytes = 0;       // of memory and host files that were read
  std::uint64_t healed = 0;      // bytes of memory that are good again
  bool finished = true;          // false: the watch ended it
  std::vector<Damage> damage;
  std::vector<BadMemory> bad;  // what is bad now
};

// A file as it is at one moment: whatever changes its data, size or attributes gives it another.
struct FileStamp {
  InodeNo ino;
  std::uint64_t generation = 0;
  std::uint64_t size = 0;  // bytes
  Timestamp ctime;
  Timestamp mtime;

  bool operator==(const FileStamp&) const = default;
};

struct Relocated {
  std::uint64_t files = 0;  // of which something moved
  std::uint64_t bytes = 0;
  std::uint64_t metadata_moved = 0;  // bytes of structures: directories, xattrs, inodes, …
  std::uint64_t metadata_left = 0;   // bytes in the range that belong to no file's data
  bool finished = true;              // false: the watch ended it
  std::vector<LeftBehind> left;
};

// Thread-safe: every function may be called from any thread at any time between open and close.
// Functions that return Attributes of an inode by name (lookup, mk*, link, readdirplus) count one
// reference for the caller, dropped by forget(), as FUSE's nlookup.
class Filesystem final {
 public:
  // `backing` is null on regions that place data in extents. Both outlive the filesystem.
  static Result<std::unique_ptr<Filesystem>> open(std::unique_ptr<store::Store> store,
                                                  BackingDir* backing,
                                                  const FilesystemOptions& options);
  ~Filesystem();  // without close(): as a crash would
  Filesystem(const Filesystem&) = delete;
  Filesystem& operator=(const Filesystem&) = delete;

  // Before the first request: what the kernel granted, and the edge's side.
  void set_passthrough(bool available);
  void set_hooks(EdgeHooks hooks);
  void set_window_hooks(WindowHooks hooks);

  // Orderly end: frees unlinked files, syncs the host, marks the region clean. No request may be
  // under way. `users_gone`: the edge knows that no file is open or mapped any more; else files
  // that were open for writing are taken for mapped by the mounts of this boot that follow.
  Status close(bool users_gone = false);

  // Names.
  Result<Attributes> lookup(InodeNo dir, std::string_view name);  // "." and ".." too
  void forget(InodeNo ino, std::uint64_t count);
  Result<Attributes> mknod(const Caller& c, InodeNo dir, std::string_view name, std::uint32_t mode,
                           std::uint32_t rdev);
  Result<Attributes> mkdir(const Caller& c, InodeNo dir, std::string_view name, std::uint32_t mode);
  Result<Attributes> symlink(const Caller& c, InodeNo dir, std::string_view name,
                             std::string_view target);
  Result<Attributes> link(InodeNo ino, InodeNo dir, std::string_view name);
  Status unlink(InodeNo dir, std::string_view name);
  Status rmdir(InodeNo dir, std::string_view name);
  // flags: RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_WHITEOUT.
  Status rename(const Caller& c, InodeNo from, std::string_view name, InodeNo to,
                std::string_view new_name, unsigned flags);
  Result<std::string> readlink(InodeNo ino);
  // At least one entry is offered unless at the end. `with_attributes`: readdirplus. Without
  // `touch` the directory's atime does not move, as with O_NOATIME that of a file.
  Status list(InodeNo dir, std::uint64_t cookie, bool with_attributes, const ListSink& sink,
              bool touch = true);

  // Attributes.
  Result<Attributes> getattr(InodeNo ino);
  Result<Permissions> permissions(InodeNo ino);
  Result<Attributes> setattr(const Caller& c, InodeNo ino, const AttributeChange& change);
  Result<std::vector<std::byte>> getxattr(InodeNo ino, std::string_view name,
                                          const Asker& asker = {});
  // trusted.* names are listed for uid 0 alone.
  Result<std::vector<std::string>> listxattr(const Caller& c, InodeNo ino);
  // flags: XATTR_CREATE, XATTR_REPLACE. `kill_sgid`: the kernel's ACL_KILL_SGID.
  Status setxattr(const Caller& c, InodeNo ino, std::string_view name,
                  std::span<const std::byte> value, int flags, bool kill_sgid);
  Status removexattr(const Caller& c, InodeNo ino, std::string_view name);

  // Files. `flags` as open(2).
  Result<Created> create(const Caller& c, InodeNo dir, std::string_view name, std::uint32_t mode,
                         int flags, Reach reach = Reach::kMount);
  Result<Created> tmpfile(const Caller& c, InodeNo dir, std::uint32_t mode, int flags,
                          Reach reach = Reach::kMount);
  // `kill_suid_sgid` goes with O_TRUNC.
  Result<Opened> open_file(InodeNo ino, int flags, bool kill_suid_sgid,
                           Reach reach = Reach::kMount);
  void release(HandleId handle);
  // The descriptor to register with the kernel; valid until release() of the last handle.
  Result<int> backing_fd(HandleId handle);
  // The data path was changed by the edge (registration failed: kDirect).
  void set_path(HandleId handle, DataPath path);

  Result<std::size_t> read(HandleId handle, std::uint64_t off, std::span<std::byte> dst);
  // The same into several places, one after the other; what is behind the end of the file stays.
  Result<std::size_t> read_parts(HandleId handle, std::uint64_t off,
                                 std::span<const std::span<std::byte>> parts);
  // `append`: at end of file, wherever that is (off is ignored).
  Result<std::size_t> write(HandleId handle, std::uint64_t off, std::span<const std::byte> src,
                            bool append, bool kill_suid_sgid);
  // The same from several places, one after the other. Others may store there meanwhile: each byte
  // counts as it is when it is copied. A place that cannot be read: EFAULT or EIO, or a short
  // count, and of what lies in the file there nothing can be said; the file does not grow by it.
  Result<std::size_t> write_parts(HandleId handle, std::uint64_t off,
                                  std::span<const std::span<const std::byte>> parts, bool append,
                                  bool kill_suid_sgid);
  Status fsync(HandleId handle, bool data_only);
  Status fsync_dir(InodeNo dir);
  Status fallocate(const Caller& c, HandleId handle, int mode, std::uint64_t off,
                   std::uint64_t len);
  Result<std::uint64_t> seek(HandleId handle, std::uint64_t off, int whence);
  Result<std::size_t> copy_range(HandleId from, std::uint64_t from_off, HandleId to,
                                 std::uint64_t to_off, std::size_t len);
  // FS_IOC_GETFLAGS.
  Result<std::uint32_t> inode_flags(InodeNo ino);

  // Mappings in virtual machines, of `window` bytes at once (multiples of 2 MiB). What is mapped
  // stays where it is, and the file's own, until unmapped_window() was called for it and no mapping
  // or copy of the descriptor lives any more; a crash of this process changes nothing in that.
  // Holes up to the end of the file are filled, and none comes to be there while it is mapped;
  // where data lie in extents, the whole range is.
  // ENXIO: the file ends before; EAGAIN: it is being cut; EINVAL: no regular file; EROFS; ENOSPC;
  // EOPNOTSUPP: not so aligned as the region's mappings must be, and pinned as it is.
  Result<WindowMapping> map_window(InodeNo ino, std::uint64_t off, std::uint64_t window);
  // The VMM says that it has unmapped what such a call gave, or is gone.
  void unmapped_window(InodeNo ino, std::uint64_t off, std::uint64_t window);
  // Whoever maps the file is about to learn that it has `size` bytes: there are no holes where it
  // does. ENOSPC and other errors of the host: there may be, and stores there may be SIGBUS.
  Status cover_window(InodeNo ino, std::uint64_t size);

  Result<FilesystemSpace> space();
  // Everything, as syncfs(2); also takes note of what virtual machines have unmapped.
  Status sync();

  // For pmemfsctl.
  FilesystemStatus status();
  Result<std::vector<DurableFile>> durable_files();
  // Empties 2 MiB frames of ordinary files' data until `wanted` whole ones are free, as far as
  // there is room elsewhere; status() tells how many are. Regions with data in extents;
  // EOPNOTSUPP, EROFS.
  Result<Relocated> make_frames(std::uint64_t wanted, const RelocationWatch& watch = {});
  // Brings a file's data together; `ino` 0: every file's, each as far as it has more pieces than it
  // needs. One file: ETXTBSY, EBUSY, EISDIR, EINVAL (no regular one); of all, those are left
  // behind. On directory regions a file moves whole, and only while nobody has it open or mapped;
  // one that is being copied when the watch ends the work stays where it was. EOPNOTSUPP: the host
  // does not tell where data lie.
  Result<Relocated> defrag(InodeNo ino, const RelocationWatch& watch);
  // Moves everything out of bytes [off, off + len) of the region, widened to blocks, and gives
  // nobody the space there as long as the filesystem stays open; asked for the same range again it
  // goes on. When the watch ended it, the range is anybody's again. EOPNOTSUPP as make_frames,
  // EINVAL, EBUSY: overlaps an evacuated range.
  Result<Relocated> evacuate(std::uint64_t off, std::uint64_t len, const RelocationWatch& watch);
  // For moving a file, or what else is no directory, to another filesystem: it is copied between
  // these two, which both ask the gate. The first: the stamp to copy under; EISDIR. ETXTBSY: it is
  // durable; EBUSY: it is open or may be mapped.
  Result<FileStamp> stamp_to_move(InodeNo ino);
  // Takes one of its names away when it still is what was copied; the stamp stays that of what is
  // left. EAGAIN: it has changed; ENOENT, ETXTBSY, EBUSY, EROFS.
  Status unlink_moved(InodeNo dir, std::string_view name, const FileStamp& stamp);
  // As store::Store::grow, for regions with data in extents.
  Result<std::uint64_t> grow(std::uint64_t size);
  // Empties what lies beyond `size` bytes and makes the filesystem that small, and its file, if it
  // lies in one. The size is as it was when something is `left`, as durable files are (then nothing
  // moved), or it is not `finished`. Of the size that the filesystem has: cuts a file that is
  // longer, as a crash in the middle leaves it. EINVAL: larger than that, below 16 MiB, no multiple
  // of 4096; ENOSPC: what is there does not fit in the rest; EUCLEAN: damage was found at mount;
  // EBUSY, EROFS, EOPNOTSUPP as make_frames.
  Result<Relocated> shrink_region(std::uint64_t size, const RelocationWatch& watch);
  // Lists what memory of the region is known to be bad, and whose it is.
  Result<std::vector<BadMemory>> bad_memory();
  // Reads everything: the region's memory, each structure in it with its checksum, the host files.
  // Writable, it makes bad memory good again that is nobody's or has a second copy, where the
  // medium takes it. Others wait for no more than 2 MiB of it. `watch` as for relocation, with
  // bytes that were read.
  Result<Scrubbed> scrub(const RelocationWatch& watch);
  // Gives memory back: directory indexes, idle descriptors.
  void shrink();

 private:
  struct Impl;
  explicit Filesystem(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace pmemfs
