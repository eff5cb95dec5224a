// Every problem that lies in the region: provoked, found and named, repaired; nothing else is lost.
#include <dirent.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <cstring>
#include <set>
#include <string>

#include "check_rig.hpp"
#include "format/checks.hpp"
#include "harness/catch.hpp"
#include "pmemfs/format.hpp"
#include "store/store.hpp"

using namespace pmemfs;
using test::alter;
using test::CheckRig;
using test::describe;
using test::find_dentry;
using test::find_structure;
using test::Kind;
using Data = CheckRig::Data;
using Image = std::span<std::byte>;
using Words = std::set<std::string>;

namespace {

// Damages, checks, repairs, checks, and looks at what is left. `changed` are the paths that may
// look otherwise than before, or be gone.
void expect(CheckRig& rig, const std::function<void(Image)>& damage, const Words& problems,
            const Words& changed = {}) {
  rig.damage(damage);
  const auto found = rig.check_copy();
  INFO("found:\n" << describe(found));
  CHECK(test::problems(found) == problems);
  CHECK(found.stays_damaged());
  CHECK(found.repaired == 0);
  const auto repaired = rig.check(true);
  INFO("repaired:\n" << describe(repaired));
  CHECK_FALSE(repaired.stays_damaged());
  CHECK(repaired.found >= found.found);
  const auto again = rig.check();
  INFO("again:\n" << describe(again));
  CHECK(again.clean());
  const test::Tree now = rig.look();
  for (const auto& [path, text] : rig.tree()) {
    CAPTURE(path);
    if (!changed.contains(path)) {
      const auto left = now.find(path);
      REQUIRE(left != now.end());
      CHECK(left->second == text);
    }
  }
  for (const auto& [path, text] : now) {
    CAPTURE(path, text);
    CHECK((rig.tree().contains(path) || path.rfind("/lost+found", 0) == 0));
    CHECK(text.find("<errno") == std::string::npos);
  }
  CHECK(rig.check().clean());
}

void expect(Data data, const std::function<void(CheckRig&, Image)>& damage, const Words& problems,
            const Words& changed = {}) {
  CheckRig rig(data);
  expect(
      rig, [&](Image image) { damage(rig, image); }, problems, changed);
}

// f(inode) edits the inode of a path.
template <typename F>
void edit(CheckRig& rig, Image image, const std::string& path, F&& f) {
  alter<format::Inode>(image, find_structure(image, Kind::kInode, rig.ino(path)), f);
}

void flip(Image image, std::uint64_t at) {
  image[at] ^= std::byte{0x10};
}

std::uint64_t place(CheckRig& rig, Image image, Kind kind, const std::string& path) {
  return find_structure(image, kind, rig.ino(path)).at;
}

}  // namespace

// --- Superblocks and journal ---------------------------------------------------------------------

TEST_CASE("a damaged superblock copy") {
  for (const std::uint64_t block : {std::uint64_t{0}, format::kSuperblockCopyBlock}) {
    expect(Data::kExtents,
           [&](CheckRig&, Image image) { flip(image, block * format::kBlockSize + 60); },
           {"superblock copy"});
  }
}

TEST_CASE("both superblocks damaged: nothing else is read or written") {
  CheckRig rig(Data::kExtents);
  rig.damage([](Image image) {
    flip(image, 60);
    flip(image, format::kSuperblockCopyBlock * format::kBlockSize + 60);
  });
  for (const bool repair : {false, true}) {
    const auto report = rig.check(repair);
    CHECK(test::problems(report) == Words{"superblocks"});
    CHECK(report.stays_damaged());
    CHECK_FALSE(report.complete);
  }
}

