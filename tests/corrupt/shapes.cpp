#include "shapes.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "format/checks.hpp"

namespace pmemfs::test {
namespace {

using namespace pmemfs::format;  // NOLINT(google-build-using-namespace)
using Bytes = std::span<std::byte>;

constexpr std::uint64_t kRoot = 1;

class Shapes {
 public:
  explicit Shapes(const Sample& sample) : image_(sample.image->bytes()), sample_(sample) {}

  std::vector<ShapeDamage> run() {
    directories();
    chains();
    if (!sample_.host) {
      extents();
    }
    table();
    lanes();
    superblocks();
    return std::move(all_);
  }

 private:
  [[nodiscard]] std::uint64_t ino_of(std::string_view name, std::uint64_t dir = kRoot) const {
    return load_as<Dentry>(image_, find_dentry(image_, dir, name).at).ino.load();
  }
  [[nodiscard]] Structure inode(std::uint64_t ino) const {
    return find_structure(image_, Kind::kInode, ino);
  }
  [[nodiscard]] Inode record(std::uint64_t ino) const {
    return load_as<Inode>(image_, inode(ino).at);
  }
  [[nodiscard]] static std::uint64_t block_of(const Structure& s) { return s.at / kBlockSize; }

  void add(const std::string& name, std::uint64_t focus, std::function<void(Bytes)> apply) {
    all_.push_back({sample_.name + "/" + name, focus, std::move(apply)});
  }
  template <typename T, typename F>
  void add_alter(const std::string& name, const Structure& s, F change) {
    add(name, s.owner, [s, change](Bytes image) { alter<T>(image, s, change); });
  }
  void add_entry(const std::string& name, std::uint64_t dir, std::string_view entry,
                 std::uint64_t target, std::uint8_t type) {
    const Structure s = find_dentry(image_, dir, entry);
    add_alter<Dentry>(name, s, [target, type](Dentry& d) {
      d.ino.store(target);
      d.type = type;
    });
  }

  void directories() {
    constexpr std::uint8_t kDirectory = 4;
    const std::uint64_t deep = ino_of("deep");
    const std::uint64_t deeper = ino_of("deeper", deep);
    const std::uint64_t deepest = ino_of("deepest", deeper);
    add_entry("an entry leads to its own directory", deep, "deeper", deep, kDirectory);
    add_entry("an entry leads to the root", deeper, "deepest", kRoot, kDirectory);
    add_entry("an entry leads up, a cycle", deepest, "bottom", deep, kDirectory);
    // Looking for the name of a durable file that has none went round for ever.
    const Structure bottom = find_dentry(image_, deepest, "bottom");
    const Structure lost = find_dentry(image_, kRoot, "durable");
    add("a cycle, and a durable file without a name", deep, [=](Bytes image) {
      alter<Dentry>(image, bottom, [&](Dentry& d) {
        d.ino.store(deep);
        d.type = kDirectory;
      });
      alter<Dentry>(image, lost, [](Dentry& d) { d.ino.store(2); });
    });
    add_entry("two entries lead to one directory", kRoot, "void", deep, kDirectory);
    add_entry("a file's entry leads to a directory", kRoot, "small", deep, 8);
    add_entry("an entry leads to a free inode", kRoot, "small", 250, 8);
    add_entry("an entry leads beyond the table", kRoot, "small", kMaxInode, 8);
    add_alter<Inode>("the root's parent is below it", inode(kRoot),
                     [deepest](Inode& i) { i.parent.store(deepest); });
    add_alter<Inode>("parents lead in a circle", inode(deep),
                     [deepest](Inode& i) { i.parent.store(deepest); });
    add_alter<Inode>("the root is a file", inode(kRoot), [](Inode& i) { i.mode.store(0100644); });
    const Extent roots = record(kRoot).extents[0];
    add_alter<Inode>("two directories share a block", inode(deep),
                     [roots](Inode& i) { i.extents[0] = roots; });
    add_alter<Inode>("a directory with a hole", inode(ino_of("big")),
                     [](Inode& i) { i.extents[0].logical.store(1); });
    add_alter<DirHeader>("every slot is a head", find_structure(image_, Kind::kDirHeader, kRoot),
                         [](DirHeader& h) {
                           h.used.store(~std::uint64_t{0});
                           h.heads.store(~std::uint64_t{1});
                         });
    names();
  }

