#include "store/extent_map.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <vector>

#include "format/checks.hpp"
#include "harness/catch.hpp"
#include "small_fs.hpp"
#include "store/impl.hpp"
#include "support/memory_region.hpp"

using namespace pmemfs;
using store::Change;
using store::ExtentMap;
using store::Mapping;
using test::must;
using test::SmallFs;

namespace {

struct Cell {
  std::uint64_t physical;
  bool unwritten;
  bool operator==(const Cell&) const = default;
};
using Model = std::map<std::uint64_t, Cell>;  // by file block

Model cells_of(const ExtentMap& map) {
  Model cells;
  for (const Mapping& m : map.all()) {
    for (std::uint64_t i = 0; i < m.count; ++i) {
      cells[m.logical + i] = {m.physical.value + i, m.unwritten};
    }
  }
  return cells;
}

// A file in a fresh filesystem, and its extents.
class File {
 public:
  File() : region_(64U << 20U) {
    SmallFs::format(*region_, format::RegionKind::kFile);
    fs_.emplace(*region_);
    ino_ = must(fs_->create("file"));
    free_at_start_ = fs_->store().space().blocks_free;
    reload();
  }
  void reload() { map_ = must(ExtentMap::load(fs_->store(), inode())); }
  [[nodiscard]] format::Inode inode() const { return fs_->inode(ino_); }
  [[nodiscard]] ExtentMap& map() { return *map_; }
  [[nodiscard]] store::Store& store() { return fs_->store(); }
  [[nodiscard]] SmallFs& fs() { return *fs_; }
  [[nodiscard]] std::uint64_t free_at_start() const { return free_at_start_; }

  // Allocates and maps `count` blocks at `logical`, near `near`, in one change.
  Status map_blocks(std::uint64_t logical, std::uint64_t count, std::uint64_t near,
                    bool unwritten = false) {
    Change change(store());
    format::Inode i = inode();
    store::AllocationHint hint;
    hint.near = BlockNo(near);
    hint.whole = true;
    PMEMFS_TRY(const BlockRun run, change.allocate(count, hint));
    PMEMFS_CHECK(map_->insert(change, i, {logical, run.start, run.count, unwritten}));
    change.put_inode(i);
    return change.commit();
  }
  template <typename F>
  Status in_change(F&& work) {
    Change change(store());
    format::Inode i = inode();
    PMEMFS_CHECK(work(change, i));
    change.put_inode(i);
    return change.commit();
  }

 private:
  test::MemoryRegion region_;
  std::optional<SmallFs> fs_;
  InodeNo ino_;
  std::uint64_t free_at_start_ = 0;
  std::unique_ptr<ExtentMap> map_;
};

// Many extents that cannot merge: every other file block, backwards.
void fragment(File& file, std::uint64_t extents) {
  for (std::uint64_t i = extents; i-- > 0;) {
    REQUIRE(file.map_blocks(2 * i, 1, 0));
  }
  REQUIRE(file.map().size() == extents);
}

}  // namespace

TEST_CASE("holes reach to the next mapping or to the end of all files") {
  File file;
  constexpr std::uint64_t kEnd = format::kMaxFileSize / format::kBlockSize;
  CHECK(file.map().at(5).count == kEnd - 5);
  CHECK(file.map().next(0).count == 0);
  REQUIRE(file.map_blocks(10, 4, 0));
  const Mapping hole = file.map().at(3);
  CHECK(hole.logical == 3);
  CHECK_FALSE(hole.physical);
  CHECK(hole.count == 7);
  const Mapping inside = file.map().at(12);
  CHECK(inside.count == 2);
  CHECK(inside.physical.value == file.map().at(10).physical.value + 2);
  CHECK(file.map().at(14).count == kEnd - 14);
  CHECK(file.map().next(0).logical == 10);
  CHECK(file.map().next(12).logical == 12);
  CHECK(file.map().next(14).count == 0);
}

