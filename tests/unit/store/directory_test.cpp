#include "store/directory.hpp"

#include <dirent.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <random>
#include <set>
#include <string>

#include "format/checks.hpp"
#include "format/layout.hpp"
#include "harness/catch.hpp"
#include "small_fs.hpp"
#include "store/dir_index.hpp"
#include "store/extent_map.hpp"
#include "support/memory_region.hpp"
#include "support/sim_region.hpp"

using namespace pmemfs;
using test::SmallFs;

namespace {

#ifdef __SANITIZE_ADDRESS__
constexpr int kMillion = 100000;
#elif defined(__SANITIZE_THREAD__)
constexpr int kMillion = 20000;
#else
constexpr int kMillion = 1000000;
#endif

// What next() gives from `from` on.
std::map<std::string, std::uint64_t> listing(const store::Directory& dir, std::uint64_t from = 0) {
  std::map<std::string, std::uint64_t> names;
  std::uint64_t last = 0;
  for (std::uint64_t at = from;;) {
    const auto entry = test::must(dir.next(at));
    if (!entry) {
      return names;
    }
    REQUIRE(entry->position >= at);
    REQUIRE(entry->position > last);
    last = entry->position;
    REQUIRE(names.emplace(entry->name, entry->position).second);
    at = entry->position + 1;
  }
}

std::string long_name(int i) {
  std::string name = std::to_string(i);
  name.resize(format::kMaxName, 'x');
  return name;
}

}  // namespace

TEST_CASE("an empty directory has no block, no entry and little memory") {
  const test::MemoryRegion region(16U << 20U);
  SmallFs::format(*region);
  SmallFs fs(*region);
  CHECK(fs.root_inode().size.load() == 0);
  CHECK(fs.root().entries() == 0);
  CHECK(fs.root().find("a").code() == ENOENT);
  CHECK(listing(fs.root()).empty());
  CHECK(fs.root().memory_bytes() < 600);
}

TEST_CASE("names of 1 and 255 bytes, and what lies between slots") {
  const test::MemoryRegion region(16U << 20U);
  SmallFs::format(*region);
  SmallFs fs(*region);
  std::set<std::string> names;
  for (const std::size_t length :
       {1U, 2U, 39U, 40U, 41U, 103U, 104U, 105U, 168U, 169U, 232U, 233U, 254U, 255U}) {
    const std::string name(length, 'n');
    names.insert(name);
    const InodeNo ino = test::must(fs.create(name));
    CHECK(fs.find(name) == ino);
  }
  fs.reload_root();
  CHECK(fs.root().entries() == names.size());
  for (const std::string& name : names) {
    CHECK(fs.find(name));
  }
  for (const std::string& name : names) {
    REQUIRE(fs.unlink(name));
  }
  CHECK(fs.root().entries() == 0);
}

TEST_CASE("a header's bytes without a meaning stay, and stay under its crc") {
  const test::MemoryRegion region(16U << 20U);
  SmallFs::format(*region);
  SmallFs fs(*region);
  test::must(fs.create("first"));
  const auto mapped = test::must(store::ExtentMap::load(fs.store(), fs.root_inode()));
  const ByteOff at = format::byte_off(mapped->at(0).physical);
  format::DirHeader header{};
  std::memcpy(&header, region->data() + at.value, sizeof(header));
  header.reserved0.store(7);
  format::seal(header);
  region->store(at, &header, sizeof(header));
  fs.reload_root();
  test::must(fs.create("second"));
  fs.reload_root();
  CHECK(fs.find("first"));
  CHECK(fs.find("second"));
  std::memcpy(&header, region->data() + at.value, sizeof(header));
  CHECK(header.reserved0.load() == 7);
}

TEST_CASE("names are bytes") {
  const test::MemoryRegion region(16U << 20U);
  SmallFs::format(*region);
  SmallFs fs(*region);
  const std::string odd("\xff\x01\n \x80", 5);
  const InodeNo ino = test::must(fs.create(odd));
  CHECK(fs.find(odd) == ino);
  CHECK_FALSE(fs.find("\xff"));
}

