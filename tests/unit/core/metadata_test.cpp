// Metadata that moves: out of an evacuated range, under power cuts, and under the hands of others.
#include <atomic>
#include <thread>

#include "every_fence.hpp"
#include "tail_support.hpp"

namespace pmemfs::test {
namespace {

void check_evacuated(CoreRig& rig, std::uint64_t off, std::uint64_t len, std::uint64_t stays) {
  const auto moved = rig.fs().evacuate(off, len, {});
  REQUIRE(moved.ok());
  CHECK(moved->finished);
  CHECK(moved->left.empty());
  CHECK(moved->metadata_left == stays);
}

}  // namespace

TEST_CASE("every kind of structure leaves an evacuated range") {
  for (const Sample& sample : samples()) {
    INFO(sample.name);
    CoreRig rig(CoreRig::Data::kExtents);
    make_in_tail(rig, [&] { sample.make(rig); });
    const std::uint64_t before = free_bytes(rig);
    const auto moved = rig.fs().evacuate(kTail, kTail, {});
    REQUIRE(moved.ok());
    CHECK(moved->left.empty());
    CHECK(moved->metadata_left == 0);
    CHECK(moved->metadata_moved + moved->bytes >= 2 * kBlock);
    CHECK(sample.whole(rig));
    rig.put("later", "changes are made in the new place");
    REQUIRE(rig.fs().rename(kRoot, kRootInode, "later", kRootInode, "renamed", 0).ok());
    check_sound(rig);
    CHECK(free_bytes(rig) >= before - kBlock);  // fewer pieces want fewer extent blocks
    CHECK(sample.whole(rig));
    CHECK(rig.get("renamed") == "changes are made in the new place");
  }
}

TEST_CASE("structures move a block at a time, out of the middle of what they belong to") {
  for (const Sample& sample : samples()) {
    INFO(sample.name);
    CoreRig rig(CoreRig::Data::kExtents);
    make_in_tail(rig, [&] { sample.make(rig); });
    std::uint64_t moved = 0;
    for (std::uint64_t i = 0; i < 400; i++) {
      const std::uint64_t at = kTail + i * 211 % 400 * kBlock;  // in no order
      const auto done = rig.fs().evacuate(at, kBlock, {});
      REQUIRE(done.ok());
      REQUIRE((done->left.empty() && done->metadata_left == 0));
      moved += done->bytes + done->metadata_moved;
    }
    CHECK(moved >= 2 * kBlock);
    CHECK(sample.whole(rig));
    check_sound(rig);
    CHECK(sample.whole(rig));
  }
}

TEST_CASE("a power cut at any fence while metadata moves leaves it whole") {
  for (const Sample& sample : samples()) {
    INFO(sample.name);
    CoreRig rig(CoreRig::Data::kExtents);
    make_in_tail(rig, [&] { sample.make(rig); });
    const std::uint64_t before = free_bytes(rig);
    at_every_fence(
        rig, [&] { CHECK(rig.fs().evacuate(kTail, kTail, {}).ok()); },
        [&] {
          REQUIRE(sample.whole(rig));
          rig.remount();  // ends the hold
          REQUIRE(free_bytes(rig) >= before);
          REQUIRE(sample.whole(rig));
        });
  }
}

TEST_CASE("the root's chunk and all of the index but its root move") {
  CoreRig rig(CoreRig::Data::kExtents);
  rig.put("file", "content");
  constexpr std::uint64_t kIndex = 257 * kBlock;
  at_every_fence(
      rig, [&] { check_evacuated(rig, kIndex, kFirstFree - kIndex, kBlock); },
      [&] {
        REQUIRE(rig.get("file") == "content");
        rig.put("another", "one");
        REQUIRE(rig.get("another") == "one");
      });
  check_sound(rig);
  CHECK(rig.get("file") == "content");
  check_evacuated(rig, 0, 256 * kBlock, 256 * kBlock);          // superblock and lanes
  check_evacuated(rig, 4094 * kBlock, 2 * kBlock, 2 * kBlock);  // the root's copy, a superblock
}

TEST_CASE("what a durable file has beside its data moves, and its data does not") {
  CoreRig rig(CoreRig::Data::kExtents);
  make_in_tail(rig, [&] {
    for (const Sample& sample : samples()) {
      sample.make(rig);
    }
    REQUIRE(rig.set_durable("attributed") == 0);
    REQUIRE(rig.set_durable("pieces") == 0);
  });
  const auto before = extents_of(rig, "pieces");
  const auto moved = rig.fs().evacuate(kTail, kTail, {});
  REQUIRE(moved.ok());
  CHECK(moved->metadata_left == 0);
  CHECK(moved->left.size() == 2);
  CHECK(std::ranges::all_of(moved->left, [](const LeftBehind& l) { return l.reason == ETXTBSY; }));
  CHECK(extents_of(rig, "pieces") == before);
  for (const Sample& sample : samples()) {
    CHECK(sample.whole(rig));
  }
}

TEST_CASE("structures that find no room stay, and are told") {
  CoreRig rig(CoreRig::Data::kExtents);
  rig.mkdir("dir");
  rig.put("file", "x");
  const auto moved = rig.fs().evacuate(kFirstFree, 32 * kMiB - kFirstFree, {});
  REQUIRE(moved.ok());
  REQUIRE(moved->left.size() == 1);
  CHECK(moved->left[0].path == "/file");
  CHECK(moved->left[0].reason == ENOSPC);
  // The root directory, a superblock, the copy of the inode table's root.
  CHECK(moved->metadata_left == 3 * kBlock);
  CHECK(rig.get("file") == "x");
}

namespace {

// Makes and removes files in the root directory, and looks at what stays there; counts what goes
// wrong.
void work(CoreRig& rig, int thread, InodeNo attributed, const std::atomic<bool>& stop,
          std::atomic<int>& wrong) {
  for (int i = 0; !stop; i++) {
    const std::string name = "t" + std::to_string(thread) + "." + std::to_string(i % 50);
    const auto made = rig.fs().create(kRoot, kRootInode, name, 0644, O_RDWR);
    if (made) {
      wrong += rig.fs().write(made->opened.handle, 0, bytes(name), false, false) ? 0 : 1;
      rig.fs().release(made->opened.handle);
      rig.fs().forget(made->attributes.ino, 1);
    } else {
      wrong += made.code() == EEXIST && rig.fs().unlink(kRootInode, name) ? 0 : 1;
    }
    wrong += rig.fs().fsync_dir(kRootInode) ? 0 : 1;
    const auto value = rig.fs().getxattr(attributed, "user.a2");
    wrong += value && value->size() == 18000 ? 0 : 1;
  }
}

}  // namespace

TEST_CASE("others work in directories and make files while all that moves") {
  CoreRig rig(CoreRig::Data::kExtents);
  for (const Sample& sample : samples()) {
    sample.make(rig);
  }
  std::atomic<bool> stop{false};
  std::atomic<int> wrong{0};
  const InodeNo attributed = rig.stat("attributed").ino;
  std::vector<std::thread> others;
  for (int t = 0; t < 3; t++) {
    others.emplace_back([&, t] { work(rig, t, attributed, stop, wrong); });
  }
  // What moves lands behind, and is moved again.
  std::uint64_t metadata = 0;
  constexpr std::uint64_t kStep = 512U << 10U;
  for (std::uint64_t at = 260 * kBlock; at < kTail; at += kStep) {
    const auto moved = rig.fs().evacuate(at, kStep, {});
    wrong += moved && moved->left.empty() ? 0 : 1;
    metadata += moved ? moved->metadata_moved : 0;
  }
  stop = true;
  for (std::thread& other : others) {
    other.join();
  }
  CHECK(wrong == 0);
  CHECK(metadata > 2 * kMiB);
  for (const Sample& sample : samples()) {
    CHECK(sample.whole(rig));
  }
  check_sound(rig);
}

}  // namespace pmemfs::test
