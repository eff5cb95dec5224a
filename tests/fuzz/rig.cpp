#include "rig.hpp"

#include <cstdio>
#include <string>

#include "base/log.hpp"
#include "check/check.hpp"
#include "input.hpp"
#include "store/store.hpp"
#include "support/chooser.hpp"

namespace pmemfs::fuzz {

namespace {

// Formatted once for each kind: a run of a target is short.
std::unique_ptr<test::SimRegion> formatted(bool backing) {
  static std::unique_ptr<test::SimRegion> made[2];
  std::unique_ptr<test::SimRegion>& region = made[backing ? 1 : 0];
  if (!region) {
    region = std::make_unique<test::SimRegion>(format::kMinRegionSize, 64ULL << 20U);
    store::FormatOptions options;
    options.kind = backing ? format::RegionKind::kDirectory : format::RegionKind::kFile;
    options.uuid.fill(7);
    demand(store::Store::format(*region, options).ok(), "format");
  }
  test::KeepAll all;
  return region->crash(all);
}

}  // namespace

Rig::Rig(bool backing)
    : region_(formatted(backing)),
      host_(backing ? std::make_unique<test::SimBackingDir>() : nullptr) {
  base::log::init_callback([](base::log::Level, const std::string&) {});
  if (host_) {
    host_->expect_no_mappings();
  }
  open();
}

void Rig::open() {
  store::OpenReport report;
  auto store = store::Store::open(*region_, &report);
  demand(store.ok(), "a region of our own making cannot be opened");
  demand_equal(0, report.damaged_structures, "damage found at mount");
  FilesystemOptions options;
  options.background = false;
  auto fs = Filesystem::open(std::move(*store), host_.get(), options);
  demand(fs.ok(), "mount");
  fs_ = std::move(*fs);
}

void Rig::remount() {
  demand(fs_->close().ok(), "unmount");
  fs_.reset();
  check();
  open();
}

void Rig::crash(std::uint64_t seed) {
  test::RandomChooser chooser(seed);
  auto region = region_->crash(chooser);
  auto host = host_ ? host_->crash(chooser) : nullptr;
  fs_.reset();
  region_ = std::move(region);
  host_ = std::move(host);
  check();
  open();
}

// On a copy: it replays the journal, which is for the mount to do.
void Rig::check() {
  test::KeepAll all;
  const auto copy = region_->crash(all);
  const auto report = check::check(*copy, host_.get(), {});
  demand(report.ok(), "the check fails");
  for (const check::Finding& f : report->findings) {
    std::fprintf(stderr, "%s: inode %llu: %s\n", std::string(to_string(f.problem)).c_str(),
                 static_cast<unsigned long long>(f.ino.value), f.what.c_str());
  }
  demand(report->clean(), "the check finds damage");
}

}  // namespace pmemfs::fuzz
