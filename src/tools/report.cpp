#include "tools/report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>

#include "tools/failure.hpp"
#include "tools/size.hpp"
#include "tools/uuid.hpp"

namespace pmemfs::tools {
namespace {

constexpr std::uint64_t kPercent = 100;

std::string label_of(const format::Superblock& superblock) {
  const std::string_view field(static_cast<const char*>(superblock.label), sizeof superblock.label);
  return std::string(field.substr(0, field.find('\0')));
}

class Lines {
 public:
  void add(std::string_view name, const std::string& value) {
    text_ += fmt::format("{:<22}{}\n", fmt::format("{}:", name), value);
  }
  [[nodiscard]] std::string text() && { return std::move(text_); }

 private:
  std::string text_;
};

std::uint64_t number(const Json& report, const char* key) {
  return number_in(report, key);
}

std::string word(const Json& report, const char* key) {
  return text_in(report, key);
}

bool flag(const Json& report, const char* key) {
  return report.value(key, false);
}

std::string yes_no(bool value) {
  return value ? "yes" : "no";
}

std::string reason_left(int code) {
  switch (code) {
    case ETXTBSY:
      return "durable";
    case EBUSY:
      return "in use";
    case ENOSPC:
      return "no room elsewhere";
    case EUCLEAN:
      return "damaged";
    case EAGAIN:
      return "changed meanwhile";
    case EEXIST:
      return "exists at the new place";
    case EMLINK:
      return "has other names, too";
    default:
      return error_text(code);
  }
}

std::string share_free(std::uint64_t total, std::uint64_t free) {
  return fmt::format("{}, {} free ({}%)", show_size(total), show_size(free),
                     total == 0 ? 0 : free / (total / kPercent + 1));
}

// One line for each virtual machine that is served.
void show_guests(Lines& lines, const Json& r) {
  for (const Json& guest : r.value("virtiofs", Json::array())) {
    std::string text =
        fmt::format("{} at {}: {}", printable(word(guest, "tag")), printable(word(guest, "socket")),
                    flag(guest, "mounted")     ? "mounted"
                    : flag(guest, "connected") ? "connected"
                                               : "waiting for a machine");
    if (number(guest, "window_bytes") != 0) {
      text += fmt::format(", {} of {} mapped", show_size(number(guest, "window_mapped")),
                          show_size(number(guest, "window_bytes")));
    }
    lines.add("Guest", text);
  }
}

void show_identity(Lines& lines, const Json& r) {
  lines.add("Region", fmt::format("{} ({} on {})", word(r, "region"), word(r, "kind"),
                                  word(r, "host_filesystem")));
  lines.add("UUID", word(r, "uuid"));
  lines.add("Label", word(r, "label").empty() ? "-" : word(r, "label"));
  if (flag(r, "mounted")) {
    lines.add("Mounted on",
              fmt::format("{} ({}, process {})", word(r, "mount_point"),
                          flag(r, "read_only") ? "read-only" : "read-write", number(r, "pid")));
    if (r.contains("options") && r["options"].is_array() && !r["options"].empty()) {
      lines.add("Options",
                fmt::format("{}", fmt::join(r["options"].get<std::vector<std::string>>(), ",")));
    }
  } else if (flag(r, "served")) {
    lines.add("Mounted on",
              fmt::format("- (served to virtual machines by process {})", number(r, "pid")));
  } else {
    lines.add("Mounted on", fmt::format("- ({})", flag(r, "clean") ? "clean" : "not unmounted"));
  }
  show_guests(lines, r);
}

void show_persistence(Lines& lines, const Json& r) {
  lines.add("Granularity", fmt::format("{}{}", word(r, "granularity"),
                                       flag(r, "emulated") ? " (emulated: not persistent)" : ""));
  lines.add("Placement", word(r, "placement"));
  if (flag(r, "mounted")) {
    lines.add("Passthrough", yes_no(flag(r, "passthrough")));
  }
}

void show_contents(Lines& lines, const Json& r) {
  lines.add("Region size", share_free(number(r, "region_bytes"), number(r, "region_bytes_free")));
  lines.add("Longest free run",
            fmt::format("{}, {} whole frames of 2 MiB", show_size(number(r, "region_longest_free")),
                        number(r, "region_frames_free")));
  lines.add("Data space", share_free(number(r, "data_bytes"), number(r, "data_bytes_free")));
  lines.add("Inodes", fmt::format("{} used", number(r, "inodes_used")));
  lines.add("Durable", show_size(number(r, "durable_bytes")));
  if (flag(r, "mounted") || flag(r, "served")) {
    lines.add("In memory",
              fmt::format("{} inodes, {} of directory indexes", number(r, "inodes_in_memory"),
                          show_size(number(r, "directory_index_bytes"))));
    lines.add("Open handles", std::to_string(number(r, "open_handles")));
    lines.add("Relocations refused", std::to_string(number(r, "relocations_refused")));
  }
  lines.add("Orphans kept", std::to_string(number(r, "orphans_kept")));
  lines.add("Media errors", std::to_string(number(r, "media_errors")));
  lines.add("Bad memory", show_size(number(r, "bad_bytes")));
}

}  // namespace

std::uint64_t number_in(const Json& report, const char* key) {
  return report.value(key, std::uint64_t{0});
}

std::string text_in(const Json& report, const char* key) {
  return report.value(key, std::string());
}

std::string printable(std::string text) {
  for (char& c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7F) {
      c = '?';
    }
  }
  return text;
}

