// Moving backing files: defragmentation on directory regions, and who comes in between.
#include <linux/falloc.h>

#include <atomic>
#include <thread>

#include "fragmented_rig.hpp"

namespace pmemfs::test {
namespace {

std::uint64_t incompat(CoreRig& rig) {
  const auto s = store::read_superblock(rig.region(), nullptr, nullptr);
  REQUIRE(s.ok());
  return s->incompat.load();
}

// Runs `meanwhile`, once, before the n-th call (0: the next) that `which` picks.
void before_call(CoreRig& rig, int nth, const std::function<bool(const HostCall&)>& which,
                 const std::function<void()>& meanwhile) {
  rig.backing().on_call([=, countdown = nth](const HostCall& call) mutable {
    if (which(call) && countdown-- == 0) {
      meanwhile();
    }
  });
}

// The calls of a move while it holds no lock.
bool unlocked(const HostCall& call) {
  return call.op != HostOp::kOpen && call.op != HostOp::kTakeLease && call.op != HostOp::kStat;
}

}  // namespace

TEST_CASE("a backing file is brought together, and only its host file is another") {
  Fragmented rig;
  const std::string value(9000, 'v');
  const InodeNo ino = rig.ino();
  REQUIRE(rig.fs().setxattr(kRoot, ino, "user.long", bytes(value), 0, false).ok());
  const std::string acl(
      "\x02\0\0\0\x01\0\6\0\xff\xff\xff\xff\x02\0\4\0\x39\0\0\0\x04\0\4\0\xff\xff\xff\xff"
      "\x10\0\4\0\xff\xff\xff\xff\x20\0\0\0\xff\xff\xff\xff",
      44);
  REQUIRE(rig.fs().setxattr(kRoot, ino, "system.posix_acl_access", bytes(acl), 0, false).ok());
  REQUIRE(rig.fs().link(ino, kRootInode, "link").ok());
  const Attributes before = rig.stat("one");
  const BackingName host = rig.host();
  REQUIRE(rig.extents("one").size() == kBlocks);
  CHECK(incompat(rig) == 0);
  const auto moved = rig.fs().defrag(ino, {});
  REQUIRE(moved.ok());
  CHECK(moved->files == 1);
  CHECK(moved->bytes == kBlocks * kBlock);
  CHECK(moved->finished);
  CHECK(incompat(rig) == format::kIncompatHostPlace);  // programs that would not find the file
  CHECK(rig.stat("one").atime == before.atime);
  for (const bool again : {false, true}) {
    CHECK(rig.extents("one").size() == 1);
    CHECK(rig.host() != host);
    CHECK(rig.get("one") == one());
    CHECK(rig.get("link") == one());
    const Attributes after = rig.stat("one");
    CHECK(after.generation == before.generation);
    CHECK(after.mtime == before.mtime);
    CHECK(after.nlink == 2);
    CHECK(rig.fs().getxattr(ino, "user.long")->size() == value.size());
    CHECK(rig.fs().getxattr(ino, "system.posix_acl_access")->size() == acl.size());
    if (!again) {
      rig.remount();
    }
  }
  CHECK(rig.fs().defrag(ino, {})->bytes == 0);
  CHECK(rig.fs().removexattr(kRoot, ino, "user.long").ok());
}

TEST_CASE("a time that was set stays set, and a time of the host's stays the host's") {
  Fragmented rig;
  AttributeChange change;
  change.mtime = Timestamp{1000, 5};
  REQUIRE(rig.fs().setattr(kRoot, rig.ino(), change).ok());
  const Timestamp two = rig.stat("two").mtime;
  const auto moved = rig.fs().defrag(InodeNo(), {});
  REQUIRE(moved.ok());
  CHECK(moved->files == 2);
  CHECK(rig.stat("one").mtime == Timestamp{1000, 5});
  CHECK(rig.stat("two").mtime == two);
}

TEST_CASE("holes and reserved space move as what they are; nothing beyond the end does") {
  Fragmented rig;
  const auto opened = rig.fs().open_file(rig.ino(), O_RDWR, false);
  REQUIRE(opened.ok());
  rig.write(opened->handle, 100 * kBlock, "after a hole");
  REQUIRE(rig.fs().fallocate(kRoot, opened->handle, 0, 150 * kBlock, 10 * kBlock).ok());
  const std::uint64_t blocks = rig.stat("one").blocks;
  REQUIRE(rig.fs()
              .fallocate(kRoot, opened->handle, FALLOC_FL_KEEP_SIZE, 160 * kBlock, 50 * kBlock)
              .ok());
  rig.fs().release(opened->handle);
  const auto moved = rig.fs().defrag(rig.ino(), {});
  REQUIRE(moved.ok());
  CHECK(moved->bytes == 31 * kBlock);
  CHECK(rig.stat("one").size == 160 * kBlock);
  CHECK(rig.stat("one").blocks == blocks);
  const auto lines = rig.extents("one");
  REQUIRE(lines.size() == 3);
  CHECK(lines[1].offset == 100 * kBlock);
  CHECK(lines[2].unwritten);
  std::string content = one();
  content.resize(160 * kBlock);
  content.replace(100 * kBlock, 12, "after a hole");
  CHECK(rig.get("one") == content);
  CHECK(rig.fs().defrag(rig.ino(), {})->bytes == 0);  // holes are no reason
}

TEST_CASE(
    "nothing moves that lies well, that would lie no better, or of which the host is silent") {
  CoreRig rig(CoreRig::Data::kBacking);
  rig.put("one", one());
  const InodeNo ino = rig.stat("one").ino;
  const auto before = rig.host_files(ino);
  rig.backing().forget_calls();
  CHECK(rig.fs().defrag(ino, {}).code() == EOPNOTSUPP);
  CHECK(rig.fs().defrag(InodeNo(), {}).code() == EOPNOTSUPP);
  rig.backing().tell_extents();
  CHECK(rig.fs().defrag(ino, {})->files == 0);
  CHECK(rig.fs().defrag(InodeNo(), {})->files == 0);
  CHECK(rig.backing().count(HostOp::kCreate) == 0);
  rig.backing().set_extents(
      {{0, kBlock, kBlock, true, false}, {kBlock, kBlock, 9 * kBlock, true, false}});
  const auto moved = rig.fs().defrag(ino, {});
  REQUIRE(moved.ok());
  CHECK(moved->files == 0);
  CHECK(rig.backing().count(HostOp::kCreate) == 1);
  CHECK(rig.backing().count(HostOp::kWrite) == 0);  // thrown away before it was filled
  CHECK(rig.host_files(ino) == before);
  CHECK(rig.get("one") == one());
}

TEST_CASE("durable files stay where they are and are listed; so do those in use") {
  Fragmented rig;
  rig.put("dir", "");
  REQUIRE(rig.fs().unlink(kRootInode, "dir").ok());
  const InodeNo dir = rig.mkdir("dir");
  REQUIRE(rig.set_durable("two") == 0);
  const InodeNo two = rig.stat("two").ino;
  const auto places = rig.extents("two");
  const auto host = rig.host_files(two);
  CHECK(rig.fs().defrag(dir, {}).code() == EISDIR);
  CHECK(rig.fs().defrag(two, {}).code() == ETXTBSY);
  CHECK(rig.fs().status().relocations_refused == 1);
  const auto opened = rig.fs().open_file(rig.ino(), O_RDONLY, false);
  REQUIRE(opened.ok());
  CHECK(rig.fs().defrag(rig.ino(), {}).code() == EBUSY);
  const auto all = rig.fs().defrag(InodeNo(), {});
  REQUIRE(all.ok());
  CHECK(all->files == 0);
  REQUIRE(all->left.size() == 2);
  CHECK(all->left[0].path == "/one");
  CHECK(all->left[0].reason == EBUSY);
  CHECK(all->left[0].bytes == kBlocks * kBlock);
  CHECK(all->left[1].path == "/two");
  CHECK(all->left[1].reason == ETXTBSY);
  REQUIRE(rig.fs().unlink(kRootInode, "one").ok());
  CHECK(rig.fs().defrag(all->left[0].ino, {}).code() == EBUSY);  // unlinked, but open
  CHECK(rig.read_all(opened->handle) == one());
  rig.fs().release(opened->handle);
  CHECK(rig.host_files(two) == host);
  CHECK(rig.extents("two") == places);
}

TEST_CASE("a file that outlived its daemon's handles is in use as long as somebody maps it") {
  Fragmented rig;
  const BackingName host = rig.host();
  rig.backing().hold_open(host);
  CHECK(rig.fs().defrag(rig.ino(), {}).code() == EBUSY);
  rig.kill();
  CHECK(rig.fs().defrag(rig.ino(), {}).code() == EBUSY);
  CHECK(rig.host() == host);
  rig.backing().release_open(host);
  CHECK(rig.fs().defrag(rig.ino(), {})->files == 1);
  CHECK(rig.get("one") == one());
}

TEST_CASE("whoever opens the file while it is copied comes first, and finds it whole") {
  int gave_way = 0;
  int nth = 0;
  for (;; nth++) {
    Fragmented rig;
    const InodeNo ino = rig.ino();
    HandleId handle = 0;
    bool reached = false;
    before_call(rig, nth, unlocked, [&] {
      reached = true;
      const auto opened = rig.fs().open_file(ino, O_RDWR, false);
      REQUIRE(opened.ok());
      handle = opened->handle;
      rig.write(handle, 5000, "written meanwhile");
    });
    const auto moved = rig.fs().defrag(ino, {});
    rig.backing().on_call({});
    if (!reached) {
      CHECK(moved.ok());
      break;
    }
    CHECK((moved.ok() || moved.code() == EBUSY));
    gave_way += moved.code() == EBUSY ? 1 : 0;
    std::string content = one();
    content.replace(5000, 17, "written meanwhile");
    REQUIRE(rig.read_all(handle) == content);
    rig.fs().release(handle);
    REQUIRE(rig.get("one") == content);
    REQUIRE(rig.host_files(ino).size() == 1);
  }
  CHECK(gave_way > 5);
  CHECK(gave_way == nth - 1);  // all but before the last call, which drops the old file
}

TEST_CASE("somebody beside us who opens the host file ends the move") {
  int gave_way = 0;
  int nth = 0;
  for (;; nth++) {
    Fragmented rig;
    const BackingName host = rig.host();
    bool reached = false;
    before_call(rig, nth, unlocked, [&] {
      reached = true;
      rig.backing().hold_open(host);
    });
    const auto moved = rig.fs().defrag(rig.ino(), {});
    rig.backing().on_call({});
    if (!reached) {
      break;
    }
    gave_way += moved.code() == EBUSY ? 1 : 0;
    REQUIRE((rig.host() == host) == !moved.ok());
    REQUIRE(rig.get("one") == one());
  }
  CHECK(gave_way > 5);
  CHECK(gave_way == nth - 1);  // all but before the last call, which drops the old file
}

TEST_CASE("who only looks at a file does not disturb its move; neither does another move") {
  Fragmented rig;
  const InodeNo ino = rig.ino();
  int looked = 0;
  rig.backing().on_call([&](const HostCall& call) {
    if (call.op == HostOp::kWrite) {
      looked++;
      const auto opened = rig.fs().open_file(ino, O_RDWR, false);  // and closed untouched
      REQUIRE(opened.ok());
      rig.fs().release(opened->handle);
      CHECK(rig.stat("one").size == kBlocks * kBlock);
      CHECK(rig.fs().defrag(ino, {}).code() == EBUSY);
      AttributeChange change;
      change.mode = 0600;
      CHECK(rig.fs().setattr(kRoot, ino, change).ok());
    }
  });
  CHECK(rig.fs().defrag(ino, {})->files == 1);
  CHECK(looked > 0);
  CHECK((rig.stat("one").mode & 07777U) == 0600);
  CHECK(rig.get("one") == one());
}

TEST_CASE("what is done to the file while it is copied counts: flag, size, name, end") {
  for (int what = 0; what < 4; what++) {
    Fragmented rig;
    const InodeNo ino = rig.ino();
    const BackingName host = rig.host();
    const auto copied = [](const HostCall& call) {
      return call.op == HostOp::kSetTimes;
    };
    before_call(rig, 0, copied, [&] {
      AttributeChange cut;
      cut.size = 6000;
      switch (what) {
        case 0:
          CHECK(rig.set_durable("one") == 0);
          break;
        case 1:
          CHECK(rig.fs().setattr(kRoot, ino, cut).ok());
          break;
        case 2:
          CHECK(rig.fs().rename(kRoot, kRootInode, "one", kRootInode, "two", 0).ok());
          break;
        default:
          CHECK(rig.fs().unlink(kRootInode, "one").ok());
          break;
      }
    });
    const int code = rig.fs().defrag(ino, {}).code();
    switch (what) {
      case 0:
        CHECK(code == ETXTBSY);
        CHECK(rig.host() == host);
        CHECK(rig.get("one") == one());
        break;
      case 1:
        CHECK(code == EBUSY);
        CHECK(rig.get("one") == one().substr(0, 6000));
        break;
      case 2:
        CHECK((code == 0 || code == EBUSY));
        CHECK(rig.get("two") == one());
        break;
      default:
        CHECK(code == ENOENT);
        CHECK(rig.host_files(ino).empty());
        break;
    }
  }
}

TEST_CASE("a watch that says no ends the move inside a file, which stays as it was") {
  Fragmented rig(1500);  // 6 MB
  const BackingName host = rig.host();
  int calls = 0;
  const auto moved = rig.fs().defrag(rig.ino(), [&](std::uint64_t done, std::uint64_t total) {
    CHECK(done <= total);
    CHECK(total == 1500 * kBlock);
    return ++calls < 2;
  });
  REQUIRE(moved.ok());
  CHECK(calls == 2);
  CHECK_FALSE(moved->finished);
  CHECK(moved->files == 0);
  CHECK(moved->bytes == 0);
  CHECK(rig.host() == host);
  CHECK(rig.get("one") == pattern_of(1500 * kBlock, 1).substr(0, 1U << 20U));
  CHECK(rig.fs().defrag(rig.ino(), {})->finished);
  CHECK(rig.host() != host);
}

TEST_CASE("whatever of a move the host refuses, the file stays, and nothing beside it") {
  int failed = 0;
  for (std::uint64_t nth = 1;; nth++) {
    Fragmented rig;
    const BackingName host = rig.host();
    rig.backing().forget_calls();
    rig.backing().fail_nth(nth, EIO);
    const auto moved = rig.fs().defrag(host.ino, {});
    if (rig.backing().calls().size() < nth) {
      CHECK(moved.ok());
      break;
    }
    failed++;
    if (!moved) {
      REQUIRE(rig.host_files(host.ino) == std::vector{host});
    }
    REQUIRE(rig.get("one") == one());
    rig.remount();  // collects the old file that could not be unlinked
    REQUIRE(rig.host_files(host.ino).size() == 1);
    REQUIRE(rig.get("one") == one());
  }
  CHECK(failed > 10);
}

TEST_CASE("files are read, written and replaced while everything is defragmented") {
  const std::string content = pattern_of(200 * kBlock, 1);
  Fragmented rig(200);
  std::atomic<bool> stop{false};
  std::atomic<int> wrong{0};
  std::thread others([&] {
    for (int i = 0; !stop; i++) {
      const std::string name = "new" + std::to_string(i % 3);
      auto made = rig.fs().create(kRoot, kRootInode, name, 0644, O_RDWR);
      if (made) {
        for (std::uint64_t at = 0; at < 5; at++) {
          wrong +=
              rig.fs().write(made->opened.handle, at * kBlock, bytes("x"), false, false) ? 0 : 1;
        }
        rig.close(*made);
      }
      const std::string found = rig.get("one");
      wrong += found.size() == content.size() ? 0 : 1;
      for (std::size_t at = 0; at < std::min(found.size(), content.size()); at++) {
        wrong += found[at] == content[at] || found[at] == '\0' ? 0 : 1;  // punched right now
      }
      wrong += rig.fs().unlink(kRootInode, name).ok() ? 0 : 1;
    }
  });
  std::uint64_t moved = 0;
  for (int i = 0; i < 40; i++) {
    const auto all = rig.fs().defrag(InodeNo(), {});
    CHECK(all.ok());
    moved += all ? all->files : 0;
    const auto opened = rig.fs().open_file(rig.ino(), O_RDWR, false);
    REQUIRE(opened.ok());
    const std::uint64_t at = static_cast<std::uint64_t>(100 + i) * kBlock;
    REQUIRE(rig.fs()
                .fallocate(kRoot, opened->handle, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at,
                           kBlock)
                .ok());
    rig.write(opened->handle, at, std::string_view(content).substr(at, kBlock));
    rig.fs().release(opened->handle);
  }
  stop = true;
  others.join();
  CHECK(wrong == 0);
  CHECK(moved > 0);
  CHECK(rig.get("one") == content);
}

}  // namespace pmemfs::test
