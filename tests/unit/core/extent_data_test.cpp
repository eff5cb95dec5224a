// File data in extents of the region, and crashes in the middle of changing it.
#include "core_rig.hpp"

namespace pmemfs::test {
namespace {

constexpr std::uint64_t kBlock = 4096;
constexpr std::uint64_t kPieces = 700;  // extents: cutting them all takes several changes
constexpr std::uint64_t kWhole = 2 * kPieces * kBlock;

// A file with data in every second block.
Created make_pieces(CoreRig& rig) {
  const Created file = rig.create("pieces");
  const std::string block(kBlock, 'x');
  for (std::uint64_t i = 0; i < kPieces; i++) {
    rig.write(file.opened.handle, 2 * i * kBlock, block);
  }
  return file;
}

Result<Attributes> resize(CoreRig& rig, InodeNo ino, std::uint64_t size) {
  AttributeChange change;
  change.size = size;
  return rig.fs().setattr(kRoot, ino, change);
}

// The region as a power cut at the `nth` fence of `act` leaves it; null when there are fewer.
template <typename Act>
std::unique_ptr<SimRegion> cut_at(CoreRig& rig, int nth, const Act& act) {
  std::unique_ptr<SimRegion> left;
  rig.region().on_fence([&](SimRegion& region) {
    if (nth-- == 0) {
      KeepNone none;
      left = region.crash(none);
    }
  });
  act();
  rig.region().on_fence({});
  return left;
}

// A file of pieces whose truncation to 10 bytes was cut short at the `nth` fence; false when there
// is no such fence.
bool cut_short(CoreRig& rig, int nth) {
  const Created file = make_pieces(rig);
  auto left = cut_at(rig, nth, [&] { REQUIRE(resize(rig, file.attributes.ino, 10).ok()); });
  const bool cut = left != nullptr;
  if (cut) {
    rig.restart_from(std::move(left));
  }
  return cut;
}

bool all_zero(const std::string& text, std::size_t from) {
  return text.find_first_not_of('\0', from) == std::string::npos;
}

}  // namespace

TEST_CASE("a truncation that a crash cut short shows no old bytes when the file grows again") {
  const bool by_write = GENERATE(false, true);
  int cuts = 0;
  for (int nth = 0;; nth++, cuts++) {
    CoreRig rig(CoreRig::Data::kExtents);
    if (!cut_short(rig, nth)) {
      break;
    }
    const Attributes found = rig.stat("pieces");
    if (found.size == kWhole - kBlock) {
      continue;  // before the truncation
    }
    REQUIRE(found.size == 10);
    if (by_write) {
      const auto opened = rig.fs().open_file(found.ino, O_RDWR, false);
      REQUIRE(opened.ok());
      rig.write(opened->handle, kWhole, "end");
      rig.fs().release(opened->handle);
    } else {
      REQUIRE(resize(rig, found.ino, kWhole).ok());
    }
    const std::string text = rig.get("pieces");
    CHECK(text.substr(0, 10) == "xxxxxxxxxx");
    CHECK(all_zero(text.substr(0, std::min<std::size_t>(text.size(), kWhole)), 10));
  }
  CHECK(cuts >= 6);  // two changes
}

TEST_CASE("growing a durable file shows no bytes of before it was cut") {
  for (int nth = 0;; nth++) {
    CoreRig rig(CoreRig::Data::kExtents);
    if (!cut_short(rig, nth)) {
      break;
    }
    const Attributes found = rig.stat("pieces");
    if (found.size != 10) {
      continue;
    }
    REQUIRE(rig.set_durable("pieces") == 0);
    REQUIRE(resize(rig, found.ino, kWhole).ok());
    CHECK(all_zero(rig.get("pieces"), 10));
  }
}

TEST_CASE("a copy within a file ends where the file ended") {
  const auto copies = [](CoreRig::Data data, bool durable) {
    CoreRig rig(data);
    rig.put("f", std::string(5000, 'f'));
    REQUIRE(rig.set_durable("f", durable ? "1" : "0") == 0);
    const auto file = rig.fs().open_file(rig.stat("f").ino, O_RDWR, false);
    REQUIRE(file.ok());
    const auto n = rig.fs().copy_range(file->handle, 4000, file->handle, 9000, 4500);
    REQUIRE(n.ok());
    CHECK(*n == 1000);
    CHECK(rig.stat("f").size == 10'000);
    rig.fs().release(file->handle);
  };
  for (const bool durable : {false, true}) {  // which grows first
    copies(CoreRig::Data::kExtents, durable);
    copies(CoreRig::Data::kBacking, durable);
  }
}

}  // namespace pmemfs::test
