#include "check/lost_found.hpp"

#include <dirent.h>
#include <sys/stat.h>

#include <ctime>
#include <memory>

#include "store/directory.hpp"
#include "store/store.hpp"

namespace pmemfs::check {
namespace {

using format::Inode;
using store::Change;
using store::Directory;
using store::Store;

constexpr int kMostNames = 1000;  // that are tried before one is given up

class LostFound {
 public:
  LostFound(Pass& p, Store& store) : p_(p), store_(store) {}

  bool run() {
    if (!open_root() || !open_folder()) {
      return false;
    }
    bool any = false;
    for (const std::uint32_t ino : p_.adrift) {
      const Status named = name(ino);
      if (named.code() == ENOSPC) {
        break;
      }
      if (named) {
        p_.out.repaired(Problem::kUnreachable, InodeNo(ino));
        any = true;
      }
    }
    return any;
  }

 private:
  Status open_root() {
    PMEMFS_TRY(root_, store_.inode(kRootInode));
    PMEMFS_TRY(root_dir_, Directory::load(store_, root_));
    return {};
  }

  // Of what is called so already, a directory serves.
  Status open_folder() {
    for (int i = 0; i < kMostNames; ++i) {
      const std::string name = i == 0 ? "lost+found" : fmt::format("lost+found.{}", i);
      const auto found = root_dir_->find(name);
      if (found.code() == ENOENT) {
        return make_folder(name);
      }
      PMEMFS_CHECK(found);
      PMEMFS_TRY(folder_, store_.inode(found->ino));
      if (S_ISDIR(folder_.mode.load())) {
        PMEMFS_TRY(folder_dir_, Directory::load(store_, folder_));
        return {};
      }
    }
    return Error(EEXIST);
  }

  Status make_folder(const std::string& name) {
    Change change(store_);
    PMEMFS_TRY(const InodeNo ino, change.allocate_inode());
    PMEMFS_TRY(const std::uint64_t generation, store_.next_generation());
    const Timestamp now{std::time(nullptr), 0};
    folder_.ino.store(ino.value);
    folder_.generation.store(generation);
    folder_.mode.store(S_IFDIR | 0700U);
    folder_.nlink.store(2);
    folder_.parent.store(kRootInode.value);
    store::set_atime(folder_, now);
    store::set_mtime(folder_, now);
    store::set_ctime(folder_, now);
    store::set_btime(folder_, now);
    root_.nlink.store(root_.nlink.load() + 1);
    PMEMFS_CHECK(root_dir_->insert(change, root_, name, ino, DT_DIR));
    change.put_inode(root_);
    change.put_inode(folder_);
    PMEMFS_CHECK(change.commit());
    PMEMFS_TRY(folder_dir_, Directory::load(store_, folder_));
    return {};
  }

  Status name(std::uint32_t ino) {
    PMEMFS_TRY(Inode inode, store_.inode(InodeNo(ino)));
    const Node& node = *p_.node(ino);
    std::string name = fmt::format("#{}", ino);
    for (int i = 1; folder_dir_->find(name).code() != ENOENT; ++i) {
      if (i == kMostNames) {
        return Error(EEXIST);
      }
      name = fmt::format("#{}.{}", ino, i);
    }
    Change change(store_);
    Inode folder = folder_;
    if (S_ISDIR(inode.mode.load())) {
      inode.nlink.store(2 + node.subdirs);
      inode.parent.store(folder.ino.load());
      folder.nlink.store(folder.nlink.load() + 1);
    } else {
      inode.nlink.store(1);
    }
    Status done = folder_dir_->insert(change, folder, name, InodeNo(ino),
                                      static_cast<std::uint8_t>(IFTODT(inode.mode.load())));
    if (done) {
      change.put_inode(folder);
      change.put_inode(inode);
      done = change.commit();
    }
    if (done) {
      folder_ = folder;
      return {};
    }
    PMEMFS_TRY(folder_dir_, Directory::load(store_, folder_));  // it may be ahead of the media
    return done;
  }

  Pass& p_;
  Store& store_;
  Inode root_{};
  Inode folder_{};
  std::unique_ptr<Directory> root_dir_;
  std::unique_ptr<Directory> folder_dir_;
};

}  // namespace

bool name_adrift(Pass& p) {
  if (p.adrift.empty()) {
    return false;
  }
  const auto store = Store::open(p.region, nullptr);
  if (!store || !(*store)->sound()) {
    return false;
  }
  const bool any = LostFound(p, **store).run();
  (void)(*store)->close(false);
  return any;
}

}  // namespace pmemfs::check