TEST_CASE("neighbours merge, on both sides") {
  File file;
  REQUIRE(file.map_blocks(0, 2, 4000));
  REQUIRE(file.map_blocks(2, 2, 4002));
  CHECK(file.map().size() == 1);
  REQUIRE(file.map_blocks(6, 2, 4006));
  CHECK(file.map().size() == 2);
  REQUIRE(file.map_blocks(4, 2, 4004));
  CHECK(file.map().size() == 1);
  REQUIRE(file.map_blocks(8, 1, 4008, true));
  CHECK(file.map().size() == 2);  // unwritten beside written
  CHECK(file.inode().data_blocks.load() == 9);
  file.reload();
  CHECK(file.map().at(0).count == 8);
}

TEST_CASE("what is mapped cannot be mapped again, nor beyond the largest file") {
  File file;
  REQUIRE(file.map_blocks(4, 4, 0));
  CHECK(file.map_blocks(0, 5, 0).code() == EEXIST);
  CHECK(file.map_blocks(7, 1, 0).code() == EEXIST);
  constexpr std::uint64_t kEnd = format::kMaxFileSize / format::kBlockSize;
  CHECK(file.map_blocks(kEnd - 1, 2, 0).code() == EFBIG);
  CHECK(file.map_blocks(kEnd - 2, 2, 0));
}

TEST_CASE("a random sequence of changes matches a model") {
  File file;
  Model model;
  std::mt19937_64 rng(GENERATE(1U, 2U, 3U));
  constexpr std::uint64_t kSpan = 700;
  for (int i = 0; i < 3000; ++i) {
    const std::uint64_t logical = rng() % kSpan;
    const std::uint64_t count = 1 + rng() % (rng() % 4 == 0 ? 100 : 6);
    const bool abandon = rng() % 10 == 0;
    Model next = model;
    Change change(file.store());
    format::Inode inode = file.inode();
    const auto kind = rng() % 5;
    if (kind < 3) {
      std::uint64_t room = 0;
      while (room < count && !model.contains(logical + room)) {
        ++room;
      }
      if (room == 0) {
        continue;
      }
      store::AllocationHint hint;
      hint.near = BlockNo(600 + rng() % 12000);
      const BlockRun run = must(change.allocate(room, hint));
      const bool unwritten = rng() % 2 == 0;
      must(file.map().insert(change, inode, {logical, run.start, run.count, unwritten}));
      for (std::uint64_t b = 0; b < run.count; ++b) {
        next[logical + b] = {run.start.value + b, unwritten};
      }
    } else if (kind == 3) {
      must(file.map().remove(change, inode, logical, count));
      next.erase(next.lower_bound(logical), next.lower_bound(logical + count));
    } else {
      must(file.map().mark_written(change, inode, logical, count));
      for (auto at = next.lower_bound(logical); at != next.end() && at->first < logical + count;
           ++at) {
        at->second.unwritten = false;
      }
    }
    if (abandon) {
      file.reload();
    } else {
      change.put_inode(inode);
      must(change.commit());
      model = std::move(next);
    }
    if (i % 20 == 0 || abandon) {
      REQUIRE(cells_of(file.map()) == model);
      REQUIRE(file.inode().data_blocks.load() == model.size());
      std::set<std::uint64_t> owned;
      for (const auto& [block, cell] : model) {
        owned.insert(cell.physical);
      }
      REQUIRE(owned.size() == model.size());
    }
    if (i % 50 == 0) {
      file.reload();
      REQUIRE(cells_of(file.map()) == model);
    }
  }
  REQUIRE(file.fs().unlink("file"));
  CHECK(file.store().space().blocks_free == file.free_at_start());
}

TEST_CASE("marking the start of a preallocated file as written again and again takes no slots") {
  File file;
  REQUIRE(file.map_blocks(0, 1000, 0, true));
  for (std::uint64_t i = 0; i < 1000; ++i) {
    REQUIRE(file.in_change([&](Change& change, format::Inode& inode) {
      return file.map().mark_written(change, inode, i, 1);
    }));
    REQUIRE(file.map().size() <= 2);
  }
  CHECK(file.map().size() == 1);
  CHECK(file.inode().data.load() == 0);
}

