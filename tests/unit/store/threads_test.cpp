// Many threads on one store, each in a directory of its own: what the allocator, the numbers, the
// journal and the inode table share is theirs to protect. Run it under the thread sanitizer.
#include <dirent.h>
#include <sys/stat.h>

#include <atomic>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "harness/catch.hpp"
#include "small_fs.hpp"
#include "store/xattr.hpp"
#include "support/memory_region.hpp"

using namespace pmemfs;
using store::Change;
using test::must;
using test::SmallFs;

namespace {

// Creates and removes files with an extent and an xattr in a directory that only this thread uses.
void work(store::Store& store, InodeNo dir_ino, int rounds) {
  const auto dir = must(store::Directory::load(store, must(store.inode(dir_ino))));
  std::vector<std::string> names;
  for (int i = 0; i < rounds; ++i) {
    Change change(store);
    format::Inode parent = must(store.inode(dir_ino));
    if (i % 3 == 2) {
      const auto entry = must(dir->find(names.back()));
      const format::Inode inode = must(store.inode(entry.ino));
      must(store::release_extents(change, inode));
      must(store::release_xattrs(change, inode));
      must(dir->remove(change, parent, entry));
      change.free_inode(inode);
      names.pop_back();
    } else {
      names.push_back(std::to_string(i));
      const InodeNo ino = must(change.allocate_inode());
      format::Inode inode = test::new_inode(ino, must(store.next_generation()), S_IFREG | 0600U);
      const auto map = must(store::ExtentMap::load(store, inode));
      const BlockRun run = must(change.allocate(2));
      must(map->insert(change, inode, {0, run.start, run.count, false}));
      must(store::set_xattr(change, inode, "user.a", std::vector<std::byte>(10), 0));
      must(dir->insert(change, parent, names.back(), ino, DT_REG));
      change.put_inode(inode);
    }
    change.put_inode(parent);
    must(change.commit());
  }
}

}  // namespace

TEST_CASE("threads in directories of their own do not disturb each other") {
  constexpr int kThreads = 6;
  constexpr int kRounds = 900;
  const test::MemoryRegion region(256U << 20U);
  SmallFs::format(*region, format::RegionKind::kFile);
  std::string known;
  {
    SmallFs fs(*region);
    std::vector<InodeNo> dirs;
    for (int i = 0; i < kThreads; ++i) {
      const InodeNo ino = must(fs.create("dir" + std::to_string(i)));
      Change change(fs.store());
      format::Inode inode = fs.inode(ino);
      inode.mode.store(S_IFDIR | 0755U);
      change.put_inode(inode);
      must(change.commit());
      dirs.push_back(ino);
    }
    std::vector<std::thread> threads;
    for (const InodeNo dir : dirs) {
      threads.emplace_back([&fs, dir] { work(fs.store(), dir, kRounds); });
    }
    for (std::thread& thread : threads) {
      thread.join();
    }
    CHECK(fs.store().space().inodes_used == 1 + kThreads + kThreads * kRounds / 3);
    known = test::free_state(fs.store());
  }
  SmallFs fs(*region);
  CHECK(fs.report().damaged_structures == 0);
  CHECK(test::free_state(fs.store()) == known);
  CHECK(test::walk_everything(fs.store()) == 0);
}
