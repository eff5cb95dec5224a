// The face of the core: each function goes to the part that does it.
#include "pmemfs/filesystem.hpp"

#include <linux/fs.h>

#include <thread>
#include <utility>

#include "base/chore.hpp"
#include "core/attributes.hpp"
#include "core/bad_memory.hpp"
#include "core/context.hpp"
#include "core/create.hpp"
#include "core/data.hpp"
#include "core/directories.hpp"
#include "core/durable.hpp"
#include "core/evacuate.hpp"
#include "core/files.hpp"
#include "core/frames.hpp"
#include "core/maintenance.hpp"
#include "core/migrate.hpp"
#include "core/names.hpp"
#include "core/rearrange.hpp"
#include "core/rename.hpp"
#include "core/scrub.hpp"
#include "core/status.hpp"
#include "core/window_holes.hpp"
#include "core/windows.hpp"
#include "core/xattrs.hpp"

namespace pmemfs {

struct Filesystem::Impl {
  Impl(std::unique_ptr<store::Store> store, BackingDir* backing, FilesystemOptions options)
      : context(std::move(store), backing, std::move(options)) {}

  core::Context context;
  std::unique_ptr<core::Syncer> syncer;
  std::jthread collector;

  // Ends the background threads and lets go of every node, as the end of a session does.
  void stop() {
    syncer.reset();
    if (collector.joinable()) {
      collector.join();
    }
    context.handles.clear();
    context.nodes.forget_all();
    context.root = core::NodeRef();
  }
};

Filesystem::Filesystem(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

// As after a crash: nothing is freed or written; the store is told nothing.
Filesystem::~Filesystem() {
  if (!impl_) {
    return;
  }
  impl_->syncer.reset();
  if (impl_->collector.joinable()) {
    impl_->collector.join();
  }
  impl_->context.nodes.abandon();
}

Result<std::unique_ptr<Filesystem>> Filesystem::open(std::unique_ptr<store::Store> store,
                                                     BackingDir* backing,
                                                     const FilesystemOptions& options) {
  auto impl = std::make_unique<Impl>(std::move(store), backing, options);
  core::Context& c = impl->context;
  c.root = c.nodes.get(kRootInode);
  PMEMFS_TRY(const core::InodeRecord root, core::read_inode(c, *c.root));
  if (!core::is_directory(root)) {
    return Error(EUCLEAN);
  }
  if (!c.read_only()) {
    PMEMFS_CHECK(core::adopt_exports(c));
    core::free_orphan_inodes(c);
    PMEMFS_TRY(const std::uint64_t first_new, c.store->next_generation());
    const bool trusted = options.collect_orphans;
    const auto collect = [&c, first_new, trusted] {
      core::collect_orphan_files(c, first_new, trusted);
    };
    if (options.background) {
      impl->collector = std::jthread([collect] { base::do_chore(collect); });
      impl->syncer = std::make_unique<core::Syncer>(c);
    } else {
      collect();
    }
  }
  return std::unique_ptr<Filesystem>(new Filesystem(std::move(impl)));
}

void Filesystem::set_passthrough(bool available) {
  impl_->context.passthrough = available;
}
void Filesystem::set_hooks(EdgeHooks hooks) {
  impl_->context.hooks = std::move(hooks);
}
void Filesystem::set_window_hooks(WindowHooks hooks) {
  impl_->context.window_hooks = std::move(hooks);
}
Result<WindowMapping> Filesystem::map_window(InodeNo ino, std::uint64_t off, std::uint64_t window) {
  return core::map_window(impl_->context, ino, {off, off + window});
}
void Filesystem::unmapped_window(InodeNo ino, std::uint64_t off, std::uint64_t window) {
  impl_->context.exports.remove(ino, {off, off + window});
}
Status Filesystem::cover_window(InodeNo ino, std::uint64_t size) {
  return core::window_holes::cover(impl_->context, ino, size);
}

Status Filesystem::close(bool users_gone) {
  core::Context& c = impl_->context;
  const bool mappings_may_live =
      !users_gone &&
      !c.nodes.collect([](const core::Node& n) { return n.lookups != 0 && n.maybe_stored; })
           .empty();
  impl_->stop();
  if (c.read_only()) {
    return {};
  }
  core::settle_exports(c);
  PMEMFS_CHECK(core::sync_host(c));
  return c.store->close(mappings_may_live || !c.exports.empty(), !c.exports.empty());
}

Result<Attributes> Filesystem::lookup(InodeNo dir, std::string_view name) {
  return core::lookup(impl_->context, dir, name);
}
void Filesystem::forget(InodeNo ino, std::uint64_t count) {
  impl_->context.nodes.forget(ino, count);
}
Result<Attributes> Filesystem::mknod(const Caller& c, InodeNo dir, std::string_view name,
                                     std::uint32_t mode, std::uint32_t rdev) {
  return core::mknod(impl_->context, c, dir, name, mode, rdev);
}
Result<Attributes> Filesystem::mkdir(const Caller& c, InodeNo dir, std::string_view name,
                                     std::uint32_t mode) {
  return core::mkdir(impl_->context, c, dir, name, mode);
}
Result<Attributes> Filesystem::symlink(const Caller& c, InodeNo dir, std::string_view name,
                                       std::string_view target) {
  return core::symlink(impl_->context, c, dir, name, target);
}
Result<Attributes> Filesystem::link(InodeNo ino, InodeNo dir, std::string_view name) {
  return core::link(impl_->context, ino, dir, name);
}
Status Filesystem::unlink(InodeNo dir, std::string_view name) {
  return core::unlink(impl_->context, dir, name);
}
Status Filesystem::rmdir(InodeNo dir, std::string_view name) {
  return core::rmdir(impl_->context, dir, name);
}
Status Filesystem::rename(const Caller& c, InodeNo from, std::string_view name, InodeNo to,
                          std::string_view new_name, unsigned flags) {
  return core::rename(impl_->context, c, from, name, to, new_name, flags);
}
Result<std::string> Filesystem::readlink(InodeNo ino) {
  return core::readlink(impl_->context, ino);
}
Status Filesystem::list(InodeNo dir, std::uint64_t cookie, bool with_attributes,
                        const ListSink& sink, bool touch) {
  return core::list(impl_->context, dir, cookie, with_attributes, sink, touch);
}

Result<Attributes> Filesystem::getattr(InodeNo ino) {
  return core::getattr(impl_->context, ino);
}
Result<Permissions> Filesystem::permissions(InodeNo ino) {
  return core::permissions(impl_->context, ino);
}
Result<Attributes> Filesystem::setattr(const Caller& c, InodeNo ino,
                                       const AttributeChange& change) {
  return core::setattr(impl_->context, c, ino, change);
}
Result<std::vector<std::byte>> Filesystem::getxattr(InodeNo ino, std::string_view name,
                                                    const Asker& asker) {
  return core::getxattr(impl_->context, ino, name, asker);
}
Result<std::vector<std::string>> Filesystem::listxattr(const Caller& c, InodeNo ino) {
  return core::listxattr(impl_->context, c, ino);
}
Status Filesystem::setxattr(const Caller& c, InodeNo ino, std::string_view name,
                            std::span<const std::byte> value, int flags, bool kill_sgid) {
  return core::setxattr(impl_->context, c, ino, name, value, flags, kill_sgid);
}
Status Filesystem::removexattr(const Caller& c, InodeNo ino, std::string_view name) {
  return core::removexattr(impl_->context, c, ino, name);
}

Result<Created> Filesystem::create(const Caller& c, InodeNo dir, std::string_view name,
                                   std::uint32_t mode, int flags, Reach reach) {
  return core::create(impl_->context, c, dir, name, mode, flags, reach);
}
Result<Created> Filesystem::tmpfile(const Caller& c, InodeNo dir, std::uint32_t mode, int flags,
                                    Reach reach) {
  return core::tmpfile(impl_->context, c, dir, mode, flags, reach);
}
Result<Opened> Filesystem::open_file(InodeNo ino, int flags, bool kill_suid_sgid, Reach reach) {
  return core::open_file(impl_->context, ino, flags, kill_suid_sgid, reach);
}
void Filesystem::release(HandleId handle) {
  core::release(impl_->context, handle);
}
Result<int> Filesystem::backing_fd(HandleId handle) {
  return core::backing_fd(impl_->context, handle);
}
void Filesystem::set_path(HandleId handle, DataPath path) {
  core::set_path(impl_->context, handle, path);
}

Result<std::size_t> Filesystem::read(HandleId handle, std::uint64_t off, std::span<std::byte> dst) {
  const auto h = impl_->context.handles.find(handle);
  if (!h) {
    return Error(EBADF);
  }
  return core::data_read(impl_->context, *h, off, {&dst, 1});
}
Result<std::size_t> Filesystem::read_parts(HandleId handle, std::uint64_t off,
                                           std::span<const std::span<std::byte>> parts) {
  const auto h = impl_->context.handles.find(handle);
  if (!h) {
    return Error(EBADF);
  }
  return core::data_read(impl_->context, *h, off, parts);
}
Result<std::size_t> Filesystem::write(HandleId handle, std::uint64_t off,
                                      std::span<const std::byte> src, bool append,
                                      bool kill_suid_sgid) {
  return write_parts(handle, off, {&src, 1}, append, kill_suid_sgid);
}
Result<std::size_t> Filesystem::write_parts(HandleId handle, std::uint64_t off,
                                            std::span<const std::span<const std::byte>> parts,
                                            bool append, bool kill_suid_sgid) {
  const auto h = impl_->context.handles.find(handle);
  if (!h) {
    return Error(EBADF);
  }
  return core::data_write(impl_->context, *h, off, parts, append, kill_suid_sgid);
}
Status Filesystem::fsync(HandleId handle, bool data_only) {
  const auto h = impl_->context.handles.find(handle);
  if (!h) {
    return Error(EBADF);
  }
  return core::data_sync(impl_->context, *h, data_only);
}
// Names are durable when the operation that made them returned; the host files that this
// directory's entries lead to are not a matter of the directory.
Status Filesystem::fsync_dir(InodeNo dir) {
  const core::NodeRef node = impl_->context.nodes.get(dir);
  const std::shared_lock lock(node->lock);
  return core::read_inode(impl_->context, *node).ok() ? Status() : Status(Error(ENOENT));
}
Status Filesystem::fallocate(const Caller& /*c*/, HandleId handle, int mode, std::uint64_t off,
                             std::uint64_t len) {
  const auto h = impl_->context.handles.find(handle);
  if (!h) {
    return Error(EBADF);
  }
  return core::data_allocate(impl_->context, *h, mode, off, len);
}
Result<std::uint64_t> Filesystem::seek(HandleId handle, std::uint64_t off, int whence) {
  const auto h = impl_->context.handles.find(handle);
  if (!h) {
    return Error(EBADF);
  }
  return core::data_seek(impl_->context, *h, off, whence);
}
Result<std::size_t> Filesystem::copy_range(HandleId from, std::uint64_t from_off, HandleId to,
                                           std::uint64_t to_off, std::size_t len) {
  const auto source = impl_->context.handles.find(from);
  const auto target = impl_->context.handles.find(to);
  if (!source || !target) {
    return Error(EBADF);
  }
  return core::data_copy(impl_->context, *source, from_off, *target, to_off, len);
}

Result<std::uint32_t> Filesystem::inode_flags(InodeNo ino) {
  const core::NodeRef node = impl_->context.nodes.get(ino);
  const std::shared_lock lock(node->lock);
  PMEMFS_TRY(const core::InodeRecord inode, core::read_inode(impl_->context, *node));
  return core::is_durable(inode) ? std::uint32_t{FS_NOCOW_FL} : 0U;
}

Result<FilesystemSpace> Filesystem::space() {
  return core::space(impl_->context);
}
Status Filesystem::sync() {
  core::settle_exports(impl_->context);
  return core::sync_host(impl_->context);
}

FilesystemStatus Filesystem::status() {
  return core::status(impl_->context);
}
Result<std::vector<DurableFile>> Filesystem::durable_files() {
  return core::durable_files(impl_->context);
}
Result<Relocated> Filesystem::make_frames(std::uint64_t wanted, const RelocationWatch& watch) {
  return core::compact(impl_->context, wanted, watch);
}
Result<Relocated> Filesystem::defrag(InodeNo ino, const RelocationWatch& watch) {
  return core::defrag(impl_->context, ino, watch);
}
Result<Relocated> Filesystem::evacuate(std::uint64_t off, std::uint64_t len,
                                       const RelocationWatch& watch) {
  return core::evacuate(impl_->context, off, len, watch);
}
Result<FileStamp> Filesystem::stamp_to_move(InodeNo ino) {
  return core::stamp_to_move(impl_->context, ino);
}
Status Filesystem::unlink_moved(InodeNo dir, std::string_view name, const FileStamp& stamp) {
  return core::unlink_moved(impl_->context, dir, name, stamp);
}
Result<Relocated> Filesystem::shrink_region(std::uint64_t size, const RelocationWatch& watch) {
  return core::shrink_region(impl_->context, size, watch);
}
Result<std::uint64_t> Filesystem::grow(std::uint64_t size) {
  if (impl_->context.has_backing()) {
    return Error(EOPNOTSUPP);
  }
  return impl_->context.store->grow(size);
}
Result<std::vector<BadMemory>> Filesystem::bad_memory() {
  return core::bad_memory(impl_->context);
}
Result<Scrubbed> Filesystem::scrub(const RelocationWatch& watch) {
  return core::scrub(impl_->context, watch);
}
void Filesystem::shrink() {
  core::drop_indexes(impl_->context, 0);
  impl_->context.hooks.drop_all_idle_backing();
}

}  // namespace pmemfs
