// LOOKUP, FORGET and what makes, moves and removes names.
#include <span>

#include "fuse/buffers.hpp"
#include "fuse/operations.hpp"
#include "fuse/reply.hpp"

namespace pmemfs::fuse {
namespace {

void lookup(fuse_req_t req, fuse_ino_t parent, const char* name) {
  const auto result = guarded([&] { return edge_of(req).fs.lookup(InodeNo(parent), name); });
  if (!result && result.code() == ENOENT) {
    reply::missing(req, edge_of(req).view);
  } else {
    answer_entry(req, result);
  }
}

void forget(fuse_req_t req, fuse_ino_t ino, std::uint64_t count) {
  this_thread().afterwork->add({Afterwork::Kind::kReferences, InodeNo(ino), count});
  fuse_reply_none(req);
}

void forget_multi(fuse_req_t req, std::size_t count, fuse_forget_data* forgets) {
  for (const fuse_forget_data& one : std::span(forgets, count)) {
    this_thread().afterwork->add({Afterwork::Kind::kReferences, InodeNo(one.ino), one.nlookup});
  }
  fuse_reply_none(req);
}

void mknod(fuse_req_t req, fuse_ino_t parent, const char* name, mode_t mode, dev_t rdev) {
  answer_entry(req, guarded([&] {
                 return edge_of(req).fs.mknod(caller_of(req), InodeNo(parent), name, mode,
                                              static_cast<std::uint32_t>(rdev));
               }));
}

void mkdir(fuse_req_t req, fuse_ino_t parent, const char* name, mode_t mode) {
  answer_entry(req, guarded([&] {
                 return edge_of(req).fs.mkdir(caller_of(req), InodeNo(parent), name, mode);
               }));
}

void symlink(fuse_req_t req, const char* target, fuse_ino_t parent, const char* name) {
  answer_entry(req, guarded([&] {
                 return edge_of(req).fs.symlink(caller_of(req), InodeNo(parent), name, target);
               }));
}

void link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char* name) {
  answer_entry(req,
               guarded([&] { return edge_of(req).fs.link(InodeNo(ino), InodeNo(parent), name); }));
}

void unlink(fuse_req_t req, fuse_ino_t parent, const char* name) {
  reply::status(req, guarded([&] { return edge_of(req).fs.unlink(InodeNo(parent), name); }));
}

void rmdir(fuse_req_t req, fuse_ino_t parent, const char* name) {
  reply::status(req, guarded([&] { return edge_of(req).fs.rmdir(InodeNo(parent), name); }));
}

void rename(fuse_req_t req, fuse_ino_t from, const char* name, fuse_ino_t to, const char* new_name,
            unsigned flags) {
  reply::status(req, guarded([&] {
                  return edge_of(req).fs.rename(caller_of(req), InodeNo(from), name, InodeNo(to),
                                                new_name, flags);
                }));
}

void readlink(fuse_req_t req, fuse_ino_t ino) {
  const auto target = guarded([&] { return edge_of(req).fs.readlink(InodeNo(ino)); });
  reply::value(req, target, [req](const std::string& path) {
    return reply::bytes(req, std::as_bytes(std::span(path)));
  });
}

}  // namespace

void add_name_operations(fuse_lowlevel_ops& ops) {
  ops.lookup = lookup;
  ops.forget = forget;
  ops.forget_multi = forget_multi;
  ops.mknod = mknod;
  ops.mkdir = mkdir;
  ops.symlink = symlink;
  ops.link = link;
  ops.unlink = unlink;
  ops.rmdir = rmdir;
  ops.rename = rename;
  ops.readlink = readlink;
}

}  // namespace pmemfs::fuse
