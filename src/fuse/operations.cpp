#include "fuse/operations.hpp"

#include "fuse/buffers.hpp"
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

void drop_later(PassthroughRegistry& registry, InodeNo ino) {
  if (Afterwork* afterwork = this_thread().afterwork) {
    afterwork->add({ino, 0});
  } else {
    registry.drop(ino);
  }
}

void do_afterwork(Edge& edge, const Afterwork::Item& item) {
  if (item.references > 0) {
    forget_inode(edge, item.ino, item.references);
  } else if (edge.passthrough) {
    guarded_void([&] { edge.passthrough->drop(item.ino); });
  }
}

void answer_entry(fuse_req_t req, const Result<Attributes>& result) {
  if (!result) {
    reply::error(req, result.code());
    return;
  }
  Edge& edge = edge_of(req);  // req is gone after the reply
  if (!reply::entry(req, *result)) {
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
