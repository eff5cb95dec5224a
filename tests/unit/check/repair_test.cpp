// What repair brings back, what it leaves alone, and that it may be interrupted.
#include <dirent.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <string>

#include "check_rig.hpp"
#include "format/checks.hpp"
#include "harness/catch.hpp"
#include "pmemfs/format.hpp"
#include "support/chooser.hpp"
#include "support/memory_region.hpp"

using namespace pmemfs;
using test::alter;
using test::CheckRig;
using test::describe;
using test::find_dentry;
using test::find_structure;
using test::Kind;
using Data = CheckRig::Data;
using Image = std::span<std::byte>;

namespace {

void flip(Image image, std::uint64_t at) {
  image[at] ^= std::byte{0x10};
}

void flip_inode(CheckRig& rig, Image image, const std::string& path) {
  flip(image, find_structure(image, Kind::kInode, rig.ino(path)).at + 40);
}

// Repairs; what is left must be sound.
check::Report repair(CheckRig& rig) {
  auto repaired = rig.check(true);
  INFO(describe(repaired));
  CHECK_FALSE(repaired.stays_damaged());
  const auto again = rig.check();
  INFO(describe(again));
  CHECK(again.clean());
  return repaired;
}

// As it was but for the rights of one path, which are root's alone.
void same_but_rights(const test::Tree& now, const test::Tree& then, const std::string& path) {
  for (const auto& [name, text] : then) {
    CAPTURE(name);
    REQUIRE(now.count(name) == 1);
    if (name != path) {
      CHECK(now.at(name) == text);
    }
  }
  CHECK(now.size() == then.size());
}

BackingName host_name(const CheckRig& rig, const std::string& path) {
  const std::uint64_t ino = rig.ino(path);
  const std::span<const std::byte> image(rig.region().data(), rig.region().size());
  const auto at = find_structure(image, Kind::kInode, ino).at;
  return {InodeNo(ino), test::load_as<format::Inode>(image, at).generation.load()};
}

}  // namespace

TEST_CASE("a directory whose inode is damaged comes back by its blocks") {
  for (const char* path : {"/many", "/dir", "/dir/sub", "/"}) {
    CAPTURE(path);
    CheckRig rig(Data::kExtents);
    rig.damage([&](Image image) { flip_inode(rig, image, path); });
    CHECK(repair(rig).repaired > 0);
    const test::Tree now = rig.look();
    same_but_rights(now, rig.tree(), path);
    CHECK(now.at(path).rfind("40700 ", 0) == 0);
  }
}

TEST_CASE("a directory in many pieces comes back with a chain of extents") {
  CheckRig rig(Data::kExtents);
  rig.damage([&](Image image) {
    // Its blocks are copied to every second block of free space, the last first.
    const auto headers = test::structures_of(image, Kind::kDirHeader, rig.ino("/many"));
    REQUIRE(headers.size() >= 4);
    std::uint64_t to = 8000;
    for (const auto& header : headers) {
      std::memcpy(&image[to * format::kBlockSize], &image[header.at], format::kBlockSize);
      std::memset(&image[header.at], 0, format::kBlockSize);
      to -= 2;
    }
    flip_inode(rig, image, "/many");
  });
  repair(rig);
  same_but_rights(rig.look(), rig.tree(), "/many");
}

TEST_CASE("a file whose inode is damaged comes back by its host file") {
  CheckRig rig(Data::kBacking);
  rig.damage([&](Image image) { flip_inode(rig, image, "/a"); });
  repair(rig);
  const test::Tree now = rig.look();
  CHECK(now.at("/a") == "100600 2 content of a");
  CHECK(now.at("/dir/second") == now.at("/a"));
  CHECK(now.size() == rig.tree().size());
}

TEST_CASE("host files of inodes that are gone without a trace get names, and are not collected") {
  CheckRig rig(Data::kBacking);
  rig.damage([&](Image image) {
    const auto leaf = test::structures_of(image, Kind::kIndexBlock).back();
    const auto chunk = test::load_as<format::IndexBlock>(image, leaf.at).child[0].load();
    std::memset(&image[chunk * format::kBlockSize], 0, 16 * format::kBlockSize);
    alter<format::IndexBlock>(image, leaf, [](auto& b) { b.child[0].store(0); });
    flip(image, leaf.at + 70);
  });
  CHECK(test::problems(rig.check()).count("index block") == 1);
  const auto repaired = rig.check(true);
  INFO(describe(repaired));
  // The root's chunk is made anew, since host files belong to it.
  CHECK_FALSE(repaired.stays_damaged());
  const test::Tree now = rig.look();
  for (const char* path : {"/a", "/dir/sub/deep", "/durable"}) {
    const std::string name = "/lost+found/#" + std::to_string(rig.ino(path));
    CAPTURE(name);
    REQUIRE(now.count(name) == 1);
    const std::string& was = rig.tree().at(path);
    CHECK(now.at(name).substr(now.at(name).rfind(' ')) == was.substr(was.rfind(' ')));
  }
}

