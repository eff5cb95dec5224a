// docs/FORMAT.md says what include/pmemfs/format.hpp declares: every structure, field, offset, size
// and constant, no more and no less.
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <map>
#include <optional>
#include <sstream>
#include <string>
#include <system_error>
#include <vector>

#include "harness/catch.hpp"
#include "pmemfs/format.hpp"

using namespace pmemfs;

namespace {

struct Field {
  std::string name;
  std::uint64_t offset;
  std::uint64_t size;
  bool operator==(const Field&) const = default;
};

struct Structure {
  std::string name;
  std::uint64_t size;
  std::vector<Field> fields;
  bool operator==(const Structure&) const = default;
};

struct Constant {
  std::string name;
  std::uint64_t value;
  bool operator==(const Constant&) const = default;
};

struct Format {
  std::vector<Structure> structures;
  std::vector<Constant> constants;
  bool operator==(const Format&) const = default;
};

#define PMEMFS_FIELD(type, member) \
  { #member, offsetof(format::type, member), sizeof(format::type::member) }
#define PMEMFS_CONSTANT(constant) \
  { #constant, format::constant }

const std::vector<Structure> kStructures{
    {"Superblock",
     sizeof(format::Superblock),
     {
         PMEMFS_FIELD(Superblock, magic),
         PMEMFS_FIELD(Superblock, version),
         PMEMFS_FIELD(Superblock, block_size),
         PMEMFS_FIELD(Superblock, compat),
         PMEMFS_FIELD(Superblock, ro_compat),
         PMEMFS_FIELD(Superblock, incompat),
         PMEMFS_FIELD(Superblock, uuid),
         PMEMFS_FIELD(Superblock, label),
         PMEMFS_FIELD(Superblock, update),
         PMEMFS_FIELD(Superblock, kind),
         PMEMFS_FIELD(Superblock, flags),
         PMEMFS_FIELD(Superblock, region_blocks),
         PMEMFS_FIELD(Superblock, lane_start),
         PMEMFS_FIELD(Superblock, lane_count),
         PMEMFS_FIELD(Superblock, lane_blocks),
         PMEMFS_FIELD(Superblock, inode_root),
         PMEMFS_FIELD(Superblock, next_generation),
         PMEMFS_FIELD(Superblock, snapshot),
         PMEMFS_FIELD(Superblock, snapshot_blocks),
         PMEMFS_FIELD(Superblock, state),
         PMEMFS_FIELD(Superblock, owner_pid),
         PMEMFS_FIELD(Superblock, owner_boot),
         PMEMFS_FIELD(Superblock, suspect_boot),
         PMEMFS_FIELD(Superblock, mount_count),
         PMEMFS_FIELD(Superblock, made_at),
         PMEMFS_FIELD(Superblock, mounted_at),
         PMEMFS_FIELD(Superblock, made_by),
         PMEMFS_FIELD(Superblock, device_alignment),
         PMEMFS_FIELD(Superblock, inode_root_copy),
         PMEMFS_FIELD(Superblock, bad_runs),
         PMEMFS_FIELD(Superblock, reserved0),
         PMEMFS_FIELD(Superblock, bad),
         PMEMFS_FIELD(Superblock, reserved),
         PMEMFS_FIELD(Superblock, crc),
     }},
    {"BadRun",
     sizeof(format::BadRun),
     {
         PMEMFS_FIELD(BadRun, start),
         PMEMFS_FIELD(BadRun, count),
     }},
    {"LaneHeader",
     sizeof(format::LaneHeader),
     {
         PMEMFS_FIELD(LaneHeader, sequence),
         PMEMFS_FIELD(LaneHeader, magic),
         PMEMFS_FIELD(LaneHeader, count),
         PMEMFS_FIELD(LaneHeader, bytes),
         PMEMFS_FIELD(LaneHeader, reserved),
         PMEMFS_FIELD(LaneHeader, crc),
     }},
    {"LaneRecord",
     sizeof(format::LaneRecord),
     {
         PMEMFS_FIELD(LaneRecord, offset),
         PMEMFS_FIELD(LaneRecord, length),
         PMEMFS_FIELD(LaneRecord, reserved),
     }},
    {"IndexBlock",
     sizeof(format::IndexBlock),
     {
         PMEMFS_FIELD(IndexBlock, magic),
         PMEMFS_FIELD(IndexBlock, level),
         PMEMFS_FIELD(IndexBlock, update),
         PMEMFS_FIELD(IndexBlock, reserved),
         PMEMFS_FIELD(IndexBlock, crc),
         PMEMFS_FIELD(IndexBlock, child),
     }},
    {"Inode",
     sizeof(format::Inode),
     {
         PMEMFS_FIELD(Inode, ino),
         PMEMFS_FIELD(Inode, generation),
         PMEMFS_FIELD(Inode, mode),
         PMEMFS_FIELD(Inode, flags),
         PMEMFS_FIELD(Inode, uid),
         PMEMFS_FIELD(Inode, gid),
         PMEMFS_FIELD(Inode, nlink),
         PMEMFS_FIELD(Inode, rdev),
         PMEMFS_FIELD(Inode, size),
         PMEMFS_FIELD(Inode, durable_len),
         PMEMFS_FIELD(Inode, atime_sec),
         PMEMFS_FIELD(Inode, mtime_sec),
         PMEMFS_FIELD(Inode, ctime_sec),
         PMEMFS_FIELD(Inode, btime_sec),
         PMEMFS_FIELD(Inode, atime_nsec),
         PMEMFS_FIELD(Inode, mtime_nsec),
         PMEMFS_FIELD(Inode, ctime_nsec),
         PMEMFS_FIELD(Inode, btime_nsec),
         PMEMFS_FIELD(Inode, host_atime_sec),
         PMEMFS_FIELD(Inode, host_mtime_sec),
         PMEMFS_FIELD(Inode, host_atime_nsec),
         PMEMFS_FIELD(Inode, host_mtime_nsec),
         PMEMFS_FIELD(Inode, xattrs),
         PMEMFS_FIELD(Inode, data),
         PMEMFS_FIELD(Inode, data_blocks),
         PMEMFS_FIELD(Inode, entries),
         PMEMFS_FIELD(Inode, parent),
         PMEMFS_FIELD(Inode, extents),
         PMEMFS_FIELD(Inode, target),
         PMEMFS_FIELD(Inode, host),
         PMEMFS_FIELD(Inode, reserved),
         PMEMFS_FIELD(Inode, crc),
     }},
    {"HostPlace",
     sizeof(format::HostPlace),
     {
         PMEMFS_FIELD(HostPlace, generation),
         PMEMFS_FIELD(HostPlace, reserved),
     }},
    {"Extent",
     sizeof(format::Extent),
     {
         PMEMFS_FIELD(Extent, logical),
         PMEMFS_FIELD(Extent, physical),
         PMEMFS_FIELD(Extent, count),
         PMEMFS_FIELD(Extent, flags),
     }},
    {"ExtentBlock",
     sizeof(format::ExtentBlock),
     {
         PMEMFS_FIELD(ExtentBlock, magic),
         PMEMFS_FIELD(ExtentBlock, reserved0),
         PMEMFS_FIELD(ExtentBlock, owner),
         PMEMFS_FIELD(ExtentBlock, generation),
         PMEMFS_FIELD(ExtentBlock, next),
         PMEMFS_FIELD(ExtentBlock, used),
         PMEMFS_FIELD(ExtentBlock, reserved),
         PMEMFS_FIELD(ExtentBlock, crc),
         PMEMFS_FIELD(ExtentBlock, slots),
     }},
    {"ExtentSlot",
     sizeof(format::ExtentSlot),
     {
         PMEMFS_FIELD(ExtentSlot, extent),
         PMEMFS_FIELD(ExtentSlot, reserved),
         PMEMFS_FIELD(ExtentSlot, crc),
     }},
    {"DirHeader",
     sizeof(format::DirHeader),
     {
         PMEMFS_FIELD(DirHeader, magic),
         PMEMFS_FIELD(DirHeader, reserved0),
         PMEMFS_FIELD(DirHeader, owner),
         PMEMFS_FIELD(DirHeader, generation),
         PMEMFS_FIELD(DirHeader, index),
         PMEMFS_FIELD(DirHeader, used),
         PMEMFS_FIELD(DirHeader, heads),
         PMEMFS_FIELD(DirHeader, reserved),
         PMEMFS_FIELD(DirHeader, crc),
     }},
    {"Dentry",
     sizeof(format::Dentry),
     {
         PMEMFS_FIELD(Dentry, crc),
         PMEMFS_FIELD(Dentry, hash),
         PMEMFS_FIELD(Dentry, ino),
         PMEMFS_FIELD(Dentry, type),
         PMEMFS_FIELD(Dentry, name_len),
         PMEMFS_FIELD(Dentry, reserved),
     }},
    {"BlobBlock",
     sizeof(format::BlobBlock),
     {
         PMEMFS_FIELD(BlobBlock, magic),
         PMEMFS_FIELD(BlobBlock, length),
         PMEMFS_FIELD(BlobBlock, owner),
         PMEMFS_FIELD(BlobBlock, generation),
         PMEMFS_FIELD(BlobBlock, next),
         PMEMFS_FIELD(BlobBlock, total),
         PMEMFS_FIELD(BlobBlock, reserved),
         PMEMFS_FIELD(BlobBlock, crc),
         PMEMFS_FIELD(BlobBlock, data),
     }},
    {"XattrRecord",
     sizeof(format::XattrRecord),
     {
         PMEMFS_FIELD(XattrRecord, value_len),
         PMEMFS_FIELD(XattrRecord, name_len),
         PMEMFS_FIELD(XattrRecord, reserved),
         PMEMFS_FIELD(XattrRecord, value_blob),
     }},
    {"SnapshotHeader",
     sizeof(format::SnapshotHeader),
     {
         PMEMFS_FIELD(SnapshotHeader, magic),
         PMEMFS_FIELD(SnapshotHeader, reserved0),
         PMEMFS_FIELD(SnapshotHeader, update),
         PMEMFS_FIELD(SnapshotHeader, free_runs),
         PMEMFS_FIELD(SnapshotHeader, free_inode_runs),
         PMEMFS_FIELD(SnapshotHeader, inodes_used),
         PMEMFS_FIELD(SnapshotHeader, inode_limit),
         PMEMFS_FIELD(SnapshotHeader, durable_bytes),
         PMEMFS_FIELD(SnapshotHeader, reserved),
         PMEMFS_FIELD(SnapshotHeader, crc),
     }},
    {"SnapshotRun",
     sizeof(format::SnapshotRun),
     {
         PMEMFS_FIELD(SnapshotRun, start),
         PMEMFS_FIELD(SnapshotRun, count),
     }},
};

const std::vector<Constant> kConstants{
    PMEMFS_CONSTANT(kBlockSize),         PMEMFS_CONSTANT(kFrameSize),
    PMEMFS_CONSTANT(kMinRegionSize),     PMEMFS_CONSTANT(kMaxRegionSize),
    PMEMFS_CONSTANT(kMaxFileSize),       PMEMFS_CONSTANT(kMaxName),
    PMEMFS_CONSTANT(kMaxXattrValue),     PMEMFS_CONSTANT(kMaxXattrTotal),
    PMEMFS_CONSTANT(kMaxLinks),          PMEMFS_CONSTANT(kMaxSymlink),
    PMEMFS_CONSTANT(kMaxInode),          PMEMFS_CONSTANT(kFormatVersion),
    PMEMFS_CONSTANT(kIncompatHostPlace), PMEMFS_CONSTANT(kIncompatExports),
    PMEMFS_CONSTANT(kSuperblockMagic),   PMEMFS_CONSTANT(kSuperblockCopyBlock),
    PMEMFS_CONSTANT(kBadRuns),           PMEMFS_CONSTANT(kLaneMagic),
    PMEMFS_CONSTANT(kIndexMagic),        PMEMFS_CONSTANT(kExtentMagic),
    PMEMFS_CONSTANT(kDirMagic),          PMEMFS_CONSTANT(kBlobMagic),
    PMEMFS_CONSTANT(kSnapshotMagic),     PMEMFS_CONSTANT(kLaneStart),
    PMEMFS_CONSTANT(kLaneCount),         PMEMFS_CONSTANT(kLaneBlocks),
    PMEMFS_CONSTANT(kIndexFanout),       PMEMFS_CONSTANT(kIndexLevels),
    PMEMFS_CONSTANT(kInodesPerChunk),    PMEMFS_CONSTANT(kChunkBlocks),
    PMEMFS_CONSTANT(kInlineExtents),     PMEMFS_CONSTANT(kInlineTarget),
    PMEMFS_CONSTANT(kExtentSlots),       PMEMFS_CONSTANT(kDirSlots),
    PMEMFS_CONSTANT(kDirSlotSize),       PMEMFS_CONSTANT(kBlobPayload),
    PMEMFS_CONSTANT(kXattrInlineMax),
};

std::vector<std::string> read_lines() {
  std::ifstream file(PMEMFS_FORMAT_DOC);
  REQUIRE(file.good());
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) {
    lines.push_back(line);
  }
  return lines;
}

// "| a | b |" as {"a", "b"}; empty when the line is no row.
std::vector<std::string> cells_of(const std::string& line) {
  std::vector<std::string> cells;
  if (line.empty() || line.front() != '|') {
    return cells;
  }
  std::istringstream in(line.substr(1));
  for (std::string cell; std::getline(in, cell, '|');) {
    const auto first = cell.find_first_not_of(' ');
    const auto last = cell.find_last_not_of(' ');
    cells.push_back(first == std::string::npos ? "" : cell.substr(first, last - first + 1));
  }
  return cells;
}

std::optional<std::uint64_t> number(const std::string& text) {
  std::uint64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, value);
  return at == end && error == std::errc() ? std::optional(value) : std::nullopt;
}

// "### Name, N bytes"
std::optional<Structure> heading_of(const std::string& line) {
  std::istringstream in(line);
  std::string hashes;
  std::string name;
  std::uint64_t size = 0;
  std::string unit;
  if (in >> hashes >> name >> size >> unit && hashes == "###" && unit == "bytes") {
    name.pop_back();
    return Structure{name, size, {}};
  }
  return std::nullopt;
}

Format parse(const std::vector<std::string>& lines) {
  Format found;
  for (const std::string& line : lines) {
    if (auto structure = heading_of(line)) {
      found.structures.push_back(*structure);
      continue;
    }
    const auto cells = cells_of(line);
    if (cells.size() == 4) {
      const auto offset = number(cells[0]);
      const auto size = number(cells[1]);
      if (offset && size && !found.structures.empty()) {
        found.structures.back().fields.push_back({cells[2], *offset, *size});
      }
    } else if (cells.size() == 3 && cells[0].starts_with('k')) {
      found.constants.push_back({cells[0], number(cells[1]).value_or(~std::uint64_t{0})});
    }
  }
  return found;
}

Format declared() {
  return {kStructures, kConstants};
}

}  // namespace

