#include "sample.hpp"

#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/stat.h>

#include <cerrno>
#include <functional>
#include <stdexcept>

#include "pmemfs/filesystem.hpp"
#include "store/store.hpp"
#include "support/acl_text.hpp"
#include "support/chooser.hpp"
#include "support/sim_region.hpp"

namespace pmemfs::test {
namespace {

constexpr Caller kRoot{.uid = 0, .gid = 0, .pid = 1, .umask = 022};

void must(const Status& status, const char* what) {
  if (!status) {
    throw std::runtime_error(std::string(what) + ": errno " + std::to_string(status.code()));
  }
}
template <typename T>
T must(Result<T> result, const char* what) {
  must(result ? Status{} : Status{result.error()}, what);
  return std::move(result).value();
}

std::span<const std::byte> bytes(std::string_view text) {
  return std::as_bytes(std::span(text));
}

class Maker {
 public:
  Maker(Region& region, BackingDir* host) : backing_(host != nullptr) {
    store::FormatOptions format;
    format.kind = host != nullptr ? format::RegionKind::kDirectory : format::RegionKind::kFile;
    format.uuid.fill(7);
    format.label = "sample";
    must(store::Store::format(region, format), "format");
    FilesystemOptions options;
    options.background = false;
    store::OpenReport report;
    fs_ = must(Filesystem::open(must(store::Store::open(region, &report), "open"), host, options),
               "open");
  }

  [[nodiscard]] Filesystem& fs() { return *fs_; }
  void close() { must(fs_->close(), "close"); }

  void fill() {
    files();
    links();
    directories();
    attributes();
    orphan();
  }

 private:
  Created create(std::string_view name, InodeNo dir = kRootInode) {
    return must(fs_->create(kRoot, dir, name, 0644, O_RDWR), "create");
  }
  InodeNo put(std::string_view name, std::string_view content, InodeNo dir = kRootInode) {
    const Created made = create(name, dir);
    write(made, 0, content);
    fs_->release(made.opened.handle);
    return made.attributes.ino;
  }
  void write(const Created& file, std::uint64_t off, std::string_view content) {
    must(fs_->write(file.opened.handle, off, bytes(content), false, false), "write");
  }
  void set(InodeNo ino, std::string_view name, std::string_view value) {
    must(fs_->setxattr(kRoot, ino, name, bytes(value), 0, false), "setxattr");
  }

