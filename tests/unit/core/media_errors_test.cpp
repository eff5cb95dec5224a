// The filesystem over memory that fails: real SIGBUS, see MemoryRegion::lose. Data lies in extents.
#include "base/media_faults.hpp"
#include "media_rig.hpp"
#include "pmemfs/durable.h"

using namespace pmemfs;
using test::kBlock;
using test::kRoot;
using Rig = test::MediaRig;

TEST_CASE("data that cannot be read is EIO, again and again, and never zeros; the rest is read") {
  const Rig rig;
  const Created file = rig.put("file", 'a', 16);
  const Created other = rig.put("other", 'b', 16);
  rig.memory.lose(rig.place(file, 5));
  for (int i = 0; i < 3; ++i) {
    CHECK(rig.read(file, 5, 1, 'a') == EIO);
    CHECK(rig.read(file, 0, 16, 'a') == EIO);
    CHECK(rig.read(file, 0, 5, 'a') == 0);
    CHECK(rig.read(file, 6, 10, 'a') == 0);
    CHECK(rig.read(other, 0, 16, 'b') == 0);
  }
  CHECK(rig.fs->status().media_errors == 1);
  CHECK_FALSE(rig.fs->status().read_only);
}

TEST_CASE(
    "data that cannot be stored beside what is lost is EIO, and nothing of the write is seen") {
  const Rig rig;
  const Created file = rig.put("file", 'a', 16);
  rig.memory.lose(rig.place(file, 5));
  CHECK(rig.write(file, 5 * kBlock + 100, 10) == EIO);
  CHECK(rig.write(file, 5 * kBlock + 100, 10) == EIO);  // the page is known now
  CHECK(rig.write(file, 5 * kBlock + 1, 40 * kBlock) == EIO);
  CHECK(rig.write(file, 4 * kBlock, 2 * kBlock - 1) == EIO);
  CHECK(rig.fs->getattr(file.attributes.ino)->size == 16 * kBlock);
  CHECK(rig.read(file, 5, 1, 'w') == EIO);
  CHECK(rig.write(file, 6 * kBlock, kBlock) == 0);
  CHECK(rig.read(file, 6, 1, 'w') == 0);
}

TEST_CASE("a lost block that is overwritten whole lies elsewhere, and the bad one is nobody's") {
  Rig rig;
  const Created file = rig.put("file", 'a', 16);
  const ByteOff lost = rig.place(file, 5);
  rig.memory.lose(lost);
  const bool known = GENERATE(false, true);
  if (known) {
    CHECK(rig.read(file, 5, 1, 'a') == EIO);
  }
  const std::uint64_t errors_before = base::media_errors_met();
  CHECK(rig.write(file, 4 * kBlock + 10, 3 * kBlock) == 0);
  CHECK(base::media_errors_met() == errors_before);  // else the edge would answer EIO
  CHECK(rig.read(file, 5, 1, 'w') == 0);
  CHECK(rig.read(file, 7, 9, 'a') != EIO);
  CHECK(rig.place(file, 5) != lost);
  const auto check_listed = [&] {
    const auto bad = rig.fs->bad_memory();
    REQUIRE(bad);
    REQUIRE(bad->size() == 1);
    CHECK(bad->front().off == lost.value);
    CHECK(bad->front().owner == BadMemory::Owner::kFree);
  };
  check_listed();
  rig.fs->release(file.opened.handle);
  rig.remount();
  check_listed();
  CHECK(rig.read(rig.reopen(file), 5, 1, 'w') == 0);
}

TEST_CASE("a lost last block is overwritten by what the file has of it") {
  const Rig rig;
  const Created file = rig.put("file", 'a', 3);
  AttributeChange cut;
  cut.size = 2 * kBlock + 100;
  REQUIRE(rig.fs->setattr(kRoot, file.attributes.ino, cut));
  rig.memory.lose(rig.place(file, 2));
  CHECK(rig.write(file, 2 * kBlock, 99) == EIO);
  CHECK(rig.write(file, 2 * kBlock, 100) == 0);
  std::vector<std::byte> bytes(kBlock);
  CHECK(*rig.fs->read(file.opened.handle, 2 * kBlock, bytes) == 100);
  CHECK(bytes[99] == std::byte{'w'});
  cut.size = 3 * kBlock;
  REQUIRE(rig.fs->setattr(kRoot, file.attributes.ino, cut));
  CHECK(*rig.fs->read(file.opened.handle, 2 * kBlock, bytes) == kBlock);
  CHECK(bytes[99] == std::byte{'w'});
  CHECK(bytes[100] == std::byte{0});
}