TEST_CASE("directories of 63 and of 10 000 names, found again after a reload") {
  const test::MemoryRegion region(64U << 20U);
  SmallFs::format(*region);
  SmallFs fs(*region);
  const int count = GENERATE(63, 64, 10000);
  for (int i = 0; i < count; ++i) {
    test::must(fs.create("name " + std::to_string(i)));
  }
  if (count == 63) {
    CHECK(fs.root_inode().size.load() == 4096);  // exactly full
  }
  const auto before = listing(fs.root());
  CHECK(before.size() == static_cast<std::size_t>(count));
  fs.reload_root();
  CHECK(listing(fs.root()) == before);
  for (int i = 0; i < count; ++i) {
    REQUIRE(fs.find("name " + std::to_string(i)));
  }
  CHECK_FALSE(fs.find("name -1"));
  CHECK(fs.root_inode().entries.load() == static_cast<std::uint64_t>(count));
}

TEST_CASE("a million names in one directory") {
  const test::MemoryRegion region(1280U << 20U);
  SmallFs::format(*region);
  SmallFs fs(*region);
  for (int i = 0; i < kMillion; ++i) {
    REQUIRE(fs.create("file-" + std::to_string(i)));
  }
  CHECK(fs.root().entries() == static_cast<std::uint64_t>(kMillion));
  CHECK(fs.root().memory_bytes() <= 24ULL * static_cast<std::uint64_t>(kMillion));
  fs.reload_root();
  std::mt19937_64 rng(1);
  for (int i = 0; i < 1000; ++i) {
    const std::string name = "file-" + std::to_string(rng() % static_cast<std::uint64_t>(kMillion));
    REQUIRE(fs.find(name));
    REQUIRE(fs.rename(name, long_name(i)));
    REQUIRE_FALSE(fs.find(name));
    REQUIRE(fs.rename(long_name(i), name));
  }
  CHECK(listing(fs.root()).size() == static_cast<std::size_t>(kMillion));
}

TEST_CASE("positions of entries that stay do not move while others come and go") {
  const test::MemoryRegion region(64U << 20U);
  SmallFs::format(*region);
  SmallFs fs(*region);
  std::map<std::string, std::uint64_t> model;
  std::mt19937_64 rng(5);
  for (int i = 0; i < 20000; ++i) {
    const bool grow = i % 8000 < 5000;
    if (rng() % 4 < (grow ? 3U : 1U)) {
      const std::string name = rng() % 3 == 0 ? long_name(i) : std::to_string(i);
      REQUIRE(fs.create(name));
      model[name] = test::must(fs.root().find(name)).position;
    } else if (!model.empty()) {
      auto victim = model.lower_bound(std::to_string(rng() % 20000));
      victim = victim == model.end() ? model.begin() : victim;
      REQUIRE(fs.unlink(victim->first));
      model.erase(victim);
    }
    if (i % 1000 == 0) {
      REQUIRE(listing(fs.root()) == model);
      const std::uint64_t from = rng() % (fs.root_inode().size.load() / 64 + 1);
      std::size_t behind = 0;
      for (const auto& [name, position] : model) {
        behind += position >= from ? 1U : 0U;
      }
      REQUIRE(listing(fs.root(), from).size() == behind);
      fs.reload_root();
    }
  }
}

TEST_CASE("an emptied directory gives its blocks back") {
  const test::MemoryRegion region(64U << 20U);
  SmallFs::format(*region);
  SmallFs fs(*region);
  const auto free = fs.store().space().blocks_free;
  for (int i = 0; i < 5000; ++i) {
    REQUIRE(fs.create(long_name(i)));
  }
  for (int i = 0; i < 5000; ++i) {
    REQUIRE(fs.unlink(long_name(i)));
  }
  CHECK(fs.root_inode().size.load() == 0);
  const std::uint64_t chunks = (5000 + 255) / 256 * format::kChunkBlocks;
  CHECK(fs.store().space().blocks_free + chunks >= free);
  REQUIRE(fs.create("again"));
  fs.reload_root();
  CHECK(fs.find("again"));
}

TEST_CASE("replace points a name to another inode in place") {
  const test::MemoryRegion region(16U << 20U);
  SmallFs::format(*region);
  SmallFs fs(*region);
  const InodeNo a = test::must(fs.create("a"));
  const InodeNo b = test::must(fs.create("b"));
  const auto before = test::must(fs.root().find("a")).position;
  store::Change change(fs.store());
  format::Inode dir = fs.root_inode();
  REQUIRE(fs.root().replace(change, dir, "a", b, DT_LNK));
  REQUIRE(fs.root().replace(change, dir, "b", a, DT_FIFO));
  CHECK(fs.root().replace(change, dir, "c", a, DT_FIFO).code() == ENOENT);
  REQUIRE(change.commit());
  const auto entry = test::must(fs.root().find("a"));
  CHECK(entry.ino == b);
  CHECK(entry.type == DT_LNK);
  CHECK(entry.position == before);
  CHECK(fs.find("b") == a);
}

