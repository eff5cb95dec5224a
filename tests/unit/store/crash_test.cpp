// Invariants 1, 2 and 8: whatever a crash leaves, open() finds the state before or after the
// operation that was under way, and nothing damaged.
#include <fmt/format.h>
#include <sys/stat.h>

#include <random>
#include <set>
#include <string>

#include "harness/catch.hpp"
#include "small_fs.hpp"
#include "store/blob.hpp"
#include "store/impl.hpp"
#include "store/xattr.hpp"
#include "support/sim_region.hpp"

using namespace pmemfs;
using store::Change;
using test::must;
using test::SimRegion;
using test::SmallFs;

namespace {

constexpr std::uint64_t kSize = 16U << 20U;
using Names = std::set<std::string>;

Names names_of(const store::Directory& dir) {
  Names names;
  for (std::uint64_t at = 0;;) {
    const auto entry = must(dir.next(at));
    if (!entry) {
      return names;
    }
    names.emplace(entry->name);
    at = entry->position + 1;
  }
}

// Opens what a crash left. Returns what is wrong with it; empty: nothing.
std::string verdict(SimRegion& crashed, const Names& before, const Names& after) {
  try {
    SmallFs fs(crashed);
    if (fs.report().damaged_structures != 0 || !fs.report().may_collect) {
      return "damage";
    }
    if (test::walk_everything(fs.store()) != 0) {
      return "a walk fails";
    }
    const Names found = names_of(fs.root());
    if (found != before && found != after) {
      return "neither the names before nor those after";
    }
    if (fs.store().space().inodes_used != found.size() + 1) {
      return "inodes without a name";
    }
    must(fs.create("one more"));  // and it works
    return "";
  } catch (const std::exception& e) {
    return e.what();
  }
}

std::string random_name(std::mt19937_64& rng) {
  std::string name = "n" + std::to_string(rng() % 80);
  if (rng() % 3 == 0) {
    name.resize(200, 'x');
  }
  return name;
}

Change& put(Change& change, format::Inode& inode) {
  change.put_inode(inode);
  return change;
}

}  // namespace

TEST_CASE("a crash at any fence of names coming and going") {
  SimRegion region(kSize);
  SmallFs::format(region);
  SmallFs fs(region);
  std::mt19937_64 rng(23);
  Names before;
  Names after;
  std::set<std::string> faults;
  std::uint64_t seed = 0;
  region.on_fence([&](SimRegion& r) {
    for (int i = 0; i < 2; ++i) {
      test::RandomChooser chooser(++seed);
      const auto crashed = r.crash(chooser);
      faults.insert(verdict(*crashed, before, after));
    }
  });
  for (int i = 0; i < 150; ++i) {
    const std::string name = random_name(rng);
    if (!before.contains(name)) {
      after.insert(name);
      must(fs.create(name));
    } else if (const std::string to = random_name(rng); rng() % 2 == 0 && !before.contains(to)) {
      after.erase(name);
      after.insert(to);
      must(fs.rename(name, to));
    } else {
      after.erase(name);
      must(fs.unlink(name));
    }
    before = after;
  }
  faults.erase("");
  const std::set<std::string> none;
  CHECK(faults == none);
  CHECK(seed > 800);
}

TEST_CASE("a crash while the inode table and the region grow") {
  SimRegion region(kSize, 64U << 20U);
  SmallFs::format(region);
  SmallFs fs(region);
  {
    Change hog(fs.store());  // leaves no room for the next chunk of inodes
    Names names;
    for (int i = 0; i < 250; ++i) {
      names.insert("f" + std::to_string(i));
      must(fs.create("f" + std::to_string(i)));
    }
    while (fs.store().space().blocks_free > 0) {
      must(hog.allocate(fs.store().space().blocks_free));
    }
    Names after = names;
    std::set<std::string> faults;
    std::uint64_t seed = 0;
    region.on_fence([&](SimRegion& r) {
      for (int i = 0; i < 5; ++i) {
        test::RandomChooser chooser(++seed);
        const auto crashed = r.crash(chooser);
        faults.insert(verdict(*crashed, names, after));
      }
    });
    for (int i = 250; i < 260; ++i) {
      after.insert("f" + std::to_string(i));
      must(fs.create("f" + std::to_string(i)));
      names = after;
    }
    region.on_fence({});  // before what it looks at is gone
    faults.erase("");
    CHECK(faults.empty());
    CHECK(region.size() > kSize);
    CHECK(fs.store().space().blocks == region.size() / format::kBlockSize);
  }
}

TEST_CASE("a crash after the region grew and before the superblock knew") {
  SimRegion region(kSize, 64U << 20U);
  SmallFs::format(region);
  must(region.grow(kSize + (4U << 20U)));
  SmallFs fs(region);
  CHECK(fs.store().space().blocks == region.size() / format::kBlockSize);
  CHECK(fs.store().superblock().region_blocks.load() == region.size() / format::kBlockSize);
}

TEST_CASE("a region that cannot grow further is ENOSPC, and unlinking works at 100 %") {
  SimRegion region(kSize, kSize + (2U << 20U));
  SmallFs::format(region);
  SmallFs fs(region);
  int made = 0;
  std::string pad(200, 'x');
  for (;; ++made) {
    const auto ino = fs.create(std::to_string(made) + pad);
    if (!ino) {
      CHECK(ino.code() == ENOSPC);
      break;
    }
  }
  CHECK(region.size() == kSize + (2U << 20U));
  Change hog(fs.store());
  while (fs.store().space().blocks_free > 0) {
    must(hog.allocate(fs.store().space().blocks_free));
  }
  for (int i = 0; i < made; ++i) {
    REQUIRE(fs.unlink(std::to_string(i) + pad));
  }
  CHECK(fs.root().entries() == 0);
}