TEST_CASE("both superblocks damaged: a repair that knows what the region is writes new ones") {
  for (const Data data : {Data::kExtents, Data::kBacking}) {
    CheckRig rig(data);
    rig.damage([](Image image) {
      flip(image, 130);
      flip(image, format::kSuperblockCopyBlock * format::kBlockSize + 3000);
    });
    check::Options options;
    options.repair = true;
    options.remake.emplace();
    options.remake->kind =
        data == Data::kBacking ? format::RegionKind::kDirectory : format::RegionKind::kFile;
    options.remake->uuid.fill(99);
    const auto repaired = check::check(rig.region(), rig.host(), options);
    REQUIRE(repaired.ok());
    INFO(describe(*repaired));
    CHECK(test::problems(*repaired) == Words{"superblocks"});
    CHECK(repaired->complete);
    CHECK_FALSE(repaired->stays_damaged());
    CHECK(rig.check().clean());
    const auto s = store::read_superblock(rig.region(), nullptr, nullptr);
    REQUIRE(s.ok());
    CHECK(s->uuid != options.remake->uuid);        // both copies agreed on their own
    CHECK(s->next_generation.load() > 1U << 30U);  // beyond all that were given out
    CHECK(rig.look() == rig.tree());
  }
}

TEST_CASE("both superblocks damaged, and no root of an inode table: nothing is written") {
  CheckRig rig(Data::kExtents);
  rig.damage([](Image image) {
    flip(image, 60);
    flip(image, format::kSuperblockCopyBlock * format::kBlockSize + 60);
    flip(image, 257 * format::kBlockSize + 64);
    flip(image, 4094 * format::kBlockSize + 64);
  });
  check::Options options;
  options.repair = true;
  options.remake.emplace();
  const auto report = check::check(rig.region(), nullptr, options);
  REQUIRE(report.ok());
  CHECK(report->stays_damaged());
  CHECK_FALSE(report->complete);
}

TEST_CASE("a region that is shorter than it says") {
  CheckRig rig(Data::kExtents);
  rig.damage([](Image image) {
    test::alter_superblocks(image, [](format::Superblock& s) { s.region_blocks.store(1U << 20U); });
  });
  CHECK(test::problems(rig.check(true)) == Words{"region size"});
}

TEST_CASE("a generation that would be given out again") {
  expect(Data::kExtents,
         [](CheckRig&, Image image) {
           test::alter_superblocks(image,
                                   [](format::Superblock& s) { s.next_generation.store(5); });
         },
         {"next generation"});
}

TEST_CASE("a snapshot that lies") {
  const auto lie = [](auto change) {
    return [change](CheckRig&, Image image) {
      alter<format::SnapshotHeader>(image, find_structure(image, Kind::kSnapshotHeader), change);
    };
  };
  expect(Data::kExtents, lie([](auto& h) { h.inodes_used.store(7); }), {"snapshot"});
  expect(Data::kExtents, lie([](auto& h) { h.durable_bytes.store(7); }), {"snapshot"});
  expect(Data::kExtents, lie([](auto& h) { h.inode_limit.store(512); }), {"snapshot"});
  expect(Data::kExtents,
         [](CheckRig&, Image image) {
           alter<format::SnapshotRun>(image, find_structure(image, Kind::kSnapshotRun),
                                      [](auto& run) { run.count.store(run.count.load() - 1); });
         },
         {"snapshot"});
  expect(Data::kExtents,
         [](CheckRig&, Image image) {
           flip(image, find_structure(image, Kind::kSnapshotHeader).at + 33);
         },
         {"snapshot"});
}

namespace {

// A whole lane with one record.
void put_lane(Image image, std::uint32_t lane, std::uint64_t offset, std::uint32_t magic) {
  struct {
    format::LaneHeader header{};
    format::LaneRecord record{};
    std::uint64_t bytes = 7;
  } whole;
  whole.header.sequence.store(1);
  whole.header.magic.store(magic);
  whole.header.count.store(1);
  whole.header.bytes.store(sizeof(whole.record) + sizeof(whole.bytes));
  whole.record.offset.store(offset);
  whole.record.length.store(8);
  format::seal(whole.header, &whole.record, whole.header.bytes.load());
  const std::uint64_t at =
      (format::kLaneStart + std::uint64_t{lane} * format::kLaneBlocks) * format::kBlockSize;
  std::memcpy(&image[at], &whole, sizeof(whole));
}

}  // namespace

