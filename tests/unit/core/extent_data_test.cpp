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

namespace {

// What read_in_place() shows, and in how many pieces.
std::pair<std::string, std::size_t> in_place(CoreRig& rig, HandleId handle, std::uint64_t off,
                                             std::size_t n) {
  std::vector<std::byte> scratch(n);
  std::pair<std::string, std::size_t> shown;
  int calls = 0;
  const Status done =
      rig.fs().read_in_place(handle, off, scratch, [&](std::span<const iovec> pieces) {
        ++calls;
        shown.second = pieces.size();
        for (const iovec& piece : pieces) {
          shown.first.append(static_cast<const char*>(piece.iov_base), piece.iov_len);
        }
      });
  REQUIRE(done.ok());
  REQUIRE(calls == 1);
  return shown;
}

}  // namespace

TEST_CASE("reading in place shows what reading copies: data, holes, reserved blocks, the end") {
  for (const auto data : {CoreRig::Data::kExtents, CoreRig::Data::kBacking}) {
    CoreRig rig(data);
    const Created file = rig.create("file");
    const HandleId handle = file.opened.handle;
    rig.write(handle, 5000, std::string(3000, 'a'));
    rig.write(handle, 300'000, std::string(9000, 'b'));
    REQUIRE(rig.fs().fallocate(kRoot, handle, 0, 320'000, 5000).ok());
    for (const std::uint64_t off :
         {0U, 4999U, 7999U, 8000U, 305'000U, 319'999U, 324'999U, 325'000U}) {
      INFO("from " << off);
      CHECK(in_place(rig, handle, off, 400'000).first == rig.read_all(handle, off));
    }
    CHECK(in_place(rig, handle, 1U << 30U, 10).first.empty());
    CHECK(in_place(rig, handle, 6000, 10) == std::pair(std::string(10, 'a'), std::size_t{1}));
    rig.close(file);
  }
}

TEST_CASE("reading in place copies what lies in very many pieces") {
  CoreRig rig(CoreRig::Data::kExtents);
  const Created file = rig.create("file");
  const Created other = rig.create("other");
  for (std::uint64_t i = 0; i < 100; ++i) {
    rig.write(file.opened.handle, i * 4096, std::string(4096, static_cast<char>('a' + i % 26)));
    rig.write(other.opened.handle, i * 4096, std::string(4096, '-'));
  }
  const std::string whole = rig.read_all(file.opened.handle);
  CHECK(in_place(rig, file.opened.handle, 0, 100 * 4096) == std::pair(whole, std::size_t{1}));
  const auto some = in_place(rig, file.opened.handle, 0, 60 * 4096);
  CHECK(some.first == whole.substr(0, 60 * 4096));
  CHECK(some.second == 60);
  rig.close(file);
  rig.close(other);
}

}  // namespace pmemfs::test
