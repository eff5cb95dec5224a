#include "tools/media_report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>

#include "tools/failure.hpp"
#include "tools/size.hpp"

namespace pmemfs::tools {
namespace {

std::string_view owner_name(BadMemory::Owner owner) {
  switch (owner) {
    case BadMemory::Owner::kFree:
      return "free";
    case BadMemory::Owner::kFile:
      return "file";
    case BadMemory::Owner::kMetadata:
      break;
  }
  return "metadata";
}

std::string reason_of(int code) {
  switch (code) {
    case EIO:
      return "cannot be read";
    case EUCLEAN:
      return "damaged";
    default:
      return error_text(code);
  }
}

std::string whose(const Json& bad) {
  std::string owner = text_in(bad, "owner");
  if (owner != "file") {
    return owner;
  }
  const std::string path = printable(text_in(bad, "path"));
  return fmt::format("{} at {}", path.empty() ? "(unlinked)" : path, number_in(bad, "file_offset"));
}

std::string show_bad(const Json& report) {
  std::string text;
  for (const Json& bad : report.value("bad", Json::array())) {
    text += fmt::format("{:>16}  {:>10}  {}\n", number_in(bad, "offset"), number_in(bad, "bytes"),
                        whose(bad));
  }
  return text.empty() ? text
                      : fmt::format("{:>16}  {:>10}  {}\n", "OFFSET", "BYTES", "OWNER") + text;
}

// Bytes of bad memory that are somebody's.
std::uint64_t bytes_in_use(const Json& report) {
  std::uint64_t n = 0;
  for (const Json& bad : report.value("bad", Json::array())) {
    n += text_in(bad, "owner") == "free" ? 0 : number_in(bad, "bytes");
  }
  return n;
}

}  // namespace

Json media_report(const std::vector<BadMemory>& bad) {
  Json list = Json::array();
  std::uint64_t bytes = 0;
  for (const BadMemory& b : bad) {
    Json entry = {
        {"offset", b.off}, {"bytes", b.bytes}, {"owner", std::string(owner_name(b.owner))}};
    if (b.owner == BadMemory::Owner::kFile) {
      entry["inode"] = b.ino.value;
      entry["file_offset"] = b.file_off;
      entry["path"] = b.path;
    }
    bytes += b.bytes;
    list.push_back(std::move(entry));
  }
  return {{"bad", std::move(list)}, {"bad_bytes", bytes}};
}

Json scrub_report(const Scrubbed& done) {
  Json damage = Json::array();
  for (const Damage& d : done.damage) {
    damage.push_back({{"inode", d.ino.value},
                      {"what", d.what},
                      {"reason", reason_of(d.reason)},
                      {"path", d.path}});
  }
  Json report = media_report(done.bad);
  report["structures"] = done.structures;
  report["bytes_read"] = done.bytes;
  report["bytes_healed"] = done.healed;
  report["finished"] = done.finished;
  report["damage"] = std::move(damage);
  return report;
}

std::string show_media(const Json& report) {
  return fmt::format("{}{} of memory is bad\n", show_bad(report),
                     show_size(number_in(report, "bad_bytes")));
}

std::string show_scrub(const Json& report) {
  std::string text;
  for (const Json& d : report.value("damage", Json::array())) {
    const std::uint64_t inode = number_in(d, "inode");
    const std::string path = printable(text_in(d, "path"));
    const std::string who = inode == 0 ? "the filesystem" : fmt::format("inode {}", inode);
    text += fmt::format("{}: {} {}{}{}\n", who, text_in(d, "what"), text_in(d, "reason"),
                        path.empty() ? "" : ": ", path);
  }
  text += show_media(report);
  text += fmt::format("{} structures and {} read, {} good again", number_in(report, "structures"),
                      show_size(number_in(report, "bytes_read")),
                      show_size(number_in(report, "bytes_healed")));
  return text + (report.value("finished", false) ? "\n" : "; ended before it was done\n");
}

std::optional<std::string> what_is_wrong(const std::string& path, const Json& report) {
  const std::size_t damaged = report.value("damage", Json::array()).size();
  const std::uint64_t lost = bytes_in_use(report);
  if (damaged > 0 || lost > 0) {
    return fmt::format(
        "{}: {} structures are damaged, and {} in use is bad memory; restore what is listed from a "
        "copy",
        path, damaged, show_size(lost));
  }
  if (!report.value("finished", false)) {
    return fmt::format("{}: ended before it was done", path);
  }
  return std::nullopt;
}

}  // namespace pmemfs::tools