  void names() {
    const Structure s = find_dentry(image_, kRoot, "small");
    for (const char byte : {'/', '\0', '.'}) {
      add("a name of the byte " + std::to_string(byte), kRoot, [=](Bytes image) {
        image[s.at + sizeof(Dentry)] = static_cast<std::byte>(byte);
        alter<Dentry>(image, s, [&](Dentry& d) {
          d.name_len = 1;
          d.hash.store(name_hash({&byte, 1}));
        });
      });
    }
  }

  void chains() {
    const std::uint64_t ino = ino_of("attributes");
    const std::vector<Structure> blobs = structures_of(image_, Kind::kBlobBlock, ino);
    const std::uint64_t first = block_of(blobs.at(0));
    add_alter<BlobBlock>("a blob leads to itself", blobs.at(0),
                         [first](BlobBlock& b) { b.next.store(first); });
    add_alter<BlobBlock>("a blob's end leads to its start", blobs.back(), [first](BlobBlock& b) {
      b.next.store(first);
      b.length.store(kBlobPayload);
      b.total.store(kMaxXattrValue);
    });
    for (const Structure& s : structures_of(image_, Kind::kXattrRecord, ino)) {
      if (load_as<XattrRecord>(image_, s.at).value_blob.load() != 0) {
        add("the value of an xattr is the list", ino, [=](Bytes image) {
          store_number(image, s.at + offsetof(XattrRecord, value_blob), 8, first);
          reseal(image, s);
        });
      }
    }
    add_alter<Inode>("two inodes share their xattrs", inode(ino_of("guarded")),
                     [first](Inode& i) { i.xattrs.store(first); });
    add_alter<Inode>("a symlink's target is another's xattrs", inode(ino_of("long link")),
                     [first](Inode& i) { i.data.store(first); });
    add_alter<Inode>("an endless short target", inode(ino_of("short link")), [](Inode& i) {
      i.size.store(kMaxSymlink);
      i.flags.store(i.flags.load() | kInodeInlineTarget);
    });
  }

  void extent(const std::string& name, std::uint64_t ino, std::uint64_t logical,
              std::uint64_t physical, std::uint32_t count) {
    add_alter<Inode>(name, inode(ino), [=](Inode& i) {
      i.extents[2].logical.store(logical);
      i.extents[2].physical.store(physical);
      i.extents[2].count.store(count);
      i.data_blocks.store(i.data_blocks.load() + count);
    });
  }

  void extents() {
    const std::uint64_t ino = ino_of("durable");
    const std::uint64_t blocks = image_.size() / kBlockSize;
    const Extent own = record(ino).extents[0];
    const Extent others = record(ino_of("holes")).extents[0];
    extent("an extent twice", ino, own.logical.load() + 100, own.physical.load(), 1);
    extent("an extent over itself", ino, own.logical.load(), own.physical.load() + 1, 1);
    extent("another's extent", ino, 100, others.physical.load(), others.count.load());
    extent("the superblock as data", ino, 100, 0, 1);
    extent("the lanes as data", ino, 100, 1, 200);
    extent("the second superblock as data", ino, 100, 500, 20);
    extent("the inode table as data", ino, 100, block_of(inode(kRoot)), 16);
    extent("beyond the end", ino, 100, blocks - 1, 2);
    extent("far beyond the end", ino, 100, ~std::uint64_t{0} / kBlockSize, 2);
    extent("a run that wraps around", ino, 100, ~std::uint64_t{0} - 1, 3);
    extent("a run of all blocks", ino, 100, 512, 0xFFFFFFFF);
    extent("a place in the file that wraps around", ino, ~std::uint64_t{0}, 3000, 2);
    extent("the last block of the largest file and one more", ino, kMaxFileSize / kBlockSize - 1,
           3000, 2);
    const std::vector<Structure> chain = structures_of(image_, Kind::kExtentBlock);
    const Structure first = chain.at(0);
    add_alter<ExtentBlock>("an extent block leads to itself", first,
                           [=](ExtentBlock& b) { b.next.store(block_of(first)); });
    add_alter<ExtentBlock>("an extent block leads to another file's", first,
                           [=](ExtentBlock& b) { b.next.store(block_of(chain.back())); });
    add_alter<ExtentBlock>("every slot is used", first, [](ExtentBlock& b) {
      b.used[0].store(~std::uint64_t{0});
      b.used[1].store(~std::uint64_t{0});
    });
    add_alter<Inode>("the largest size", inode(ino_of("holes")),
                     [](Inode& i) { i.size.store(kMaxFileSize); });
    // Positions computed from it overflowed, and SEEK_HOLE went round for ever.
    add_alter<Inode>("a size beyond the largest", inode(ino_of("small")),
                     [](Inode& i) { i.size.store(i.size.load() | 1ULL << 63U); });
    add_alter<Inode>("a promise beyond the end", inode(ino),
                     [](Inode& i) { i.durable_len.store(kMaxFileSize); });
  }

