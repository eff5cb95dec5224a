#include "fuse/guest_checks.hpp"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

#include "store/acl.hpp"

namespace pmemfs::fuse {
namespace {

constexpr std::size_t kMadeMode = offsetof(fuse_mknod_in, mode);
static_assert(kMadeMode == offsetof(fuse_mkdir_in, mode));

// One request, and what is found out about it. The rules are those of the kernel's VFS, of the
// functions that are named.
class Check {
 public:
  Check(const GuestRights& rights, GuestMessage& message, bool setxattr_ext)
      : rights_(rights), message_(message), setxattr_ext_(setxattr_ext) {}

  [[nodiscard]] Status run();

 private:
  [[nodiscard]] InodeNo node() const { return InodeNo(message_.header().nodeid); }
  [[nodiscard]] InodeNo second() const {
    return InodeNo(message_.argument<std::uint64_t>(*message_.second_node()));
  }
  [[nodiscard]] Result<Permissions> granting(InodeNo ino, unsigned rights) const;
  [[nodiscard]] Result<std::optional<Permissions>> child(InodeNo dir, std::string_view name) const;
  [[nodiscard]] Status need(InodeNo ino, unsigned rights) const;
  [[nodiscard]] Status remove_from(InodeNo dir, std::string_view name) const;
  [[nodiscard]] Status move(InodeNo dir, std::string_view name, bool elsewhere) const;
  [[nodiscard]] Status make();
  [[nodiscard]] Status make_node();
  [[nodiscard]] Status rename() const;
  [[nodiscard]] Status link() const;
  [[nodiscard]] Status open();
  [[nodiscard]] Status set_attributes();
  [[nodiscard]] Status change(const Permissions& inode, const fuse_setattr_in& in) const;
  [[nodiscard]] Status get_xattr() const;
  [[nodiscard]] Status set_xattr();
  [[nodiscard]] Status change_user_xattr() const;
  void set_bits(std::size_t at, std::uint32_t bits);
  void clear_sgid(std::size_t mode_at);

