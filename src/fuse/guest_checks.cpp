#include "fuse/guest_checks.hpp"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "store/acl.hpp"

namespace pmemfs::fuse {
namespace {

constexpr std::size_t kMadeMode = offsetof(fuse_mknod_in, mode);
static_assert(kMadeMode == offsetof(fuse_mkdir_in, mode));

// One request, and what is found out about it. Each function: 0 or what to answer. The rules are
// those of the kernel's VFS, of the functions that are named.
class Check {
 public:
  Check(const GuestRights& rights, GuestMessage& message, bool setxattr_ext)
      : rights_(rights), message_(message), setxattr_ext_(setxattr_ext) {}

  [[nodiscard]] int run();

 private:
  [[nodiscard]] InodeNo node() const { return InodeNo(message_.header().nodeid); }
  [[nodiscard]] InodeNo second() const {
    return InodeNo(message_.argument<std::uint64_t>(*message_.second_node()));
  }
  [[nodiscard]] int need(InodeNo ino, unsigned rights) const;
  [[nodiscard]] int remove_from(InodeNo dir, std::string_view name) const;
  [[nodiscard]] int move(InodeNo dir, std::string_view name, bool elsewhere) const;
  [[nodiscard]] int make();
  [[nodiscard]] int make_node();
  [[nodiscard]] int rename() const;
  [[nodiscard]] int link() const;
  [[nodiscard]] int open();
  [[nodiscard]] int set_attributes();
  [[nodiscard]] int change(const Permissions& inode, const fuse_setattr_in& in) const;
  [[nodiscard]] int get_xattr() const;
  [[nodiscard]] int set_xattr();
  [[nodiscard]] int change_user_xattr() const;
  void set_bits(std::size_t at, std::uint32_t bits);
  void clear_sgid(std::size_t mode_at);

