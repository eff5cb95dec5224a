// A region that becomes smaller: what moves, what is refused, and power cuts in the middle.
#include <atomic>
#include <thread>

#include "every_fence.hpp"
#include "store/store.hpp"
#include "tail_support.hpp"

namespace pmemfs::test {
namespace {

void make_all(CoreRig& rig) {
  for (const Sample& sample : samples()) {
    sample.make(rig);
  }
}

bool all_whole(CoreRig& rig) {
  return std::ranges::all_of(samples(), [&](const Sample& sample) {
    INFO(sample.name);
    const bool whole = sample.whole(rig);
    CHECK(whole);
    return whole;
  });
}

std::uint64_t size_of(CoreRig& rig) {
  return rig.fs().status().region_bytes;
}

void check_shrunk(CoreRig& rig, std::uint64_t size) {
  const auto done = rig.fs().shrink_region(size, {});
  REQUIRE(done.code() == 0);
  CHECK(done->finished);
  CHECK(done->left.empty());
  CHECK(done->metadata_left == 0);
  CHECK(size_of(rig) == size);
  CHECK(rig.region().size() == size);
}

}  // namespace

TEST_CASE("a region shrinks under everything that lies in its tail") {
  CoreRig rig(CoreRig::Data::kExtents);
  make_in_tail(rig, [&] { make_all(rig); });
  const std::uint64_t before = free_bytes(rig);
  check_shrunk(rig, kTail);
  CHECK(free_bytes(rig) >= before - kTail);
  CHECK(free_bytes(rig) <= before - kTail + 4 * kBlock);  // extent blocks that were merged away
  CHECK(all_whole(rig));
  check_sound(rig);
  CHECK(size_of(rig) == kTail);
  CHECK(all_whole(rig));
  // It is full where it ends, and can grow again, into zeros.
  std::uint64_t written = 0;
  const Created file = rig.create("filler");
  const std::string mib(kMiB, 'f');
  while (rig.fs().write(file.opened.handle, written, bytes(mib), false, false)) {
    written += kMiB;
  }
  CHECK(written > 10 * kMiB);
  CHECK(written < kTail);
  REQUIRE(rig.fs().grow(24 * kMiB).ok());
  rig.write(file.opened.handle, written, mib);
  rig.close(file);
  check_sound(rig);
  CHECK(size_of(rig) == 24 * kMiB);
  CHECK(all_whole(rig));
}

TEST_CASE("a power cut at any fence of shrinking leaves the old size or the new one") {
  CoreRig rig(CoreRig::Data::kExtents);
  // Some of the kinds: each by itself has a test of its own.
  const auto& kinds = samples();
  const auto whole = [&] {
    return kinds[0].whole(rig) && kinds[3].whole(rig) && kinds[6].whole(rig);
  };
  make_in_tail(rig, [&] {
    for (const std::size_t i : {0U, 3U, 6U}) {
      kinds[i].make(rig);
    }
  });
  bool old_seen = false;
  bool longer_seen = false;
  at_every_fence(
      rig, [&] { check_shrunk(rig, kTail); },
      [&] {
        const std::uint64_t size = size_of(rig);
        REQUIRE((size == 2 * kTail || size == kTail));
        old_seen = old_seen || size == 2 * kTail;
        REQUIRE(whole());
        if (rig.region().size() > kTail) {
          longer_seen = longer_seen || size == kTail;
          check_shrunk(rig, kTail);  // goes on, or cuts the file alone
          REQUIRE(whole());
        }
        CHECK(rig.fs().shrink_region(kTail, {}).code() == EINVAL);
        check_sound(rig);
      });
  CHECK(old_seen);
  CHECK(longer_seen);
}

TEST_CASE("durable files in the tail: ETXTBSY for each, before anything moves") {
  CoreRig rig(CoreRig::Data::kExtents);
  make_in_tail(rig, [&] {
    make_all(rig);
    rig.mkdir("folder");
    const Created file = rig.create("kept", O_RDWR, rig.stat("folder").ino);
    rig.write(file.opened.handle, 0, pattern_of(10'000, 1));
    rig.close(file);
    REQUIRE(
        rig.fs()
            .setxattr(kRoot, file.attributes.ino, "user.pmemfs.mmap_durable", bytes("1"), 0, false)
            .ok());
    REQUIRE(rig.set_durable("pieces") == 0);
  });
  const auto before = extents_of(rig, "data");
  const std::uint64_t free = free_bytes(rig);
  const auto refused = rig.fs().shrink_region(kTail, {});
  REQUIRE(refused.ok());
  REQUIRE(refused->left.size() == 2);
  for (const LeftBehind& file : refused->left) {
    CHECK(file.reason == ETXTBSY);
    CHECK((file.path == "/pieces" || (file.path == "/folder/kept" && file.bytes == 3 * kBlock)));
  }
  CHECK(refused->bytes + refused->metadata_moved == 0);
  CHECK(extents_of(rig, "data") == before);
  CHECK(size_of(rig) == 2 * kTail);
  CHECK(rig.region().size() == 2 * kTail);
  CHECK(free_bytes(rig) == free);  // the tail is free for all again
  // Below them there is room to go.
  std::uint64_t last = 0;
  for (const ExtentLine& line : extents_of(rig, "pieces")) {
    last = std::max(last, line.at + line.length);
  }
  check_shrunk(rig, std::max(last, kTail + 8 * kMiB));
}

TEST_CASE("a file that is made durable meanwhile stays, and the size with it") {
  CoreRig rig(CoreRig::Data::kExtents);
  make_in_tail(rig, [&] {
    make_all(rig);
    rig.put("late", pattern_of(3 * kMiB, 7));
  });
  const auto refused = rig.fs().shrink_region(kTail, [&](std::uint64_t, std::uint64_t) {
    if (!rig.stat("late").durable) {
      REQUIRE(rig.set_durable("late") == 0);
    }
    return true;
  });
  REQUIRE(refused.ok());
  REQUIRE(refused->left.size() == 1);
  CHECK(refused->left[0].path == "/late");
  CHECK(refused->left[0].reason == ETXTBSY);
  CHECK(size_of(rig) == 2 * kTail);
  CHECK(all_whole(rig));
  check_sound(rig);
}

TEST_CASE("what does not fit in the rest is ENOSPC, before anything moves") {
  CoreRig rig(CoreRig::Data::kExtents);
  const Created file = rig.create("big");
  for (std::uint64_t i = 0; i < 20; i++) {
    rig.write(file.opened.handle, i * kMiB, std::string(kMiB, 'b'));
  }
  rig.close(file);
  const auto before = extents_of(rig, "big");
  const std::uint64_t free = free_bytes(rig);
  CHECK(rig.fs().shrink_region(kTail, {}).code() == ENOSPC);
  CHECK(rig.fs().shrink_region(20 * kMiB, {}).code() == ENOSPC);
  CHECK(extents_of(rig, "big") == before);
  CHECK(free_bytes(rig) == free);
  CHECK(size_of(rig) == 2 * kTail);
  check_shrunk(rig, 24 * kMiB);
}

TEST_CASE("sizes and regions that shrinking refuses") {
  CoreRig rig(CoreRig::Data::kExtents);
  const auto code = [&](std::uint64_t size) {
    return rig.fs().shrink_region(size, {}).code();
  };
  CHECK(code(32 * kMiB) == EINVAL);
  CHECK(code(64 * kMiB) == EINVAL);
  CHECK(code(20 * kMiB + 1) == EINVAL);
  CHECK(code(16 * kMiB - kBlock) == EINVAL);
  CHECK(code(0) == EINVAL);
  CHECK(size_of(rig) == 32 * kMiB);
  rig.region().set_read_only(true);
  CHECK(code(kTail) == EROFS);
  rig.region().set_read_only(false);
  CoreRig backing(CoreRig::Data::kBacking);
  CHECK(backing.fs().shrink_region(kTail, {}).code() == EOPNOTSUPP);
}

TEST_CASE("a region in which damage was found does not shrink") {
  CoreRig rig(CoreRig::Data::kExtents);
  rig.put("file", "x");
  rig.kill();
  const std::byte wrong{0xFF};
  rig.region().poke(ByteOff(260 * kBlock + 2 * 256 + 20), &wrong, 1);  // inode 2
  rig.kill();
  REQUIRE(rig.report().damaged_structures > 0);
  CHECK(rig.fs().shrink_region(kTail, {}).code() == EUCLEAN);
}

TEST_CASE("evacuated ranges in the tail and across its start are no obstacle") {
  CoreRig rig(CoreRig::Data::kExtents);
  make_in_tail(rig, [&] { make_all(rig); });
  REQUIRE(rig.fs().evacuate(kTail - kMiB, 2 * kMiB, {}).ok());
  REQUIRE(rig.fs().evacuate(kTail + 4 * kMiB, kMiB, {}).ok());
  const std::uint64_t held = kMiB - 2 * kBlock;  // the second copies are there
  const std::uint64_t before = free_bytes(rig);
  check_shrunk(rig, kTail);
  CHECK(rig.fs().evacuate(kTail - kMiB, kMiB, {}).ok());  // still held: the same again goes on
  CHECK(free_bytes(rig) < before);
  const std::uint64_t free = free_bytes(rig);
  rig.remount();
  CHECK(free_bytes(rig) == free + held);
  CHECK(all_whole(rig));
  check_sound(rig);
}

TEST_CASE("interrupted work can go on") {
  CoreRig rig(CoreRig::Data::kExtents);
  make_in_tail(rig, [&] {
    make_all(rig);
    rig.put("big", pattern_of(5 * kMiB, 3));
  });
  const std::uint64_t free = free_bytes(rig);
  const auto at_most = [](int steps) {
    return [steps](std::uint64_t, std::uint64_t) mutable {
      return --steps > 0;
    };
  };
  for (int i = 1; i < 4; i++) {
    const auto ended = rig.fs().shrink_region(kTail, at_most(i));
    REQUIRE(ended.ok());
    CHECK_FALSE(ended->finished);
    CHECK(size_of(rig) == 2 * kTail);
    CHECK(free_bytes(rig) >= free);  // nothing is held any more
    const auto moved = rig.fs().evacuate(kTail, kTail, at_most(i));
    REQUIRE(moved.ok());
    CHECK_FALSE(moved->finished);
    CHECK(free_bytes(rig) >= free);
    CHECK(all_whole(rig));
  }
  const auto moved = rig.fs().evacuate(kTail, kTail, {});
  REQUIRE(moved.ok());
  CHECK(moved->metadata_left == 0);
  check_shrunk(rig, kTail);
  CHECK(all_whole(rig));
  check_sound(rig);
}

TEST_CASE("others go on while a region shrinks and grows") {
  CoreRig rig(CoreRig::Data::kExtents);
  make_in_tail(rig, [&] { make_all(rig); });
  std::atomic<bool> stop{false};
  std::atomic<int> wrong{0};
  std::vector<std::thread> others;
  for (int t = 0; t < 2; t++) {
    others.emplace_back([&, t] {
      const std::string content(200'000, static_cast<char>('A' + t));
      for (int i = 0; !stop; i++) {
        const std::string name = std::to_string(t) + "." + std::to_string(i % 8);
        (void)rig.fs().unlink(kRootInode, name);
        const auto made = rig.fs().create(kRoot, kRootInode, name, 0644, O_RDWR);
        wrong += made ? 0 : 1;
        if (made) {
          const auto n = rig.fs().write(made->opened.handle, 0, bytes(content), false, false);
          wrong += n && rig.read_all(made->opened.handle) == content ? 0 : 1;
          rig.fs().release(made->opened.handle);
          rig.fs().forget(made->attributes.ino, 1);
        }
      }
    });
  }
  int shrunk = 0;
  for (int i = 0; i < 20; i++) {
    const auto done = rig.fs().shrink_region(kTail + static_cast<std::uint64_t>(i) * kBlock, {});
    shrunk += done && done->finished && done->left.empty() ? 1 : 0;
    wrong += done || done.code() == EBUSY ? 0 : 1;
    wrong += rig.fs().grow(2 * kTail).ok() || !done ? 0 : 1;
  }
  stop = true;
  for (std::thread& other : others) {
    other.join();
  }
  CHECK(wrong == 0);
  CHECK(shrunk > 10);
  CHECK(all_whole(rig));
  check_sound(rig);
}

}  // namespace pmemfs::test
