#include "tools/fsck_report.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "tools/size.hpp"

namespace pmemfs::tools {
namespace {

using Json = nlohmann::json;

std::string line_of(const check::Finding& f) {
  std::string text = f.path;
  if (text.empty() && f.ino) {
    text = fmt::format("inode {}", f.ino.value);
  } else if (f.ino) {
    text += fmt::format(" (inode {})", f.ino.value);
  }
  return fmt::format("{}{}{}{}\n", text, text.empty() ? "" : ": ", f.what,
                     f.repaired ? " (repaired)" : "");
}

std::string verdict(const check::Report& report) {
  if (!report.complete) {
    return "nothing else can be read; restore the region from a copy";
  }
  if (report.clean()) {
    return "no problems";
  }
  if (!report.stays_damaged()) {
    return fmt::format("{} problems, all repaired", report.found);
  }
  if (report.repaired > 0) {
    return fmt::format("{} problems, {} repaired; restore what is left from a copy", report.found,
                       report.repaired);
  }
  return fmt::format("{} problems; fsck.pmemfs --repair puts right what can be", report.found);
}

std::string counts_text(const check::Counts& c) {
  return fmt::format(
      "{} inodes, {} of them directories, {} durable files; {} of {} blocks of 4 KiB used; {} host "
      "files\n",
      c.inodes, c.directories, c.durable, c.blocks_used, c.blocks, c.host_files);
}

Json json_of(const check::Finding& f) {
  return {{"problem", to_string(f.problem)},
          {"inode", f.ino.value},
          {"block", f.block.value},
          {"path", f.path},
          {"what", f.what},
          {"repaired", f.repaired}};
}

Json json_of(const check::Counts& c) {
  return {{"inodes", c.inodes},
          {"directories", c.directories},
          {"orphans", c.orphans},
          {"durable", c.durable},
          {"blocks", c.blocks},
          {"blocks_used", c.blocks_used},
          {"host_files", c.host_files},
          {"host_orphans", c.host_orphans},
          {"host_foreign", c.host_foreign}};
}

}  // namespace

std::string fsck_text(const std::string& path, const check::Report& report, bool counts) {
  std::string text;
  for (const check::Finding& finding : report.findings) {
    text += line_of(finding);
  }
  if (report.findings.size() < report.found) {
    text += fmt::format("… and {} more\n", report.found - report.findings.size());
  }
  for (const std::string& note : report.notes) {
    text += note + "\n";
  }
  if (counts) {
    text += counts_text(report.counts);
  }
  return text + path + ": " + verdict(report) + "\n";
}

std::string fsck_json(const std::string& path, const check::Report& report) {
  Json findings = Json::array();
  for (const check::Finding& finding : report.findings) {
    findings.push_back(json_of(finding));
  }
  const Json json = {{"region", path},
                     {"complete", report.complete},
                     {"unmounted", report.was_clean},
                     {"replayed", report.replayed},
                     {"found", report.found},
                     {"repaired", report.repaired},
                     {"findings", findings},
                     {"notes", report.notes},
                     {"counts", json_of(report.counts)}};
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace pmemfs::tools