Json status_report(const RegionFacts& facts, const FilesystemStatus& status,
                   const FilesystemSpace& space) {
  const format::Superblock& sb = facts.superblock;
  return {
      {"region", facts.path},
      {"kind", facts.kind},
      {"host_filesystem", facts.filesystem},
      {"uuid", show_uuid(sb.uuid)},
      {"label", label_of(sb)},
      {"format_version", sb.version.load()},
      {"mount_count", sb.mount_count.load()},
      {"made_at", sb.made_at.load()},
      {"mounted_at", sb.mounted_at.load()},
      {"clean", sb.state.load() == static_cast<std::uint32_t>(format::RegionState::kClean)},
      {"mounted", false},
      {"read_only", status.read_only},
      {"emulated", status.emulated},
      {"granularity", std::string(to_string(status.granularity))},
      {"placement", status.placement},
      {"passthrough", status.passthrough},
      {"region_bytes", status.region_bytes},
      {"region_bytes_free", status.region_bytes_free},
      {"region_longest_free", status.region_longest_free},
      {"region_frames_free", status.region_frames_free},
      {"data_bytes", space.blocks * space.block_size},
      {"data_bytes_free", space.blocks_available * space.block_size},
      {"inodes_used", status.inodes_used},
      {"inodes_in_memory", status.inodes_in_memory},
      {"open_handles", status.open_handles},
      {"durable_bytes", status.durable_bytes},
      {"directory_index_bytes", status.directory_index_bytes},
      {"relocations_refused", status.relocations_refused},
      {"orphans_kept", status.orphans_kept},
      {"media_errors", status.media_errors},
      {"bad_bytes", status.bad_bytes},
  };
}

Json durable_report(const std::vector<DurableFile>& files) {
  Json list = Json::array();
  std::uint64_t bytes = 0;
  for (const DurableFile& file : files) {
    bytes += file.bytes;
    list.push_back({{"inode", file.ino.value},
                    {"bytes", file.bytes},
                    {"directory", file.directory},
                    {"path", file.path}});
  }
  return {{"files", std::move(list)}, {"bytes", bytes}};
}

Json relocated_report(const Relocated& done) {
  Json left = Json::array();
  for (const LeftBehind& file : done.left) {
    left.push_back({{"inode", file.ino.value},
                    {"bytes", file.bytes},
                    {"reason", reason_left(file.reason)},
                    {"path", file.path}});
  }
  return {{"files_moved", done.files},
          {"bytes_moved", done.bytes},
          {"metadata_moved", done.metadata_moved},
          {"metadata_left", done.metadata_left},
          {"finished", done.finished},
          {"left", std::move(left)}};
}

std::string show_relocated(const Json& report) {
  std::string text;
  const Json left = report.value("left", Json::array());
  for (const Json& file : left) {
    const std::string path = printable(word(file, "path"));
    text += fmt::format("left in place: {} ({}, {})\n", path.empty() ? "(unlinked)" : path,
                        show_size(number(file, "bytes")), word(file, "reason"));
  }
  if (const std::uint64_t metadata = number(report, "metadata_left"); metadata != 0) {
    text += fmt::format("left in place: {} of metadata\n", show_size(metadata));
  }
  text += fmt::format("moved {} of {} files", show_size(number(report, "bytes_moved")),
                      number(report, "files_moved"));
  if (const std::uint64_t metadata = number(report, "metadata_moved"); metadata != 0) {
    text += fmt::format(" and {} of metadata", show_size(metadata));
  }
  text += flag(report, "finished") ? "\n" : "; ended before it was done\n";
  return text;
}

std::string show_grown(const Json& report) {
  return fmt::format("the region has {} now\n", show_size(number(report, "region_bytes")));
}

std::string show_frames(const Json& report) {
  return fmt::format("{} frames of 2 MiB are free\n", number(report, "frames_free"));
}

std::string show_status(const Json& report) {
  Lines lines;
  show_identity(lines, report);
  show_persistence(lines, report);
  show_contents(lines, report);
  return std::move(lines).text();
}

std::string show_durable(const Json& report) {
  const Json files = report.value("files", Json::array());
  std::string text = fmt::format("{:>10}  {:>16}  {}\n", "INODE", "BYTES", "PATH");
  for (const Json& file : files) {
    const std::string path = printable(word(file, "path"));
    text +=
        fmt::format("{:>10}  {:>16}  {}{}\n", number(file, "inode"),
                    flag(file, "directory") ? "directory" : std::to_string(number(file, "bytes")),
                    path.empty() ? "(unlinked)" : path, flag(file, "directory") ? "/" : "");
  }
  text += fmt::format("{} durable, {}\n", files.size(), show_size(number(report, "bytes")));
  return text;
}

std::string show_counters(const Json& report) {
  std::vector<std::pair<std::string, std::uint64_t>> rows;
  const Json requests = report.value("requests", Json::object());
  std::uint64_t total = 0;
  for (const auto& [name, count] : requests.items()) {
    rows.emplace_back(name, count.get<std::uint64_t>());
    total += rows.back().second;
  }
  std::stable_sort(rows.begin(), rows.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  std::string text = fmt::format("{:<18}{:>14}\n", "REQUEST", "COUNT");
  for (const auto& [name, count] : rows) {
    text += fmt::format("{:<18}{:>14}\n", name, count);
  }
  text += fmt::format("{:<18}{:>14}\n", "total", total);
  return text;
}

}  // namespace pmemfs::tools
