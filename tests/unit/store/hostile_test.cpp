// Invariant 7: no content of a region makes the store crash, hang or follow a wild pointer. Run it
// under the sanitizers.
#include <fmt/format.h>
#include <sys/stat.h>

#include <cstring>
#include <random>
#include <vector>

#include "base/log.hpp"
#include "format/checks.hpp"
#include "harness/catch.hpp"
#include "sample.hpp"
#include "small_fs.hpp"
#include "store/impl.hpp"
#include "store/scan.hpp"
#include "support/memory_region.hpp"
#include "support/sim_region.hpp"

using namespace pmemfs;
using test::must;
using test::SimRegion;
using test::SmallFs;

namespace {

constexpr std::uint64_t kSize = 32U << 20U;
constexpr std::uint64_t kBlocks = kSize / format::kBlockSize;

// The bytes of a sample, and its blocks that are not empty.
class Image {
 public:
  explicit Image(std::uint64_t seed) {
    SimRegion region(kSize);
    test::make_sample(region, seed);
    { SmallFs fs(region); }  // dirty, so that it is scanned
    bytes_.assign(region.data(), region.data() + region.size());
    const std::vector<std::byte> zeros(format::kBlockSize);
    for (std::uint64_t b = 0; b < kBlocks; ++b) {
      if (std::memcmp(&bytes_[b * format::kBlockSize], zeros.data(), zeros.size()) != 0) {
        used_.push_back(b);
      }
    }
  }
  [[nodiscard]] const std::vector<std::byte>& bytes() const { return bytes_; }
  [[nodiscard]] std::uint64_t random_used(std::mt19937_64& rng) const {
    return used_[rng() % used_.size()];
  }

 private:
  std::vector<std::byte> bytes_;
  std::vector<std::uint64_t> used_;
};

// Opens, walks, changes, closes. Errors are fine.
void exercise(Region& region) {
  store::OpenReport report;
  const auto store = store::Store::open(region, &report);
  if (!store) {
    return;
  }
  (void)(*store)->take_orphans();
  (void)test::walk_everything(**store);
  try {
    SmallFs fs(region);
    (void)fs.create("new name");
    std::vector<std::string> names;
    for (std::uint64_t at = 0; names.size() < 20;) {
      const auto entry = must(fs.root().next(at));
      if (!entry) {
        break;
      }
      names.emplace_back(entry->name);
      at = entry->position + 1;
    }
    for (const std::string& name : names) {
      (void)fs.unlink(name);
    }
    (void)fs.unlink("many extents");
    (void)fs.unlink("xattrs");
    fs.close();
  } catch (const std::runtime_error&) {
    // The root directory itself is gone.
  }
}

std::uint64_t wild(std::mt19937_64& rng) {
  switch (rng() % 6) {
    case 0:
      return rng();
    case 1:
      return ~std::uint64_t{0} - rng() % 3;
    case 2:
      return 0;
    case 3:
      return kBlocks - rng() % 3;
    case 4:
      return 1ULL << (rng() % 64);
    default:
      return rng() % kBlocks;
  }
}

// Changes one 8-byte word of the structure that fills [at, at + sizeof(T)) and makes its crc right.
template <typename T>
void reseal(SimRegion& region, std::uint64_t at, std::size_t words, std::mt19937_64& rng) {
  auto copy = std::make_unique<T>();
  std::memcpy(copy.get(), region.data() + at, sizeof(T));
  const std::uint64_t value = wild(rng);
  std::memcpy(reinterpret_cast<std::byte*>(copy.get()) + rng() % words * 8, &value, sizeof(value));
  if constexpr (std::is_same_v<T, format::BlobBlock>) {
    if (copy->length.load() > format::kBlobPayload) {
      copy->length.store(format::kBlobPayload);
    }
  }
  format::seal(*copy);
  region.poke(ByteOff(at), copy.get(), sizeof(T));
}

// Whatever structure lies at a block, changed in a way that its crc does not show.
void lie(SimRegion& region, std::uint64_t block, std::mt19937_64& rng) {
  const std::uint64_t at = block * format::kBlockSize;
  std::uint32_t magic = 0;
  std::memcpy(&magic, region.data() + at, sizeof(magic));
  switch (magic) {
    case format::kIndexMagic:
      return reseal<format::IndexBlock>(region, at, 512, rng);
    case format::kExtentMagic:
      if (rng() % 2 == 0) {
        return reseal<format::ExtentSlot>(
            region, at + offsetof(format::ExtentBlock, slots) + rng() % 126 * 32, 3, rng);
      }
      return reseal<format::ExtentBlock>(region, at, 7, rng);
    case format::kDirMagic:
      return reseal<format::DirHeader>(region, at, 7, rng);
    case format::kBlobMagic:
      return reseal<format::BlobBlock>(region, at, 20, rng);
    default:
      break;
  }
  if (block == 0 || block == format::kSuperblockCopyBlock) {
    return reseal<format::Superblock>(region, at, 48, rng);
  }
  if (block > 256) {
    reseal<format::Inode>(region, at + rng() % 16 * sizeof(format::Inode), 31, rng);
  }
}

struct Quiet {
  Quiet() {
    base::log::init_callback([](auto, const auto&) {});
  }
  ~Quiet() { base::log::init_stderr("test"); }
};

}  // namespace