TEST_CASE("damage is EUCLEAN, and the entries around it stay readable") {
  test::SimRegion region(16U << 20U);
  SmallFs::format(region);
  SmallFs fs(region);
  for (int i = 0; i < 100; ++i) {
    test::must(fs.create(std::to_string(i)));
  }
  const auto entry = test::must(fs.root().find("50"));
  const auto at = static_cast<std::uint64_t>(reinterpret_cast<const std::byte*>(entry.name.data()) -
                                             region.data());
  SECTION("a name") {
    region.poke(ByteOff(at), "6", 1);
    CHECK(fs.root().find("50").code() == EUCLEAN);
    CHECK(fs.unlink("50").code() == EUCLEAN);
    CHECK(fs.find("51"));
    CHECK(listing(fs.root()).size() == 99);
  }
  SECTION("a length") {
    const std::uint8_t length = 255;
    region.poke(ByteOff(at - sizeof(format::Dentry) + offsetof(format::Dentry, name_len)), &length,
                1);
    fs.reload_root();
    CHECK(fs.root().find("50").code() == EUCLEAN);
    CHECK(listing(fs.root()).size() == 99);
  }
  SECTION("a name that is none, behind a right crc") {
    format::Dentry dentry{};
    const std::uint64_t start = at - sizeof(dentry);
    for (const std::string_view name : {"/0", ".."}) {
      std::memcpy(&dentry, region.data() + start, sizeof(dentry));
      format::seal(dentry, name);
      region.poke(ByteOff(start), &dentry, sizeof(dentry));
      region.poke(ByteOff(at), name.data(), name.size());
      CHECK(listing(fs.root()).size() == 99);
      CHECK(fs.root().find("50").code() == EUCLEAN);
    }
  }
  SECTION("a header") {
    region.poke(ByteOff(at / 4096 * 4096 + offsetof(format::DirHeader, heads)), "??", 2);
    CHECK(store::Directory::load(fs.store(), fs.root_inode()).code() == EUCLEAN);
  }
}

TEST_CASE("the index agrees with a model under growth and deletion") {
  store::DirIndex index;
  std::multimap<std::uint32_t, std::uint32_t> model;
  std::mt19937_64 rng(11);
  for (std::uint32_t i = 1; i < 20000; ++i) {
    // Few hashes: long chains of equal ones.
    const auto hash = static_cast<std::uint32_t>(rng() % 700);
    if (rng() % 3 != 0 || model.empty()) {
      index.insert(hash, i);
      model.emplace(hash, i);
    } else {
      auto victim = model.lower_bound(hash);
      victim = victim == model.end() ? model.begin() : victim;
      index.erase(victim->first, victim->second);
      model.erase(victim);
    }
  }
  CHECK(index.size() == model.size());
  for (std::uint32_t hash = 0; hash < 700; ++hash) {
    std::set<std::uint32_t> found;
    index.find(hash, [&](std::uint32_t position) {
      REQUIRE(found.insert(position).second);
      return false;
    });
    std::set<std::uint32_t> expected;
    for (auto [at, end] = model.equal_range(hash); at != end; ++at) {
      expected.insert(at->second);
    }
    REQUIRE(found == expected);
  }
}

TEST_CASE("the room map finds the first block with room") {
  store::RoomMap room;
  std::vector<std::uint8_t> model;
  std::mt19937_64 rng(13);
  for (int i = 0; i < 9000; ++i) {
    const auto run = static_cast<std::uint8_t>(rng() % 2);
    room.push_back(run);
    model.push_back(run);
  }
  for (int i = 0; i < 20000; ++i) {
    const std::size_t block = rng() % model.size();
    model[block] = static_cast<std::uint8_t>(rng() % 100 == 0 ? rng() % 6 : 0);
    room.set(block, model[block]);
    const auto run = static_cast<std::uint8_t>(1 + rng() % 5);
    const auto first = std::find_if(model.begin(), model.end(), [&](auto r) { return r >= run; });
    const std::size_t expected = first == model.end()
                                     ? store::RoomMap::kNone
                                     : static_cast<std::size_t>(first - model.begin());
    REQUIRE(room.find(run) == expected);
  }
}
