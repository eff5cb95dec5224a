#include "crash/world.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>

#include "base/log.hpp"
#include "support/extent_text.hpp"

namespace pmemfs::crash {
namespace {

constexpr Caller kRoot{.uid = 0, .gid = 0, .pid = 1, .umask = 022};
constexpr std::uint64_t kRegionSize = 16ULL << 20U;
constexpr std::uint64_t kRegionLimit = 64ULL << 20U;

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

void require(int code, const char* what) {
  if (code != 0) {
    throw MountFailed(fmt::format("{}: errno {}", what, code));
  }
}

}  // namespace

Media Media::crash(test::Chooser& chooser) const {
  auto after = region->crash(chooser);
  return {std::move(after), host ? host->crash(chooser) : nullptr};
}

World::World(Placement placement) {
  base::log::init_callback([](base::log::Level, const std::string&) {});  // losses are the point
  const bool backing = placement == Placement::kBacking;
  media_.region = std::make_unique<test::SimRegion>(kRegionSize, kRegionLimit);
  store::FormatOptions format;
  format.kind = backing ? format::RegionKind::kDirectory : format::RegionKind::kFile;
  format.uuid.fill(7);
  require(store::Store::format(*media_.region, format).code(), "format");
  if (backing) {
    media_.host = std::make_unique<test::SimBackingDir>();
    media_.host->tell_extents();
    media_.host->expect_no_mappings();
  }
  open(media_.host.get());
}

World::World(Media media) : media_(std::move(media)) {
  open(media_.host.get());
}

World::World(Media media, const std::function<std::unique_ptr<BackingDir>(BackingDir&)>& host)
    : media_(std::move(media)), decorated_(host(*media_.host)) {
  open(decorated_.get());
}

void World::open(BackingDir* host) {
  store::OpenReport report;
  auto store = store::Store::open(*media_.region, &report);
  require(store.code(), "the store does not open");
  if (report.damaged_structures != 0 || !report.may_collect) {
    throw MountFailed(fmt::format("the mount found damage: {} structures, {}",
                                  report.damaged_structures,
                                  report.may_collect ? "no doubt" : "a doubt"));
  }
  FilesystemOptions options;
  options.passthrough = host != nullptr;
  options.update_atime = false;
  options.background = false;
  auto fs = Filesystem::open(std::move(*store), host, options);
  require(fs.code(), "the filesystem does not open");
  fs_ = std::move(*fs);
}

Media World::abandon() {
  fs_.reset();
  return std::move(media_);
}

Media World::unmount() {
  require(fs_->close(true).code(), "unmount");
  return abandon();
}

// --- Paths ---

Result<Attributes> World::drop(Result<Attributes> found) {
  if (found) {
    fs_->forget(found->ino, 1);
  }
  return found;
}

Result<Attributes> World::find(std::string_view path) {
  if (path.empty()) {
    return fs_->getattr(kRootInode);
  }
  PMEMFS_TRY(const Place place, place_of(path));
  return drop(fs_->lookup(place.dir, place.name));
}

Result<World::Place> World::place_of(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) {
    return Place{kRootInode, path};
  }
  PMEMFS_TRY(const Attributes dir, find(path.substr(0, slash)));
  return Place{dir.ino, path.substr(slash + 1)};
}

int World::on_handle(std::string_view path, int flags,
                     const std::function<int(HandleId, InodeNo)>& work) {
  const auto found = find(path);
  if (!found) {
    return found.code();
  }
  const auto opened = fs_->open_file(found->ino, flags, false);
  if (!opened) {
    return opened.code();
  }
  const int code = work(opened->handle, found->ino);
  fs_->release(opened->handle);
  return code;
}

// --- Names ---

int World::create(std::string_view path, std::uint32_t mode) {
  const auto place = place_of(path);
  if (!place) {
    return place.code();
  }
  const auto made = fs_->create(kRoot, place->dir, place->name, mode, O_RDWR);
  if (made) {
    fs_->release(made->opened.handle);
    fs_->forget(made->attributes.ino, 1);
  }
  return made.code();
}