  const GuestRights& rights_;
  GuestMessage& message_;
  bool setxattr_ext_;
};

// The inode; EACCES unless a user of the guest has the rights.
Result<Permissions> Check::granting(InodeNo ino, unsigned rights) const {
  PMEMFS_TRY(Permissions inode, rights_.of(ino));
  if (!rights_.may(inode, rights)) {
    return Error(EACCES);
  }
  return inode;
}

// Nothing when there is none: whoever serves the request finds that, too.
Result<std::optional<Permissions>> Check::child(InodeNo dir, std::string_view name) const {
  auto found = rights_.of(dir, name);
  if (found.code() == ENOENT) {
    return std::optional<Permissions>();
  }
  PMEMFS_TRY(Permissions inode, std::move(found));
  return std::optional(std::move(inode));
}

Status Check::need(InodeNo ino, unsigned rights) const {
  PMEMFS_CHECK(granting(ino, rights));
  return {};
}

// may_delete: of a sticky directory only by the owner of either.
Status Check::remove_from(InodeNo dir, std::string_view name) const {
  PMEMFS_TRY(const Permissions parent, granting(dir, kWrite | kSearch));
  if ((parent.mode & S_ISVTX) == 0 || rights_.owns(parent)) {
    return {};
  }
  PMEMFS_TRY(const auto inode, child(dir, name));
  return !inode || rights_.owns(*inode) ? Status() : Error(EPERM);
}

// A directory that moves elsewhere is written to itself: vfs_rename.
Status Check::move(InodeNo dir, std::string_view name, bool elsewhere) const {
  PMEMFS_CHECK(remove_from(dir, name));
  if (!elsewhere) {
    return {};
  }
  PMEMFS_TRY(const auto inode, child(dir, name));
  return !inode || !S_ISDIR(inode->mode) || rights_.may(*inode, kWrite) ? Status() : Error(EACCES);
}

Status Check::rename() const {
  const bool exchange = message_.opcode() == FUSE_RENAME2 &&
                        (message_.argument<fuse_rename2_in>().flags & RENAME_EXCHANGE) != 0;
  const bool elsewhere = node() != second();
  PMEMFS_CHECK(move(node(), message_.name(), elsewhere));
  return move(second(), message_.second_name(), elsewhere && exchange);
}

// may_linkat, as with fs.protected_hardlinks.
Status Check::link() const {
  PMEMFS_CHECK(need(node(), kWrite | kSearch));
  PMEMFS_TRY(const Permissions file, rights_.of(second()));
  const bool runs_as_group =
      (file.mode & (S_ISGID | S_IXGRP)) == static_cast<unsigned>(S_ISGID | S_IXGRP);
  const bool safe = S_ISREG(file.mode) && (file.mode & S_ISUID) == 0 && !runs_as_group;
  return rights_.owns(file) || (safe && rights_.may(file, kRead | kWrite)) ? Status()
                                                                           : Error(EPERM);
}

void Check::set_bits(std::size_t at, std::uint32_t bits) {
  message_.set_argument(at, message_.argument<std::uint32_t>(at) | bits);
}

void Check::clear_sgid(std::size_t mode_at) {
  constexpr std::uint32_t kOthers = ~std::uint32_t{S_ISGID};
  message_.set_argument(mode_at, message_.argument<std::uint32_t>(mode_at) & kOthers);
}

// What is made in a set-group-id directory is of its group, for which nobody but a member may have
// programs run: mode_strip_sgid.
Status Check::make() {
  PMEMFS_TRY(const Permissions dir, granting(node(), kWrite | kSearch));
  const bool has_mode = message_.opcode() != FUSE_SYMLINK;
  if (has_mode && (dir.mode & S_ISGID) != 0 && !rights_.member(dir)) {
    const bool opens = message_.opcode() == FUSE_CREATE || message_.opcode() == FUSE_TMPFILE;
    clear_sgid(opens ? offsetof(fuse_create_in, mode) : kMadeMode);
  }
  return {};
}

// Devices open what no permission of this filesystem guards; 0:0 is overlayfs's whiteout, and none.
Status Check::make_node() {
  const auto in = message_.argument<fuse_mknod_in>();
  const bool device = S_ISBLK(in.mode) || (S_ISCHR(in.mode) && in.rdev != 0);
  return device ? Error(EPERM) : make();
}

Status Check::open() {
  const auto in = message_.argument<fuse_open_in>();
  const unsigned access = in.flags & O_ACCMODE;
  const bool truncates = (in.flags & O_TRUNC) != 0;
  unsigned wanted = 0;
  if (access != O_WRONLY) {
    wanted |= kRead;
  }
  if (access != O_RDONLY || truncates) {
    wanted |= kWrite;
  }
  PMEMFS_TRY(const Permissions file, granting(node(), wanted));
  if ((in.flags & O_NOATIME) != 0 && !rights_.owns(file)) {
    return Error(EPERM);
  }
  if (truncates) {
    set_bits(offsetof(fuse_open_in, open_flags), FUSE_OPEN_KILL_SUIDGID);
  }
  return {};
}

// setattr_prepare, inode_change_ok.
Status Check::change(const Permissions& inode, const fuse_setattr_in& in) const {
  const auto sets = [&](std::uint32_t bits) {
    return (in.valid & bits) != 0;
  };
  const auto sets_time = [&](std::uint32_t time, std::uint32_t to_now) {
    return sets(time) && !sets(to_now);
  };
  const bool owner = rights_.owns(inode);
  // Setting it to what it is is the owner's: who can be named is a user here.
  if (sets(FATTR_UID) && !rights_.rules(inode) && in.uid != inode.uid) {
    return Error(EPERM);
  }
  const bool by_owner = sets(FATTR_MODE | FATTR_GID | FATTR_CTIME) ||
                        sets_time(FATTR_ATIME, FATTR_ATIME_NOW) ||
                        sets_time(FATTR_MTIME, FATTR_MTIME_NOW);
  if (by_owner && !owner) {
    return Error(EPERM);
  }
  const bool by_writer =
      (sets(FATTR_SIZE) && !sets(FATTR_FH)) || (sets(FATTR_ATIME | FATTR_MTIME) && !owner);
  return !by_writer || rights_.may(inode, kWrite) ? Status() : Error(EACCES);
}

Status Check::set_attributes() {
  const auto in = message_.argument<fuse_setattr_in>();
  PMEMFS_TRY(Permissions inode, rights_.of(node()));
  PMEMFS_CHECK(change(inode, in));
  inode.gid = (in.valid & FATTR_GID) != 0 ? in.gid : inode.gid;
  if ((in.valid & FATTR_MODE) != 0 && !rights_.member(inode)) {
    clear_sgid(offsetof(fuse_setattr_in, mode));
  }
  if ((in.valid & FATTR_SIZE) != 0) {
    set_bits(offsetof(fuse_setattr_in, valid), FATTR_KILL_SUIDGID);
  }
  return {};
}

// xattr_permission.
Status Check::get_xattr() const {
  const std::string_view name = message_.name();
  if (name.starts_with("trusted.")) {
    return Error(ENODATA);
  }
  return name.starts_with("user.") ? need(node(), kRead) : Status();
}

Status Check::change_user_xattr() const {
  PMEMFS_TRY(const Permissions inode, rights_.of(node()));
  const bool sticky = S_ISDIR(inode.mode) && (inode.mode & S_ISVTX) != 0;
  if ((!S_ISREG(inode.mode) && !S_ISDIR(inode.mode)) || (sticky && !rights_.owns(inode))) {
    return Error(EPERM);
  }
  return rights_.may(inode, kWrite) ? Status() : Error(EACCES);
}

Status Check::set_xattr() {
  const std::string_view name = message_.name(setxattr_ext_);
  if (name.starts_with("user.")) {
    return change_user_xattr();
  }
  // A kernel takes them away when it writes.
  if (name == "security.capability" && message_.opcode() == FUSE_REMOVEXATTR) {
    return need(node(), kWrite);
  }
  if (name.starts_with("trusted.") || name.starts_with("security.")) {
    return Error(EPERM);
  }
  if (name != store::kAclAccess && name != store::kAclDefault) {
    return {};  // there are no others
  }
  PMEMFS_TRY(const Permissions inode, rights_.of(node()));
  if (!rights_.owns(inode)) {
    return Error(EPERM);
  }
  if (message_.opcode() == FUSE_SETXATTR && setxattr_ext_ && !rights_.member(inode)) {
    set_bits(offsetof(fuse_setxattr_in, setxattr_flags), FUSE_SETXATTR_ACL_KILL_SGID);
  }
  return {};
}

Status Check::run() {
  switch (message_.opcode()) {
    case FUSE_LOOKUP:
      return need(node(), kSearch);
    case FUSE_OPENDIR:
    case FUSE_READDIR:
    case FUSE_READDIRPLUS:  // of what may not be looked up it shows names alone: see GuestAnswer
      return need(node(), kRead);
    case FUSE_MKNOD:
      return make_node();
    case FUSE_SYMLINK:
    case FUSE_MKDIR:
    case FUSE_CREATE:
    case FUSE_TMPFILE:
      return make();
    case FUSE_UNLINK:
    case FUSE_RMDIR:
      return remove_from(node(), message_.name());
    case FUSE_RENAME:
    case FUSE_RENAME2:
      return rename();
    case FUSE_LINK:
      return link();
    case FUSE_OPEN:
      return open();
    case FUSE_SETATTR:
      return set_attributes();
    case FUSE_GETXATTR:
      return get_xattr();
    case FUSE_SETXATTR:
    case FUSE_REMOVEXATTR:
      return set_xattr();
    case FUSE_WRITE:
      set_bits(offsetof(fuse_write_in, write_flags), FUSE_WRITE_KILL_SUIDGID);
      return {};
    default:  // what is served to all, or by a handle
      return {};
  }
}

}  // namespace

Status check_rights(const GuestRights& rights, GuestMessage& message, bool setxattr_ext) {
  return Check(rights, message, setxattr_ext).run();
}

}  // namespace pmemfs::fuse
