// Extended attributes.
#include <cstring>
#include <string>
#include <vector>

#include "fuse/buffers.hpp"
#include "fuse/operations.hpp"
#include "fuse/reply.hpp"

namespace pmemfs::fuse {
namespace {

constexpr std::size_t kMaxValue = 65'536;  // the kernel's XATTR_SIZE_MAX and XATTR_LIST_MAX

void setxattr(fuse_req_t req, fuse_ino_t ino, const char* name, const char* value, std::size_t size,
              int flags) {
  if (size > kMaxValue) {
    reply::error(req, E2BIG);
    return;
  }
  Edge& edge = edge_of(req);
  const bool kill_sgid = edge.granted.setxattr_ext && this_thread().request.kills_sgid();
  const auto bytes = std::as_bytes(std::span(value, size));
  reply::status(req, guarded([&] {
                  return edge.fs.setxattr(caller_of(req), InodeNo(ino), name, bytes, flags,
                                          kill_sgid);
                }));
}

Asker asker_of(const Edge& edge, InodeNo ino) {
  const bool may_map = edge.rights == nullptr || edge.rights->may_map(ino);
  return {edge.reach, may_map ? edge.by_window : ByWindow::kNone};
}

void getxattr(fuse_req_t req, fuse_ino_t ino, const char* name, std::size_t room) {
  Edge& edge = edge_of(req);
  const auto value =
      guarded([&] { return edge.fs.getxattr(InodeNo(ino), name, asker_of(edge, InodeNo(ino))); });
  reply::value(req, value,
               [=](std::span<const std::byte> bytes) { return reply::sized(req, bytes, room); });
}

// Names one after the other, each with its NUL.
Result<std::string> joined_names(Filesystem& fs, const Caller& caller, InodeNo ino) {
  PMEMFS_TRY(const std::vector<std::string> names, fs.listxattr(caller, ino));
  std::string joined;
  for (const std::string& name : names) {
    joined.append(name).push_back('\0');
  }
  if (joined.size() > kMaxValue) {
    return Error(E2BIG);
  }
  return joined;
}

void listxattr(fuse_req_t req, fuse_ino_t ino, std::size_t room) {
  const auto names =
      guarded([&] { return joined_names(edge_of(req).fs, caller_of(req), InodeNo(ino)); });
  reply::value(req, names, [=](const std::string& joined) {
    return reply::sized(req, std::as_bytes(std::span(joined)), room);
  });
}

void removexattr(fuse_req_t req, fuse_ino_t ino, const char* name) {
  reply::status(req, guarded([&] {
                  return edge_of(req).fs.removexattr(caller_of(req), InodeNo(ino), name);
                }));
}

}  // namespace

void add_xattr_operations(fuse_lowlevel_ops& ops) {
  ops.setxattr = setxattr;
  ops.getxattr = getxattr;
  ops.listxattr = listxattr;
  ops.removexattr = removexattr;
}

}  // namespace pmemfs::fuse