TEST_CASE("journal lanes that no crash explains") {
  expect(Data::kExtents, [](CheckRig&, Image image) { put_lane(image, 3, 8ULL << 20U, 12345); },
         {"journal lane"});
  for (const std::uint64_t offset : {std::uint64_t{0}, std::uint64_t{8192}, ~std::uint64_t{0}}) {
    expect(Data::kExtents,
           [&](CheckRig&, Image image) { put_lane(image, 3, offset, format::kLaneMagic); },
           {"journal content"});
  }
}

// --- The inode table -----------------------------------------------------------------------------

TEST_CASE("damaged index blocks are found again by what they lead to") {
  CheckRig sample(Data::kExtents);
  for (std::size_t level = 0; level < format::kIndexLevels; ++level) {
    for (const std::uint64_t inside : {std::uint64_t{8}, std::uint64_t{64}}) {
      CAPTURE(level, inside);
      CheckRig rig(Data::kExtents);
      rig.damage([&](Image image) {
        const auto blocks = test::structures_of(image, Kind::kIndexBlock);  // the root's copy first
        flip(image, blocks[level + 1].at + inside);
        if (level == 0) {
          flip(image, blocks[0].at + inside);
        }
      });
      const auto found = rig.check();
      CHECK(test::problems(found).count("index block") == 1);
      CHECK(found.stays_damaged());
      const auto repaired = rig.check(true);
      INFO(describe(repaired));
      CHECK_FALSE(repaired.stays_damaged());
      CHECK(rig.check().clean());
      CHECK(rig.look() == rig.tree());
    }
  }
}

TEST_CASE("either place of the index's root serves") {
  for (const std::size_t place : {0U, 1U}) {
    expect(Data::kExtents,
           [&](CheckRig&, Image image) {
             flip(image, test::structures_of(image, Kind::kIndexBlock)[place].at + 64);
           },
           {"index copy"});
    expect(Data::kExtents,
           [&](CheckRig&, Image image) {  // an older one
             const auto roots = test::structures_of(image, Kind::kIndexBlock);
             alter<format::IndexBlock>(image, roots[place], [](auto& b) { b.child[0].store(0); });
             alter<format::IndexBlock>(image, roots[1 - place],
                                       [](auto& b) { b.update.store(b.update.load() + 1); });
           },
           {"index copy"});
  }
}

TEST_CASE("an index pointer to where nothing can be") {
  expect(Data::kExtents,
         [](CheckRig&, Image image) {
           const auto leaf = test::structures_of(image, Kind::kIndexBlock).back();
           alter<format::IndexBlock>(image, leaf, [](auto& b) { b.child[5].store(1ULL << 40U); });
         },
         {"index pointer"});
}

TEST_CASE("an index that leads to a chunk twice") {
  expect(Data::kExtents,
         [](CheckRig&, Image image) {
           const auto leaf = test::structures_of(image, Kind::kIndexBlock).back();
           alter<format::IndexBlock>(image, leaf, [](auto& b) { b.child[1] = b.child[0]; });
         },
         {"block shared"});
}

// --- Inodes --------------------------------------------------------------------------------------

TEST_CASE("a damaged inode goes, with its names") {
  for (const std::uint64_t inside : {0U, 40U, 200U}) {
    expect(Data::kExtents,
           [&](CheckRig& rig, Image image) {
             flip(image, place(rig, image, Kind::kInode, "/a") + inside);
           },
           {"inode damaged", "entry target"}, {"/a", "/dir/second"});
  }
  expect(
      Data::kExtents,
      [](CheckRig& rig, Image image) { edit(rig, image, "/a", [](auto& i) { i.ino.store(77); }); },
      {"inode damaged", "entry target"}, {"/a", "/dir/second"});
}