int World::mkdir(std::string_view path) {
  const auto place = place_of(path);
  return place ? drop(fs_->mkdir(kRoot, place->dir, place->name, 0755)).code() : place.code();
}

int World::mkfifo(std::string_view path) {
  const auto place = place_of(path);
  return place ? drop(fs_->mknod(kRoot, place->dir, place->name, S_IFIFO | 0644U, 0)).code()
               : place.code();
}

int World::symlink(std::string_view target, std::string_view path) {
  const auto place = place_of(path);
  return place ? drop(fs_->symlink(kRoot, place->dir, place->name, target)).code() : place.code();
}

int World::link(std::string_view from, std::string_view to) {
  const auto found = find(from);
  const auto place = place_of(to);
  if (!found || !place) {
    return !found ? found.code() : place.code();
  }
  return drop(fs_->link(found->ino, place->dir, place->name)).code();
}

int World::unlink(std::string_view path) {
  const auto place = place_of(path);
  return place ? fs_->unlink(place->dir, place->name).code() : place.code();
}

int World::unlink_while_open(std::string_view path) {
  return on_handle(path, O_RDWR, [&](HandleId, InodeNo) { return unlink(path); });
}

int World::rmdir(std::string_view path) {
  const auto place = place_of(path);
  return place ? fs_->rmdir(place->dir, place->name).code() : place.code();
}

int World::rename(std::string_view from, std::string_view to, unsigned flags) {
  const auto place = place_of(from);
  const auto target = place_of(to);
  if (!place || !target) {
    return !place ? place.code() : target.code();
  }
  return fs_->rename(kRoot, place->dir, place->name, target->dir, target->name, flags).code();
}

int World::link_tmpfile(std::string_view path, std::uint64_t length, char fill) {
  const auto place = place_of(path);
  if (!place) {
    return place.code();
  }
  const auto made = fs_->tmpfile(kRoot, place->dir, 0644, O_RDWR);
  if (!made) {
    return made.code();
  }
  const std::string content(length, fill);
  const auto written = fs_->write(made->opened.handle, 0, bytes_of(content), false, false);
  const int code = written ? drop(fs_->link(made->attributes.ino, place->dir, place->name)).code()
                           : written.code();
  fs_->release(made->opened.handle);
  fs_->forget(made->attributes.ino, 1);
  return code;
}

// --- Attributes ---

int World::chmod(std::string_view path, std::uint32_t mode) {
  AttributeChange change;
  change.mode = mode;
  const auto found = find(path);
  return found ? fs_->setattr(kRoot, found->ino, change).code() : found.code();
}

int World::chown(std::string_view path, std::uint32_t uid, std::uint32_t gid) {
  AttributeChange change;
  change.uid = uid;
  change.gid = gid;
  const auto found = find(path);
  return found ? fs_->setattr(kRoot, found->ino, change).code() : found.code();
}

int World::set_times(std::string_view path, std::int64_t sec) {
  AttributeChange change;
  change.atime = Timestamp{sec, 1};
  change.mtime = Timestamp{sec, 2};
  const auto found = find(path);
  return found ? fs_->setattr(kRoot, found->ino, change).code() : found.code();
}

int World::set_xattr(std::string_view path, std::string_view name, std::string_view value,
                     int flags) {
  const auto found = find(path);
  return found ? fs_->setxattr(kRoot, found->ino, name, bytes_of(value), flags, false).code()
               : found.code();
}

int World::remove_xattr(std::string_view path, std::string_view name) {
  const auto found = find(path);
  return found ? fs_->removexattr(kRoot, found->ino, name).code() : found.code();
}

int World::set_durable(std::string_view path, std::string_view value) {
  return set_xattr(path, "user.pmemfs.mmap_durable", value, 0);
}

// --- Data ---

int World::write(std::string_view path, std::uint64_t off, std::uint64_t length, char fill) {
  const std::string content(length, fill);
  return on_handle(path, O_RDWR, [&](HandleId handle, InodeNo) {
    return fs_->write(handle, off, bytes_of(content), false, false).code();
  });
}

