#include "fuse/guest_answer.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "fuse/convert.hpp"

namespace pmemfs::fuse {
namespace {

constexpr std::size_t kHead = 0;  // parts of an answer: its header
constexpr std::size_t kBody = 1;

std::span<std::byte> bytes_of(const iovec& part) {
  return {static_cast<std::byte*>(part.iov_base), part.iov_len};
}

// libfuse promises no alignment.
template <typename T>
T load(std::span<const std::byte> bytes) {
  T value{};
  std::memcpy(&value, bytes.data(), sizeof(T));
  return value;
}

template <typename T>
void store_back(std::span<std::byte> bytes, const T& value) {
  std::memcpy(bytes.data(), &value, sizeof(T));
}

}  // namespace

// See to_stat for where the mark comes from.
int GuestAnswer::translate(fuse_attr& attr) const {
  const bool durable = (attr.blksize & 1U) != 0;
  attr.blksize = kBlockSize;
  attr.uid = options_.uids.to_guest(attr.uid);
  attr.gid = options_.gids.to_guest(attr.gid);
  if (durable && terms_.direct && S_ISREG(attr.mode) && terms_.rights.may_map(InodeNo(attr.ino))) {
    attr.flags |= FUSE_ATTR_DAX;
  }
  return S_ISREG(attr.mode) ? reach(InodeNo(attr.ino), attr.size) : 0;
}

int GuestAnswer::reach(InodeNo ino, std::uint64_t size) const {
  return options_.reach ? options_.reach(ino, size).code() : 0;
}

int GuestAnswer::enter_entry(std::span<std::byte> entry) {
  auto out = load<fuse_entry_out>(entry);
  if (out.nodeid == 0) {
    return 0;  // "no such name", or a name without attributes in a listing
  }
  const int code = translate(out.attr);
  GuestNode node{out.nodeid};
  if ((out.attr.flags & FUSE_ATTR_DAX) != 0) {
    node.id |= GuestNode::kDirect;
  }
  if (!ledger_.add(node)) {
    return ENFILE;
  }
  nodes_.push_back(node);
  out.nodeid = node.id;
  store_back(entry, out);
  return code;
}

int GuestAnswer::enter_handle(std::span<std::byte> open, InodeNo ino, std::uint32_t flags) {
  auto out = load<fuse_open_out>(open);
  const auto number = ledger_.add_handle(ino, out.fh, flags);
  if (!number) {
    return number.code();
  }
  opened_ = ino;
  handle_ = *number;
  out.fh = *number;
  store_back(open, out);
  return 0;
}

int GuestAnswer::enter_created(std::span<std::byte> both) {
  const InodeNo ino(load<fuse_entry_out>(both).nodeid);
  const auto open = both.subspan(sizeof(fuse_entry_out));
  // The handle first: it is the ledger's whatever becomes of the entry.
  const int handle = enter_handle(open, ino, request_.argument<fuse_create_in>().flags);
  const int entry = enter_entry(both);
  if (terms_.mapped || (!nodes_.empty() && nodes_.back().direct())) {
    allow_mapped_writes(open);
  }
  return handle != 0 ? handle : entry;
}

// Without FOPEN_DIRECT_IO, which a kernel that maps directly needs for nothing else: it has
// Linux 7.2 throw the pages of a write that grows the file out of its books first, and refuse the
// write (EBUSY) when the program has stored there.
void GuestAnswer::allow_mapped_writes(std::span<std::byte> open) {
  auto out = load<fuse_open_out>(open);
  out.open_flags &= ~static_cast<std::uint32_t>(FOPEN_DIRECT_IO);
  store_back(open, out);
}

// An entry that the guest may not look up or remember loses its attributes, not its name.
void GuestAnswer::enter_listing(std::span<std::byte> entries) {
  const bool searched = terms_.rights.may(InodeNo(request_.header().nodeid), kSearch);
  while (entries.size() > FUSE_NAME_OFFSET_DIRENTPLUS) {
    const auto direntry = load<fuse_dirent>(entries.subspan(offsetof(fuse_direntplus, dirent)));
    const std::size_t before = nodes_.size();
    if (enter_entry(entries) != 0 || !searched) {
      take_back_nodes(before);
      fuse_entry_out nothing{};
      nothing.attr.ino = direntry.ino;
      nothing.attr.mode = load<fuse_entry_out>(entries).attr.mode;
      store_back(entries, nothing);
    }
    const std::size_t size = FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET_DIRENTPLUS + direntry.namelen);
    entries = entries.subspan(std::min(size, entries.size()));
  }
}

// In a copy: the value may be somebody's.
void GuestAnswer::translate_acl(iovec& part) {
  const auto value = bytes_of(part);
  copy_.assign(value.begin(), value.end());
  (void)fuse::translate_acl(copy_, options_.uids, options_.gids, Direction::kToGuest);
  part.iov_base = copy_.data();
}

int GuestAnswer::pass(std::span<iovec> parts) {
  const auto body = bytes_of(parts[kBody]);
  switch (request_.opcode()) {
    case FUSE_LOOKUP:
    case FUSE_MKNOD:
    case FUSE_MKDIR:
    case FUSE_SYMLINK:
    case FUSE_LINK:
      return enter_entry(body);
    case FUSE_CREATE:
    case FUSE_TMPFILE:
      return enter_created(body);
    case FUSE_OPEN:
      if (terms_.mapped) {
        allow_mapped_writes(body);
      }
      return enter_handle(body, GuestNode{request_.header().nodeid}.ino(),
                          request_.argument<fuse_open_in>().flags);
    case FUSE_GETATTR:
    case FUSE_SETATTR: {
      auto out = load<fuse_attr_out>(body);
      const int code = translate(out.attr);
      store_back(body, out);
      return code;
    }
    case FUSE_WRITE:
      return reach(GuestNode{request_.header().nodeid}.ino(), UINT64_MAX);
    case FUSE_COPY_FILE_RANGE:
      return reach(GuestNode{request_.argument<std::uint64_t>(*request_.second_node())}.ino(),
                   UINT64_MAX);
    case FUSE_READDIRPLUS:
      enter_listing(body);
      return 0;
    case FUSE_GETXATTR:
      if (request_.about_acl() && request_.argument<fuse_getxattr_in>().size != 0) {
        translate_acl(parts[kBody]);
      }
      return 0;
    default:
      return 0;
  }
}

int GuestAnswer::prepare(std::span<iovec> parts) {
  if (load<fuse_out_header>(bytes_of(parts[kHead])).error != 0) {
    return 0;
  }
  if (request_.opcode() == FUSE_FALLOCATE) {
    return reach(GuestNode{request_.header().nodeid}.ino(), UINT64_MAX);
  }
  if (parts.size() <= kBody) {
    return 0;
  }
  const int code = pass(parts);
  if (code != 0) {
    take_back();
  }
  return code;
}

void GuestAnswer::take_back() {
  if (opened_) {
    ledger_.close_handle(opened_, handle_);
    opened_ = {};
  }
  take_back_nodes(0);
}

void GuestAnswer::take_back_nodes(std::size_t first) {
  for (std::size_t i = first; i < nodes_.size(); ++i) {
    ledger_.forget(nodes_[i], 1);
  }
  nodes_.resize(first);
}

}  // namespace pmemfs::fuse
