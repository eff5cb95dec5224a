#include "check/check.hpp"

#include <memory>
#include <new>

#include "check/lanes.hpp"
#include "check/lost_found.hpp"
#include "check/pass.hpp"
#include "check/superblocks.hpp"
#include "store/store.hpp"

namespace pmemfs::check {
namespace {

using format::Superblock;

// A repair that needs more has met something that this program does not understand.
constexpr int kMostPasses = 10;

// False: it was stopped.
bool run(Pass& p) {
  using Part = void (*)(Pass&);
  constexpr Part kParts[] = {check_table, check_inodes, check_directories,
                             check_tree,  check_space,  check_host_files};
  for (const Part part : kParts) {
    part(p);
    if (p.stopped) {
      return false;
    }
  }
  return true;
}

void name_paths(Pass& p) {
  for (Finding& finding : p.out.kept()) {
    if (finding.ino && finding.path.empty()) {
      finding.path = p.path(finding.ino.value);
    }
  }
}

void add_notes(const Counts& counts, Report& report) {
  if (counts.orphans != 0) {
    report.notes.push_back(fmt::format(
        "{} inodes have no name and no user any more; the next mount frees them", counts.orphans));
  }
  if (counts.host_orphans != 0) {
    report.notes.push_back(fmt::format(
        "{} host files belong to nobody; the next mount deletes them", counts.host_orphans));
  }
  if (counts.host_foreign != 0) {
    report.notes.push_back(
        fmt::format("{} files in the data directory are not of pmemfs; they are left alone",
                    counts.host_foreign));
  }
}

// Passes until one changes nothing. EINTR.
Status check_all(Region& region, BackingDir* backing, const Options& options, Superblock s,
                 bool doubted, Findings& out, Report& report) {
  std::optional<Fixer> fixer;
  if (options.repair) {
    fixer.emplace(region, s);
  }
  for (int i = 0; i < kMostPasses; ++i) {
    const std::uint64_t before = fixer ? fixer->commits() : 0;
    Pass p(region, fixer ? fixer->superblock() : s, backing, options, out,
           fixer ? &*fixer : nullptr);
    p.table_doubted = doubted;
    if (!run(p)) {
      return Error(EINTR);
    }
    doubted = p.table_doubted;
    name_paths(p);
    report.counts = p.counts;
    if (!fixer) {
      return {};
    }
    if (fixer->commits() == before) {
      if (!name_adrift(p)) {
        return {};
      }
      const auto now = store::read_superblock(region, nullptr, nullptr);
      fixer.emplace(region, now ? *now : s);
    }
    out.keep_repaired();
  }
  return {};
}

}  // namespace

Result<Report> check(Region& region, BackingDir* backing, const Options& options) try {
  if (options.repair && region.read_only()) {
    return Error(EROFS);
  }
  Report report;
  Findings out(options.most_findings);
  PMEMFS_TRY(const std::optional<Superblock> s, check_superblocks(region, options, out, report));
  if (s && !region.read_only() && (s->ro_compat.load() & ~format::kKnownRoCompat) != 0) {
    return Error(EROFS);
  }
  if (s) {
    const auto mark = out.mark();
    PMEMFS_CHECK(check_lanes(region, *s, options.repair, out, report));
    PMEMFS_CHECK(check_all(region, backing, options, *s, out.since(mark), out, report));
    add_notes(report.counts, report);
    report.complete = true;
  }
  report.found = out.found();
  report.repaired = out.repaired();
  report.findings = std::move(out.kept());
  return report;
} catch (const std::bad_alloc&) {
  return Error(ENOMEM);
}

}  // namespace pmemfs::check