  void table() {
    const std::vector<Structure> index = structures_of(image_, Kind::kIndexBlock);
    for (const Structure& s : index) {
      const std::uint64_t root = block_of(index.front());
      add_alter<IndexBlock>("an index leads to its root", s,
                            [root](IndexBlock& b) { b.child[1].store(root); });
      add_alter<IndexBlock>("an index leads everywhere to the same", s, [](IndexBlock& b) {
        std::fill(std::begin(b.child), std::end(b.child), b.child[0]);
      });
      add_alter<IndexBlock>("an index leads to the second superblock", s,
                            [](IndexBlock& b) { b.child[1].store(kSuperblockCopyBlock - 3); });
      add_alter<IndexBlock>("an index leads beyond the end", s, [](IndexBlock& b) {
        for (std::uint64_t i = 1; i < kIndexFanout; ++i) {
          b.child[i].store(1ULL << (i % 64));
        }
      });
    }
  }

  void lanes() {
    const std::vector<Structure> records = structures_of(image_, Kind::kLaneRecord);
    const auto record_of = [&](const std::string& name, std::uint64_t offset,
                               std::uint32_t length) {
      if (records.empty()) {
        return;
      }
      add_alter<LaneRecord>(name, records.back(), [=](LaneRecord& r) {
        r.offset.store(offset);
        r.length.store(length != 0 ? length : r.length.load());
      });
    };
    record_of("a lane names the superblock", 8, 0);
    record_of("a lane names the second superblock", kSuperblockCopyBlock * kBlockSize + 4000, 0);
    record_of("a lane names a lane", 5 * kBlockSize, 0);
    record_of("a lane names the end", image_.size() - 4, 0);
    record_of("a lane names what is far away", ~std::uint64_t{7}, 0);
    record_of("a lane names what wraps around", ~std::uint64_t{0} - 3, 0);
    record_of("a record that is longer than its lane", 3000 * kBlockSize, 0x7FFFFFFF);
    record_of("a record of the greatest length", 3000 * kBlockSize, 0xFFFFFFFF);
    record_of("a record one byte longer", 3000 * kBlockSize, 1);
  }

  void superblocks() {
    const auto both = [&](const std::string& name, const std::function<void(Superblock&)>& change) {
      add(name, kRoot, [change](Bytes image) { alter_superblocks(image, change); });
    };
    both("lanes over the inode table", [](Superblock& s) { s.lane_blocks.store(18); });
    both("lanes over the second superblock", [](Superblock& s) { s.lane_start.store(500); });
    both("a root in the lanes", [](Superblock& s) { s.inode_root.store(7); });
    both("a root at the end",
         [](Superblock& s) { s.inode_root.store(s.region_blocks.load() - 1); });
    both("a larger region", [](Superblock& s) { s.region_blocks.store(1ULL << 34U); });
    both("one block more",
         [](Superblock& s) { s.region_blocks.store(s.region_blocks.load() + 1); });
    both("generations at their end",
         [](Superblock& s) { s.next_generation.store(~std::uint64_t{0}); });
    both("a snapshot in the table", [](Superblock& s) { s.snapshot.store(s.inode_root.load()); });
    both("another kind", [](Superblock& s) { s.kind.store(3 - s.kind.load()); });
    both("a device", [](Superblock& s) { s.kind.store(3); });
    both("updates at their end", [](Superblock& s) { s.update.store(~std::uint64_t{0}); });
  }

  std::span<const std::byte> image_;
  const Sample& sample_;
  std::vector<ShapeDamage> all_;
};

}  // namespace

std::vector<ShapeDamage> shapes_for(const Sample& sample) {
  return Shapes(sample).run();
}

}  // namespace pmemfs::test
