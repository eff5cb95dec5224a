// Reading everything: what a scrub finds, heals and leaves alone.
#include <sys/stat.h>

#include <map>

#include "core_rig.hpp"
#include "media_rig.hpp"
#include "store/bad_blocks.hpp"

namespace pmemfs::test {
namespace {

using Rig = MediaRig;

Scrubbed scrub(const MediaRig& rig) {
  auto done = rig.fs->scrub({});
  REQUIRE(done);
  return *done;
}

// One of everything that has structures of its own.
void make_all(CoreRig& rig) {
  rig.mkdir("dir");
  for (int i = 0; i < 100; ++i) {
    rig.put("file" + std::to_string(i), "content");
  }
  rig.put("attributed", "content");
  const InodeNo ino = rig.fs().lookup(kRootInode, "attributed")->ino;
  const std::string value(3000, 'x');
  REQUIRE(rig.fs().setxattr(kRoot, ino, "user.long", bytes(value), 0, false));
  REQUIRE(rig.fs().symlink(kRoot, kRootInode, "link", std::string(2000, 's')));
  const Created pieces = rig.create("pieces");
  for (std::uint64_t i = 0; i < 10; ++i) {
    rig.write(pieces.opened.handle, 2 * i * 4096, "x");
  }
  rig.close(pieces);
}

// Where a structure that begins with `magic` lies and whose bytes from 8 on name `ino`.
ByteOff find_structure(CoreRig& rig, std::uint32_t magic, InodeNo ino) {
  for (std::uint64_t at = 0; at < rig.region().size(); at += 4096) {
    std::uint32_t there = 0;
    std::uint64_t owner = 0;
    std::memcpy(&there, rig.region().data() + at, sizeof(there));
    std::memcpy(&owner, rig.region().data() + at + 8, sizeof(owner));
    if (there == magic && owner == ino.value) {
      return ByteOff(at);
    }
  }
  return ByteOff(0);
}

void damage(CoreRig& rig, ByteOff at) {
  const auto wrong = std::byte{0xFF} ^ rig.region().data()[at.value];
  rig.region().poke(at, &wrong, 1);
}

}  // namespace

TEST_CASE("scrub: a whole filesystem is clean, and all of it was read") {
  CoreRig rig(CoreRig::Data::kExtents);
  make_all(rig);
  std::uint64_t told = 0;
  const auto done = rig.fs().scrub([&](std::uint64_t read, std::uint64_t total) {
    CHECK(read >= told);
    CHECK(read <= total);
    told = read;
    return true;
  });
  REQUIRE(done);
  CHECK(done->finished);
  CHECK(done->damage.empty());
  CHECK(done->bad.empty());
  CHECK(done->bytes == rig.region().size());
  CHECK(told == done->bytes);
  CHECK(done->structures > 2 * 104);  // an inode and a name each
}

TEST_CASE("scrub: each kind of structure that is damaged is found, with its path") {
  CoreRig rig(CoreRig::Data::kExtents);
  make_all(rig);
  const auto ino_of = [&](const char* name) {
    return rig.fs().lookup(kRootInode, name)->ino;
  };
  const ByteOff inodes(260 * 4096);
  const InodeNo file = ino_of("file7");
  SECTION("an inode") {
    damage(rig, ByteOff(inodes.value + file.value * 256 + 20));
  }
  SECTION("an xattr") {
    damage(rig, ByteOff(find_structure(rig, format::kBlobMagic, ino_of("attributed")).value + 70));
  }
  SECTION("a symlink's target") {
    damage(rig, ByteOff(find_structure(rig, format::kBlobMagic, ino_of("link")).value + 70));
  }
  SECTION("an extent block") {
    damage(rig, ByteOff(find_structure(rig, format::kExtentMagic, ino_of("pieces")).value + 30));
  }
  SECTION("the name of an entry") {
    damage(rig, ByteOff(find_structure(rig, format::kDirMagic, kRootInode).value + 64 + 25));
  }
  const auto done = rig.fs().scrub({});
  REQUIRE(done);
  REQUIRE(done->damage.size() == 1);
  CHECK(done->damage[0].reason == EUCLEAN);
  const std::map<std::string, std::string> expected{{"inode", "/file7"},
                                                    {"xattrs", "/attributed"},
                                                    {"symlink", "/link"},
                                                    {"extents", "/pieces"},
                                                    {"directory", "/"}};
  REQUIRE(expected.contains(done->damage[0].what));
  CHECK(done->damage[0].path == expected.at(done->damage[0].what));
}

TEST_CASE("scrub: what has a second copy is told and mended") {
  CoreRig rig(CoreRig::Data::kExtents);
  SECTION("a superblock") {
    damage(rig, ByteOff(4095 * 4096 + 10));
  }
  SECTION("the root of the inode table") {
    damage(rig, ByteOff(257 * 4096 + 100));
  }
  auto done = rig.fs().scrub({});
  REQUIRE(done);
  REQUIRE(done->damage.size() == 1);
  CHECK(done->damage[0].ino == InodeNo(0));
  done = rig.fs().scrub({});
  REQUIRE(done);
  CHECK(done->damage.empty());
}

TEST_CASE("scrub: host files are read, and one that is shorter than promised is damage") {
  CoreRig rig(CoreRig::Data::kBacking);
  rig.put("file", "content");
  rig.put("other", "more content");
  const auto done = rig.fs().scrub({});
  REQUIRE(done);
  CHECK(done->damage.empty());
  CHECK(done->bytes == rig.region().size() + 7 + 12);
}

TEST_CASE("scrub: bad memory that nobody met is found; a free page is healed, a file's is told") {
  Rig rig;
  const Created file = rig.put("file", 'a', 16);
  const ByteOff in_file = rig.place(file, 5);
  const ByteOff in_free(rig.place(file, 15).value + 40 * 4096);
  rig.memory.lose(in_file);
  rig.memory.lose(in_free);
  const std::uint64_t free = rig.fs->status().region_bytes_free;
  const Scrubbed done = scrub(rig);
  CHECK(done.damage.empty());
  CHECK(done.healed == 4096);
  REQUIRE(done.bad.size() == 1);
  CHECK(done.bad[0].off == in_file.value);
  CHECK(done.bad[0].path == "/file");
  CHECK(rig.fs->status().region_bytes_free == free);
  CHECK(rig.fs->status().media_errors == 0);  // looked at, not touched
  CHECK(rig.read(file, 5, 1, 'a') == EIO);
  CHECK(rig.read(file, 6, 10, 'a') == 0);
  CHECK(rig.write(file, 5 * 4096, 4096) == 0);
  const Scrubbed again = scrub(rig);
  CHECK(again.healed == 4096);
  CHECK(again.bad.empty());
  CHECK(rig.fs->status().bad_bytes == 0);
}

TEST_CASE("scrub: memory of structures is told as such and not healed over their heads") {
  Rig rig;
  std::vector<InodeNo> inodes;
  for (int i = 0; i < 40; ++i) {
    const Created made = rig.put(("f" + std::to_string(i)).c_str(), 'a', 1);
    inodes.push_back(made.attributes.ino);
    rig.fs->release(made.opened.handle);
  }
  const ByteOff page(261 * 4096);  // inodes 16 to 31
  rig.memory.lose(page);
  for (int i = 0; i < 2; ++i) {
    const Scrubbed done = scrub(rig);
    CHECK(done.healed == 0);
    REQUIRE(done.bad.size() == 1);
    CHECK(done.bad[0].owner == BadMemory::Owner::kMetadata);
    CHECK(done.bad[0].off == page.value);
    CHECK(done.damage.size() == 16);
    CHECK(std::all_of(done.damage.begin(), done.damage.end(), [](const Damage& d) {
      return d.what == "inode" && d.reason == EIO && d.path.starts_with("/f");
    }));
  }
}

TEST_CASE("scrub: ended by its watch it says so, and has changed nothing") {
  Rig rig;
  const Created file = rig.put("file", 'a', 1);
  rig.memory.lose(ByteOff(rig.place(file, 0).value + 100 * 4096));
  int calls = 0;
  const auto done = rig.fs->scrub([&](std::uint64_t, std::uint64_t) { return ++calls < 3; });
  REQUIRE(done);
  CHECK_FALSE(done->finished);
  CHECK(done->bytes == 3U * (2U << 20U));
  CHECK(done->healed == 0);
  CHECK(rig.read(file, 0, 1, 'a') == 0);
}

}  // namespace pmemfs::test
