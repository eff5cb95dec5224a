// The store over memory that fails: real SIGBUS, see MemoryRegion::lose.
#include <cstring>
#include <set>

#include "base/log.hpp"
#include "harness/catch.hpp"
#include "small_fs.hpp"
#include "store/allocator.hpp"
#include "store/bad_blocks.hpp"
#include "store/impl.hpp"
#include "support/memory_region.hpp"

using namespace pmemfs;
using store::SuperblockFault;
using test::MemoryRegion;
using test::SmallFs;

namespace {

constexpr std::uint64_t kSize = 16U << 20U;
constexpr ByteOff kFirst{0};
constexpr ByteOff kCopy{format::kSuperblockCopyBlock * format::kBlockSize};
constexpr int kFiles = 40;
constexpr std::uint64_t kInodesPerPage = format::kBlockSize / sizeof(format::Inode);

void quiet() {
  base::log::init_callback([](base::log::Level, const std::string&) {});
}

// A filesystem of some files, closed or left as by a crash, and mapped anew.
void prepare(MemoryRegion& memory, bool closed) {
  quiet();
  SmallFs::format(*memory);
  {
    SmallFs fs(*memory);
    for (int i = 0; i < kFiles; ++i) {
      test::must(fs.create("file" + std::to_string(i)));
    }
    if (closed) {
      fs.close();
    }
  }
  memory.map_again();
}

ByteOff page_of(const SmallFs& fs, InodeNo ino) {
  const ByteOff slot = test::must(const_cast<SmallFs&>(fs).store().impl().table.locate(ino));
  return ByteOff(slot.value / format::kBlockSize * format::kBlockSize);
}

ByteOff inode_page(MemoryRegion& memory, InodeNo ino) {
  SmallFs fs(*memory);
  return page_of(fs, ino);
}

}  // namespace

TEST_CASE("superblock: a copy that cannot be read is served by the other, and updates reach that") {
  const ByteOff lost = GENERATE(kFirst, kCopy);
  MemoryRegion memory(kSize);
  prepare(memory, true);
  memory.lose(lost);
  {
    SmallFs fs(*memory);
    CHECK(fs.report().used_second_superblock == (lost == kFirst));
    CHECK(fs.report().damaged_structures == 0);
    test::must(fs.create("new"));
    CHECK_FALSE(fs.store().read_only());
    fs.close();
  }
  memory.map_again();
  memory.lose(lost);
  SmallFs fs(*memory);
  CHECK(fs.report().was_clean);
  CHECK(fs.find("new"));
}

TEST_CASE("superblock: one that fails while it is updated costs nothing, both cost EIO") {
  MemoryRegion memory(kSize);
  prepare(memory, true);
  SmallFs fs(*memory);
  memory.lose(kFirst);
  auto& keeper = fs.store().impl().superblock;
  const auto set_to = [&](std::uint64_t value) {
    return keeper.update([value](format::Superblock& s) { s.next_generation.store(value); }).code();
  };
  CHECK(set_to(5'000'000) == 0);
  CHECK(keeper.get().next_generation.load() == 5'000'000);
  memory.lose(kCopy);
  CHECK(set_to(6'000'000) == EIO);
  CHECK(keeper.get().next_generation.load() == 5'000'000);
}

TEST_CASE("superblock: none that can be read is EIO, and not a region of somebody else") {
  MemoryRegion memory(kSize);
  prepare(memory, true);
  const bool other_damaged = GENERATE(false, true);
  memory.lose(kFirst);
  if (other_damaged) {
    const std::vector<std::byte> zeros(format::kBlockSize);
    memory->store(kCopy, zeros.data(), zeros.size());
  } else {
    memory.lose(kCopy);
  }
  SuperblockFault fault = SuperblockFault::kNone;
  CHECK(store::read_superblock(*memory, &fault, nullptr).code() == EIO);
  CHECK(fault == SuperblockFault::kUnreadable);
  CHECK(store::Store::open(*memory, nullptr).code() == EIO);
}

TEST_CASE("mkfs: where memory fails there is no filesystem") {
  quiet();
  const auto block =
      GENERATE(0U, 5U, 257U, 260U, 4094U, 4095U);  // superblocks, a lane, the inode table
  MemoryRegion memory(kSize);
  memory.lose(format::byte_off(BlockNo(block)));
  CHECK(store::Store::format(*memory, {}).code() == EIO);
}

TEST_CASE("inodes whose page cannot be read are EIO, free ones too, and the rest is served") {
  const bool closed = GENERATE(true, false);
  MemoryRegion memory(kSize);
  prepare(memory, closed);
  constexpr InodeNo kLost(20);
  const ByteOff page = inode_page(memory, kLost);
  prepare(memory, closed);
  memory.lose(page);
  SmallFs fs(*memory);
  CHECK(fs.report().was_clean == closed);
  CHECK(fs.report().used_snapshot == closed);
  if (!closed) {
    CHECK(fs.report().damaged_structures == kInodesPerPage);
    CHECK_FALSE(fs.report().may_collect);
  }
  std::uint64_t unreadable = 0;
  for (std::uint64_t i = 1; i <= kFiles + 1; ++i) {
    const int code = fs.store().inode(InodeNo(i)).code();
    CHECK((code == 0 || code == EIO));
    unreadable += code == EIO ? 1 : 0;
  }
  CHECK(unreadable == kInodesPerPage);
  std::uint64_t visited = 0;
  std::uint64_t damaged = 0;
  test::must(fs.store().for_each_inode([&](const format::Inode&) { ++visited; },
                                       [&](InodeNo) { ++damaged; }));
  CHECK(damaged == kInodesPerPage);
  CHECK(visited == kFiles + 1 - kInodesPerPage);
}

