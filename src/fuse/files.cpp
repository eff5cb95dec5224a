// Opening, reading, writing and closing of files; how a handle's data travel.
#include <fcntl.h>

#include <span>

#include "fuse/buffers.hpp"
#include "fuse/convert.hpp"
#include "fuse/operations.hpp"
#include "fuse/reply.hpp"

namespace pmemfs::fuse {
namespace {

HandleId handle_of(const fuse_file_info* info) {
  return FileHandle::decode(info->fh).handle;
}

// The id to open with, one use counted; nothing when the kernel takes no more registrations.
Result<int> acquire_backing(Edge& edge, InodeNo ino, HandleId handle) {
  if (const auto id = edge.passthrough->acquire(ino)) {
    return *id;
  }
  // Asked without the registry's lock, and only when needed: the core may have to open the host
  // file.
  PMEMFS_TRY(const int fd, edge.fs.backing_fd(handle));
  return edge.passthrough->acquire(ino, fd);
}

void set_passthrough(fuse_file_info& info, HandleId handle, int id, bool direct) {
  info.backing_id = id;
  info.direct_io = direct ? 1 : 0;
  info.fh = FileHandle{handle, true}.encode();
}

// A passthrough open that cannot have its backing file goes through the core, without shared
// mappings: never silently weaker, and unmapped direct handles may live beside any other.
void fall_back(Edge& edge, fuse_file_info& info, HandleId handle) {
  guarded_void([&] { edge.fs.set_path(handle, DataPath::kDirect); });
  info.direct_io = 1;
}

// While an inode has passthrough handles the kernel accepts no others (EIO). Then a handle that the
// core serves becomes one whose mappings alone go to the backing file.
bool join_passthrough(Edge& edge, InodeNo ino, fuse_file_info& info, HandleId handle) {
  if (!edge.passthrough) {
    return false;
  }
  const auto id = edge.passthrough->join(ino);
  if (!id) {
    return false;
  }
  guarded_void([&] { edge.fs.set_path(handle, DataPath::kPassthroughDirect); });
  set_passthrough(info, handle, *id, true);
  return true;
}

// Turns the core's choice into what the kernel is told.
void choose_path(Edge& edge, InodeNo ino, const Opened& opened, fuse_file_info& info) {
  info.fh = FileHandle{opened.handle, false}.encode();
  info.parallel_direct_writes =
      1;  // the core orders writes; without DIRECT_IO the kernel ignores it
  const bool through =
      opened.path == DataPath::kPassthrough || opened.path == DataPath::kPassthroughDirect;
  // On a cached handle FLUSH, answered in the kernel from the second one on, writes back what was
  // stored by mappings.
  info.noflush = opened.path != DataPath::kCached ? 1 : 0;
  if (through) {
    const auto id = edge.passthrough
                        ? guarded([&] { return acquire_backing(edge, ino, opened.handle); })
                        : Result<int>(Error(EOPNOTSUPP));
    if (id) {
      set_passthrough(info, opened.handle, *id, opened.path == DataPath::kPassthroughDirect);
    } else {
      fall_back(edge, info, opened.handle);
    }
  } else if (!join_passthrough(edge, ino, info, opened.handle)) {
    info.direct_io = opened.path == DataPath::kDirect ? 1 : 0;
    info.keep_cache = opened.path == DataPath::kCached && edge.view.keep_pages ? 1 : 0;
  }
}

void open(fuse_req_t req, fuse_ino_t ino, fuse_file_info* info) {
  Edge& edge = edge_of(req);
  const bool kill = this_thread().request.kills_suid_sgid();
  const int flags = info->flags | (edge.touch_atime ? 0 : O_NOATIME);
  const auto opened =
      guarded([&] { return edge.fs.open_file(InodeNo(ino), flags, kill, edge.reach); });
  if (!opened) {
    reply::error(req, opened.code());
    return;
  }
  choose_path(edge, InodeNo(ino), *opened, *info);
  if (!reply::open(req, *info)) {
    close_handle(edge, InodeNo(ino), info->fh);
  }
}

void answer_created(fuse_req_t req, const Result<Created>& created, fuse_file_info& info) {
  if (!created) {
    reply::error(req, created.code());
    return;
  }
  Edge& edge = edge_of(req);
  const InodeNo ino = created->attributes.ino;
  choose_path(edge, ino, created->opened, info);
  if (!reply::create(req, created->attributes, info, edge.view)) {
    close_handle(edge, ino, info.fh);
    forget_inode(edge, ino, 1);
  }
}

void create(fuse_req_t req, fuse_ino_t parent, const char* name, mode_t mode,
            fuse_file_info* info) {
  Edge& edge = edge_of(req);
  const auto created = guarded([&] {
    return edge.fs.create(caller_of(req), InodeNo(parent), name, mode, info->flags, edge.reach);
  });
  answer_created(req, created, *info);
}

void tmpfile(fuse_req_t req, fuse_ino_t parent, mode_t mode, fuse_file_info* info) {
  Edge& edge = edge_of(req);
  const auto created = guarded([&] {
    return edge.fs.tmpfile(caller_of(req), InodeNo(parent), mode, info->flags, edge.reach);
  });
  answer_created(req, created, *info);
}

// close(2) does not wait for it.
void release(fuse_req_t req, fuse_ino_t ino, fuse_file_info* info) {
  this_thread().afterwork->add({Afterwork::Kind::kHandle, InodeNo(ino), info->fh, req});
}

void read(fuse_req_t req, fuse_ino_t /*ino*/, std::size_t size, off_t offset,
          fuse_file_info* info) {
  const std::span<std::byte> buffer = this_thread().buffers->answer(size);
  const auto count = guarded([&] {
    return edge_of(req).fs.read(handle_of(info), static_cast<std::uint64_t>(offset), buffer);
  });
  reply::value(req, count, [=](std::size_t got) { return reply::bytes(req, buffer.first(got)); });
}

void write(fuse_req_t req, fuse_ino_t /*ino*/, const char* data, std::size_t size, off_t offset,
           fuse_file_info* info) {
  // Pages that a mapping dirtied have their place, whatever the handle says.
  const bool append = (info->flags & O_APPEND) != 0 && info->writepage == 0;
  const bool kill = this_thread().request.kills_suid_sgid();
  const auto bytes = std::as_bytes(std::span(data, size));
  reply::count(req, guarded([&] {
                 return edge_of(req).fs.write(handle_of(info), static_cast<std::uint64_t>(offset),
                                              bytes, append, kill);
               }));
}

void fsync(fuse_req_t req, fuse_ino_t /*ino*/, int data_only, fuse_file_info* info) {
  reply::status(req,
                guarded([&] { return edge_of(req).fs.fsync(handle_of(info), data_only != 0); }));
}

void fallocate(fuse_req_t req, fuse_ino_t /*ino*/, int mode, off_t offset, off_t length,
               fuse_file_info* info) {
  reply::status(req, guarded([&] {
                  return edge_of(req).fs.fallocate(caller_of(req), handle_of(info), mode,
                                                   static_cast<std::uint64_t>(offset),
                                                   static_cast<std::uint64_t>(length));
                }));
}

void lseek(fuse_req_t req, fuse_ino_t /*ino*/, off_t offset, int whence, fuse_file_info* info) {
  const auto found = guarded([&] {
    return edge_of(req).fs.seek(handle_of(info), static_cast<std::uint64_t>(offset), whence);
  });
  reply::value(req, found, [req](std::uint64_t position) {
    return fuse_reply_lseek(req, static_cast<off_t>(position)) == 0;
  });
}

// NOLINTNEXTLINE(readability-function-size): libfuse sets the number of parameters
void copy_file_range(fuse_req_t req, fuse_ino_t /*from*/, off_t from_offset, fuse_file_info* from,
                     fuse_ino_t /*to*/, off_t to_offset, fuse_file_info* to, std::size_t length,
                     int /*flags*/) {
  reply::count(req, guarded([&] {
                 return edge_of(req).fs.copy_range(
                     handle_of(from), static_cast<std::uint64_t>(from_offset), handle_of(to),
                     static_cast<std::uint64_t>(to_offset), length);
               }));
}

}  // namespace

void add_file_operations(fuse_lowlevel_ops& ops) {
  ops.open = open;
  ops.create = create;
  ops.tmpfile = tmpfile;
  ops.release = release;
  ops.read = read;
  ops.write = write;
  ops.fsync = fsync;
  ops.fallocate = fallocate;
  ops.lseek = lseek;
  ops.copy_file_range = copy_file_range;
}

}  // namespace pmemfs::fuse