int World::append(std::string_view path, std::uint64_t length, char fill) {
  const std::string content(length, fill);
  return on_handle(path, O_RDWR | O_APPEND, [&](HandleId handle, InodeNo) {
    return fs_->write(handle, 0, bytes_of(content), true, false).code();
  });
}

int World::truncate(std::string_view path, std::uint64_t size) {
  AttributeChange change;
  change.size = size;
  const auto found = find(path);
  return found ? fs_->setattr(kRoot, found->ino, change).code() : found.code();
}

int World::open_truncated(std::string_view path) {
  return on_handle(path, O_RDWR | O_TRUNC, [](HandleId, InodeNo) { return 0; });
}

int World::allocate(std::string_view path, int mode, std::uint64_t off, std::uint64_t length) {
  return on_handle(path, O_RDWR, [&](HandleId handle, InodeNo) {
    return fs_->fallocate(kRoot, handle, mode, off, length).code();
  });
}

int World::copy(std::string_view from, std::string_view to, std::uint64_t length) {
  return on_handle(from, O_RDONLY, [&](HandleId source, InodeNo) {
    return on_handle(to, O_RDWR, [&](HandleId target, InodeNo) {
      return fs_->copy_range(source, 0, target, 0, length).code();
    });
  });
}

int World::store(std::string_view path, std::uint64_t off, std::uint64_t length, char fill) {
  const auto found = find(path);
  if (!found || off >= found->size) {
    return found.code();
  }
  const std::string content(std::min(length, found->size - off), fill);
  return on_handle(path, O_RDWR, [&](HandleId handle, InodeNo ino) {
    return placement() == Placement::kBacking ? store_in_mapping(handle, off, content)
                                              : store_in_region(ino, off, content);
  });
}

int World::store_in_mapping(HandleId handle, std::uint64_t off, std::string_view bytes) {
  const auto fd = fs_->backing_fd(handle);
  if (!fd) {
    return fd.code();
  }
  const std::uint64_t size = off + bytes.size();
  void* p = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
  if (p == MAP_FAILED) {
    return errno;
  }
  std::memcpy(static_cast<char*>(p) + off, bytes.data(), bytes.size());
  ::munmap(p, size);
  return 0;
}

// As a virtual machine stores through its window.
int World::store_in_region(InodeNo ino, std::uint64_t off, std::string_view bytes) {
  const auto text = fs_->getxattr(ino, "user.pmemfs.extents");
  if (!text) {
    return text.code();
  }
  for (const test::ExtentLine& line :
       test::parse_extents({reinterpret_cast<const char*>(text->data()), text->size()})) {
    const std::uint64_t from = std::max(off, line.offset);
    const std::uint64_t to = std::min(off + bytes.size(), line.offset + line.length);
    if (from < to) {
      const ByteOff at(line.at + from - line.offset);
      media_.region->store(at, bytes.data() + (from - off), to - from);
      media_.region->flush(at, to - from);
    }
  }
  media_.region->fence();
  return 0;
}

int World::fsync(std::string_view path) {
  return on_handle(path, O_RDONLY,
                   [&](HandleId handle, InodeNo) { return fs_->fsync(handle, false).code(); });
}

int World::fsync_dir(std::string_view path) {
  const auto found = find(path);
  return found ? fs_->fsync_dir(found->ino).code() : found.code();
}

int World::sync() {
  return fs_->sync().code();
}

// --- Moving ---

int World::defrag(std::string_view path) {
  const auto found = path.empty() ? Result<Attributes>(Attributes{}) : find(path);
  return found ? fs_->defrag(found->ino, {}).code() : found.code();
}

int World::make_frames(std::uint64_t more) {
  return fs_->make_frames(fs_->status().region_frames_free + more).code();
}

int World::evacuate(std::uint64_t off, std::uint64_t length) {
  return fs_->evacuate(off, length, {}).code();
}

int World::resize_region(std::uint64_t size) {
  const std::uint64_t now = fs_->status().region_bytes;
  if (size > now) {
    return fs_->grow(size).code();
  }
  return fs_->shrink_region(size, {}).code();
}

}  // namespace pmemfs::crash
