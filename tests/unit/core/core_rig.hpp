#pragma once

#include <fcntl.h>
#include <sys/stat.h>

#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.hpp"
#include "harness/catch.hpp"
#include "pmemfs/filesystem.hpp"
#include "store/store.hpp"
#include "support/chooser.hpp"
#include "support/sim_backing_dir.hpp"
#include "support/sim_region.hpp"

namespace pmemfs::test {

inline constexpr Caller kRoot{.uid = 0, .gid = 0, .pid = 1, .umask = 022};

inline std::span<const std::byte> bytes(std::string_view text) {
  return std::as_bytes(std::span(text));
}

// A formatted and opened filesystem on simulated memory, whose power can be cut.
class CoreRig {
 public:
  enum class Data : std::uint8_t { kBacking, kExtents };

  explicit CoreRig(Data data, FilesystemOptions options = quiet()) : options_(std::move(options)) {
    base::log::init_callback([](base::log::Level, const std::string&) {});  // losses are the point
    region_ = std::make_unique<SimRegion>(32ULL << 20U);
    if (data == Data::kBacking) {
      backing_ = std::make_unique<SimBackingDir>();
    }
    store::FormatOptions format;
    format.kind =
        data == Data::kBacking ? format::RegionKind::kDirectory : format::RegionKind::kFile;
    format.uuid.fill(7);
    REQUIRE(store::Store::format(*region_, format).ok());
    open();
  }

  // What another rig left, as crash() copies it.
  CoreRig(std::unique_ptr<SimRegion> region, std::unique_ptr<SimBackingDir> backing,
          FilesystemOptions options)
      : options_(std::move(options)), region_(std::move(region)), backing_(std::move(backing)) {
    open();
  }

  // No threads, passthrough as if the kernel granted it.
  static FilesystemOptions quiet() {
    FilesystemOptions options;
    options.background = false;
    options.passthrough = true;
    return options;
  }

  [[nodiscard]] Filesystem& fs() { return *fs_; }
  [[nodiscard]] SimBackingDir& backing() { return *backing_; }
  [[nodiscard]] SimRegion& region() { return *region_; }
  [[nodiscard]] FilesystemOptions& options() { return options_; }
  // Of the open filesystem, for tests that take its free space away.
  [[nodiscard]] store::Store& store() { return *store_; }
  // What the last open found.
  [[nodiscard]] const store::OpenReport& report() const { return report_; }
  // What the core sees instead of backing(): set before reopening.
  void interpose(BackingDir* other) { other_ = other; }

  // An orderly unmount and mount.
  void remount() {
    REQUIRE(fs_->close().ok());
    fs_.reset();
    open();
  }

  // The power goes now; the next mount finds what `chooser` leaves.
  void crash(Chooser& chooser) {
    auto region = region_->crash(chooser);
    auto backing = backing_ ? backing_->crash(chooser) : nullptr;
    fs_.reset();
    region_ = std::move(region);
    backing_ = std::move(backing);
    other_ = nullptr;
    open();
  }

  // The same on what power left that went earlier, inside an operation (SimRegion::on_fence,
  // SimBackingDir::on_call).
  void restart_from(std::unique_ptr<SimRegion> region,
                    std::unique_ptr<SimBackingDir> backing = nullptr) {
    fs_.reset();
    region_ = std::move(region);
    if (backing) {
      backing_ = std::move(backing);
    }
    other_ = nullptr;
    open();
  }

  // The daemon dies; the machine lives.
  void kill() {
    fs_.reset();
    KeepAll all;
    region_ = region_->crash(all);
    open();
  }

  // --- Short forms that require success ---

  Created create(std::string_view name, int flags = O_RDWR, InodeNo dir = kRootInode) {
    auto made = fs_->create(kRoot, dir, name, 0644, flags);
    REQUIRE(made.code() == 0);
    return *made;
  }
  // Creates or replaces the content of a file.
  void put(std::string_view name, std::string_view content) {
    const Created file = create(name);
    write(file.opened.handle, 0, content);
    close(file);
  }
  void write(HandleId handle, std::uint64_t off, std::string_view content) {
    const auto n = fs_->write(handle, off, bytes(content), false, false);
    REQUIRE(n.code() == 0);
    REQUIRE(*n == content.size());
  }
  void close(const Created& file) {
    fs_->release(file.opened.handle);
    fs_->forget(file.attributes.ino, 1);
  }
  // The whole content; "<errno N>" when it cannot be read.
  std::string get(std::string_view name) {
    const auto found = fs_->lookup(kRootInode, name);
    if (!found) {
      return failed(found.code());
    }
    const auto opened = fs_->open_file(found->ino, O_RDONLY, false);
    std::string text = opened ? read_all(opened->handle) : failed(opened.code());
    if (opened) {
      fs_->release(opened->handle);
    }
    fs_->forget(found->ino, 1);
    return text;
  }
  std::string read_all(HandleId handle, std::uint64_t off = 0) {
    std::vector<std::byte> buffer(1U << 20U);
    const auto n = fs_->read(handle, off, buffer);
    if (!n) {
      return failed(n.code());
    }
    return {reinterpret_cast<const char*>(buffer.data()), *n};
  }
  Attributes stat(std::string_view name, InodeNo dir = kRootInode) {
    const auto found = fs_->lookup(dir, name);
    REQUIRE(found.code() == 0);
    fs_->forget(found->ino, 1);
    return *found;
  }
  bool exists(std::string_view name, InodeNo dir = kRootInode) {
    const auto found = fs_->lookup(dir, name);
    if (found) {
      fs_->forget(found->ino, 1);
    }
    return found.ok();
  }
  InodeNo mkdir(std::string_view name, InodeNo dir = kRootInode) {
    const auto made = fs_->mkdir(kRoot, dir, name, 0755);
    REQUIRE(made.code() == 0);
    fs_->forget(made->ino, 1);
    return made->ino;
  }
  // The host files of an inode.
  std::vector<BackingName> host_files(InodeNo ino) {
    std::vector<BackingName> found;
    const auto ours = [&](BackingName host) {
      if (host.ino == ino) {
        found.push_back(host);
      }
    };
    REQUIRE(backing_->for_each(ours, [](const std::string&) {}).ok());
    return found;
  }
  int set_durable(std::string_view name, std::string_view value = "1", const Caller& c = kRoot) {
    return fs_->setxattr(c, stat(name).ino, "user.pmemfs.mmap_durable", bytes(value), 0, false)
        .code();
  }

 private:
  static std::string failed(int code) { return "<errno " + std::to_string(code) + ">"; }

  void open() {
    auto store = store::Store::open(*region_, &report_);
    REQUIRE(store.code() == 0);
    FilesystemOptions options = options_;
    options.collect_orphans = options.collect_orphans && report_.may_collect;
    store_ = store->get();
    BackingDir* backing = other_ != nullptr ? other_ : backing_.get();
    auto fs = Filesystem::open(std::move(*store), backing, options);
    REQUIRE(fs.code() == 0);
    fs_ = std::move(*fs);
  }

  FilesystemOptions options_;
  store::OpenReport report_;
  std::unique_ptr<SimRegion> region_;
  std::unique_ptr<SimBackingDir> backing_;
  BackingDir* other_ = nullptr;
  std::unique_ptr<Filesystem> fs_;
  store::Store* store_ = nullptr;  // fs_ has it
};

}  // namespace pmemfs::test
