#include "fault_world.hpp"

#include <algorithm>
#include <memory>

#include "pmemfs/format.hpp"
#include "store/allocator.hpp"
#include "store/inode_table.hpp"

namespace pmemfs::test {
namespace {

constexpr std::uint64_t kBlock = 4096;
constexpr std::uint64_t kChunkBlocks = 16;
constexpr const char* kFull = "full";
constexpr const char* kNodes = "nodes";

std::string long_name(int i) {
  return std::string(200, 'n') + std::to_string(i);
}

FilesystemOptions without_atime() {
  FilesystemOptions options = CoreRig::quiet();
  options.update_atime = false;
  options.update_directory_atime = false;
  return options;
}

void make_name(CoreRig& rig, int i) {
  REQUIRE(rig.fs().link(rig.stat("linked").ino, rig.stat(kFull).ino, long_name(i)).code() == 0);
  rig.fs().forget(rig.stat("linked").ino, 1);
}

void make_node(CoreRig& rig, int i) {
  const auto made =
      rig.fs().mknod(kRoot, rig.stat(kNodes).ino, std::to_string(i), S_IFIFO | 0644U, 0);
  REQUIRE(made.code() == 0);
  rig.fs().forget(made->ino, 1);
}

std::uint64_t free_of(CoreRig& rig) {
  return rig.store().blocks().free_blocks();
}

void populate(CoreRig& rig) {
  const std::string content(5 * kBlock + 100, 'c');
  rig.mkdir(kFull);
  rig.mkdir(kNodes);
  rig.mkdir("dir");
  rig.mkdir("empty");
  rig.put("linked", "x");
  rig.put("file", content);
  rig.put("other", std::string(2 * kBlock, 'o'));
  rig.put("durable", std::string(3 * kBlock, 'd'));
  REQUIRE(rig.set_durable("durable") == 0);
  const Created sparse = rig.create("sparse");
  for (std::uint64_t i = 0; i < 40; i += 2) {
    rig.write(sparse.opened.handle, i * kBlock, content.substr(0, kBlock));
  }
  rig.close(sparse);
  const auto made = rig.fs().symlink(kRoot, kRootInode, "symlink", std::string(3000, 't'));
  REQUIRE(made.code() == 0);
  rig.fs().forget(made->ino, 1);
  const std::string large(5000, 'v');
  REQUIRE(rig.fs()
              .setxattr(kRoot, rig.stat("other").ino, "user.large", bytes(large), 0, false)
              .code() == 0);
}

// How often `make` can be called before it takes at least `blocks` of the region at once.
int times_until(CoreRig::Data data, std::uint64_t blocks, void (*make)(CoreRig&, int)) {
  CoreRig rig(data, without_atime());
  populate(rig);
  for (int i = 0;; ++i) {
    const std::uint64_t before = free_of(rig);
    make(rig, i);
    if (i > 0 && before - free_of(rig) >= blocks) {
      return i;
    }
  }
}

struct Counts {
  int names;
  int nodes;
};

const Counts& counts_of(CoreRig::Data data) {
  const auto counted = [](CoreRig::Data of) {
    return Counts{times_until(of, 1, make_name), times_until(of, kChunkBlocks, make_node)};
  };
  static const Counts kBacking = counted(CoreRig::Data::kBacking);
  static const Counts kExtents = counted(CoreRig::Data::kExtents);
  return data == CoreRig::Data::kBacking ? kBacking : kExtents;
}

// Made once: the others are copies.
CoreRig& prototype(CoreRig::Data data) {
  const auto make = [](CoreRig::Data of) {
    auto rig = std::make_unique<CoreRig>(of, without_atime());
    populate(*rig);
    for (int i = 0; i < counts_of(of).names; ++i) {
      make_name(*rig, i);
    }
    for (int i = 0; i < counts_of(of).nodes; ++i) {
      make_node(*rig, i);
    }
    rig->remount();
    return rig;
  };
  static const auto kBacking = make(CoreRig::Data::kBacking);
  static const auto kExtents = make(CoreRig::Data::kExtents);
  return data == CoreRig::Data::kBacking ? *kBacking : *kExtents;
}

Chooser& keep() {
  static KeepAll all;
  return all;
}

}  // namespace

FaultWorld::FaultWorld(Data data) : FaultWorld(prototype(data), data) {}

FaultWorld::FaultWorld(CoreRig& first, Data data)
    : CoreRig(first.region().crash(keep()),
              data == Data::kBacking ? first.backing().crash(keep()) : nullptr, without_atime()) {
  for (const char* name : {"full", "nodes", "dir", "empty", "linked", "file", "other", "durable",
                           "sparse", "symlink"}) {
    inodes_[name] = stat(name).ino;
  }
}

void FaultWorld::open(std::string_view name, int flags) {
  if (!name.empty()) {
    const auto opened = fs().open_file(stat(name).ino, flags, false);
    REQUIRE(opened.code() == 0);
    handle_ = opened->handle;
    opened_ = true;
  }
}

std::uint64_t FaultWorld::unused_blocks() {
  const std::uint64_t chunks = store().table().limit() / format::kInodesPerChunk;
  return store().blocks().free_in({BlockNo(0), region().size() / kBlock}) + chunks * kChunkBlocks;
}

void FaultWorld::starve(std::uint64_t blocks, bool scattered) {
  region().fail_every_grow(ENOSPC);
  store::Allocator& free = store().blocks();
  while (const auto run = free.take(free.free_blocks(), {})) {
    taken_.push_back(*run);
  }
  const auto largest = std::max_element(taken_.begin(), taken_.end(),
                                        [](auto& a, auto& b) { return a.count < b.count; });
  std::uint64_t at = largest->start.value;
  const std::uint64_t end = at + largest->count;
  taken_.erase(largest);
  REQUIRE(end - at > 2 * blocks);
  if (!scattered && blocks > 0) {
    REQUIRE(free.add({BlockNo(at), blocks}));
    at += blocks;
  }
  for (std::uint64_t i = 0; scattered && i < blocks; ++i, at += 2) {
    REQUIRE(free.add({BlockNo(at), 1}));
    taken_.push_back({BlockNo(at + 1), 1});
  }
  taken_.push_back({BlockNo(at), end - at});
}

void FaultWorld::feed() {
  region().fail_every_grow(0);
  for (const BlockRun& run : taken_) {
    REQUIRE(store().blocks().add(run));
  }
  taken_.clear();
}

void FaultWorld::check_sound() {
  if (opened_) {
    fs().release(handle_);
    opened_ = false;
  }
  const CoreTree tree = tree_of(*this);
  const std::uint64_t free = unused_blocks();
  const std::uint64_t inodes = store().space().inodes_used;
  kill();
  CHECK(report().damaged_structures == 0);
  CHECK(difference_of(tree, tree_of(*this)).empty());
  CHECK(unused_blocks() == free);
  CHECK(store().space().inodes_used == inodes);
}

int FaultWorld::write_at(std::uint64_t off, std::string_view content) {
  const auto n = fs().write(handle_, off, bytes(content), false, false);
  if (!n) {
    return n.code();
  }
  return *n == content.size() ? 0 : kShort;
}

int FaultWorld::resize(const std::string& name, std::uint64_t size) {
  AttributeChange change;
  change.size = size;
  return fs().setattr(kRoot, ino(name), change).code();
}

int FaultWorld::set_mode(const std::string& name, std::uint32_t mode) {
  AttributeChange change;
  change.mode = mode;
  return fs().setattr(kRoot, ino(name), change).code();
}

int FaultWorld::set(const std::string& name, std::string_view attribute, std::string_view value) {
  return fs().setxattr(kRoot, ino(name), attribute, bytes(value), 0, false).code();
}

}  // namespace pmemfs::test
