#include "fuse/operations.hpp"

#include "fuse/buffers.hpp"
#include "fuse/convert.hpp"
#include "fuse/reply.hpp"

namespace pmemfs::fuse {

Edge& edge_of(fuse_req_t req) {
  return *static_cast<Edge*>(fuse_req_userdata(req));
}

Caller caller_of(fuse_req_t req) {
  const fuse_ctx& context = *fuse_req_ctx(req);
  return {context.uid, context.gid, context.pid, context.umask};
}

void forget_inode(Edge& edge, InodeNo ino, std::uint64_t count) {
  if (edge.passthrough) {
    guarded_void([&] { edge.passthrough->drop(ino); });
  }
  guarded_void([&] { edge.fs.forget(ino, count); });
}

void close_handle(Edge& edge, InodeNo ino, std::uint64_t fh) {
  const FileHandle file = FileHandle::decode(fh);
  if (file.registered && edge.passthrough) {
    guarded_void([&] { edge.passthrough->release(ino); });
  }
  guarded_void([&] { edge.fs.release(file.handle); });
}

void drop_later(PassthroughRegistry& registry, InodeNo ino) {
  if (Afterwork* afterwork = this_thread().afterwork) {
    afterwork->add({.kind = Afterwork::Kind::kRegistration, .ino = ino, .registry = &registry});
  } else {
    registry.drop(ino);
  }
}

void do_afterwork(Edge& edge, const Afterwork::Item& item) {
  switch (item.kind) {
    case Afterwork::Kind::kRegistration:
      guarded_void([&] { item.registry->drop(item.ino); });
      return;
    case Afterwork::Kind::kReferences:
      forget_inode(edge, item.ino, item.number);
      return;
    case Afterwork::Kind::kHandle:
      close_handle(edge, item.ino, item.number);
      reply::error(item.request, 0);
      return;
  }
}

void answer_entry(fuse_req_t req, const Result<Attributes>& result) {
  if (!result) {
    reply::error(req, result.code());
    return;
  }
  Edge& edge = edge_of(req);  // req is gone after the reply
  if (!reply::entry(req, *result, edge.view)) {
    forget_inode(edge, result->ino, 1);
  }
}

fuse_lowlevel_ops all_operations() {
  fuse_lowlevel_ops ops{};
  ops.init = [](void* userdata, fuse_conn_info* connection) {
    Edge& edge = *static_cast<Edge*>(userdata);
    const Granted granted = negotiate(*connection, edge.wanted);
    if (!edge.granted.answered) {
      edge.granted = granted;  // clones of the connection are told the same later, amid requests
    }
  };
  add_name_operations(ops);
  add_directory_operations(ops);
  add_attribute_operations(ops);
  add_xattr_operations(ops);
  add_file_operations(ops);
  return ops;
}

}  // namespace pmemfs::fuse