  void files() {
    put("empty", "");
    put("small", "a few bytes");
    const Created holes = create("holes");
    write(holes, 8192, std::string(5000, 'h'));
    write(holes, 100'000, std::string(5000, 'i'));
    must(fs_->fallocate(kRoot, holes.opened.handle, 0, 200'000, 50'000), "fallocate");
    fs_->release(holes.opened.handle);
    // Two files in turns, every second block of each: hundreds of extents where data lie in such.
    const Created pieces = create("pieces");
    const Created others = create("other pieces");
    for (std::uint64_t i = 0; i < (backing_ ? 3 : 150); ++i) {
      write(pieces, i * 8192, "p");
      write(others, i * 8192, "o");
    }
    fs_->release(pieces.opened.handle);
    fs_->release(others.opened.handle);
    set(put("durable", std::string(10'000, 'd')), "user.pmemfs.mmap_durable", "1");
    must(fs_->mknod(kRoot, kRootInode, "device", S_IFCHR | 0600, 0x103), "mknod");
    must(fs_->mknod(kRoot, kRootInode, "pipe", S_IFIFO | 0600, 0), "mknod");
  }

  void links() {
    const InodeNo ino = put("linked", "twice");
    must(fs_->link(ino, kRootInode, "linked again"), "link");
    must(fs_->symlink(kRoot, kRootInode, "short link", "small"), "symlink");
    must(fs_->symlink(kRoot, kRootInode, "long link", std::string(4095, 't')), "symlink");
    must(fs_->symlink(kRoot, kRootInode, "middle link", std::string(500, 'm')), "symlink");
  }

  // The names in the big one are pipes: they cost no host files.
  void directories() {
    InodeNo dir = kRootInode;
    for (const char* name : {"deep", "deeper", "deepest"}) {
      dir = must(fs_->mkdir(kRoot, dir, name, 0755), "mkdir").ino;
    }
    put("bottom", "down here", dir);
    const InodeNo big = must(fs_->mkdir(kRoot, kRootInode, "big", 0755), "mkdir").ino;
    for (int i = 0; i < 60; ++i) {
      const std::string length(static_cast<std::size_t>(i) * 4, 'n');
      must(fs_->mknod(kRoot, big, std::to_string(i) + length, S_IFIFO | 0600, 0), "mknod");
    }
    for (int i = 0; i < 60; i += 3) {
      const std::string length(static_cast<std::size_t>(i) * 4, 'n');
      must(fs_->unlink(big, std::to_string(i) + length), "unlink");
    }
    must(fs_->mkdir(kRoot, kRootInode, "void", 0700), "mkdir");
  }

  void attributes() {
    const InodeNo ino = put("attributes", "x");
    for (int i = 0; i < 12; ++i) {
      set(ino, "user.name" + std::to_string(i), std::string(600, 'v'));
    }
    set(ino, "user.large", std::string(9000, 'l'));
    set(ino, "security.kind", "label");
    const InodeNo guarded = put("guarded", "x");
    set(guarded, kAccessAcl, acl("u::rw- u:2001:r-- g::r-- m::rw- o::---"));
    const InodeNo dir = must(fs_->mkdir(kRoot, kRootInode, "inherited", 0755), "mkdir").ino;
    set(dir, kDefaultAcl, acl("u::rwx u:2001:r-x g::r-x m::rwx o::---"));
    set(dir, "user.pmemfs.mmap_durable", "1");
    put("child", "c", dir);
  }

  void orphan() {
    const Created open = create("unlinked");
    write(open, 0, std::string(9000, 'u'));
    must(fs_->unlink(kRootInode, "unlinked"), "unlink");
  }

  bool backing_;
  std::unique_ptr<Filesystem> fs_;
};

std::vector<std::byte> bytes_of(const Region& region) {
  return {region.data(), region.data() + region.size()};
}

// Cut as soon as a lane holds a whole transaction.
std::vector<std::byte> cut_in_rename(SimRegion& region, Filesystem& fs) {
  std::vector<std::byte> left;
  region.on_fence([&](SimRegion& r) {
    if (left.empty() && !structures_of({r.data(), r.size()}, Kind::kLaneRecord).empty()) {
      left = bytes_of(r);
    }
  });
  must(fs.rename(kRoot, kRootInode, "void", kRootInode, "renamed", 0), "rename");
  region.on_fence({});
  if (left.empty()) {
    throw std::runtime_error("no lane was in use");
  }
  return left;
}

const char* text(Ending ending) {
  switch (ending) {
    case Ending::kClean:
      return "clean";
    case Ending::kDirty:
      return "dirty";
    case Ending::kCrashed:
      break;
  }
  return "crashed";
}

}  // namespace

std::unique_ptr<SimBackingDir> Sample::host_copy() const {
  KeepAll all;
  return host ? host->crash(all) : nullptr;
}

Sample make_sample(bool backing, Ending ending) {
  Sample sample;
  sample.name = std::string(backing ? "backing-" : "extents-") + text(ending);
  SimRegion region(format::kMinRegionSize);
  auto host = backing ? std::make_unique<SimBackingDir>() : nullptr;
  std::vector<std::byte> left;
  {
    Maker maker(region, host.get());
    maker.fill();
    must(maker.fs().sync(), "sync");
    left = ending == Ending::kCrashed ? cut_in_rename(region, maker.fs()) : bytes_of(region);
    if (ending == Ending::kClean) {
      maker.close();
      left = bytes_of(region);
    }
  }
  KeepAll all;
  sample.host = host ? host->crash(all) : nullptr;
  sample.image = std::make_unique<MediaImage>(left);
  sample.structures = survey(sample.image->bytes());
  return sample;
}

const std::vector<Sample>& samples() {
  static const std::vector<Sample> kAll = [] {
    std::vector<Sample> made;
    for (const bool backing : {false, true}) {
      for (const Ending ending : {Ending::kClean, Ending::kDirty, Ending::kCrashed}) {
        made.push_back(make_sample(backing, ending));
      }
    }
    return made;
  }();
  return kAll;
}

}  // namespace pmemfs::test
