#include "small_fs.hpp"

#include <dirent.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <ctime>
#include <stdexcept>
#include <vector>

#include "store/blob.hpp"
#include "store/impl.hpp"
#include "store/xattr.hpp"

namespace pmemfs::test {
namespace {

using store::Change;
using store::Directory;
using store::ExtentMap;

void touch(format::Inode& dir) {
  timespec t{};
  ::clock_gettime(CLOCK_REALTIME_COARSE, &t);
  const Timestamp now{t.tv_sec, static_cast<std::uint32_t>(t.tv_nsec)};
  store::set_mtime(dir, now);
  store::set_ctime(dir, now);
}

}  // namespace

void must(const Status& status) {
  if (!status) {
    throw std::runtime_error("unexpected error " + std::to_string(status.code()));
  }
}

format::Inode new_inode(InodeNo ino, std::uint64_t generation, std::uint32_t mode) {
  format::Inode inode{};
  inode.ino.store(ino.value);
  inode.generation.store(generation);
  inode.mode.store(mode);
  inode.uid.store(1000);
  inode.gid.store(1000);
  inode.nlink.store(1);
  touch(inode);
  store::set_atime(inode, store::mtime(inode));
  store::set_btime(inode, store::mtime(inode));
  return inode;
}

void SmallFs::format(Region& region, format::RegionKind kind) {
  store::FormatOptions options;
  options.kind = kind;
  options.emulated = true;
  options.label = "test";
  options.uuid[0] = 1;
  must(store::Store::format(region, options));
}

SmallFs::SmallFs(Region& region) {
  store_ = must(store::Store::open(region, &report_));
  reload_root();
}

void SmallFs::reload_root() {
  root_ = must(Directory::load(*store_, root_inode()));
}

format::Inode SmallFs::inode(InodeNo ino) const {
  return must(store_->inode(ino));
}
format::Inode SmallFs::root_inode() const {
  return inode(kRootInode);
}

Result<InodeNo> SmallFs::create(std::string_view name) {
  Change change(*store_);
  PMEMFS_TRY(format::Inode dir, store_->inode(kRootInode));
  PMEMFS_TRY(const InodeNo ino, change.allocate_inode());
  PMEMFS_TRY(const std::uint64_t generation, store_->next_generation());
  format::Inode inode = new_inode(ino, generation, S_IFREG | 0644U);
  PMEMFS_CHECK(root_->insert(change, dir, name, ino, DT_REG));
  touch(dir);
  change.put_inode(inode);
  change.put_inode(dir);
  if (const Status done = change.commit(); !done) {
    reload_root();
    return done.error();
  }
  return ino;
}

Status SmallFs::unlink(std::string_view name) {
  Change change(*store_);
  PMEMFS_TRY(format::Inode dir, store_->inode(kRootInode));
  PMEMFS_TRY(const store::DirEntry entry, root_->find(name));
  PMEMFS_TRY(const format::Inode inode, store_->inode(entry.ino));
  PMEMFS_CHECK(store::release_extents(change, inode));
  PMEMFS_CHECK(store::release_xattrs(change, inode));
  PMEMFS_CHECK(root_->remove(change, dir, entry));
  touch(dir);
  change.free_inode(inode);
  change.put_inode(dir);
  const Status done = change.commit();
  if (!done) {
    reload_root();
  }
  return done;
}

Status SmallFs::rename(std::string_view from, std::string_view to) {
  Change change(*store_);
  PMEMFS_TRY(format::Inode dir, store_->inode(kRootInode));
  PMEMFS_TRY(const store::DirEntry entry, root_->find(from));
  PMEMFS_CHECK(root_->insert(change, dir, to, entry.ino, entry.type));
  PMEMFS_CHECK(root_->remove(change, dir, entry));
  change.put_inode(dir);
  const Status done = change.commit();
  if (!done) {
    reload_root();
  }
  return done;
}

InodeNo SmallFs::find(std::string_view name) const {
  const auto entry = root_->find(name);
  if (!entry && entry.code() != ENOENT) {
    must(entry.error());
  }
  return entry ? entry->ino : InodeNo();
}

void SmallFs::close() {
  must(store_->close(false));
  root_.reset();
  store_.reset();
}

namespace {

class Walker {
 public:
  explicit Walker(store::Store& store) : store_(store) {}

  void visit(const format::Inode& inode) {
    const InodeNo ino(inode.ino.load());
    count(store_.inode(ino));
    count(ExtentMap::load(store_, inode));
    if (S_ISDIR(inode.mode.load())) {
      visit_directory(inode);
    }
    if (S_ISLNK(inode.mode.load()) && inode.data.load() != 0) {
      count(store::read_blob(store_, ino, inode.generation.load(), BlockNo(inode.data.load()),
                             format::kMaxSymlink));
    }
    const auto names = store::list_xattrs(store_, inode);
    count(names);
    for (std::size_t i = 0; names && i < names->size(); ++i) {
      count(store::get_xattr(store_, inode, (*names)[i]));
    }
  }

  [[nodiscard]] std::uint64_t errors() const { return errors_; }
  void add_error() { ++errors_; }

 private:
  template <typename T>
  void count(const Result<T>& result) {
    errors_ += result ? 0U : 1U;
  }

  void visit_directory(const format::Inode& inode) {
    const auto directory = Directory::load(store_, inode);
    count(directory);
    if (!directory) {
      return;
    }
    for (std::uint64_t at = 0;;) {
      const auto entry = must((*directory)->next(at));
      if (!entry) {
        return;
      }
      count((*directory)->find(entry->name));
      at = entry->position + 1;
    }
  }

  store::Store& store_;
  std::uint64_t errors_ = 0;
};

}  // namespace

std::uint64_t walk_everything(store::Store& store) {
  Walker walker(store);
  const Status done = store.for_each_inode([&](const format::Inode& i) { walker.visit(i); },
                                           [&](InodeNo) { walker.add_error(); });
  return walker.errors() + (done ? 0U : 1U);
}

std::string free_state(store::Store& store) {
  std::string text;
  for (const BlockRun& run : store.impl().blocks.runs()) {
    text += fmt::format("blocks {}+{}\n", run.start.value, run.count);
  }
  for (const store::InodeRun& run : store.impl().numbers.runs()) {
    text += fmt::format("inodes {}+{}\n", run.start, run.count);
  }
  const store::Space space = store.space();
  return text + fmt::format("{} of {} blocks free, {} inodes, limit {}, {} durable bytes\n",
                            space.blocks_free, space.blocks, space.inodes_used,
                            store.impl().table.limit(), store.durable_bytes());
}

}  // namespace pmemfs::test
