// Moving data within a region: frames, defragmentation, evacuation, and power cuts in the middle.
#include <sstream>
#include <thread>

#include "core_rig.hpp"
#include "every_fence.hpp"
#include "support/extent_text.hpp"

namespace pmemfs::test {
namespace {

constexpr std::uint64_t kBlock = 4096;
constexpr std::uint64_t kFrame = 2U << 20U;

std::string pattern_of(std::uint64_t size, unsigned seed) {
  std::string text(size, '\0');
  for (std::uint64_t i = 0; i < size; i++) {
    text[i] = static_cast<char>('a' + (i / 100 + seed) % 26);
  }
  return text;
}

std::vector<ExtentLine> extents(CoreRig& rig, std::string_view name) {
  const auto text = rig.fs().getxattr(rig.stat(name).ino, "user.pmemfs.extents");
  REQUIRE(text.ok());
  return parse_extents({reinterpret_cast<const char*>(text->data()), text->size()});
}

// Two files written block by block in turns: their blocks alternate.
void interleave(CoreRig& rig, std::string_view one, std::string_view two, std::uint64_t blocks) {
  const Created a = rig.create(one);
  const Created b = rig.create(two);
  const std::string content_a = pattern_of(blocks * kBlock, 1);
  const std::string content_b = pattern_of(blocks * kBlock, 2);
  for (std::uint64_t i = 0; i < blocks; i++) {
    rig.write(a.opened.handle, i * kBlock, std::string_view(content_a).substr(i * kBlock, kBlock));
    rig.write(b.opened.handle, i * kBlock, std::string_view(content_b).substr(i * kBlock, kBlock));
  }
  rig.close(a);
  rig.close(b);
}

// Fills the region with small files and removes every second of them: no whole frame is free.
void make_holes(CoreRig& rig) {
  const std::string content = pattern_of(64U << 10U, 3);
  int count = 0;
  for (;; count++) {
    auto made = rig.fs().create(kRoot, kRootInode, "small" + std::to_string(count), 0644, O_RDWR);
    REQUIRE(made.ok());
    const auto written = rig.fs().write(made->opened.handle, 0, bytes(content), false, false);
    rig.close(*made);
    if (!written) {
      REQUIRE(written.code() == ENOSPC);
      break;
    }
  }
  REQUIRE(rig.fs().unlink(kRootInode, "small" + std::to_string(count)).ok());
  for (int i = 0; i < count; i += 2) {
    REQUIRE(rig.fs().unlink(kRootInode, "small" + std::to_string(i)).ok());
  }
}

}  // namespace

TEST_CASE("frames are emptied when a durable file needs them") {
  CoreRig rig(CoreRig::Data::kExtents);
  make_holes(rig);
  rig.put("file", pattern_of(5 * kFrame + 5000, 4));
  REQUIRE(extents(rig, "file").size() > 10);
  REQUIRE(rig.set_durable("file") == 0);
  const auto lines = extents(rig, "file");
  std::uint64_t framed = 0;
  for (const ExtentLine& line : lines) {
    CHECK_FALSE(line.unwritten);
    framed += line.at % kFrame == line.offset % kFrame ? line.length / kFrame : 0;
  }
  CHECK(framed == 5);
  CHECK(rig.get("file") == pattern_of(5 * kFrame + 5000, 4).substr(0, 1U << 20U));
  for (int i = 1; rig.exists("small" + std::to_string(i)); i += 2) {
    REQUIRE(rig.get("small" + std::to_string(i)) ==
            pattern_of(64U << 10U, 3).substr(0, 64U << 10U));
  }
}

TEST_CASE("frames that a durable file lies in are not emptied, nor moved by anything") {
  CoreRig rig(CoreRig::Data::kExtents);
  interleave(rig, "pinned", "other", 300);
  REQUIRE(rig.set_durable("pinned") == 0);
  const auto before = extents(rig, "pinned");
  const std::uint64_t refused = rig.fs().status().relocations_refused;
  CHECK(rig.fs().defrag(rig.stat("pinned").ino, {}).code() == ETXTBSY);
  CHECK(rig.fs().status().relocations_refused == refused + 1);
  REQUIRE(rig.fs().defrag(InodeNo(), {}).ok());
  REQUIRE(rig.fs().make_frames(16).ok());
  const auto moved = rig.fs().evacuate(0, 32U << 20U, {});
  REQUIRE(moved.ok());
  CHECK(extents(rig, "pinned") == before);
  const auto left = std::find_if(moved->left.begin(), moved->left.end(),
                                 [](const LeftBehind& l) { return l.path == "/pinned"; });
  REQUIRE(left != moved->left.end());
  CHECK(left->reason == ETXTBSY);
  CHECK(left->bytes == 300 * kBlock);
}

TEST_CASE("defragmentation brings a file together and keeps its bytes and times") {
  CoreRig rig(CoreRig::Data::kExtents);
  interleave(rig, "one", "two", 250);
  REQUIRE(extents(rig, "one").size() == 250);
  const Attributes before = rig.stat("one");
  const auto moved = rig.fs().defrag(before.ino, {});
  REQUIRE(moved.ok());
  CHECK(moved->bytes == 250 * kBlock);
  CHECK(moved->finished);
  CHECK(extents(rig, "one").size() == 1);
  CHECK(rig.get("one") == pattern_of(250 * kBlock, 1));
  CHECK(rig.stat("one").mtime == before.mtime);
  CHECK(rig.stat("one").ctime == before.ctime);
  const auto again = rig.fs().defrag(before.ino, {});
  REQUIRE(again.ok());
  CHECK(again->bytes == 0);
  const auto all = rig.fs().defrag(InodeNo(), {});
  REQUIRE(all.ok());
  CHECK(all->files == 1);
  CHECK(extents(rig, "two").size() == 1);
  CHECK(rig.get("two") == pattern_of(250 * kBlock, 2));
}

TEST_CASE("holes and unwritten ranges stay what they are where data moves") {
  CoreRig rig(CoreRig::Data::kExtents);
  interleave(rig, "one", "two", 20);
  const auto opened = rig.fs().open_file(rig.stat("one").ino, O_RDWR, false);
  REQUIRE(opened.ok());
  rig.write(opened->handle, 100 * kBlock, "after a hole");
  REQUIRE(rig.fs().fallocate(kRoot, opened->handle, 0, 150 * kBlock, 10 * kBlock).ok());
  const std::uint64_t blocks = rig.stat("one").blocks;
  REQUIRE(rig.fs().defrag(rig.stat("one").ino, {}).ok());
  CHECK(rig.stat("one").blocks == blocks);
  const auto lines = extents(rig, "one");
  REQUIRE(lines.size() == 3);
  CHECK(lines[2].unwritten);
  CHECK(*rig.fs().seek(opened->handle, 20 * kBlock, SEEK_DATA) == 100 * kBlock);
  rig.fs().release(opened->handle);
}

TEST_CASE("an evacuated range is empty, and stays so as long as the filesystem is open") {
  CoreRig rig(CoreRig::Data::kExtents);
  interleave(rig, "one", "two", 250);
  const ExtentLine first = extents(rig, "one").front();
  const std::uint64_t from = first.at / kFrame * kFrame;
  const auto moved = rig.fs().evacuate(from, kFrame, {});
  REQUIRE(moved.ok());
  CHECK(moved->bytes > 0);
  CHECK(moved->left.empty());
  const auto outside = [&](std::string_view name) {
    const auto lines = extents(rig, name);
    return std::none_of(lines.begin(), lines.end(), [&](const ExtentLine& line) {
      return line.at < from + kFrame && line.at + line.length > from;
    });
  };
  CHECK(outside("one"));
  CHECK(outside("two"));
  CHECK(rig.get("one") == pattern_of(250 * kBlock, 1));
  CHECK(rig.fs().evacuate(from, kBlock, {}).code() == EBUSY);
  for (int i = 0; i < 30; i++) {
    const std::string name = "new" + std::to_string(i);
    rig.put(name, pattern_of(200'000, 5));
    CHECK(outside(name));
  }
  rig.remount();
  CHECK(rig.get("two") == pattern_of(250 * kBlock, 2));
  CHECK(rig.fs().evacuate(from, kFrame, {}).ok());
}

TEST_CASE("a watch that says no ends the work, and what was moved stays moved") {
  CoreRig rig(CoreRig::Data::kExtents);
  rig.put("big", pattern_of(4 * kFrame, 6));
  int calls = 0;
  const auto moved = rig.fs().evacuate(0, 16U << 20U, [&](std::uint64_t done, std::uint64_t total) {
    CHECK(done <= total);
    return ++calls < 2;
  });
  REQUIRE(moved.ok());
  CHECK(calls == 2);
  CHECK_FALSE(moved->finished);
}

TEST_CASE("what these commands refuse") {
  CoreRig rig(CoreRig::Data::kExtents);
  const InodeNo dir = rig.mkdir("dir");
  CHECK(rig.fs().defrag(dir, {}).code() == EISDIR);
  CHECK(rig.fs().evacuate(0, 0, {}).code() == EINVAL);
  CHECK(rig.fs().evacuate(32U << 20U, 1, {}).code() == EINVAL);
  CHECK(rig.fs().evacuate(4096, UINT64_MAX, {}).code() == EINVAL);
  CoreRig backing(CoreRig::Data::kBacking);
  CHECK(backing.fs().evacuate(0, 4096, {}).code() == EOPNOTSUPP);
  CHECK(backing.fs().make_frames(1).code() == EOPNOTSUPP);
}

TEST_CASE("a power cut at any fence of a move leaves the bytes") {
  CoreRig rig(CoreRig::Data::kExtents);
  interleave(rig, "one", "two", 60);
  const InodeNo ino = rig.stat("one").ino;
  at_every_fence(
      rig, [&] { REQUIRE(rig.fs().defrag(ino, {}).ok()); },
      [&] {
        REQUIRE(rig.get("one") == pattern_of(60 * kBlock, 1));
        REQUIRE(rig.get("two") == pattern_of(60 * kBlock, 2));
        rig.remount();  // clean: no block has two owners, none is lost
        REQUIRE(rig.get("one") == pattern_of(60 * kBlock, 1));
      });
}

TEST_CASE("readers and writers go on while data moves") {
  CoreRig rig(CoreRig::Data::kExtents);
  interleave(rig, "one", "two", 200);
  const InodeNo ino = rig.stat("one").ino;
  const auto opened = rig.fs().open_file(ino, O_RDWR, false);
  REQUIRE(opened.ok());
  std::atomic<bool> stop{false};
  std::atomic<int> wrong{0};
  std::thread reader([&] {
    std::vector<std::byte> buffer(kBlock);
    while (!stop) {
      for (std::uint64_t i = 0; i < 199; i++) {
        const auto n = rig.fs().read(opened->handle, i * kBlock, buffer);
        const std::string_view got(reinterpret_cast<const char*>(buffer.data()), buffer.size());
        wrong += !n || got != pattern_of(kBlock * 200, 1).substr(i * kBlock, kBlock) ? 1 : 0;
      }
    }
  });
  for (int i = 0; i < 20; i++) {
    rig.write(opened->handle, 199 * kBlock, "written meanwhile");
    REQUIRE(rig.fs().make_frames(12).ok());
    REQUIRE(rig.fs().defrag(ino, {}).ok());
    REQUIRE(rig.fs().defrag(rig.stat("two").ino, {}).ok());
  }
  stop = true;
  reader.join();
  CHECK(wrong == 0);
  CHECK(rig.read_all(opened->handle, 199 * kBlock).substr(0, 17) == "written meanwhile");
  rig.fs().release(opened->handle);
}

}  // namespace pmemfs::test