TEST_CASE("a lost block of a durable file is made good where it is (invariant 3)") {
  Rig rig;
  const Created file = rig.put("file", 'a', 16);
  rig.fs->release(file.opened.handle);
  const std::byte one{'1'};
  REQUIRE(rig.fs->setxattr(kRoot, file.attributes.ino, PMEMFS_XATTR_DURABLE, std::span(&one, 1), 0,
                           false));
  const Created again = rig.reopen(file);
  const ByteOff lost = rig.place(file, 5);
  rig.memory.lose(lost);
  CHECK(rig.read(again, 5, 1, 'a') == EIO);
  CHECK(rig.write(again, 5 * kBlock, 100) == EIO);
  CHECK(rig.write(again, 5 * kBlock, kBlock) == 0);
  CHECK(rig.place(file, 5) == lost);
  CHECK(rig.read(again, 5, 1, 'w') == 0);
  CHECK(rig.read(again, 6, 10, 'a') == 0);
  CHECK(rig.fs->bad_memory()->empty());
  CHECK(rig.fs->status().media_errors == 0);
  rig.fs->release(again.opened.handle);
  rig.remount();
  CHECK(rig.read(rig.reopen(file), 5, 1, 'w') == 0);
}

TEST_CASE("a file goes around lost blocks as it grows") {
  const Rig rig;
  const Created file = rig.put("file", 'a', 1);
  const ByteOff next(rig.place(file, 0).value + kBlock);
  rig.memory.lose(next);
  for (std::uint64_t i = 1; i < 20; ++i) {
    CHECK(rig.write(file, i * kBlock, kBlock) == 0);
    CHECK(rig.place(file, i) != next);
    CHECK(rig.read(file, i, 1, 'w') == 0);
  }
  CHECK(rig.fs->status().bad_bytes == kBlock);
}

TEST_CASE(
    "a file with lost data can be cut, removed and replaced, and its lost block is not reused") {
  const Rig rig;
  const Created file = rig.put("file", 'a', 16);
  const ByteOff lost = rig.place(file, 5);
  rig.memory.lose(lost);
  CHECK(rig.read(file, 5, 1, 'a') == EIO);
  rig.fs->release(file.opened.handle);
  REQUIRE(rig.fs->unlink(kRootInode, "file"));
  rig.fs->forget(file.attributes.ino, 1);
  const Created all = rig.put("all", 'c', 1);
  std::uint64_t blocks = 1;
  while (rig.write(all, blocks * kBlock, 64 * kBlock) == 0) {
    blocks += 64;
  }
  CHECK(blocks > 4000);
  for (std::uint64_t i = 0; i < blocks; ++i) {
    REQUIRE(rig.place(all, i) != lost);
  }
  CHECK(rig.fs->status().media_errors == 1);
}

TEST_CASE("defragmentation and evacuation leave a file with lost data where it is, and say so") {
  const Rig rig;
  const Created file = rig.put("file", 'a', 16);
  const ByteOff lost = rig.place(file, 5);
  rig.memory.lose(lost);
  const bool known = GENERATE(false, true);
  if (known) {
    CHECK(rig.read(file, 5, 1, 'a') == EIO);
  }
  rig.fs->release(file.opened.handle);  // open files are not moved
  const auto moved = rig.fs->evacuate(rig.place(file, 0).value, 16 * kBlock, {});
  REQUIRE(moved);
  REQUIRE(moved->left.size() == 1);
  CHECK(moved->left[0].reason == EIO);
  CHECK(rig.place(file, 5) == lost);
  const auto opened = rig.fs->open_file(file.attributes.ino, 0, false);
  REQUIRE(opened);
  const Created again{file.attributes, *opened};
  CHECK(rig.read(again, 5, 1, 'a') == EIO);
  CHECK(rig.read(again, 6, 10, 'a') == 0);
}

TEST_CASE("a copy from lost data is EIO and leaves the target as it was") {
  const Rig rig;
  const Created from = rig.put("from", 'a', 4);
  const Created to = rig.put("to", 'b', 4);
  rig.memory.lose(rig.place(from, 1));
  CHECK(rig.fs->copy_range(from.opened.handle, kBlock, to.opened.handle, 0, kBlock).code() == EIO);
  CHECK(rig.read(to, 0, 4, 'b') == 0);
}

TEST_CASE(
    "what is lost stays lost in the next mount, until it is overwritten; what is beside is found") {
  Rig rig;
  const Created file = rig.put("file", 'a', 16);
  rig.memory.lose(rig.place(file, 5));
  CHECK(rig.read(file, 5, 1, 'a') == EIO);
  CHECK(rig.write(file, 6 * kBlock, kBlock) == 0);
  rig.fs->release(file.opened.handle);
  rig.remount();
  CHECK(rig.report.damaged_structures == 0);
  const Created again = rig.reopen(file);
  CHECK(rig.read(again, 0, 5, 'a') == 0);
  CHECK(rig.read(again, 5, 1, 'a') == EIO);  // whatever the memory gives now
  CHECK(rig.read(again, 6, 1, 'w') == 0);
  const auto bad = rig.fs->bad_memory();
  REQUIRE(bad->size() == 1);
  CHECK(bad->front().owner == BadMemory::Owner::kFile);
  CHECK(bad->front().path == "/file");
  CHECK(bad->front().file_off == 5 * kBlock);
  CHECK(rig.write(again, 5 * kBlock, kBlock) == 0);
  CHECK(rig.read(again, 5, 1, 'w') == 0);
  rig.fs->release(again.opened.handle);
  rig.remount();
  CHECK(rig.read(rig.reopen(file), 5, 1, 'w') == 0);
}