TEST_CASE("growth that fails changes nothing") {
  SimRegion region(kSize, 64U << 20U);
  SmallFs::format(region);
  SmallFs fs(region);
  region.fail_grow(ENOSPC);
  Change change(fs.store());
  std::uint64_t got = 0;
  while (fs.store().space().blocks_free > 0) {
    got += must(change.allocate(fs.store().space().blocks_free)).count;
  }
  CHECK(change.allocate(1).code() == ENOSPC);
  CHECK(region.size() == kSize);
  CHECK(change.allocate(1));  // the host has room again
  CHECK(got > 3000);
}

TEST_CASE("an abandoned change gives everything back at once, a committed one what it released") {
  SimRegion region(kSize);
  SmallFs::format(region, format::RegionKind::kFile);
  SmallFs fs(region);
  const std::string before = test::free_state(fs.store());
  BlockRun run;
  {
    Change change(fs.store());
    must(change.allocate(100));
    must(change.allocate_inode());
    CHECK(test::free_state(fs.store()) != before);
  }
  CHECK(test::free_state(fs.store()) == before);
  const std::uint64_t free = fs.store().space().blocks_free;
  {
    Change change(fs.store());
    run = must(change.allocate(10));
    const std::size_t mark = change.mark();
    must(change.allocate(20));
    change.give_back_since(mark);
    CHECK(fs.store().space().blocks_free == free - 10);
    must(change.allocate_inode());  // never put: its number comes back too
    must(change.commit());
  }
  CHECK(fs.store().space().blocks_free == free - 10);
  Change change(fs.store());
  change.release(run);
  CHECK(fs.store().space().blocks_free == free - 10);
  must(change.commit());
  CHECK(test::free_state(fs.store()) == before);
}

TEST_CASE("the last of several puts of an inode in one change wins") {
  SimRegion region(kSize);
  SmallFs::format(region);
  SmallFs fs(region);
  const InodeNo ino = must(fs.create("a"));
  const format::Inode before = fs.inode(ino);
  Change change(fs.store());
  format::Inode inode = before;
  inode.durable_len.store(4096);
  inode.uid.store(5);
  change.put_inode(inode);
  inode = before;
  inode.gid.store(6);
  change.put_inode(inode);
  must(change.commit());
  const format::Inode after = fs.inode(ino);
  CHECK(after.uid.load() == before.uid.load());
  CHECK(after.gid.load() == 6);
  CHECK(fs.store().durable_bytes() == 0);
}

TEST_CASE("put_inode logs only the cache lines that differ") {
  SimRegion region(kSize);
  SmallFs::format(region);
  SmallFs fs(region);
  format::Inode root = fs.root_inode();
  Change same(fs.store());
  same.put_inode(root);
  CHECK(same.log_bytes() == 0);
  root.uid.store(77);  // first line, and the crc in the last
  Change change(fs.store());
  change.put_inode(root);
  CHECK(change.log_bytes() == 2 * (16 + 64));
}

TEST_CASE("counters follow puts and frees, and a freed inode keeps number and generation") {
  SimRegion region(kSize);
  SmallFs::format(region);
  SmallFs fs(region);
  const InodeNo ino = must(fs.create("a"));
  format::Inode inode = fs.inode(ino);
  inode.durable_len.store(123456);
  {
    Change change(fs.store());
    must(put(change, inode).commit());
  }
  CHECK(fs.store().durable_bytes() == 123456);
  CHECK(fs.store().space().inodes_used == 2);
  must(fs.unlink("a"));
  CHECK(fs.store().durable_bytes() == 0);
  CHECK(fs.store().space().inodes_used == 1);
  CHECK(fs.store().inode(ino).code() == ENOENT);
  const ByteOff slot = must(fs.store().impl().table.locate(ino));
  const auto* media = reinterpret_cast<const format::Inode*>(region.data() + slot.value);
  CHECK(media->ino.load() == ino.value);
  CHECK(media->generation.load() == inode.generation.load());
  CHECK(media->mode.load() == 0);
}

TEST_CASE("a change too large for a lane is E2BIG and changes nothing") {
  SimRegion region(kSize);
  SmallFs::format(region);
  SmallFs fs(region);
  const std::string before = test::free_state(fs.store());
  {
    Change change(fs.store());
    const BlockRun run = must(change.allocate(20));
    const std::vector<std::byte> bytes(4096);
    for (std::uint64_t i = 0; i < 16; ++i) {
      change.write(format::byte_off(BlockNo(run.start.value + i)), bytes.data(), bytes.size());
    }
    CHECK(change.log_left() == 0);
    CHECK(change.commit().code() == E2BIG);
  }
  CHECK(test::free_state(fs.store()) == before);
}

TEST_CASE("a read-only store reads everything and changes nothing") {
  SimRegion region(kSize);
  SmallFs::format(region);
  {
    SmallFs fs(region);
    must(fs.create("a"));
  }
  const auto before = store::read_superblock(region, nullptr, nullptr)->update.load();
  region.set_read_only(true);
  SmallFs fs(region);
  CHECK(fs.store().read_only());
  CHECK(fs.find("a"));
  CHECK(fs.create("b").code() == EROFS);
  CHECK(fs.unlink("a").code() == EROFS);
  CHECK(fs.store().next_generation().code() == EROFS);
  CHECK(fs.store().close(false));
  CHECK(store::read_superblock(region, nullptr, nullptr)->update.load() == before);
}
