#include <algorithm>
#include <cstring>
#include <optional>

#include "base/log.hpp"
#include "format/checks.hpp"
#include "journal/journal.hpp"

namespace pmemfs::journal {
namespace {

using format::LaneHeader;
using format::LaneRecord;

// One committed lane.
struct Committed {
  std::uint64_t sequence;
  ByteOff lane;
  const std::byte* records;
  std::uint64_t bytes;
  std::uint32_t count;
};

std::uint64_t lane_size(const Geometry& g) {
  return std::uint64_t{g.lane_blocks} * format::kBlockSize;
}

ByteOff lane_off(const Geometry& g, std::uint32_t i) {
  return ByteOff(g.start.value * format::kBlockSize + i * lane_size(g));
}

bool inside(const Region& region, const Geometry& g) {
  const std::uint64_t blocks = region.size() / format::kBlockSize;
  return g.lanes > 0 && g.lane_blocks > 0 && g.start.value < blocks &&
         std::uint64_t{g.lanes} * g.lane_blocks <= blocks - g.start.value;
}

// What a transaction may write: anything but the superblocks and the lanes.
bool writable(const Region& region, const Geometry& g, ByteOff off, std::uint64_t n) {
  const auto apart = [&](std::uint64_t start, std::uint64_t length) {
    return off.value + n <= start || off.value >= start + length;
  };
  return region.contains(off, n) && apart(0, format::kBlockSize) &&
         apart(format::kSuperblockCopyBlock * format::kBlockSize, format::kBlockSize) &&
         apart(lane_off(g, 0).value, g.lanes * lane_size(g));
}

// Calls f(offset, bytes, n) for each record. False when they do not fill `c.bytes` exactly.
template <typename F>
bool for_each_record(const Committed& c, F&& f) {
  std::uint64_t at = 0;
  for (std::uint32_t i = 0; i < c.count; ++i) {
    if (c.bytes - at < sizeof(LaneRecord)) {
      return false;
    }
    LaneRecord record{};
    std::memcpy(&record, c.records + at, sizeof(record));
    at += sizeof(record);
    const std::uint64_t length = record.length.load();
    const std::uint64_t taken = (length + 7) / 8 * 8;
    if (taken > c.bytes - at || !f(ByteOff(record.offset.load()), c.records + at, length)) {
      return false;
    }
    at += taken;
  }
  return at == c.bytes;
}

// The transaction in a lane, if it is whole; counts what is not in the report.
std::optional<Committed> read_lane(const Region& region, const Geometry& g, std::uint32_t lane,
                                   ReplayReport& report) {
  LaneHeader header{};
  const ByteOff off = lane_off(g, lane);
  if (!region.lost(off, sizeof(header))) {  // else it is not touched
    std::memcpy(&header, region.data() + off.value, sizeof(header));
  }
  if (region.lost(off, sizeof(header))) {
    report.damaged = true;  // what was committed in it, if anything, is lost
    return std::nullopt;
  }
  if (header.sequence.load() == 0) {
    return std::nullopt;
  }
  const std::byte* records = region.data() + off.value + sizeof(header);
  const std::uint64_t bytes = header.bytes.load();
  const std::uint32_t magic = header.magic.load();
  if (magic != format::kLaneMagic || bytes > lane_size(g) - sizeof(header) ||
      region.lost(off, sizeof(header) + bytes) || !format::valid(header, records, bytes) ||
      region.lost(off, sizeof(header) + bytes)) {
    ++report.torn;
    // A torn write leaves old or new bytes in each word, and only two values were ever written.
    report.damaged |= magic != format::kLaneMagic && magic != 0;
    report.damaged |= region.lost(off, lane_size(g));
    return std::nullopt;
  }
  return Committed{header.sequence.load(), off, records, bytes, header.count.load()};
}

void apply(Region& region, const Committed& c) {
  for_each_record(c, [&](ByteOff off, const std::byte* bytes, std::uint64_t n) {
    region.store(off, bytes, n);
    region.flush(off, n);
    return true;
  });
}

bool touches_lost(const Region& region, const Committed& c) {
  return !for_each_record(
      c, [&](ByteOff off, const std::byte*, std::uint64_t n) { return !region.lost(off, n); });
}

// One after the other and oldest first: what is left after a crash here is newer than what is gone.
void retire(Region& region, ByteOff lane) {
  region.store_u64(lane, 0);
  region.flush(lane, sizeof(std::uint64_t));
  region.fence();
}

void retire_all(Region& region, const Geometry& g, const std::vector<Committed>& committed) {
  for (const Committed& c : committed) {
    retire(region, c.lane);
  }
  for (std::uint32_t i = 0; i < g.lanes; ++i) {
    std::uint64_t sequence = 0;
    if (!region.lost(lane_off(g, i), sizeof(sequence))) {
      std::memcpy(&sequence, region.data() + lane_off(g, i).value, sizeof(sequence));
    }
    if (sequence != 0) {
      retire(region, lane_off(g, i));  // torn
    }
  }
}

// So that recovery of a read-only region has where to store: before it stores anything.
Status prepare(Region& region, const Geometry& g, const std::vector<Committed>& committed,
               const ReplayReport& report) {
  if (committed.empty() && report.torn == 0) {
    return {};
  }
  PMEMFS_CHECK(region.make_private(lane_off(g, 0), g.lanes * lane_size(g)));
  Status done;
  for (const Committed& c : committed) {
    for_each_record(c, [&](ByteOff off, const std::byte*, std::uint64_t n) {
      done = region.make_private(off, n);
      return done.ok();
    });
    PMEMFS_CHECK(done);
  }
  return {};
}

bool checked(const Region& region, const Geometry& g, const Committed& c) {
  return for_each_record(c, [&](ByteOff off, const std::byte*, std::uint64_t n) {
    return writable(region, g, off, n);
  });
}

}  // namespace

Result<ReplayReport> replay(Region& region, const Geometry& geometry) {
  if (!inside(region, geometry)) {
    return Error(EUCLEAN);
  }
  ReplayReport report;
  std::vector<Committed> committed;
  for (std::uint32_t i = 0; i < geometry.lanes; ++i) {
    if (const auto c = read_lane(region, geometry, i, report)) {
      if (!checked(region, geometry, *c)) {
        base::log::error("journal lane {} is whole but makes no sense; nothing is replayed", i);
        return Error(EUCLEAN);
      }
      committed.push_back(*c);
    }
  }
  std::sort(committed.begin(), committed.end(),
            [](const Committed& a, const Committed& b) { return a.sequence < b.sequence; });
  if (region.read_only()) {
    PMEMFS_CHECK(prepare(region, geometry, committed, report));
  }
  for (std::size_t i = 0; i < committed.size(); ++i) {
    report.damaged |= i > 0 && committed[i].sequence == committed[i - 1].sequence;
    apply(region, committed[i]);
    ++report.replayed;
  }
  if (!committed.empty()) {
    region.fence();
  }
  // What else such a page held is lost with it: nothing is won by replaying the lane once more.
  report.damaged |= std::any_of(committed.begin(), committed.end(),
                                [&](const Committed& c) { return touches_lost(region, c); });
  retire_all(region, geometry, committed);
  return report;
}

void format_lanes(Region& region, const Geometry& geometry) {
  region.stream_zeros(lane_off(geometry, 0), geometry.lanes * lane_size(geometry));
  region.fence();
}

}  // namespace pmemfs::journal
