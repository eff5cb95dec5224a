#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "pmemfs/backing_dir.hpp"
#include "support/chooser.hpp"
#include "support/sim_file.hpp"

namespace pmemfs::test {

enum class HostOp : std::uint8_t {
  kCreate,
  kOpen,
  kUnlink,
  kStat,
  kRead,
  kWrite,
  kCopy,
  kTruncate,
  kAllocate,
  kSeek,
  kSetTimes,
  kTouch,
  kSyncFile,
  kSyncParent,
  kSyncAll,
  kTakeLease,
  kSetNodefrag,
};

// One call, as it was made. Numbers that an operation does not have are 0.
struct HostCall {
  HostOp op{};
  BackingName name;  // of inode 0 when it concerns no file, or one that is gone for good
  std::uint64_t off = 0;
  std::uint64_t len = 0;  // kTruncate: the size

  bool operator==(const HostCall&) const = default;
};

// A data directory on a host that loses power. Descriptors are real (memfds), so that tests can map
// them.
//
// Model. Files: see SimFile; sync_file makes a file's content and size durable, sync_parent the
// names in the directory of the name, sync_all both for everything. A crash keeps or loses each
// other change by itself, in any subset: a name may be there without content or content without its
// name. (A name's file may be any that the name had since its directory was synced, so reusing a
// name can bring the old file back.)
//
// The death of the daemon alone loses nothing: go on with the same object after its descriptors
// were closed.
//
// Leases: refused while another descriptor that it gave out or a mapping holds the file, or
// hold_open says that somebody else does; broken by hold_open and by open.
//
// Thread-safe, but for the hook and crash(): those by one thread at a time.
class SimBackingDir final : public BackingDir {
 public:
  SimBackingDir();

  Result<int> create(BackingName name) override;
  Result<int> open(BackingName name) override;
  Status unlink(BackingName name) override;
  Result<HostStat> stat(BackingName name) override;
  Result<HostStat> stat_fd(int fd) override;
  Result<std::size_t> read(int fd, std::uint64_t off, void* dst, std::size_t n) override;
  Result<std::size_t> write(int fd, std::uint64_t off, const void* src, std::size_t n) override;
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
  Status take_lease(int fd) override;
  [[nodiscard]] bool lease_held(int fd) override;
  void drop_lease(int fd) override;
  Status for_each(const std::function<void(BackingName)>& ours,
                  const std::function<void(const std::string&)>& foreign) override;
  Result<HostSpace> space() override;

  // What is found after a power failure at this moment, all of it durable.
  [[nodiscard]] std::unique_ptr<SimBackingDir> crash(Chooser& chooser);

  // --- Watching ---
  // Called before each operation takes effect, without a lock held.
  void on_call(std::function<void(const HostCall&)> hook) { on_call_ = std::move(hook); }
  [[nodiscard]] std::vector<HostCall> calls() const;
  [[nodiscard]] std::size_t count(HostOp op) const;
  void forget_calls();
  [[nodiscard]] bool exists(BackingName name) const;
  [[nodiscard]] bool nodefrag(BackingName name) const;

  // --- Faults ---
  // The n-th call from now (1: the next one) fails with `code` and does nothing.
  void fail_nth(std::uint64_t n, int code);
  // The n-th call of this kind.
  void fail_nth(HostOp op, std::uint64_t n, int code);
  void set_space(const HostSpace& space);
  // All changes are EROFS, and descriptors are for reading.
  void set_read_only(bool read_only);

  // --- Somebody else at work; takes effect at once and on media ---
  // Another process has the file open, or ceases to.
  void hold_open(BackingName name);
  void release_open(BackingName name);
  void remove_behind(BackingName name);
  void resize_behind(BackingName name, std::uint64_t size);
  // Something else than a file of ours has this name: EUCLEAN.
  void replace_behind(BackingName name);
  // No mapping outlives the call that made it: leases need not look for any, which takes long.
  void expect_no_mappings();
  // extents() tells where pages lie (SimFile::extents), as ext4 and xfs do. Before: EOPNOTSUPP, as
  // on tmpfs.
  void tell_extents();
  // What extents() answers from now on, for every file.
  void set_extents(std::vector<HostExtent> extents);
  // Text that for_each reports as foreign.
  void add_foreign(std::string text);

 private:
  using File = std::shared_ptr<SimFile>;
  // What a name stood for since its directory was synced: front on media, back now; null: nothing.
  using States = std::vector<File>;
  struct Fault {
    std::optional<HostOp> op;
    std::uint64_t left = 0;
    int code = 0;
  };
  struct Lease {
    int fd = -1;
    bool broken = false;
  };

  Status begin(const HostCall& call);
  Status begin(HostOp op, int fd, std::uint64_t off = 0, std::uint64_t len = 0);
  Status begin_change(const HostCall& call);
  Status begin_change(HostOp op, int fd, std::uint64_t off = 0, std::uint64_t len = 0);
  [[nodiscard]] File find(BackingName name) const;
  [[nodiscard]] File find(int fd) const;
  [[nodiscard]] HostCall call_of(HostOp op, int fd, std::uint64_t off, std::uint64_t len) const;
  void keep(BackingName name, File file);
  [[nodiscard]] bool lease_lives(ino_t inode) const;
  [[nodiscard]] bool opened_elsewhere(ino_t inode, int fd) const;

  mutable std::mutex mutex_;
  std::map<BackingName, States> names_;
  std::map<ino_t, std::weak_ptr<SimFile>> by_inode_;
  std::map<ino_t, Lease> leases_;
  std::map<int, ino_t> given_;  // descriptors, some closed meanwhile
  std::map<BackingName, unsigned> held_;
  std::set<BackingName> replaced_;
  std::set<BackingName> nodefrag_;
  std::optional<std::vector<HostExtent>> extents_;
  std::vector<std::string> foreign_;
  std::vector<HostCall> calls_;
  std::vector<Fault> faults_;
  std::function<void(const HostCall&)> on_call_;
  HostSpace space_;
  bool read_only_ = false;
  bool tells_extents_ = false;
  bool may_be_mapped_ = true;
};

}  // namespace pmemfs::test