TEST_CASE("inode numbers of a lost page are given to nobody, after at most one error") {
  MemoryRegion memory(kSize);
  prepare(memory, true);
  constexpr InodeNo kFree(kFiles + 1 + kInodesPerPage);  // in a page of free ones
  const ByteOff page = inode_page(memory, kFree);
  prepare(memory, true);
  SmallFs fs(*memory);
  memory.lose(page);
  int failed = 0;
  for (int i = 0; i < 60; ++i) {
    const auto made = fs.create("new" + std::to_string(i));
    failed += made ? 0 : 1;
    if (made) {
      CHECK(page_of(fs, *made) != page);
    } else {
      CHECK(made.code() == EIO);
    }
  }
  CHECK(failed <= 1);
  CHECK(memory->media_errors() == 1);
  CHECK_FALSE(fs.store().read_only());
}

TEST_CASE("blocks that are known to be lost are not given out") {
  MemoryRegion memory(kSize);
  prepare(memory, true);
  SmallFs fs(*memory);
  const std::uint64_t free = fs.store().blocks().free_blocks();
  const BlockRun largest = fs.store().blocks().largest();
  for (const std::uint64_t i : {3U, 4U, 9U}) {
    const ByteOff page = format::byte_off(BlockNo(largest.start.value + i));
    memory.lose(page);
    CHECK(memory->data()[page.value] == std::byte{0});
  }
  std::uint64_t taken = 0;
  store::Change change(fs.store());
  while (fs.store().blocks().free_blocks() > 0) {
    const auto run = change.allocate(64);
    REQUIRE(run);
    CHECK_FALSE(memory->lost(format::byte_off(run->start), run->count * format::kBlockSize));
    taken += run->count;
  }
  CHECK(taken == free - 3);
}

TEST_CASE("metadata that cannot be read is EIO and not EUCLEAN") {
  MemoryRegion memory(kSize);
  prepare(memory, true);
  SmallFs fs(*memory);
  const format::Inode root = fs.root_inode();
  REQUIRE(root.extents[0].count.load() > 0);
  memory.lose(format::byte_off(BlockNo(root.extents[0].physical.load())));
  for (int i = 0; i < 2; ++i) {  // met, then known; the index is in DRAM
    CHECK(fs.root().find("file0").code() == EIO);
    CHECK(fs.root().next(0).code() == EIO);
  }
  CHECK(store::Directory::load(fs.store(), root).code() == EIO);
  CHECK(fs.store().inode(kRootInode));
}

TEST_CASE("a commit that fails half applied stops all changes; the next mount has it") {
  MemoryRegion memory(kSize);
  prepare(memory, true);
  {
    SmallFs fs(*memory);
    const std::uint64_t free = fs.store().blocks().free_blocks();
    {
      format::Inode inode = fs.inode(InodeNo(2));
      inode.uid.store(4711);
      store::Change change(fs.store());
      test::must(change.allocate(1));
      change.put_inode(inode);
      const ByteOff bad = format::byte_off(fs.store().blocks().largest().start);
      memory.lose(bad);
      change.write(bad, "what is only stored", 19);
      CHECK(change.commit().code() == EIO);
    }
    CHECK(fs.store().read_only());
    // The one may be the next mount's, the other is bad.
    CHECK(fs.store().blocks().free_blocks() == free - 2);
    CHECK(fs.create("more").code() == EROFS);
    CHECK(fs.store().next_generation().code() == EROFS);
    CHECK(store::Change(fs.store()).allocate(1).code() == EROFS);
    fs.close();
  }
  memory.map_again();
  SmallFs fs(*memory);
  CHECK_FALSE(fs.report().was_clean);
  CHECK(fs.report().replayed == 1);
  CHECK(fs.inode(InodeNo(2)).uid.load() == 4711);
  test::must(fs.create("more"));
}

TEST_CASE(
    "closing after a media error leaves no snapshot, so that the next mount looks for itself") {
  MemoryRegion memory(kSize);
  prepare(memory, true);
  {
    SmallFs fs(*memory);
    // Not where a snapshot would go, which does not know what was set apart.
    const BlockRun free = fs.store().blocks().largest();
    const ByteOff page = format::byte_off(BlockNo(free.end().value - 1));
    memory.lose(page);
    CHECK(memory->data()[page.value] == std::byte{0});
    fs.close();
  }
  memory.map_again();
  SmallFs fs(*memory);
  CHECK(fs.report().was_clean);
  CHECK_FALSE(fs.report().used_snapshot);
  CHECK(fs.report().damaged_structures == 0);
}

TEST_CASE("a region that failed as a whole is refused, or is read") {
  MemoryRegion memory(kSize);
  prepare(memory, true);
  for (std::uint64_t i = 0; i < 600; ++i) {
    const ByteOff page((1024 + i) * format::kBlockSize);
    memory.lose(page);
    CHECK(memory->data()[page.value] == std::byte{0});
  }
  CHECK(memory->media_failed());
  CHECK(store::Store::open(*memory, nullptr).code() == EIO);
}
