// Lanes of any content, replayed and compared with a second, slow reading of docs/FORMAT.md.
#include <algorithm>
#include <vector>

#include "base/log.hpp"
#include "format/checks.hpp"
#include "input.hpp"
#include "journal/journal.hpp"
#include "support/guarded_region.hpp"

namespace {

using namespace pmemfs;
using format::LaneHeader;
using format::LaneRecord;

constexpr std::uint64_t kBlocks = 560;  // more than the second superblock's place
constexpr std::uint64_t kBytes = kBlocks * format::kBlockSize;

struct Geometry {
  std::uint64_t start = 1;
  std::uint64_t lanes = 1;
  std::uint64_t blocks = 1;  // of a lane

  [[nodiscard]] std::uint64_t lane_bytes() const { return blocks * format::kBlockSize; }
  [[nodiscard]] std::uint64_t lane(std::uint64_t i) const {
    return start * format::kBlockSize + i * lane_bytes();
  }
  [[nodiscard]] std::uint64_t end() const { return lane(lanes); }
};

struct Write {
  std::uint64_t offset = 0;
  std::uint64_t from = 0;  // where its bytes lie in the region
  std::uint64_t length = 0;
};
struct Committed {
  std::uint64_t sequence = 0;
  std::vector<Write> writes;
};

const std::vector<std::byte>& blank() {
  static const std::vector<std::byte> kBlank = [] {
    std::vector<std::byte> bytes(kBytes);
    for (std::size_t i = 0; i < bytes.size(); i += 8) {
      bytes[i] = static_cast<std::byte>(i / 8);
    }
    return bytes;
  }();
  return kBlank;
}

// --- Making lanes --------------------------------------------------------------------------------

std::uint64_t any_offset(fuzz::Input& input) {
  switch (input.below(6)) {
    case 0:
      return input.number<std::uint64_t>();
    case 1:
      return kBytes - input.byte();
    case 2:
      return format::kSuperblockCopyBlock * format::kBlockSize - 8 + input.word() % 5000;
    case 3:
      return ~std::uint64_t{0} - input.byte();
    default:
      return input.number<std::uint32_t>() % kBytes;
  }
}

// Records from `at` on, as far as the lane goes. Returns how many bytes they take.
std::uint64_t put_records(fuzz::Input& input, std::span<std::byte> lane, std::uint32_t count) {
  std::uint64_t at = sizeof(LaneHeader);
  for (std::uint32_t i = 0; i < count && at + sizeof(LaneRecord) + 1200 < lane.size(); ++i) {
    LaneRecord r{};
    r.offset.store(any_offset(input));
    const std::uint32_t length = input.word() % 1200;
    r.length.store(input.byte() == 7 ? input.number<std::uint32_t>() : length);
    std::memcpy(&lane[at], &r, sizeof(r));
    at += sizeof(r);
    std::fill_n(&lane[at], length, static_cast<std::byte>(input.byte()));
    at += (length + 7U) / 8 * 8;
  }
  return at - sizeof(LaneHeader);
}

void put_lane(fuzz::Input& input, std::span<std::byte> lane) {
  LaneHeader h{};
  const std::uint8_t how = input.byte();
  h.sequence.store(input.below(5));
  h.magic.store((how & 1U) != 0 ? format::kLaneMagic : input.number<std::uint32_t>());
  const auto count = static_cast<std::uint32_t>(input.below(8));
  const std::uint64_t bytes = put_records(input, lane, count);
  h.count.store((how & 6U) == 6 ? input.number<std::uint32_t>() : count);
  h.bytes.store((how & 24U) == 24 ? input.number<std::uint64_t>() : bytes);
  if ((how & 96U) != 96) {
    format::seal(h, &lane[sizeof(h)],
                 std::min<std::uint64_t>(h.bytes.load(), lane.size() - sizeof(h)));
  }
  std::memcpy(lane.data(), &h, sizeof(h));
}

// --- The slow reading ----------------------------------------------------------------------------

bool allowed(const Geometry& g, std::uint64_t from, std::uint64_t length) {
  constexpr std::uint64_t kCopy = format::kSuperblockCopyBlock * format::kBlockSize;
  if (from > kBytes || length > kBytes - from) {
    return false;
  }
  const auto apart = [&](std::uint64_t begin, std::uint64_t end) {
    return from + length <= begin || from >= end;
  };
  return apart(0, format::kBlockSize) && apart(kCopy, kCopy + format::kBlockSize) &&
         apart(g.lane(0), g.end());
}

// False: a whole lane that makes no sense.
bool read_lane(const Geometry& g, std::span<const std::byte> region, std::uint64_t lane,
               std::vector<Committed>& out) {
  LaneHeader h{};
  std::memcpy(&h, &region[lane], sizeof(h));
  const std::uint64_t room = g.lane_bytes() - sizeof(h);
  if (h.sequence.load() == 0 || h.magic.load() != format::kLaneMagic || h.bytes.load() > room ||
      !format::valid(h, &region[lane + sizeof(h)], h.bytes.load())) {
    return true;
  }
  Committed c{h.sequence.load(), {}};
  std::uint64_t at = lane + sizeof(h);
  const std::uint64_t end = at + h.bytes.load();
  for (std::uint64_t i = 0; i < h.count.load(); ++i) {
    LaneRecord r{};
    if (end - at < sizeof(r)) {
      return false;
    }
    std::memcpy(&r, &region[at], sizeof(r));
    at += sizeof(r);
    const std::uint64_t length = r.length.load();
    if ((length + 7) / 8 * 8 > end - at || !allowed(g, r.offset.load(), length)) {
      return false;
    }
    c.writes.push_back({r.offset.load(), at, length});
    at += (length + 7) / 8 * 8;
  }
  out.push_back(c);
  return at == end;
}

// What replay must leave, but for the lanes; nothing when it must refuse.
bool expect(const Geometry& g, std::vector<std::byte>& region, std::uint32_t& replayed,
            bool& ambiguous) {
  std::vector<Committed> all;
  for (std::uint64_t i = 0; i < g.lanes; ++i) {
    if (!read_lane(g, region, g.lane(i), all)) {
      return false;
    }
  }
  std::stable_sort(all.begin(), all.end(),
                   [](const Committed& a, const Committed& b) { return a.sequence < b.sequence; });
  const std::vector<std::byte> before = region;
  for (std::size_t i = 0; i < all.size(); ++i) {
    ambiguous |= i > 0 && all[i].sequence == all[i - 1].sequence;
    for (const Write& w : all[i].writes) {
      std::copy_n(&before[w.from], w.length, &region[w.offset]);
    }
  }
  replayed = static_cast<std::uint32_t>(all.size());
  return true;
}

void compare(const Geometry& g, const std::vector<std::byte>& expected, const Region& region) {
  const std::byte* found = region.data();
  fuzz::demand(std::memcmp(expected.data(), found, g.lane(0)) == 0, "bytes before the lanes");
  fuzz::demand(std::memcmp(&expected[g.end()], found + g.end(), kBytes - g.end()) == 0,
               "bytes behind the lanes");
  for (std::uint64_t i = 0; i < g.lanes; ++i) {
    std::uint64_t sequence = 0;
    std::memcpy(&sequence, found + g.lane(i), sizeof(sequence));
    fuzz::demand_equal(0, sequence, "the sequence of a retired lane");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const test::MediaImage kImage{blank()};
  base::log::init_callback([](base::log::Level, const std::string&) {});
  fuzz::Input input(data, size);
  const Geometry g{1 + input.below(3), 1 + input.below(6), 1 + input.below(3)};
  test::GuardedRegion region(kImage);
  for (std::uint64_t i = 0; i < g.lanes; ++i) {
    put_lane(input, region.bytes().subspan(g.lane(i), g.lane_bytes()));
  }
  const journal::Geometry lanes{BlockNo(g.start), static_cast<std::uint32_t>(g.lanes),
                                static_cast<std::uint32_t>(g.blocks)};
  std::vector<std::byte> expected(region.data(), region.data() + kBytes);
  std::uint32_t replayed = 0;
  bool ambiguous = false;
  const bool whole = expect(g, expected, replayed, ambiguous);
  const auto done = journal::replay(region, lanes);
  if (!whole) {
    fuzz::demand_equal(EUCLEAN, static_cast<std::uint64_t>(done.code()), "the refusal of a lane");
    fuzz::demand(std::memcmp(expected.data(), region.data(), kBytes) == 0, "bytes after a refusal");
    return 0;
  }
  fuzz::demand(done.ok(), "a replay fails");
  fuzz::demand_equal(replayed, done->replayed, "transactions");
  if (!ambiguous) {
    compare(g, expected, region);
  }
  fuzz::demand(done->damaged || !ambiguous, "two lanes of one sequence are not noticed");
  const auto again = journal::replay(region, lanes);
  fuzz::demand(again.ok() && again->replayed == 0 && again->torn == 0, "a second replay");
  return 0;
}