  const GuestRights& rights_;
  GuestMessage& message_;
  bool setxattr_ext_;
};

int Check::need(InodeNo ino, unsigned rights) const {
  const auto inode = rights_.of(ino);
  if (!inode) {
    return inode.code();
  }
  return rights_.may(*inode, rights) ? 0 : EACCES;
}

// may_delete: of a sticky directory only by the owner of either.
int Check::remove_from(InodeNo dir, std::string_view name) const {
  const auto parent = rights_.of(dir);
  if (!parent) {
    return parent.code();
  }
  if (!rights_.may(*parent, kWrite | kSearch)) {
    return EACCES;
  }
  if ((parent->mode & S_ISVTX) == 0 || rights_.owns(*parent)) {
    return 0;
  }
  const auto child = rights_.of(dir, name);
  if (!child) {
    return child.code() == ENOENT ? 0 : child.code();  // whoever serves it finds that, too
  }
  return rights_.owns(*child) ? 0 : EPERM;
}

// A directory that moves elsewhere is written to itself: vfs_rename.
int Check::move(InodeNo dir, std::string_view name, bool elsewhere) const {
  if (const int code = remove_from(dir, name); code != 0 || !elsewhere) {
    return code;
  }
  const auto child = rights_.of(dir, name);
  if (!child) {
    return child.code() == ENOENT ? 0 : child.code();
  }
  return !S_ISDIR(child->mode) || rights_.may(*child, kWrite) ? 0 : EACCES;
}

int Check::rename() const {
  const bool exchange = message_.opcode() == FUSE_RENAME2 &&
                        (message_.argument<fuse_rename2_in>().flags & RENAME_EXCHANGE) != 0;
  const bool elsewhere = node() != second();
  if (const int code = move(node(), message_.name(), elsewhere); code != 0) {
    return code;
  }
  return move(second(), message_.second_name(), elsewhere && exchange);
}

// may_linkat, as with fs.protected_hardlinks.
int Check::link() const {
  if (const int code = need(node(), kWrite | kSearch); code != 0) {
    return code;
  }
  const auto file = rights_.of(second());
  if (!file) {
    return file.code();
  }
  const bool runs_as_group =
      (file->mode & (S_ISGID | S_IXGRP)) == static_cast<unsigned>(S_ISGID | S_IXGRP);
  const bool safe = S_ISREG(file->mode) && (file->mode & S_ISUID) == 0 && !runs_as_group;
  return rights_.owns(*file) || (safe && rights_.may(*file, kRead | kWrite)) ? 0 : EPERM;
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
int Check::make() {
  const auto dir = rights_.of(node());
  if (!dir) {
    return dir.code();
  }
  if (!rights_.may(*dir, kWrite | kSearch)) {
    return EACCES;
  }
  const bool has_mode = message_.opcode() != FUSE_SYMLINK;
  if (has_mode && (dir->mode & S_ISGID) != 0 && !rights_.member(*dir)) {
    const bool opens = message_.opcode() == FUSE_CREATE || message_.opcode() == FUSE_TMPFILE;
    clear_sgid(opens ? offsetof(fuse_create_in, mode) : kMadeMode);
  }
  return 0;
}

// Devices open what no permission of this filesystem guards; 0:0 is overlayfs's whiteout, and none.
int Check::make_node() {
  const auto in = message_.argument<fuse_mknod_in>();
  const bool device = S_ISBLK(in.mode) || (S_ISCHR(in.mode) && in.rdev != 0);
  return device ? EPERM : make();
}

int Check::open() {
  const auto in = message_.argument<fuse_open_in>();
  const auto file = rights_.of(node());
  if (!file) {
    return file.code();
  }
  const unsigned access = in.flags & O_ACCMODE;
  const bool truncates = (in.flags & O_TRUNC) != 0;
  unsigned wanted = 0;
  if (access != O_WRONLY) {
    wanted |= kRead;
  }
  if (access != O_RDONLY || truncates) {
    wanted |= kWrite;
  }
  if (!rights_.may(*file, wanted)) {
    return EACCES;
  }
  if ((in.flags & O_NOATIME) != 0 && !rights_.owns(*file)) {
    return EPERM;
  }
  if (truncates) {
    set_bits(offsetof(fuse_open_in, open_flags), FUSE_OPEN_KILL_SUIDGID);
  }
  return 0;
}

// setattr_prepare, inode_change_ok.
int Check::change(const Permissions& inode, const fuse_setattr_in& in) const {
  const auto sets = [&](std::uint32_t bits) {
    return (in.valid & bits) != 0;
  };
  const auto sets_time = [&](std::uint32_t time, std::uint32_t to_now) {
    return sets(time) && !sets(to_now);
  };
  const bool owner = rights_.owns(inode);
  const bool ruler = rights_.rules(inode);
  if (sets(FATTR_UID) && !ruler &&
      in.uid != inode.uid) {  // to the same: who is a user here owns it
    return EPERM;
  }
  const bool by_owner = sets(FATTR_MODE | FATTR_GID | FATTR_CTIME) ||
                        sets_time(FATTR_ATIME, FATTR_ATIME_NOW) ||
                        sets_time(FATTR_MTIME, FATTR_MTIME_NOW);
  if (by_owner && !owner) {
    return EPERM;
  }
  const bool by_writer =
      (sets(FATTR_SIZE) && !sets(FATTR_FH)) || (sets(FATTR_ATIME | FATTR_MTIME) && !owner);
  return !by_writer || rights_.may(inode, kWrite) ? 0 : EACCES;
}

int Check::set_attributes() {
  const auto in = message_.argument<fuse_setattr_in>();
  auto inode = rights_.of(node());
  if (!inode) {
    return inode.code();
  }
  if (const int code = change(*inode, in); code != 0) {
    return code;
  }
  inode->gid = (in.valid & FATTR_GID) != 0 ? in.gid : inode->gid;
  if ((in.valid & FATTR_MODE) != 0 && !rights_.member(*inode)) {
    clear_sgid(offsetof(fuse_setattr_in, mode));
  }
  if ((in.valid & FATTR_SIZE) != 0) {
    set_bits(offsetof(fuse_setattr_in, valid), FATTR_KILL_SUIDGID);
  }
  return 0;
}

// xattr_permission.
int Check::get_xattr() const {
  const std::string_view name = message_.name();
  if (name.starts_with("trusted.")) {
    return ENODATA;
  }
  return name.starts_with("user.") ? need(node(), kRead) : 0;
}

int Check::change_user_xattr() const {
  const auto inode = rights_.of(node());
  if (!inode) {
    return inode.code();
  }
  const bool sticky = S_ISDIR(inode->mode) && (inode->mode & S_ISVTX) != 0;
  if ((!S_ISREG(inode->mode) && !S_ISDIR(inode->mode)) || (sticky && !rights_.owns(*inode))) {
    return EPERM;
  }
  return rights_.may(*inode, kWrite) ? 0 : EACCES;
}

int Check::set_xattr() {
  const std::string_view name = message_.name(setxattr_ext_);
  if (name.starts_with("user.")) {
    return change_user_xattr();
  }
  // A kernel takes them away when it writes.
  if (name == "security.capability" && message_.opcode() == FUSE_REMOVEXATTR) {
    return need(node(), kWrite);
  }
  if (name.starts_with("trusted.") || name.starts_with("security.")) {
    return EPERM;
  }
  if (name != store::kAclAccess && name != store::kAclDefault) {
    return 0;  // there are no others
  }
  const auto inode = rights_.of(node());
  if (!inode) {
    return inode.code();
  }
  if (!rights_.owns(*inode)) {
    return EPERM;
  }
  if (message_.opcode() == FUSE_SETXATTR && setxattr_ext_ && !rights_.member(*inode)) {
    set_bits(offsetof(fuse_setxattr_in, setxattr_flags), FUSE_SETXATTR_ACL_KILL_SGID);
  }
  return 0;
}

int Check::run() {
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
      return 0;
    default:  // what is served to all, or by a handle
      return 0;
  }
}

}  // namespace

Status check_rights(const GuestRights& rights, GuestMessage& message, bool setxattr_ext) {
  const int code = Check(rights, message, setxattr_ext).run();
  return code == 0 ? Status() : Status(Error(code));
}

}  // namespace pmemfs::fuse