TEST_CASE("random bits over an image") {
  const Quiet quiet;
  const Image image(1);
  for (std::uint64_t seed = 1; seed <= 150; ++seed) {
    CAPTURE(seed);
    std::mt19937_64 rng(seed);
    SimRegion region(image.bytes());
    const std::uint64_t flips = 1 + rng() % (seed % 3 == 0 ? 2000 : 8);
    for (std::uint64_t i = 0; i < flips; ++i) {
      const std::uint64_t at = image.random_used(rng) * format::kBlockSize + rng() % 4096;
      const std::byte flipped = region.data()[at] ^ static_cast<std::byte>(1U << (rng() % 8));
      region.poke(ByteOff(at), &flipped, 1);
    }
    exercise(region);
  }
}

TEST_CASE("structures that lie behind a right crc") {
  const Quiet quiet;
  const Image image(2);
  for (std::uint64_t seed = 1; seed <= 250; ++seed) {
    CAPTURE(seed);
    std::mt19937_64 rng(seed);
    SimRegion region(image.bytes());
    for (std::uint64_t i = 1 + rng() % 40; i > 0; --i) {
      lie(region, image.random_used(rng), rng);
    }
    exercise(region);
  }
}

TEST_CASE("garbage in place of the inode table") {
  const Quiet quiet;
  const Image image(1);
  std::mt19937_64 rng(5);
  for (int round = 0; round < 10; ++round) {
    SimRegion region(image.bytes());
    for (std::uint64_t at = 257 * 4096; at < 300 * 4096; at += 8) {
      const std::uint64_t value = rng();
      region.poke(ByteOff(at), &value, sizeof(value));
    }
    exercise(region);
  }
}

TEST_CASE("an index that leads everywhere to the same block ends") {
  const Quiet quiet;
  SimRegion region(kSize);
  SmallFs::format(region);
  for (std::uint64_t level = 0; level < format::kIndexLevels; ++level) {
    const std::uint64_t at = (257 + level) * format::kBlockSize;
    format::IndexBlock block{};
    std::memcpy(&block, region.data() + at, sizeof(block));
    std::fill(std::begin(block.child), std::end(block.child), block.child[0]);
    format::seal(block);
    region.poke(ByteOff(at), &block, sizeof(block));
  }
  exercise(region);
  store::OpenReport report;
  const auto store = must(store::Store::open(region, &report));
  CHECK(report.damaged_structures > 0);
  CHECK_FALSE(report.may_collect);
  CHECK(store->for_each_inode([](const auto&) {}, [](InodeNo) {}).code() == EUCLEAN);
}

TEST_CASE("two owners of a block: told, and the block is never free again") {
  const Quiet quiet;
  SimRegion region(kSize);
  SmallFs::format(region, format::RegionKind::kFile);
  std::uint64_t shared = 0;
  {
    SmallFs fs(region);
    for (const char* name : {"a", "b"}) {
      const InodeNo ino = must(fs.create(name));
      format::Inode inode = fs.inode(ino);
      const auto map = must(store::ExtentMap::load(fs.store(), inode));
      store::Change change(fs.store());
      if (shared == 0) {
        shared = must(change.allocate(1)).start.value;
      }
      must(map->insert(change, inode, {0, BlockNo(shared), 1, false}));
      change.put_inode(inode);
      must(change.commit());
    }
  }
  SmallFs fs(region);
  CHECK(fs.report().damaged_structures == 1);
  CHECK_FALSE(fs.report().may_collect);
  must(fs.unlink("a"));
  for (const BlockRun& run : fs.store().impl().blocks.runs()) {
    CHECK((shared < run.start.value || shared >= run.end().value));
  }
  must(fs.store().close(false));
  store::OpenReport report;
  const auto again = store::Store::open(region, &report);
  CHECK_FALSE(report.used_snapshot);  // damage was known: look again
}

TEST_CASE("an inode that is damaged is told, and its number is not given out") {
  const Quiet quiet;
  SimRegion region(kSize);
  SmallFs::format(region);
  InodeNo ino;
  {
    SmallFs fs(region);
    ino = must(fs.create("a"));
    const ByteOff slot = must(fs.store().impl().table.locate(ino));
    region.poke(ByteOff(slot.value + 30), "?", 1);
  }
  SmallFs fs(region);
  CHECK(fs.report().damaged_structures == 1);
  CHECK(fs.store().inode(ino).code() == EUCLEAN);
  std::vector<InodeNo> damaged;
  must(fs.store().for_each_inode([](const auto&) {}, [&](InodeNo i) { damaged.push_back(i); }));
  CHECK(damaged == std::vector<InodeNo>{ino});
  for (int i = 0; i < 600; ++i) {
    REQUIRE(must(fs.create(std::to_string(i))) != ino);
  }
}

TEST_CASE("a million claims on the same blocks cost no more than the region is long") {
  const Quiet quiet;
  SimRegion region(kSize);
  SmallFs::format(region, format::RegionKind::kFile);
  {
    SmallFs fs(region);
    for (int i = 0; i < 500; ++i) {
      const InodeNo ino = must(fs.create(std::to_string(i)));
      format::Inode inode = fs.inode(ino);
      for (auto& extent : inode.extents) {
        extent.physical.store(512);
        extent.count.store(kBlocks - 512);
      }
      inode.data_blocks.store(3);
      format::seal(inode);
      region.poke(must(fs.store().impl().table.locate(ino)), &inode, sizeof(inode));
    }
  }
  SmallFs fs(region);
  CHECK(fs.report().damaged_structures >= 1499);
  for (int i = 0; i < 500; ++i) {
    CHECK(fs.unlink(std::to_string(i)).code() == EUCLEAN);
  }
}
