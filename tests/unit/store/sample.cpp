#include "sample.hpp"

#include <dirent.h>
#include <sys/stat.h>

#include <random>
#include <string>
#include <vector>

#include "small_fs.hpp"
#include "store/blob.hpp"
#include "store/xattr.hpp"

namespace pmemfs::test {
namespace {

using store::Change;
using store::ExtentMap;
using Bytes = std::vector<std::byte>;

void add_extents(SmallFs& fs, std::string_view name, std::mt19937_64& rng, std::uint64_t extents) {
  const InodeNo ino = fs.find(name);
  const auto map = must(ExtentMap::load(fs.store(), fs.inode(ino)));
  for (std::uint64_t i = 0; i < extents; ++i) {
    Change change(fs.store());
    format::Inode inode = fs.inode(ino);
    store::AllocationHint hint;
    hint.near = BlockNo(600 + rng() % 6000);
    const BlockRun run = must(change.allocate(1 + rng() % 3, hint));
    must(map->insert(change, inode, {8 * i, run.start, run.count, rng() % 4 == 0}));
    change.put_inode(inode);
    must(change.commit());
  }
}

void add_xattrs(SmallFs& fs, std::string_view name, std::mt19937_64& rng) {
  for (int i = 0; i < 8; ++i) {
    Change change(fs.store());
    format::Inode inode = fs.inode(fs.find(name));
    const Bytes value(rng() % 3 == 0 ? 9000 : rng() % 1000, std::byte{7});
    must(store::set_xattr(change, inode, "user.x" + std::to_string(rng() % 6), value, 0));
    change.put_inode(inode);
    must(change.commit());
  }
}

// Makes the file a symlink with a target of some blocks.
void make_symlink(SmallFs& fs, std::string_view name) {
  Change change(fs.store());
  format::Inode inode = fs.inode(fs.find(name));
  inode.mode.store(S_IFLNK | 0777U);
  const Bytes target(4095, std::byte{'t'});
  const BlockNo first =
      must(store::write_blob(change, InodeNo(inode.ino.load()), inode.generation.load(), target));
  inode.data.store(first.value);
  inode.size.store(target.size());
  change.put_inode(inode);
  must(change.commit());
}

}  // namespace

void make_sample(Region& region, std::uint64_t seed) {
  std::mt19937_64 rng(seed);
  SmallFs::format(region, format::RegionKind::kFile);
  SmallFs fs(region);
  for (int i = 0; i < 700; ++i) {
    must(fs.create("file " + std::to_string(i) + std::string(rng() % 240, 'y')));
  }
  must(fs.create("one extent"));
  must(fs.create("many extents"));
  must(fs.create("xattrs"));
  must(fs.create("symlink"));
  add_extents(fs, "one extent", rng, 1);
  add_extents(fs, "many extents", rng, 400);
  add_xattrs(fs, "xattrs", rng);
  add_xattrs(fs, "many extents", rng);
  make_symlink(fs, "symlink");
  std::vector<std::string> names;
  for (std::uint64_t at = 0;;) {
    const auto entry = must(fs.root().next(at));
    if (!entry) {
      break;
    }
    names.emplace_back(entry->name);
    at = entry->position + 1;
  }
  for (const std::string& name : names) {
    if (name.starts_with("file") && rng() % 3 == 0) {
      must(fs.unlink(name));
    }
  }
  fs.close();
}

}  // namespace pmemfs::test
