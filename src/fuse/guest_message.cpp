#include "fuse/guest_message.hpp"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>

#include "fuse/buffers.hpp"
#include "fuse/id_map.hpp"
#include "store/acl.hpp"

namespace pmemfs::fuse {

// How a request looks and what it is about.
struct GuestRule {
  enum Name : std::uint8_t { kNone, kEntry, kXattr, kTarget };
  enum Is : std::uint16_t {
    kServed = 1U << 0U,
    kNode = 1U << 1U,     // about the header's node, which must be held
    kHandle = 1U << 2U,   // of an open file, whose handle comes first; that holds the inode, and
                          // FORGET may overtake RELEASE
    kChanges = 1U << 3U,  // refused on a read-only export
    kMakes = 1U << 4U,    // an inode that belongs to the caller
  };

  std::uint16_t is = 0;
  std::uint16_t fixed = 0;   // bytes of the argument's structure
  std::uint16_t answer = 0;  // bytes of the answer's, without the header
  Name names[2] = {kNone, kNone};
};

namespace {

using R = GuestRule;

constexpr std::uint32_t kMinor = 31;  // 7.31: the first that virtiofs spoke; no older layouts come
constexpr std::size_t kMaxName = 255;
constexpr std::size_t kMaxTarget = 4095;
constexpr std::uint32_t kNanoseconds = 1'000'000'000;
constexpr std::uint32_t kOpcodes = FUSE_TMPFILE + 1;

constexpr std::uint16_t kOnNode = R::kServed | R::kNode;
constexpr std::uint16_t kOnFile = R::kServed | R::kHandle;
constexpr std::uint16_t kOnNames = kOnNode | R::kChanges;
constexpr std::uint16_t kMaking = kOnNames | R::kMakes;

// Everything else is ENOSYS, which a guest's kernel takes as "never ask again": locks are its own,
// ACCESS is by mode and list, STATX has no place for FUSE_ATTR_DAX (GETATTR comes instead),
// INTERRUPT is of no use, NOTIFY_REPLY answers what nobody asks.
constexpr std::array<GuestRule, kOpcodes> kRules = [] {
  constexpr std::uint16_t kEntryOut = sizeof(fuse_entry_out);
  constexpr std::uint16_t kOpenOut = sizeof(fuse_open_out);
  std::array<GuestRule, kOpcodes> rules{};
  rules[FUSE_INIT] = {R::kServed, offsetof(fuse_init_in, flags2), sizeof(fuse_init_out)};
  rules[FUSE_DESTROY] = {R::kServed};
  rules[FUSE_LOOKUP] = {kOnNode, 0, kEntryOut, {R::kEntry}};
  rules[FUSE_FORGET] = {R::kServed, sizeof(fuse_forget_in)};
  rules[FUSE_BATCH_FORGET] = {R::kServed, sizeof(fuse_batch_forget_in)};
  rules[FUSE_GETATTR] = {kOnNode, sizeof(fuse_getattr_in), sizeof(fuse_attr_out)};
  rules[FUSE_SETATTR] = {kOnNames, sizeof(fuse_setattr_in), sizeof(fuse_attr_out)};
  rules[FUSE_READLINK] = {kOnNode};
  rules[FUSE_SYMLINK] = {kMaking, 0, kEntryOut, {R::kEntry, R::kTarget}};
  rules[FUSE_MKNOD] = {kMaking, sizeof(fuse_mknod_in), kEntryOut, {R::kEntry}};
  rules[FUSE_MKDIR] = {kMaking, sizeof(fuse_mkdir_in), kEntryOut, {R::kEntry}};
  rules[FUSE_UNLINK] = {kOnNames, 0, 0, {R::kEntry}};
  rules[FUSE_RMDIR] = {kOnNames, 0, 0, {R::kEntry}};
  rules[FUSE_RENAME] = {kOnNames, sizeof(fuse_rename_in), 0, {R::kEntry, R::kEntry}};
  rules[FUSE_RENAME2] = {kOnNames, sizeof(fuse_rename2_in), 0, {R::kEntry, R::kEntry}};
  rules[FUSE_LINK] = {kOnNames, sizeof(fuse_link_in), kEntryOut, {R::kEntry}};
  rules[FUSE_OPEN] = {kOnNode, sizeof(fuse_open_in), kOpenOut};
  rules[FUSE_READ] = {kOnFile, sizeof(fuse_read_in)};
  rules[FUSE_WRITE] = {kOnFile | R::kChanges, sizeof(fuse_write_in), sizeof(fuse_write_out)};
  rules[FUSE_STATFS] = {kOnNode, 0, sizeof(fuse_statfs_out)};
  rules[FUSE_RELEASE] = {kOnFile, sizeof(fuse_release_in)};
  rules[FUSE_FSYNC] = {kOnFile, sizeof(fuse_fsync_in)};
  rules[FUSE_SETXATTR] = {kOnNames, FUSE_COMPAT_SETXATTR_IN_SIZE, 0, {R::kXattr}};
  rules[FUSE_GETXATTR] = {kOnNode, sizeof(fuse_getxattr_in), 0, {R::kXattr}};
  rules[FUSE_LISTXATTR] = {kOnNode, sizeof(fuse_getxattr_in)};
  rules[FUSE_REMOVEXATTR] = {kOnNames, 0, 0, {R::kXattr}};
  rules[FUSE_FLUSH] = {kOnFile, sizeof(fuse_flush_in)};
  rules[FUSE_OPENDIR] = {kOnNode, sizeof(fuse_open_in), kOpenOut};
  rules[FUSE_READDIR] = {kOnNode, sizeof(fuse_read_in)};
  rules[FUSE_READDIRPLUS] = {kOnNode, sizeof(fuse_read_in)};
  rules[FUSE_RELEASEDIR] = {R::kServed, sizeof(fuse_release_in)};
  rules[FUSE_FSYNCDIR] = {kOnNode, sizeof(fuse_fsync_in)};
  rules[FUSE_CREATE] = {kMaking, sizeof(fuse_create_in), kEntryOut + kOpenOut, {R::kEntry}};
  rules[FUSE_TMPFILE] = {kMaking, sizeof(fuse_create_in), kEntryOut + kOpenOut};
  rules[FUSE_IOCTL] = {kOnNode, sizeof(fuse_ioctl_in), sizeof(fuse_ioctl_out)};
  rules[FUSE_FALLOCATE] = {kOnFile | R::kChanges, sizeof(fuse_fallocate_in)};
  rules[FUSE_LSEEK] = {kOnFile, sizeof(fuse_lseek_in), sizeof(fuse_lseek_out)};
  rules[FUSE_COPY_FILE_RANGE] = {kOnFile | R::kChanges, sizeof(fuse_copy_file_range_in),
                                 sizeof(fuse_write_out)};
  rules[FUSE_SETUPMAPPING] = {kOnNode, sizeof(fuse_setupmapping_in)};
  rules[FUSE_REMOVEMAPPING] = {R::kServed, sizeof(fuse_removemapping_in)};
  rules[FUSE_SYNCFS] = {kOnNode, sizeof(fuse_syncfs_in)};
  return rules;
}();

const GuestRule& rule_of(std::uint32_t opcode) {
  return kRules[opcode < kOpcodes ? opcode : 0];
}

// A place in a file and how much from there on, as signed 64-bit numbers can tell.
bool is_range(std::uint64_t off, std::uint64_t len) {
  constexpr auto kMost = static_cast<std::uint64_t>(INT64_MAX);
  return off <= kMost && len <= kMost - off;
}

std::size_t setxattr_fixed(bool ext) {
  return ext ? sizeof(fuse_setxattr_in) : FUSE_COMPAT_SETXATTR_IN_SIZE;
}

bool is_acl(std::string_view name) {
  return name == store::kAclAccess || name == store::kAclDefault;
}

int check_name(R::Name kind, std::string_view name) {
  if (name.empty()) {
    return EINVAL;
  }
  switch (kind) {
    case R::kTarget:
      return name.size() > kMaxTarget ? ENAMETOOLONG : 0;
    case R::kXattr:
      return name.size() > kMaxName ? EINVAL : 0;
    default:  // longer ones are asked for by kernels that leave it to us
      return name.find('/') != std::string_view::npos ? EINVAL
                                                      : (name.size() > kMaxName ? ENAMETOOLONG : 0);
  }
}

int check_init(const GuestMessage& message) {
  const auto major = message.argument<std::uint32_t>(offsetof(fuse_init_in, major));
  const auto minor = message.argument<std::uint32_t>(offsetof(fuse_init_in, minor));
  const auto flags = message.argument<std::uint32_t>(offsetof(fuse_init_in, flags));
  if (major < FUSE_KERNEL_VERSION || (major == FUSE_KERNEL_VERSION && minor < kMinor)) {
    return EPROTO;
  }
  const bool extended = (flags & FUSE_INIT_EXT) != 0;
  return extended && message.bytes().size() < sizeof(fuse_in_header) + sizeof(fuse_init_in) ? EINVAL
                                                                                            : 0;
}

int check_setattr(const fuse_setattr_in& in) {
  const auto wrong_time = [&](std::uint32_t flag, std::uint32_t nanoseconds) {
    return (in.valid & flag) != 0 && nanoseconds >= kNanoseconds;
  };
  const auto wrong_id = [&](std::uint32_t flag, std::uint32_t id) {
    return (in.valid & flag) != 0 && id == kNoId;
  };
  return wrong_time(FATTR_ATIME, in.atimensec) || wrong_time(FATTR_MTIME, in.mtimensec) ||
                 wrong_time(FATTR_CTIME, in.ctimensec) || wrong_id(FATTR_UID, in.uid) ||
                 wrong_id(FATTR_GID, in.gid)
             ? EINVAL
             : 0;
}

int check_type(std::uint32_t mode) {
  switch (mode & S_IFMT) {
    case 0:
    case S_IFREG:
    case S_IFCHR:
    case S_IFBLK:
    case S_IFIFO:
    case S_IFSOCK:
      return 0;
    default:
      return EINVAL;
  }
}

}  // namespace

std::optional<GuestMessage> GuestMessage::of(std::span<std::byte> bytes,
                                             std::span<const iovec> rest) {
  if (bytes.size() < sizeof(fuse_in_header)) {
    return std::nullopt;
  }
  return GuestMessage(bytes, rest);
}

GuestMessage::GuestMessage(std::span<std::byte> bytes, std::span<const iovec> rest)
    : bytes_(bytes), rest_(rest), opcode_(header().opcode) {
  for (const iovec& piece : rest) {
    rest_size_ += piece.iov_len;
  }
}

bool GuestMessage::wants_answer() const {
  return opcode_ != FUSE_FORGET && opcode_ != FUSE_BATCH_FORGET;
}

int GuestMessage::check(const Terms& terms, std::size_t room) const {
  if (header().len != bytes_.size() + rest_size_ || header().total_extlen != 0) {
    return EINVAL;  // extensions were not offered
  }
  if (rest_size_ != 0 && opcode_ != FUSE_WRITE) {
    return EINVAL;  // libfuse would look for it behind the bytes
  }
  if (!terms.begun && opcode_ != FUSE_INIT) {
    return EIO;
  }
  const GuestRule& rule = rule_of(opcode_);
  if (rule.is == 0) {
    return ENOSYS;
  }
  std::size_t at = opcode_ == FUSE_SETXATTR ? setxattr_fixed(terms.setxattr_ext) : rule.fixed;
  if (payload().size() < at) {
    return EINVAL;
  }
  if (const int code = check_names(rule, at); code != 0) {
    return code;
  }
  const std::size_t answer = sizeof(fuse_out_header) + rule.answer;
  if (wants_answer() && room < answer) {
    return EINVAL;
  }
  if (!sizes_fit(payload().size() - at, room - std::min(room, answer))) {
    return EINVAL;
  }
  if (const int code = check_values(); code != 0) {
    return code;
  }
  const bool opens_to_write =
      opcode_ == FUSE_OPEN && (argument<fuse_open_in>().flags & (O_ACCMODE | O_TRUNC)) != 0;
  return terms.read_only && ((rule.is & R::kChanges) != 0 || opens_to_write) ? EROFS : 0;
}

// `at`: where the names begin; moves to their end.
int GuestMessage::check_names(const GuestRule& rule, std::size_t& at) const {
  for (const R::Name kind : rule.names) {
    if (kind == R::kNone) {
      break;
    }
    const auto rest = payload().subspan(at);
    const auto end = std::find(rest.begin(), rest.end(), std::byte{0});
    if (end == rest.end()) {
      return EINVAL;
    }
    const auto length = static_cast<std::size_t>(end - rest.begin());
    const int code = check_name(kind, {reinterpret_cast<const char*>(rest.data()), length});
    if (code != 0) {
      return code;
    }
    at += length + 1;
  }
  return 0;
}

// What the message says follows, against the `rest` that does; what is asked for, against the room.
bool GuestMessage::sizes_fit(std::size_t rest, std::size_t room) const {
  switch (opcode_) {
    case FUSE_READ:
    case FUSE_READDIR:
    case FUSE_READDIRPLUS: {
      const std::size_t size = argument<fuse_read_in>().size;
      return size <= kMaxTransfer && size <= room;
    }
    case FUSE_WRITE: {
      const std::size_t size = argument<fuse_write_in>().size;
      return size <= kMaxTransfer && size <= rest + rest_size_;
    }
    case FUSE_SETXATTR:
      return argument<std::uint32_t>(offsetof(fuse_setxattr_in, size)) <= rest;
    case FUSE_GETXATTR:
    case FUSE_LISTXATTR: {
      const std::size_t size = argument<fuse_getxattr_in>().size;
      return (size == 0 ? sizeof(fuse_getxattr_out) : size) <= room;
    }
    case FUSE_IOCTL: {
      const auto in = argument<fuse_ioctl_in>();
      return in.in_size <= rest && in.out_size <= room;
    }
    case FUSE_BATCH_FORGET:
      return argument<fuse_batch_forget_in>().count <= rest / sizeof(fuse_forget_one);
    case FUSE_REMOVEMAPPING: {
      const std::uint32_t count = argument<fuse_removemapping_in>().count;
      return count != 0 && count <= rest / sizeof(fuse_removemapping_one);
    }
    default:
      return true;
  }
}

// Numbers that a kernel checks before it sends them.
int GuestMessage::check_values() const {
  const auto range = [](std::uint64_t off, std::uint64_t len) {
    return is_range(off, len) ? 0 : EINVAL;
  };
  switch (opcode_) {
    case FUSE_INIT:
      return check_init(*this);
    case FUSE_SETATTR:
      return check_setattr(argument<fuse_setattr_in>());
    case FUSE_MKNOD:
      return check_type(argument<fuse_mknod_in>().mode);
    case FUSE_READ:
      return range(argument<fuse_read_in>().offset, argument<fuse_read_in>().size);
    case FUSE_WRITE:
      return range(argument<fuse_write_in>().offset, argument<fuse_write_in>().size);
    case FUSE_FALLOCATE:
      return range(argument<fuse_fallocate_in>().offset, argument<fuse_fallocate_in>().length);
    case FUSE_COPY_FILE_RANGE: {
      const auto in = argument<fuse_copy_file_range_in>();
      return is_range(in.off_in, in.len) && is_range(in.off_out, in.len) ? 0 : EINVAL;
    }
    default:
      return 0;
  }
}

std::optional<std::size_t> GuestMessage::second_node() const {
  switch (opcode_) {
    case FUSE_LINK:
      return offsetof(fuse_link_in, oldnodeid);
    case FUSE_RENAME:
      return offsetof(fuse_rename_in, newdir);
    case FUSE_RENAME2:
      return offsetof(fuse_rename2_in, newdir);
    case FUSE_COPY_FILE_RANGE:
      return offsetof(fuse_copy_file_range_in, nodeid_out);
    default:
      return std::nullopt;
  }
}

bool GuestMessage::about_node() const {
  return (rule_of(opcode_).is & R::kNode) != 0;
}

GuestMessage::Places GuestMessage::handles() const {
  if (opcode_ == FUSE_COPY_FILE_RANGE) {
    return {offsetof(fuse_copy_file_range_in, fh_in), offsetof(fuse_copy_file_range_in, fh_out)};
  }
  if (opcode_ == FUSE_GETATTR &&
      (argument<fuse_getattr_in>().getattr_flags & FUSE_GETATTR_FH) != 0) {
    return {offsetof(fuse_getattr_in, fh)};
  }
  if (opcode_ == FUSE_SETATTR && (argument<fuse_setattr_in>().valid & FATTR_FH) != 0) {
    return {offsetof(fuse_setattr_in, fh)};
  }
  return (rule_of(opcode_).is & R::kHandle) != 0 ? Places{0} : Places{};
}

std::array<HandleUse, 2> GuestMessage::handle_uses() const {
  switch (opcode_) {
    case FUSE_READ:
      return {HandleUse::kReading};
    case FUSE_WRITE:
    case FUSE_FALLOCATE:
      return {HandleUse::kWriting};
    case FUSE_COPY_FILE_RANGE:
      return {HandleUse::kReading, HandleUse::kWriting};
    case FUSE_SETATTR:
      return {(argument<fuse_setattr_in>().valid & FATTR_SIZE) != 0 ? HandleUse::kWriting
                                                                    : HandleUse::kAny};
    default:
      return {};
  }
}

std::string_view GuestMessage::name(bool setxattr_ext) const {
  return name_at(opcode_ == FUSE_SETXATTR ? setxattr_fixed(setxattr_ext) : rule_of(opcode_).fixed);
}

std::string_view GuestMessage::second_name() const {
  return name_at(rule_of(opcode_).fixed + name().size() + 1);
}

std::vector<std::span<const std::byte>> GuestMessage::data() const {
  std::size_t left = argument<fuse_write_in>().size;
  std::vector<std::span<const std::byte>> pieces;
  const auto add = [&](std::span<const std::byte> piece) {
    const auto taken = piece.first(std::min(left, piece.size()));
    left -= taken.size();
    if (!taken.empty()) {
      pieces.push_back(taken);
    }
  };
  add(payload().subspan(sizeof(fuse_write_in)));
  for (const iovec& piece : rest_) {
    add({static_cast<const std::byte*>(piece.iov_base), piece.iov_len});
  }
  return pieces;
}

bool GuestMessage::makes_inode() const {
  if (opcode_ == FUSE_RENAME2) {
    return (argument<fuse_rename2_in>().flags & RENAME_WHITEOUT) != 0;
  }
  return (rule_of(opcode_).is & R::kMakes) != 0;
}

bool GuestMessage::about_acl() const {
  return opcode_ == FUSE_GETXATTR && is_acl(name());
}

std::span<std::byte> GuestMessage::acl_to_set(bool setxattr_ext) const {
  if (opcode_ != FUSE_SETXATTR) {
    return {};
  }
  const std::string_view which = name(setxattr_ext);
  if (!is_acl(which)) {
    return {};
  }
  return bytes_.subspan(sizeof(fuse_in_header) + setxattr_fixed(setxattr_ext) + which.size() + 1,
                        argument<std::uint32_t>(offsetof(fuse_setxattr_in, size)));
}

std::string_view GuestMessage::name_at(std::size_t at) const {
  return reinterpret_cast<const char*>(payload().data()) + at;
}

}  // namespace pmemfs::fuse
