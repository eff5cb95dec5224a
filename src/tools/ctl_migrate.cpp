#include "tools/ctl_migrate.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <memory>

#include <nlohmann/json.hpp>

#include "pmemfs/durable.h"
#include "tools/ctl_progress.hpp"
#include "tools/failure.hpp"
#include "tools/file_copy.hpp"
#include "tools/live_daemon.hpp"
#include "tools/mount_table.hpp"

namespace pmemfs::tools {
namespace {

using base::UniqueFd;

constexpr std::chrono::minutes kSilence{10};

// A directory that is moved: where it is and where it goes.
struct Place {
  UniqueFd from;
  UniqueFd to;
  std::uint64_t inode = 0;
  std::string path;  // of `from`, for people
};

// The names of a directory without "." and "..". False when it cannot be read.
bool names_in(int dir, std::vector<std::string>* names) {
  const int copy = ::openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(copy < 0 ? nullptr : ::fdopendir(copy),
                                                   ::closedir);
  if (!stream) {
    return false;
  }
  while (const dirent* entry = ::readdir(stream.get())) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") {
      names->push_back(name);
    }
  }
  return true;
}

UniqueFd open_directory(int dir, const std::string& name) {
  return UniqueFd(::openat(dir, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

bool is_durable(int dir) {
  char value = '0';
  return ::fgetxattr(dir, PMEMFS_XATTR_DURABLE, &value, 1) == 1 && value == '1';
}

// What the daemon of the files says of one.
class Source {
 public:
  explicit Source(std::string region) : region_(std::move(region)) {}

  // 0, or why the file may not be moved.
  int stamp(std::uint64_t inode, Json* stamp) {
    const Json answer = ask({{"command", "stamp_to_move"}, {"inode", inode}});
    *stamp = answer.value("stamp", Json());
    return answer.value("refused", 0);
  }
  int unlink(std::uint64_t directory, const std::string& name, const Json& stamp) {
    const std::vector<unsigned char> bytes(name.begin(), name.end());
    return ask({{"command", "unlink_moved"},
                {"directory", directory},
                {"name", bytes},
                {"stamp", stamp}})
        .value("refused", 0);
  }

 private:
  Json ask(const Json& request) {
    auto daemon = connect_daemon(region_);
    if (!daemon) {
      fail(kExitFailure, "{}: its daemon does not answer; what was moved is at its new place",
           region_);
    }
    return daemon->request(request, kSilence);
  }

  std::string region_;
};

// A file with several links: copied once, and taken away when all of its names are there.
struct Linked {
  struct Name {
    std::uint64_t directory = 0;
    std::string name;
  };
  Json stamp;
  HeldEntry copy;
  std::vector<Name> moved;  // names that exist at the new place
};

class Migration {
 public:
  Migration(std::string region, dev_t device) : source_(std::move(region)), device_(device) {}

  // Counts links and bytes, for what follows.
  void survey(int dir, const std::string& name);
  // Moves one entry of `place`.
  void move_entry(const Place& place, const std::string& name, const std::string& new_name);
  void move_content(const Place& place);
  // After all that: files of which a link was not seen again, and directories that became empty
  // when the last links in them went.
  void finish(const Place& top, const std::string& name);
  [[nodiscard]] Relocated take() { return std::move(done_); }

 private:
  void move_directory(const Place& place, const std::string& name, const std::string& new_name);
  void move_file(const Place& place, const std::string& name, const std::string& new_name);
  int move_single(const Place& place, const std::string& name, const HeldEntry& from,
                  const std::string& new_name);
  int move_linked(const Place& place, const std::string& name, const HeldEntry& from,
                  const std::string& new_name);
  int unlink_all(std::uint64_t inode, const Linked& file);
  // `*made`: it is new, and to be removed when the file does not leave after all.
  int copy(const HeldEntry& from, int to, const std::string& name, bool* made);
  void leave(const std::string& path, const struct stat& st, int code);
  void prune(int dir, const std::string& name);

  Source source_;
  dev_t device_;
  std::map<std::uint64_t, std::uint64_t> names_;  // of files with several links: how many are below
  std::map<std::uint64_t, Linked> links_;
  std::uint64_t copied_ = 0;
  std::uint64_t total_ = 0;
  Relocated done_;
};

void Migration::survey(int dir, const std::string& name) {
  struct stat st {};
  if (::fstatat(dir, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0 || st.st_dev != device_) {
    return;
  }
  if (!S_ISDIR(st.st_mode)) {
    total_ += static_cast<std::uint64_t>(st.st_blocks) * 512;
    if (st.st_nlink > 1) {
      ++names_[st.st_ino];
    }
    return;
  }
  const UniqueFd below = open_directory(dir, name);
  std::vector<std::string> names;
  if (below && names_in(below.get(), &names)) {
    for (const std::string& each : names) {
      survey(below.get(), each);
    }
  }
}

void Migration::leave(const std::string& path, const struct stat& st, int code) {
  done_.left.push_back(
      {InodeNo(st.st_ino), static_cast<std::uint64_t>(st.st_blocks) * 512, code, path});
}

int Migration::copy(const HeldEntry& from, int to, const std::string& name, bool* made) {
  const int code = copy_entry(from, to, name, [this](std::uint64_t bytes) {
    copied_ += bytes;
    show_progress(copied_, total_);
  });
  *made = code == 0;
  // Of an earlier run that was ended between its copy and the removal.
  return code == EEXIST && is_copy(from, to, name) ? 0 : code;
}

int Migration::move_single(const Place& place, const std::string& name, const HeldEntry& from,
                           const std::string& new_name) {
  Json stamp;
  if (const int code = source_.stamp(from.st().st_ino, &stamp); code != 0) {
    return code;
  }
  bool made = false;
  if (const int code = copy(from, place.to.get(), new_name, &made); code != 0) {
    return code;
  }
  const int code = source_.unlink(place.inode, name, stamp);
  if (code != 0 && made) {
    ::unlinkat(place.to.get(), new_name.c_str(), 0);
  }
  return code;
}

int Migration::unlink_all(std::uint64_t inode, const Linked& file) {
  for (const Linked::Name& each : file.moved) {
    if (const int code = source_.unlink(each.directory, each.name, file.stamp); code != 0) {
      return code;
    }
  }
  names_.erase(inode);
  return 0;
}

int Migration::move_linked(const Place& place, const std::string& name, const HeldEntry& from,
                           const std::string& new_name) {
  const std::uint64_t inode = from.st().st_ino;
  if (names_[inode] != from.st().st_nlink) {
    return EMLINK;
  }
  Linked& file = links_[inode];
  bool made = false;
  if (file.moved.empty()) {
    int code = source_.stamp(inode, &file.stamp);
    code = code != 0 ? code : copy(from, place.to.get(), new_name, &made);
    code = code != 0 ? code : HeldEntry::open(place.to.get(), new_name, &file.copy);
    if (code != 0) {
      return code;
    }
  } else if (::linkat(AT_FDCWD, file.copy.path().c_str(), place.to.get(), new_name.c_str(),
                      AT_SYMLINK_FOLLOW) != 0 &&
             (errno != EEXIST || !is_copy(from, place.to.get(), new_name))) {
    return errno;
  }
  file.moved.push_back({place.inode, name});
  return file.moved.size() == from.st().st_nlink ? unlink_all(inode, file) : 0;
}

void Migration::move_file(const Place& place, const std::string& name,
                          const std::string& new_name) {
  HeldEntry from;
  int code = HeldEntry::open(place.from.get(), name, &from);
  if (code == 0) {
    code = from.st().st_nlink > 1 ? move_linked(place, name, from, new_name)
                                  : move_single(place, name, from, new_name);
  }
  if (code != 0) {
    leave(place.path + "/" + name, from.st(), code);
    return;
  }
  if (from.st().st_nlink == 1 || !names_.contains(from.st().st_ino)) {
    ++done_.files;
    done_.bytes += static_cast<std::uint64_t>(from.st().st_blocks) * 512;
  }
}

void Migration::move_content(const Place& place) {
  std::vector<std::string> names;
  if (!names_in(place.from.get(), &names)) {
    struct stat st {};
    (void)::fstat(place.from.get(), &st);
    leave(place.path, st, errno);
    return;
  }
  for (const std::string& name : names) {
    move_entry(place, name, name);
  }
}

// One that is there already takes in what comes, and stays as it is otherwise.
void Migration::move_directory(const Place& place, const std::string& name,
                               const std::string& new_name) {
  HeldEntry from;
  Place below;
  int code = HeldEntry::open(place.from.get(), name, &from);
  below.from = open_directory(place.from.get(), name);
  code = code == 0 && !below.from ? errno : code;
  const bool made = code == 0 && ::mkdirat(place.to.get(), new_name.c_str(), 0700) == 0;
  if (code == 0) {
    below.to = open_directory(place.to.get(), new_name);
    code = below.to ? 0 : errno;
  }
  code = code == 0 && made ? copy_attributes(from, below.to.get()) : code;
  below.inode = from.st().st_ino;
  below.path = place.path + "/" + name;
  if (code != 0) {
    leave(below.path, from.st(), code);
    return;
  }
  move_content(below);
  if (made) {
    (void)copy_times(from.st(), below.to.get());
  }
  // Not the flag: what is created in it from now on would be promised less than before.
  if (!is_durable(below.from.get())) {
    ::unlinkat(place.from.get(), name.c_str(), AT_REMOVEDIR);
  }
}

void Migration::move_entry(const Place& place, const std::string& name,
                           const std::string& new_name) {
  struct stat st {};
  if (::fstatat(place.from.get(), name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) {
    leave(place.path + "/" + name, st, errno);
  } else if (st.st_dev != device_) {
    leave(place.path + "/" + name, st, EXDEV);
  } else if (S_ISDIR(st.st_mode)) {
    move_directory(place, name, new_name);
  } else {
    move_file(place, name, new_name);
  }
}

void Migration::prune(int dir, const std::string& name) {
  struct stat st {};
  const UniqueFd below = open_directory(dir, name);
  if (!below || ::fstat(below.get(), &st) != 0 || st.st_dev != device_) {
    return;
  }
  std::vector<std::string> names;
  (void)names_in(below.get(), &names);
  for (const std::string& each : names) {
    prune(below.get(), each);
  }
  if (!is_durable(below.get())) {
    ::unlinkat(dir, name.c_str(), AT_REMOVEDIR);
  }
}

void Migration::finish(const Place& top, const std::string& name) {
  for (const auto& [inode, file] : links_) {
    if (names_.contains(inode) && !file.moved.empty()) {
      leave(top.path + "/" + file.moved.front().name, file.copy.st(), EAGAIN);
    }
  }
  if (!links_.empty()) {
    prune(top.from.get(), name);
  }
}

// --- The command ---------------------------------------------------------------------------------

MountEntry mount_of(const std::string& path) {
  const auto mount = find_mount_of(path);
  if (!mount) {
    fail(kExitFailure, "{}: is not on a mounted pmemfs", path);
  }
  return *mount;
}

UniqueFd open_target(const std::string& path) {
  UniqueFd dir(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!dir) {
    fail(kExitFailure, "{}: {}", path, error_text(errno));
  }
  return dir;
}

// Of a mount point: what is in it. Of anything else: it, by its name.
void migrate_one(const std::string& path, const MountEntry& mount, const std::string& target,
                 Relocated& sum) {
  const auto whole = canonical_path(path);
  if (!whole) {
    fail(kExitFailure, "{}: {}", path, error_text(ENOENT));
  }
  Migration migration(mount.source, mount.device);
  const bool everything = *whole == mount.mount_point;
  const std::filesystem::path place(*whole);
  const std::string parent = everything ? *whole : place.parent_path().string();
  Place top{open_target(parent), open_target(target), 0, parent == "/" ? "" : parent};
  struct stat st {};
  if (::fstat(top.from.get(), &st) != 0) {
    fail(kExitFailure, "{}: {}", parent, error_text(errno));
  }
  top.inode = st.st_ino;
  const std::string name = everything ? "." : place.filename().string();
  if (::fstatat(top.from.get(), name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) {
    fail(kExitFailure, "{}: {}", path, error_text(errno));
  }
  migration.survey(top.from.get(), name);
  if (everything) {
    migration.move_content(top);
  } else {
    migration.move_entry(top, name, name);
  }
  migration.finish(top, name);
  end_progress();
  Relocated done = migration.take();
  sum.files += done.files;
  sum.bytes += done.bytes;
  sum.left.insert(sum.left.end(), done.left.begin(), done.left.end());
}

}  // namespace

Json migrate(const CtlOptions& options) {
  const MountEntry target = mount_of(options.to);
  Relocated sum;
  for (const std::string& path : options.paths) {
    const MountEntry mount = mount_of(path);
    if (mount.source == target.source) {
      fail(kExitFailure, "{}: is on the same region as {}; mv does that", path, options.to);
    }
    migrate_one(path, mount, options.to, sum);
  }
  return relocated_report(sum);
}

}  // namespace pmemfs::tools