TEST_CASE("FORMAT.md and the header agree") {
  const Format doc = parse(read_lines());
  REQUIRE(doc.structures.size() == kStructures.size());
  for (std::size_t i = 0; i < kStructures.size(); ++i) {
    const Structure& told = doc.structures[i];
    const Structure& real = kStructures[i];
    CAPTURE(real.name);
    CHECK(told.name == real.name);
    CHECK(told.size == real.size);
    REQUIRE(told.fields.size() == real.fields.size());
    for (std::size_t k = 0; k < real.fields.size(); ++k) {
      CAPTURE(real.fields[k].name);
      CHECK(told.fields[k].name == real.fields[k].name);
      CHECK(told.fields[k].offset == real.fields[k].offset);
      CHECK(told.fields[k].size == real.fields[k].size);
    }
  }
  REQUIRE(doc.constants.size() == kConstants.size());
  for (std::size_t i = 0; i < kConstants.size(); ++i) {
    CAPTURE(kConstants[i].name);
    CHECK(doc.constants[i].name == kConstants[i].name);
    CHECK(doc.constants[i].value == kConstants[i].value);
  }
}

TEST_CASE("the fields of each structure cover it without a gap") {
  for (const Structure& structure : kStructures) {
    CAPTURE(structure.name);
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
    for (const Field& field : structure.fields) {
      CAPTURE(field.name);
      CHECK((field.offset == end || field.offset == begin));  // after the last, or in its place
      begin = field.offset;
      end = field.offset + field.size;
    }
    CHECK(end == structure.size);
  }
}

TEST_CASE("control: a row that is wrong, missing or too much is seen") {
  const std::vector<std::string> lines = read_lines();
  REQUIRE(parse(lines) == declared());
  std::size_t rows = 0;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const auto cells = cells_of(lines[i]);
    const bool field = cells.size() == 4 && number(cells[0]);
    const bool constant = cells.size() == 3 && cells[0].starts_with('k');
    if (!field && !constant) {
      continue;
    }
    ++rows;
    CAPTURE(lines[i]);
    auto changed = lines;
    changed[i] = field ? "| " + std::to_string(*number(cells[0]) + 1) + " | " + cells[1] + " | " +
                             cells[2] + " | |"
                       : "| " + cells[0] + " | " + cells[1] + "0 | |";
    CHECK_FALSE(parse(changed) == declared());
    changed = lines;
    changed.erase(changed.begin() + static_cast<std::ptrdiff_t>(i));
    CHECK_FALSE(parse(changed) == declared());
    changed = lines;
    changed.insert(changed.begin() + static_cast<std::ptrdiff_t>(i), lines[i]);
    CHECK_FALSE(parse(changed) == declared());
  }
  CHECK(rows > 150);
}