TEST_CASE("host files against inodes") {
  CheckRig rig(Data::kBacking);
  const auto problems_of = [&] {
    return test::problems(rig.check());
  };
  SECTION("missing though it was safe") {
    rig.host()->remove_behind(host_name(rig, "/a"));
    CHECK(problems_of() == std::set<std::string>{"host missing"});
    repair(rig);
    CHECK(rig.look().at("/a") == "100644 2 ");
  }
  SECTION("shorter than its promise; the flag stays, and the loss is loud") {
    rig.host()->resize_behind(host_name(rig, "/durable"), 4097);
    CHECK(problems_of() == std::set<std::string>{"host short"});
    const auto report = repair(rig);
    CHECK(report.findings.at(0).what.find("DURABLE") != std::string::npos);
    CHECK(report.findings.at(0).path == "/durable");
    CHECK(rig.look().at("/durable") == "100644 1 durable " + std::string(4097, 'd'));
  }
  SECTION("something else under its name stays, and is told") {
    rig.host()->replace_behind(host_name(rig, "/a"));
    CHECK(problems_of() == std::set<std::string>{"host strange"});
    CHECK(rig.check(true).stays_damaged());
  }
  SECTION("of nobody, and not ours: notes") {
    const auto fd = rig.host()->create({InodeNo(200), 1});
    REQUIRE(fd.ok());
    ::close(*fd);
    rig.host()->add_foreign("stranger");
    const auto report = rig.check(true);
    CHECK(report.clean());
    CHECK(report.counts.host_orphans == 1);
    CHECK(report.counts.host_foreign == 1);
    CHECK(report.notes.size() == 2);
    CHECK(rig.host()->exists({InodeNo(200), 1}));
  }
  SECTION("of nobody while inodes may be lost: kept and named") {
    const BackingName name{InodeNo(200), 1};
    const auto fd = rig.host()->create(name);
    REQUIRE(fd.ok());
    ::close(*fd);
    rig.damage([&](Image image) { flip_inode(rig, image, "/fifo"); });
    CHECK(problems_of().count("host unclaimed") == 1);
    repair(rig);
    CHECK(rig.look().count("/lost+found/#200") == 1);
    CHECK(rig.host()->exists(name));
  }
  SECTION("of another region: nothing there is taken for ours") {
    check::Options options;
    format::Uuid other{};
    options.host_owner = Result<format::Uuid>(other);
    const auto report = check::check(rig.region(), rig.host(), options);
    REQUIRE(report.ok());
    CHECK(test::problems(*report) == std::set<std::string>{"host owner"});
    options.host_owner = Result<format::Uuid>(Error(ENOENT));
    CHECK(test::problems(*check::check(rig.region(), rig.host(), options)) ==
          std::set<std::string>{"host owner"});
  }
  CHECK(rig.host()->count(test::HostOp::kUnlink) == 0);
  CHECK(rig.host()->count(test::HostOp::kTruncate) == 0);
}

TEST_CASE("memory that is lost is told, kept as it is, and does not take what leads to it") {
  CheckRig rig(Data::kExtents);
  const std::span<const std::byte> image(rig.region().data(), rig.region().size());
  const auto lose = [&](std::uint64_t at, const std::function<void(const check::Report&)>& look) {
    test::MemoryRegion memory(rig.region().size());
    memory->stream(ByteOff(0), image.data(), image.size());
    memory->fence();
    memory.lose(ByteOff(at / format::kBlockSize * format::kBlockSize));
    check::Options options;
    options.repair = true;
    const auto report = check::check(*memory, nullptr, options);
    REQUIRE(report.code() == 0);
    look(*report);
    memory.map_again();  // the memory is mended: nothing was lost by the repair
    CHECK(check::check(*memory, nullptr, {})->found == 0);
  };
  const auto told = [](const check::Report& report) {
    INFO(describe(report));
    CHECK(test::problems(report).count("media lost") == 1);
    CHECK(report.stays_damaged());
  };
  lose(find_structure(image, Kind::kDirHeader, rig.ino("/dir")).at, told);
  lose(test::structures_of(image, Kind::kIndexBlock).back().at, told);
  lose(find_structure(image, Kind::kInode, rig.ino("/holes")).at, told);
}

// Every fence of a repair is a place to be cut at. What follows must come to the same end.
TEST_CASE("a repair that is cut anywhere is finished by the next") {
  for (const Data data : {Data::kExtents, Data::kBacking}) {
    CheckRig rig(data);
    const auto damage = [&](Image image) {
      flip_inode(rig, image, "/dir/sub");
      flip(image, find_structure(image, Kind::kDirHeader, rig.ino("/many")).at + 9);
      flip(image, find_structure(image, Kind::kBlobBlock, rig.ino("/xattrs")).at + 70);
      alter<format::Dentry>(image, find_dentry(image, 1, "fifo"),
                            [&](auto& d) { d.ino.store(250); });
      alter<format::Inode>(image, find_structure(image, Kind::kInode, rig.ino("/a")),
                           [](auto& i) { i.nlink.store(9); });
      alter<format::Inode>(image, find_structure(image, Kind::kInode, rig.ino("/dir")),
                           [](auto& i) { i.extents[0].logical.store(3); });
      flip(image, test::structures_of(image, Kind::kIndexBlock).back().at + 8);
      if (data == Data::kBacking) {
        flip_inode(rig, image, "/durable");
      }
    };
    rig.damage(damage);
    test::KeepAll all;
    const auto damaged = rig.region().crash(all);
    std::vector<std::unique_ptr<test::SimRegion>> cuts;
    rig.region().on_fence([&](test::SimRegion& region) {
      test::KeepNone none;
      test::RandomChooser random(cuts.size());
      test::Chooser* const luck[] = {&none, &random};
      cuts.push_back(region.crash(*luck[cuts.size() % 2]));
    });
    repair(rig);
    rig.region().on_fence({});
    const test::Tree whole = rig.look();
    CHECK(whole.at("/dir/sub/deep") == rig.tree().at("/dir/sub/deep"));
    CHECK(cuts.size() > 20);
    for (std::size_t i = 0; i < cuts.size(); ++i) {
      CAPTURE(i);
      rig.take(std::move(cuts[i]));
      repair(rig);
      const test::Tree now = rig.look();
      CHECK(now == whole);
    }
  }
}
