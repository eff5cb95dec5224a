#include "check/lanes.hpp"

#include <cstring>

#include "format/checks.hpp"
#include "format/layout.hpp"
#include "journal/journal.hpp"

namespace pmemfs::check {
namespace {

using format::LaneHeader;
using format::LaneRecord;
using format::Superblock;

class Lanes {
 public:
  Lanes(Region& region, const Superblock& s) : region_(region), s_(s), layout_(s) {}

  [[nodiscard]] ByteOff at(std::uint32_t lane) const {
    return format::byte_off(
        BlockNo(s_.lane_start.load() + std::uint64_t{lane} * s_.lane_blocks.load()));
  }

  // Whole, but it names bytes that no transaction writes.
  [[nodiscard]] bool is_nonsense(std::uint32_t lane) const {
    LaneHeader header{};
    const std::byte* media = region_.data() + at(lane).value;
    std::memcpy(&header, media, sizeof(header));
    const std::uint64_t room =
        std::uint64_t{s_.lane_blocks.load()} * format::kBlockSize - sizeof(header);
    const std::uint64_t bytes = header.bytes.load();
    return header.sequence.load() != 0 && header.magic.load() == format::kLaneMagic &&
           bytes <= room && format::valid(header, media + sizeof(header), bytes) &&
           !makes_sense(media + sizeof(header), bytes, header.count.load());
  }

  void drop(std::uint32_t lane) {
    region_.store_u64(at(lane), 0);
    region_.flush(at(lane), sizeof(std::uint64_t));
    region_.fence();
  }

 private:
  [[nodiscard]] bool makes_sense(const std::byte* records, std::uint64_t bytes,
                                 std::uint32_t count) const {
    std::uint64_t at = 0;
    for (std::uint32_t i = 0; i < count; ++i) {
      LaneRecord record{};
      if (bytes - at < sizeof(record)) {
        return false;
      }
      std::memcpy(&record, records + at, sizeof(record));
      const std::uint64_t padded = (std::uint64_t{record.length.load()} + 7) / 8 * 8;
      at += sizeof(record);
      if (padded > bytes - at || !writable(record)) {
        return false;
      }
      at += padded;
    }
    return at == bytes;
  }

  [[nodiscard]] bool writable(const LaneRecord& record) const {
    const std::uint64_t first = record.offset.load();
    const std::uint64_t n = record.length.load();
    if (first > region_.size() || n > region_.size() - first) {
      return false;
    }
    const std::uint64_t block = first / format::kBlockSize;
    const std::uint64_t end = (first + n + format::kBlockSize - 1) / format::kBlockSize;
    return n == 0 || layout_.usable(BlockRun{BlockNo(block), end - block});
  }

  Region& region_;
  const Superblock& s_;
  format::Layout layout_;
};

void tell(const journal::ReplayReport& replayed, Findings& out, Report& report) {
  report.replayed = replayed.replayed;
  if (replayed.replayed != 0) {
    report.notes.push_back(fmt::format(
        "{} transactions of the journal were finished, as after a crash", replayed.replayed));
  }
  if (replayed.torn != 0 && !replayed.damaged) {
    report.notes.push_back(
        fmt::format("{} transactions that a crash cut short were dropped", replayed.torn));
  }
  if (replayed.damaged) {
    out.add(Problem::kLane, InodeNo(), BlockNo(), "a lane of the journal is damaged{}",
            "; what was committed in it, if anything, is lost");
  }
}

}  // namespace

Status check_lanes(Region& region, const Superblock& s, bool repair, Findings& out,
                   Report& report) {
  Lanes lanes(region, s);
  bool left = false;
  for (std::uint32_t i = 0; i < s.lane_count.load(); ++i) {
    if (!lanes.is_nonsense(i)) {
      continue;
    }
    const auto mark = out.mark();
    out.add(Problem::kLaneContent, InodeNo(), BlockNo(lanes.at(i).value / format::kBlockSize),
            "lane {} of the journal is whole, but makes no sense", i);
    if (repair) {
      lanes.drop(i);
      out.repaired_since(mark);
    } else {
      left = true;
    }
  }
  if (left) {
    return {};
  }
  const journal::Geometry geometry{BlockNo(s.lane_start.load()), s.lane_count.load(),
                                   s.lane_blocks.load()};
  const auto mark = out.mark();
  PMEMFS_TRY(const journal::ReplayReport replayed, journal::replay(region, geometry));
  tell(replayed, out, report);
  const std::uint64_t bytes =
      std::uint64_t{geometry.lanes} * geometry.lane_blocks * format::kBlockSize;
  if (repair && !region.lost(format::byte_off(geometry.start), bytes)) {
    out.repaired_since(mark);  // replay has retired what made no sense
  }
  return {};
}

}  // namespace pmemfs::check
