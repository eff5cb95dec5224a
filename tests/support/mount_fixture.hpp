#pragma once

// Builds regions, mounts pmemfs on them and cleans up, whatever happens to the test.
//
// POSIX_CASE runs on both kinds of region, on one mount for the whole program, each time in a fresh
// directory. With PMEMFS_TEST_DIR=<dir> it runs in that directory instead, without mounting: a
// local filesystem is the oracle, or, with PMEMFS_TEST_KIND=guest, pmemfs served from outside of
// this machine is what is tested. PMEMFS_TEST_KIND=directory|file restricts the kinds,
// PMEMFS_TEST_REGION_SIZE sizes the file region of that one mount. With PMEMFS_TEST_DEVDAX=<device>
// file regions are made on that DAX device, whose content is lost: one mount at a time.

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "support/mount_sys.hpp"
#include "support/mount_user.hpp"

namespace pmemfs::test {

enum class Kind {
  kPlain,      // PMEMFS_TEST_DIR
  kDirectory,  // directory region: backing files, passthrough
  kFile,       // regular file or DAX device: extents, everything through the daemon
  kGuest,      // PMEMFS_TEST_DIR on a virtiofs of pmemfs with dax=inode; the region is either
};

const char* name_of(Kind kind);

struct MountSpec {
  Kind kind = Kind::kDirectory;
  std::string options = "allow_other";
  std::string region_size = "64M";  // of a file region
  // Of a tmpfs of its own to build the region on; empty: /dev/shm itself.
  std::string host_size = {};
  // A folder to build the region in; empty: beside the mount point.
  std::string region_below = {};
  // What follows the socket in --virtiofs=, for each virtual machine.
  std::vector<std::string> guests = {};
  bool mounted = true;  // false: guests alone are served
};

struct ProgramResult {
  int status = -1;  // exit status, or 128 + signal
  std::string output;
};
// Runs a program to its end; output is stdout, and stderr too unless told otherwise.
ProgramResult run_program(const std::vector<std::string>& words, bool with_stderr = true);
// Where the build put a program of ours.
std::string program(const std::string& name);

// A directory of this test program below /dev/shm, gone with it.
const std::string& scratch();
// Tells the watchdog that the test is alive: without it for a while, all daemons are killed, so
// that a hang is a failure.
void note_progress();

// Ends the case as skipped unless mounting is possible here.
void need_mounting();

using Counters = std::map<std::string, std::uint64_t>;

// A region and its mount, or what else its daemon does for it. Errors throw std::runtime_error with
// the daemon's own words.
class Mount {
 public:
  explicit Mount(MountSpec spec);
  ~Mount();
  Mount(const Mount&) = delete;
  Mount& operator=(const Mount&) = delete;

  [[nodiscard]] const std::string& root() const { return root_; }      // mount point
  [[nodiscard]] const std::string& region() const { return region_; }  // directory, file or device
  [[nodiscard]] Kind kind() const { return spec_.kind; }
  // Where a virtual machine is served.
  [[nodiscard]] std::string socket(std::size_t guest = 0) const;
  [[nodiscard]] pid_t daemon() const { return daemon_; }
  [[nodiscard]] bool alive() const;
  std::string operator/(const std::string& name) const { return root_ + "/" + name; }

  void mount();  // with the options of the spec
  void mount(const std::string& options);
  void unmount();  // returns when the daemon has ended, which it must without an error
  void remount();
  void remount(const std::string& options);
  void end_daemon();   // SIGTERM; returns when it has ended, which it must without an error
  void kill_daemon();  // SIGKILL; the dead mount stays
  void detach();       // of a dead mount, busy or not
  void kill_and_remount();
  // Not mounted: fsck.pmemfs finds nothing. Throws std::runtime_error with what it says.
  void require_sound() const;

  // What the daemon has said so far.
  [[nodiscard]] std::string log() const;

