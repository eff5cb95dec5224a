// GETATTR, STATX, SETATTR, STATFS, and the one ioctl that tells of attributes.
#include <linux/fs.h>
#include <sys/ioctl.h>

#include "fuse/convert.hpp"
#include "fuse/operations.hpp"
#include "fuse/reply.hpp"

namespace pmemfs::fuse {
namespace {

void getattr(fuse_req_t req, fuse_ino_t ino, fuse_file_info* /*info*/) {
  Edge& edge = edge_of(req);
  reply::attributes(req, guarded([&] { return edge.fs.getattr(InodeNo(ino)); }), edge.view);
}

void setattr(fuse_req_t req, fuse_ino_t ino, struct stat* values, int to_set,
             fuse_file_info* /*info*/) {
  const AttributeChange change = to_change(*values, to_set);
  Edge& edge = edge_of(req);
  reply::attributes(req,
                    guarded([&] { return edge.fs.setattr(caller_of(req), InodeNo(ino), change); }),
                    edge.view);
}

void statfs(fuse_req_t req, fuse_ino_t /*ino*/) {
  const auto space = guarded([&] { return edge_of(req).fs.space(); });
  reply::value(req, space, [req](const FilesystemSpace& value) {
    const struct statvfs st = to_statvfs(value);
    return fuse_reply_statfs(req, &st) == 0;
  });
}

// Asked instead of GETATTR when a program wants the birth time. Libfuse has it since 3.18.
template <typename Ops>
void add_statx(Ops& ops) {
  if constexpr (requires { ops.statx; }) {
    ops.statx = [](fuse_req_t req, fuse_ino_t ino, int /*flags*/, int /*mask*/,
                   fuse_file_info* /*info*/) {
      const auto result = guarded([&] { return edge_of(req).fs.getattr(InodeNo(ino)); });
      reply::value(req, result, [req](const Attributes& attributes) {
        struct statx st = to_statx(attributes);
        return fuse_reply_statx(req, 0, &st, attribute_timeout(attributes, edge_of(req).view)) == 0;
      });
    };
  }
}

// NOLINTNEXTLINE(readability-function-size): libfuse sets the number of parameters
void ioctl(fuse_req_t req, fuse_ino_t ino, unsigned command, void* /*arg*/,
           fuse_file_info* /*info*/, unsigned flags, const void* /*in*/, std::size_t /*in_size*/,
           std::size_t out_size) {
  if (command != static_cast<unsigned>(FS_IOC_GETFLAGS) || (flags & FUSE_IOCTL_COMPAT) != 0 ||
      out_size < sizeof(std::uint32_t)) {
    reply::error(req, ENOTTY);
    return;
  }
  const auto inode_flags = guarded([&] { return edge_of(req).fs.inode_flags(InodeNo(ino)); });
  reply::value(req, inode_flags, [req](std::uint32_t value) {
    return fuse_reply_ioctl(req, 0, &value, sizeof(value)) == 0;
  });
}

}  // namespace

void add_attribute_operations(fuse_lowlevel_ops& ops) {
  ops.getattr = getattr;
  ops.setattr = setattr;
  ops.statfs = statfs;
  ops.ioctl = ioctl;
  add_statx(ops);
}

}  // namespace pmemfs::fuse