TEST_CASE("extent blocks leave the chain when they are empty") {
  File file;
  fragment(file, 1000);
  const auto used = [&] {
    return file.free_at_start() - file.store().space().blocks_free;
  };
  CHECK(used() == 1000 + (1000 - 3 + 125) / 126);
  file.reload();
  for (std::uint64_t i = 0; i < 1000; ++i) {
    if (i % 100 != 50) {
      REQUIRE(file.in_change([&](Change& change, format::Inode& inode) {
        return file.map().remove(change, inode, 2 * i, 1);
      }));
    }
  }
  CHECK(used() <= 10 + 8);
  file.reload();
  CHECK(file.map().size() == 10);
  REQUIRE(file.in_change([&](Change& change, format::Inode& inode) {
    return file.map().remove(change, inode, 0, ~std::uint64_t{0});
  }));
  CHECK(used() == 0);
  CHECK(file.inode().data.load() == 0);
  CHECK(file.inode().data_blocks.load() == 0);
}

TEST_CASE("an extent block's bytes without a meaning stay, and stay under its crc") {
  File file;
  for (std::uint64_t i = 0; i < 6; ++i) {
    REQUIRE(file.map_blocks(i * 2, 1, 1000 + i * 10));
  }
  const std::uint64_t at = file.inode().data.load() * format::kBlockSize;
  REQUIRE(at != 0);
  format::ExtentBlock block{};
  std::memcpy(&block, file.store().region().data() + at, sizeof(block));
  block.reserved0.store(7);
  format::seal(block);
  file.store().region().store(ByteOff(at), &block, sizeof(block));
  file.reload();
  REQUIRE(file.map_blocks(40, 1, 2000));
  file.reload();
  CHECK(file.map().size() == 7);
  std::memcpy(&block, file.store().region().data() + at, sizeof(block));
  CHECK(block.reserved0.load() == 7);
}

TEST_CASE("a range of too many extents is E2BIG with nothing changed, and goes in steps") {
  File file;
  fragment(file, 2000);
  Change full(file.store());
  const std::vector<std::byte> bytes(full.log_left() - 700);
  full.write(format::byte_off(BlockNo(15000)), bytes.data(), bytes.size());
  format::Inode inode = file.inode();
  CHECK(file.map().remove(full, inode, 10, 3900).code() == E2BIG);
  CHECK(file.map().size() == 2000);
  CHECK(inode.data_blocks.load() == 2000);
  // All of the file needs no log: its chain goes as a whole.
  const std::vector<Mapping> before = file.map().all();
  std::uint64_t left = 3900;
  int steps = 0;
  while (left > 0) {
    Change change(file.store());
    const std::vector<std::byte> most(change.log_left() - 2500);
    change.write(format::byte_off(BlockNo(15000)), most.data(), most.size());
    inode = file.inode();
    const std::uint64_t next = must(file.map().remove_some(change, inode, 10, left));
    REQUIRE(next < left);
    left = next;
    change.put_inode(inode);
    must(change.commit());
    ++steps;
    REQUIRE(file.map().next(10 + left).logical >= 3910);
  }
  CHECK(steps > 10);
  file.reload();
  CHECK(file.map().size() == 5 + 45);
  Change change(file.store());
  inode = file.inode();
  CHECK(must(file.map().remove_some(change, inode, 0, 4000)) == 0);
  change.put_inode(inode);
  CHECK(change.log_bytes() < 400);
  REQUIRE(change.commit());
  CHECK(file.store().space().blocks_free == file.free_at_start());
}

TEST_CASE("a full region takes no extent and loses none") {
  File file;
  std::uint64_t logical = 0;
  for (;; logical += 2) {
    if (const Status done = file.map_blocks(logical, 1, 0); !done) {
      CHECK(done.code() == ENOSPC);
      break;
    }
  }
  file.reload();
  CHECK(file.map().size() == logical / 2);
  CHECK(file.store().space().blocks_free <= 1);
  REQUIRE(file.fs().unlink("file"));
  CHECK(file.store().space().blocks_free == file.free_at_start());
}

TEST_CASE("symlink targets are not taken for extents") {
  File file;
  format::Inode link = test::new_inode(InodeNo(2), 9, S_IFLNK | 0777U);
  link.flags.store(format::kInodeInlineTarget);
  std::fill(std::begin(link.target), std::end(link.target), 'x');
  CHECK(must(ExtentMap::load(file.store(), link))->size() == 0);
  Change change(file.store());
  CHECK(store::release_extents(change, link));
  CHECK(change.log_bytes() == 0);
}