 private:
  void make_region() const;
  [[nodiscard]] std::string device() const;  // to make the region on; empty: none
  void start_daemon(const std::string& options);
  void wait_until_served();
  [[nodiscard]] bool serves_guests() const;
  int wait_for_end();
  void wait_for_orderly_end();

  MountSpec spec_;
  std::string home_;
  std::string root_;
  std::string region_;
  pid_t daemon_ = -1;
  std::size_t log_before_ = 0;  // of the daemons before this one
};

// Counts the requests that reach a mount's daemon from its construction on, without those of
// counting.
class RequestCount {
 public:
  explicit RequestCount(const Mount& mount);
  // By opcode, those that occurred. Waits for what close(2) leaves behind to arrive.
  [[nodiscard]] Counters so_far() const;

 private:
  std::string root_;
  Counters start_;
};

// The program's mount of a kind, made at first use; a fresh one when the last one died. Skips the
// case where there can be none, as Mount does.
Mount& shared_mount(Kind kind);
void drop_shared_mounts();

// A fresh directory for one test.
class Place {
 public:
  explicit Place(Kind kind);
  ~Place();
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;

  [[nodiscard]] Kind kind() const { return kind_; }
  [[nodiscard]] bool is_pmemfs() const { return kind_ != Kind::kPlain; }
  [[nodiscard]] const std::string& path() const { return path_; }
  // In a guest the mount is not the test's: mount() skips the case.
  [[nodiscard]] bool has_mount() const { return is_pmemfs() && kind_ != Kind::kGuest; }
  [[nodiscard]] Mount& mount() const { return shared_mount(kind_); }
  // What regions are made on: the statfs magic of the filesystem, 0 for a DAX device.
  [[nodiscard]] long host_magic() const;
  // The filesystem below PMEMFS_TEST_DIR is this one (its statfs magic).
  [[nodiscard]] bool is_plain(long magic) const;
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  // Removes all of it; false when something could not be removed.
  bool remove();

 private:
  Kind kind_;
  std::string path_;
};

// Kinds to run on; empty when none of those asked for fits this run. A guest maps durable files as
// a mount of a directory does, and so runs what is for that kind only.
std::vector<Kind> posix_kinds();
std::vector<Kind> pmemfs_kinds();
std::vector<Kind> only(Kind kind);
// Each kind in a section of its own; skips the case when there is none.
void run_on(const std::vector<Kind>& kinds, void (*body)(const Place&));
void on_each(const std::vector<Kind>& kinds, const std::function<void(Kind)>& body);
// Skips the case unless this kind is among those to run on.
void need_kind(Kind kind);

}  // namespace pmemfs::test

#define PMEMFS_CASE_NAMED(function, kinds, ...)             \
  static void function(const ::pmemfs::test::Place& place); \
  TEST_CASE(__VA_ARGS__) {                                  \
    ::pmemfs::test::run_on(kinds, &function);               \
  }                                                         \
  static void function([[maybe_unused]] const ::pmemfs::test::Place& place)
#define PMEMFS_CASE_JOINED(line, kinds, ...) PMEMFS_CASE_NAMED(case_at_##line, kinds, __VA_ARGS__)
#define PMEMFS_CASE_AT(line, kinds, ...) PMEMFS_CASE_JOINED(line, kinds, __VA_ARGS__)

#define POSIX_CASE(...) PMEMFS_CASE_AT(__LINE__, ::pmemfs::test::posix_kinds(), __VA_ARGS__)
#define PMEMFS_CASE(...) PMEMFS_CASE_AT(__LINE__, ::pmemfs::test::pmemfs_kinds(), __VA_ARGS__)
#define DIRECTORY_CASE(...) \
  PMEMFS_CASE_AT(__LINE__, ::pmemfs::test::only(::pmemfs::test::Kind::kDirectory), __VA_ARGS__)
#define FILE_CASE(...) \
  PMEMFS_CASE_AT(__LINE__, ::pmemfs::test::only(::pmemfs::test::Kind::kFile), __VA_ARGS__)
