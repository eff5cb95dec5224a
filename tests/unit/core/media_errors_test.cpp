// The filesystem over memory that fails: real SIGBUS, see MemoryRegion::lose. Data lies in extents.
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "base/log.hpp"
#include "harness/catch.hpp"
#include "pmemfs/filesystem.hpp"
#include "store/store.hpp"
#include "support/extent_text.hpp"
#include "support/memory_filesystem.hpp"
#include "support/memory_region.hpp"

using namespace pmemfs;
using test::MemoryRegion;

namespace {

constexpr std::uint64_t kSize = 32U << 20U;
constexpr std::uint64_t kBlock = 4096;
constexpr Caller kRoot{0, 0, 1, 022};

struct Rig {
  Rig() {
    base::log::init_callback([](base::log::Level, const std::string&) {});
    fs = test::make_filesystem(*memory);
  }

  Created put(const char* name, char content, std::uint64_t blocks) const {
    const auto made = fs->create(kRoot, kRootInode, name, 0644, 2);
    REQUIRE(made);
    const std::vector<std::byte> bytes(blocks * kBlock, static_cast<std::byte>(content));
    REQUIRE(fs->write(made->opened.handle, 0, bytes, false, false).code() == 0);
    return *made;
  }
  // Where the file's block lies.
  [[nodiscard]] ByteOff place(const Created& file, std::uint64_t block) const {
    const auto text = fs->getxattr(file.attributes.ino, "user.pmemfs.extents");
    REQUIRE(text);
    const std::string lines(reinterpret_cast<const char*>(text->data()), text->size());
    for (const test::ExtentLine& line : test::parse_extents(lines)) {
      if (block * kBlock >= line.offset && block * kBlock < line.offset + line.length) {
        return ByteOff(line.at + block * kBlock - line.offset);
      }
    }
    return ByteOff(0);
  }
  // 0 when all of it is `content`, else the errno, or -1.
  [[nodiscard]] int read(const Created& file, std::uint64_t block, std::uint64_t blocks,
                         char content) const {
    std::vector<std::byte> bytes(blocks * kBlock);
    const auto n = fs->read(file.opened.handle, block * kBlock, bytes);
    const bool whole =
        n && *n == bytes.size() && std::all_of(bytes.begin(), bytes.end(), [&](std::byte b) {
          return b == static_cast<std::byte>(content);
        });
    return n ? whole ? 0 : -1 : n.code();
  }
  [[nodiscard]] int write(const Created& file, std::uint64_t off, std::size_t n) const {
    const std::vector<std::byte> bytes(n, std::byte{'w'});
    return fs->write(file.opened.handle, off, bytes, false, false).code();
  }

  MemoryRegion memory{kSize};
  std::unique_ptr<Filesystem> fs;
};

}  // namespace

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

TEST_CASE("data that cannot be stored is EIO, and nothing of the write is seen") {
  const Rig rig;
  const Created file = rig.put("file", 'a', 16);
  rig.memory.lose(rig.place(file, 5));
  CHECK(rig.write(file, 5 * kBlock, kBlock) == EIO);
  CHECK(rig.write(file, 5 * kBlock + 100, 10) == EIO);  // the page is known now
  CHECK(rig.write(file, 4 * kBlock, 40 * kBlock) == EIO);
  CHECK(rig.fs->getattr(file.attributes.ino)->size == 16 * kBlock);
  CHECK(rig.read(file, 5, 1, 'w') == EIO);
  CHECK(rig.write(file, 6 * kBlock, kBlock) == 0);
  CHECK(rig.read(file, 6, 1, 'w') == 0);
}

TEST_CASE("a new file gets other blocks than lost ones, after at most one error") {
  const Rig rig;
  const Created file = rig.put("file", 'a', 1);
  const ByteOff next(rig.place(file, 0).value + kBlock);
  rig.memory.lose(next);
  int failed = 0;
  for (std::uint64_t i = 1; i < 20; ++i) {
    failed += rig.write(file, i * kBlock, kBlock) == 0 ? 0 : 1;
  }
  CHECK(failed == 1);
  for (std::uint64_t i = 2; i < 20; ++i) {
    CHECK(rig.place(file, i) != next);
    CHECK(rig.read(file, i, 1, 'w') == 0);
  }
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

TEST_CASE("what was written beside lost data is found again by the next mount") {
  Rig rig;
  const Created file = rig.put("file", 'a', 16);
  rig.memory.lose(rig.place(file, 5));
  CHECK(rig.write(file, 5 * kBlock, kBlock) == EIO);
  CHECK(rig.write(file, 6 * kBlock, kBlock) == 0);
  rig.fs->release(file.opened.handle);
  REQUIRE(rig.fs->close());
  rig.fs.reset();
  rig.memory.map_again();
  store::OpenReport report;
  auto store = store::Store::open(*rig.memory, &report);
  REQUIRE(store);
  CHECK(report.damaged_structures == 0);
  FilesystemOptions options;
  options.background = false;
  auto opened_again = Filesystem::open(std::move(*store), nullptr, options);
  REQUIRE(opened_again);
  rig.fs = std::move(*opened_again);
  const auto opened = rig.fs->open_file(file.attributes.ino, 0, false);
  REQUIRE(opened);
  const Created again{file.attributes, *opened};
  CHECK(rig.read(again, 0, 6, 'a') == 0);  // the page came back as it was
  CHECK(rig.read(again, 6, 1, 'w') == 0);
}