TEST_CASE("fields of an inode that cannot be") {
  const auto with = [](const std::string& path, auto change) {
    return [=](CheckRig& rig, Image image) {
      edit(rig, image, path, change);
    };
  };
  expect(Data::kExtents, with("/fifo", [](auto& i) { i.mode.store(0150644); }),
         {"inode mode", "entry target"}, {"/fifo"});
  expect(Data::kExtents, with("/a", [](auto& i) { i.mtime_nsec.store(1'000'000'000); }),
         {"inode time"});
  expect(Data::kExtents, with("/a", [](auto& i) { i.flags.store(1U << 20U); }), {"inode flags"});
  expect(Data::kExtents, with("/fifo", [](auto& i) { i.flags.store(format::kInodeDurable); }),
         {"inode flags"});
  expect(Data::kExtents, with("/dir", [](auto& i) { i.size.store(i.size.load() + 4096); }),
         {"inode size"});
  expect(Data::kExtents, with("/a", [](auto& i) { i.size.store(format::kMaxFileSize + 1); }),
         {"inode size"}, {"/a", "/dir/second"});
  expect(Data::kExtents, with("/fifo", [](auto& i) { i.data.store(600); }), {"stray data"});
  expect(Data::kBacking, with("/a", [](auto& i) { i.extents[1].count.store(9); }), {"stray data"});
  expect(Data::kExtents, with("/a", [](auto& i) { i.data_blocks.store(9); }), {"data blocks"});
  expect(Data::kExtents, with("/a", [](auto& i) { i.durable_len.store(9); }), {"durable length"});
  expect(Data::kExtents, with("/durable", [](auto& i) { i.durable_len.store(1ULL << 30U); }),
         {"durable length"});
  expect(Data::kExtents, with("/a", [](auto& i) { i.nlink.store(7); }), {"link count"});
  expect(Data::kExtents, with("/dir", [](auto& i) { i.nlink.store(7); }), {"link count"});
  expect(Data::kExtents, with("/dir/sub", [](auto& i) { i.parent.store(1); }),
         {"directory parent"});
  expect(Data::kExtents, with("/", [](auto& i) { i.parent.store(9); }), {"directory parent"});
  expect(Data::kExtents, with("/dir", [](auto& i) { i.entries.store(9); }), {"entry count"});
}

TEST_CASE("a host file that moved, without the feature bit") {
  CheckRig rig(Data::kBacking);
  const std::uint64_t ino = rig.ino("/a");
  std::uint64_t own = 0;
  rig.damage([&](Image image) {
    edit(rig, image, "/a", [&](auto& i) {
      own = i.generation.load();
      i.host.generation.store(own);
    });
  });
  CHECK(test::problems(rig.check()) == Words{"feature"});
  CHECK_FALSE(rig.check(true).stays_damaged());
  CHECK(rig.check().clean());
  CHECK(rig.look() == rig.tree());
  CHECK(ino != 0);
}

// --- Extents -------------------------------------------------------------------------------------

TEST_CASE("extents that cannot be") {
  const auto with = [](const std::string& path, auto change) {
    return [=](CheckRig& rig, Image image) {
      edit(rig, image, path, change);
    };
  };
  expect(Data::kExtents, with("/holes", [](auto& i) { i.extents[0].physical.store(3); }),
         {"extent place"}, {"/holes"});
  expect(Data::kExtents, with("/holes", [](auto& i) { i.extents[0].count.store(1U << 31U); }),
         {"extent place"}, {"/holes"});
  expect(Data::kExtents, with("/holes", [](auto& i) { i.extents[1].logical.store(0); }),
         {"extent overlap"}, {"/holes"});
  expect(Data::kExtents,
         with("/durable", [](auto& i) { i.extents[0].flags.store(format::kExtentUnwritten); }),
         {"durable data"}, {"/durable"});
  expect(Data::kExtents,
         [](CheckRig& rig, Image image) {
           flip(image, place(rig, image, Kind::kExtentSlot, "/holes") + 1);
         },
         {"extent slot"}, {"/holes"});
  for (const std::uint64_t inside : {9U, 25U, 40U}) {
    expect(Data::kExtents,
           [&](CheckRig& rig, Image image) {
             flip(image, place(rig, image, Kind::kExtentBlock, "/holes") + inside);
           },
           {"extent block"}, {"/holes"});
  }
  expect(Data::kExtents,
         [](CheckRig& rig, Image image) {
           const auto chain = find_structure(image, Kind::kExtentBlock, rig.ino("/holes"));
           alter<format::ExtentBlock>(
               image, chain, [&](auto& b) { b.next.store(chain.at / format::kBlockSize); });
         },
         {"block shared"});
}

TEST_CASE("of two owners the durable one keeps the block, then the older") {
  const auto share = [](const std::string& from, const std::string& to) {
    return [=](CheckRig& rig, Image image) {
      std::uint64_t block = 0;
      edit(rig, image, from, [&](auto& i) { block = i.extents[0].physical.load(); });
      edit(rig, image, to, [&](auto& i) { i.extents[0].physical.store(block); });
    };
  };
  expect(Data::kExtents, share("/a", "/xattrs"), {"block shared"}, {"/xattrs"});
  expect(Data::kExtents, share("/xattrs", "/a"), {"block shared"},
         {"/xattrs", "/a", "/dir/second"});
  expect(Data::kExtents, share("/durable", "/holes"), {"block shared"}, {"/holes"});
}

// The file is older than the directory and the chain, and is durable at last.
TEST_CASE("what names its owner is kept from a file whose data is said to lie there") {
  for (const char* path : {"/a", "/durable"}) {
    for (const Kind kind : {Kind::kDirHeader, Kind::kExtentBlock, Kind::kBlobBlock}) {
      expect(Data::kExtents,
             [&](CheckRig& rig, Image image) {
               const std::string owner = kind == Kind::kDirHeader     ? "/many"
                                         : kind == Kind::kExtentBlock ? "/holes"
                                                                      : "/xattrs";
               const std::uint64_t at = place(rig, image, kind, owner);
               edit(rig, image, path,
                    [&](auto& i) { i.extents[0].physical.store(at / format::kBlockSize); });
             },
             path == std::string("/durable") ? Words{"block shared", "durable data"}
                                             : Words{"block shared"},
             {path, "/dir/second"});
    }
  }
}

// --- Extended attributes and targets -------------------------------------------------------------

TEST_CASE("extended attributes") {
  const auto record = [](std::size_t n, auto change) {
    return [=](CheckRig& rig, Image image) {
      const auto all = test::structures_of(image, Kind::kXattrRecord, rig.ino("/xattrs"));
      change(image, all.at(n));
    };
  };
  const auto rename = [&](std::size_t n, const std::string& name) {
    return record(n, [name](Image image, const test::Structure& s) {
      std::memcpy(&image[s.at + sizeof(format::XattrRecord)], name.data(), name.size());
      test::reseal(image, s);
    });
  };
  expect(Data::kExtents, rename(0, "uzer.small"), {"xattr name"}, {"/xattrs"});
  expect(Data::kExtents, rename(1, "user.small"), {"xattr duplicate"}, {"/xattrs"});
  expect(Data::kExtents,
         record(1,
                [](Image image, const test::Structure& s) {
                  alter<format::XattrRecord>(image, s, [](auto& r) { r.value_len.store(4999); });
                }),
         {"xattr value"}, {"/xattrs"});
  expect(Data::kExtents,
         record(1,
                [](Image image, const test::Structure& s) {
                  alter<format::XattrRecord>(image, s, [](auto& r) { r.value_blob.store(3); });
                }),
         {"xattr value"}, {"/xattrs"});
  expect(Data::kExtents,
         record(2,
                [](Image image, const test::Structure& s) {
                  image[s.at + sizeof(format::XattrRecord) + 23 + 4] = std::byte{0x77};
                  test::reseal(image, s);
                }),
         {"acl"}, {"/xattrs"});
  expect(Data::kExtents,
         record(2,
                [](Image image, const test::Structure& s) {
                  alter<format::XattrRecord>(image, s, [](auto& r) { r.name_len.store(0); });
                }),
         {"xattr blob"}, {"/xattrs"});
  expect(Data::kExtents,
         [](CheckRig& rig, Image image) {
           flip(image, place(rig, image, Kind::kBlobBlock, "/xattrs") + 70);
         },
         {"xattr blob"}, {"/xattrs"});
}

TEST_CASE("an access list that is lost gives nobody more") {
  CheckRig rig(Data::kExtents);
  rig.damage([&](Image image) {
    const auto s = test::structures_of(image, Kind::kXattrRecord, rig.ino("/xattrs")).at(2);
    image[s.at + sizeof(format::XattrRecord) + 23 + 4] = std::byte{0x77};
    test::reseal(image, s);
  });
  CHECK_FALSE(rig.check(true).stays_damaged());
  CHECK(rig.tree().at("/xattrs").rfind("100670", 0) == 0);
  CHECK(rig.look().at("/xattrs").rfind("100600", 0) == 0);
}

TEST_CASE("symlink targets") {
  const auto with = [](const std::string& path, auto change) {
    return [=](CheckRig& rig, Image image) {
      edit(rig, image, path, change);
    };
  };
  expect(Data::kExtents, with("/link", [](auto& i) { i.size.store(9); }), {"symlink target"});
  expect(Data::kExtents, with("/long", [](auto& i) { i.size.store(9); }), {"symlink target"});
  expect(Data::kExtents, with("/link", [](auto& i) { i.target[0] = 0; }),
         {"symlink target", "entry target"}, {"/link"});
  expect(Data::kExtents, with("/long", [](auto& i) { i.data.store(0); }),
         {"symlink target", "entry target"}, {"/long"});
}

// --- Directories ---------------------------------------------------------------------------------

TEST_CASE("entries of directories") {
  const auto entry = [](const std::string& dir, const std::string& name, auto change) {
    return [=](CheckRig& rig, Image image) {
      change(image, find_dentry(image, rig.ino(dir), name));
    };
  };
  const auto fields = [&](const std::string& dir, const std::string& name, auto change) {
    return entry(dir, name, [change](Image image, const test::Structure& s) {
      alter<format::Dentry>(image, s, change);
    });
  };
  expect(Data::kExtents, fields("/", "a", [](auto& d) { d.type = DT_DIR; }), {"entry type"});
  expect(Data::kExtents, fields("/", "a", [](auto& d) { d.hash.store(1); }), {"entry hash"});
  expect(Data::kExtents, fields("/", "a", [](auto& d) { d.ino.store(200); }),
         {"entry target", "link count"}, {"/a", "/dir/second"});
  expect(Data::kExtents, fields("/", "a", [](auto& d) { d.ino.store(1ULL << 40U); }),
         {"entry target", "link count"}, {"/a", "/dir/second"});
  expect(Data::kExtents,
         entry("/", "a",
               [](Image image, const test::Structure& s) {
                 flip(image, s.at + sizeof(format::Dentry));
               }),
         {"entry damaged", "link count"}, {"/a", "/dir/second"});
  for (const char* name : {"/", ".", "\0"}) {
    expect(Data::kExtents,
           entry("/", "a",
                 [name](Image image, const test::Structure& s) {
                   image[s.at + sizeof(format::Dentry)] = static_cast<std::byte>(*name);
                   test::reseal(image, s);
                 }),
           {"entry name", "link count"}, {"/a", "/dir/second"});
  }
  expect(Data::kExtents,
         entry("/", "fifo",
               [](Image image, const test::Structure& s) {
                 std::memcpy(&image[s.at + sizeof(format::Dentry)], "link", 4);
                 alter<format::Dentry>(image, s,
                                       [](auto& d) { d.hash.store(format::name_hash("link")); });
               }),
         {"entry duplicate", "unreachable"}, {"/fifo", "/link", "/"});
}

TEST_CASE("blocks of directories") {
  const auto header = [](std::size_t n, auto change) {
    return [=](CheckRig& rig, Image image) {
      const auto all = test::structures_of(image, Kind::kDirHeader, rig.ino("/many"));
      alter<format::DirHeader>(image, all.at(n), change);
    };
  };
  for (const std::uint64_t inside : {0U, 9U, 26U, 33U, 41U, 50U, 61U}) {
    CAPTURE(inside);
    expect(Data::kExtents,
           [&](CheckRig& rig, Image image) {
             flip(image, place(rig, image, Kind::kDirHeader, "/many") + inside);
           },
           {"directory block"});
  }
  expect(Data::kExtents, header(1, [](auto& h) { h.index.store(7); }), {"directory block"});
  expect(Data::kExtents, header(3, [](auto& h) { h.used.store(h.used.load() | 1ULL << 63U); }),
         {"directory block"});
}

TEST_CASE("a directory block of another directory: what it held goes to lost+found") {
  CheckRig rig(Data::kExtents);
  rig.damage([&](Image image) {
    alter<format::DirHeader>(image, find_structure(image, Kind::kDirHeader, rig.ino("/dir")),
                             [](auto& h) { h.owner.store(1); });
  });
  CHECK(test::problems(rig.check()) == Words{"directory block", "unreachable", "link count"});
  CHECK_FALSE(rig.check(true).stays_damaged());
  CHECK(rig.check().clean());
  const test::Tree now = rig.look();
  const std::string found = "/lost+found/#" + std::to_string(rig.ino("/dir/sub"));
  CHECK(now.at(found + "/deep") == rig.tree().at("/dir/sub/deep"));
  CHECK_FALSE(now.contains("/dir/sub"));
}

TEST_CASE("a directory with a hole, or with blocks that were never written") {
  const auto with = [](auto change) {
    return [=](CheckRig& rig, Image image) {
      edit(rig, image, "/many", change);
    };
  };
  expect(Data::kExtents, with([](auto& i) { i.extents[0].logical.store(3); }),
         {"directory map", "directory block"});
}

TEST_CASE("a directory with two names keeps the one in its parent") {
  expect(Data::kExtents,
         [](CheckRig& rig, Image image) {
           alter<format::Dentry>(image, find_dentry(image, rig.ino("/"), "fifo"), [&](auto& d) {
             d.ino.store(rig.ino("/dir/sub"));
             d.type = DT_DIR;
           });
         },
         {"directory names", "unreachable"}, {"/fifo", "/"});
}

TEST_CASE("directories in a circle, and what hangs on nothing, go to lost+found") {
  CheckRig rig(Data::kExtents);
  rig.damage([&](Image image) {
    // "/dir" becomes an entry of "/dir/sub", and the root's entry leads to the fifo.
    alter<format::Dentry>(image, find_dentry(image, rig.ino("/dir/sub"), "deep"), [&](auto& d) {
      d.ino.store(rig.ino("/dir"));
      d.type = DT_DIR;
    });
    alter<format::Dentry>(image, find_dentry(image, 1, "dir"), [&](auto& d) {
      d.ino.store(rig.ino("/fifo"));
      d.type = DT_FIFO;
    });
    edit(rig, image, "/dir", [&](auto& i) { i.parent.store(rig.ino("/dir/sub")); });
  });
  CHECK(test::problems(rig.check()) == Words{"unreachable", "link count"});
  const auto repaired = rig.check(true);
  INFO(describe(repaired));
  CHECK_FALSE(repaired.stays_damaged());
  CHECK(rig.check().clean());
  const test::Tree now = rig.look();
  const auto found = [&](const std::string& path) {
    return "/lost+found/#" + std::to_string(rig.ino(path));
  };
  CHECK(now.at(found("/dir/sub/deep")) == rig.tree().at("/dir/sub/deep"));
  CHECK(now.count(found("/dir") + "/sub") == 1);
  CHECK(now.at(found("/dir") + "/second") == rig.tree().at("/dir/second"));
}

TEST_CASE("a root that is gone is made anew") {
  CheckRig rig(Data::kExtents);
  rig.damage([&](Image image) { flip(image, place(rig, image, Kind::kInode, "/") + 40); });
  CHECK(test::problems(rig.check()).count("root") == 1);
  const auto repaired = rig.check(true);
  INFO(describe(repaired));
  CHECK_FALSE(repaired.stays_damaged());
  CHECK(rig.check().clean());
  const test::Tree now = rig.look();
  CHECK(now.count("/") == 1);
}
