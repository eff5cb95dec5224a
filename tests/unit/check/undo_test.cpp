// The undo file: exact, only for its region, and a repair that cannot be undone is not made.
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <filesystem>

#include "check/undo_region.hpp"
#include "check_rig.hpp"
#include "harness/catch.hpp"
#include "pmemfs/format.hpp"
#include "store/store.hpp"
#include "support/chooser.hpp"
#include "support/temp_dir.hpp"

using namespace pmemfs;
using check::apply_undo;
using check::UndoFault;
using check::UndoRegion;
using test::CheckRig;
using test::find_structure;
using test::Kind;
using Data = CheckRig::Data;
using Bytes = std::vector<std::byte>;

namespace {

Bytes bytes_of(const Region& region) {
  return {region.data(), region.data() + region.size()};
}

void harm(CheckRig& rig) {
  rig.damage([&](std::span<std::byte> image) {
    image[find_structure(image, Kind::kInode, rig.ino("/dir")).at + 40] ^= std::byte{1};
    image[find_structure(image, Kind::kInode, rig.ino("/a")).at + 40] ^= std::byte{1};
    image[60] ^= std::byte{1};  // of the first superblock
  });
}

check::Report repair(Region& region) {
  check::Options options;
  options.repair = true;
  auto report = check::check(region, nullptr, options);
  REQUIRE(report.code() == 0);
  return std::move(*report);
}

int undone(Region& region, const std::string& path, UndoFault expected = UndoFault::kNone) {
  UndoFault fault = UndoFault::kNone;
  const int code = apply_undo(region, path, &fault).code();
  CHECK(fault == expected);
  return code;
}

}  // namespace

TEST_CASE("a repair is undone to the byte") {
  const test::TempDir dir;
  CheckRig rig(Data::kExtents);
  harm(rig);
  const Bytes before = bytes_of(rig.region());
  const std::string path = dir / "undo";
  auto undo = UndoRegion::create(rig.region(), path);
  REQUIRE(undo.ok());
  CHECK(UndoRegion::create(rig.region(), path).code() == EEXIST);
  CHECK_FALSE(repair(**undo).stays_damaged());
  REQUIRE((*undo)->finish().ok());
  CHECK((*undo)->saved() > 3);
  undo = Error(EIO);
  CHECK(rig.check().clean());
  REQUIRE(bytes_of(rig.region()) != before);
  REQUIRE(undone(rig.region(), path) == 0);
  CHECK(bytes_of(rig.region()) == before);
  CHECK(undone(rig.region(), path) == 0);  // twice is as once
  CHECK(bytes_of(rig.region()) == before);
}

TEST_CASE("an undo file of another region, of an earlier time, or damaged is refused") {
  const test::TempDir dir;
  CheckRig rig(Data::kExtents);
  harm(rig);
  const std::string path = dir / "undo";
  {
    const auto undo = UndoRegion::create(rig.region(), path);
    REQUIRE(undo.ok());
    (void)repair(**undo);
    REQUIRE((*undo)->finish().ok());
  }
  SECTION("another region") {
    test::SimRegion other(32ULL << 20U);
    store::FormatOptions format;
    format.uuid.fill(9);
    REQUIRE(store::Store::format(other, format).ok());
    const Bytes before = bytes_of(other);
    CHECK(undone(other, path, UndoFault::kForeign) == EINVAL);
    CHECK(bytes_of(other) == before);
  }
  SECTION("mounted since") {
    (void)rig.look();
    const Bytes before = bytes_of(rig.region());
    CHECK(undone(rig.region(), path, UndoFault::kUsed) == EINVAL);
    CHECK(bytes_of(rig.region()) == before);
  }
  SECTION("damaged") {
    const base::UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    REQUIRE(::pwrite(fd.get(), "?", 1, 20) == 1);
    CHECK(undone(rig.region(), path, UndoFault::kNotUndo) == EINVAL);
  }
  SECTION("missing") {
    CHECK(undone(rig.region(), dir / "none") == ENOENT);
  }
}

// What the file held when the power went is what the region may have lost.
TEST_CASE("a repair that was cut is undone as far as it came") {
  const test::TempDir dir;
  CheckRig rig(Data::kExtents);
  harm(rig);
  const Bytes before = bytes_of(rig.region());
  const std::string path = dir / "undo";
  struct Cut {
    std::unique_ptr<test::SimRegion> region;
    std::string file;
  };
  std::vector<Cut> cuts;
  rig.region().on_fence([&](test::SimRegion& region) {
    test::RandomChooser luck(cuts.size());
    Cut cut{region.crash(luck), dir / std::to_string(cuts.size())};
    std::filesystem::copy_file(path, cut.file);
    cuts.push_back(std::move(cut));
  });
  {
    const auto undo = UndoRegion::create(rig.region(), path);
    REQUIRE(undo.ok());
    (void)repair(**undo);
  }
  rig.region().on_fence({});
  CHECK(cuts.size() > 10);
  for (std::size_t i = 0; i < cuts.size(); ++i) {
    CAPTURE(i);
    REQUIRE(undone(*cuts[i].region, cuts[i].file) == 0);
    CHECK(bytes_of(*cuts[i].region) == before);
  }
  // It was mounted after the power came back: too late.
  rig.take(std::move(cuts.back().region));
  (void)rig.check(true);
  (void)rig.look();
  rig.damage([](std::span<std::byte> image) {  // by another process than the repair
    test::alter_superblocks(image, [](format::Superblock& s) { s.owner_pid.store(1); });
  });
  CHECK(undone(rig.region(), cuts.back().file, UndoFault::kUsed) == EINVAL);
}

TEST_CASE("where the undo file has no room, nothing is changed any more") {
  const test::TempDir dir;
  CheckRig rig(Data::kExtents);
  harm(rig);
  const Bytes before = bytes_of(rig.region());
  const auto undo = UndoRegion::create(rig.region(), dir / "undo");
  REQUIRE(undo.ok());
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit old{};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &old) == 0);
  const rlimit small{100, old.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
  const auto report = repair(**undo);
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &old) == 0);
  std::signal(SIGXFSZ, old_handler);
  INFO(test::describe(report));
  CHECK(report.stays_damaged());
  CHECK(report.repaired == 0);
  CHECK((*undo)->finish().code() == EFBIG);
  CHECK(bytes_of(rig.region()) == before);
}
