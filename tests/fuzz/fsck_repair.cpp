// Damages one of the samples, checks it, repairs it, and checks it again: then it must be clean,
// and a mount must find no damage.
#include <cstdio>

#include "base/log.hpp"
#include "check/check.hpp"
#include "input.hpp"
#include "patches.hpp"
#include "store/store.hpp"
#include "support/guarded_region.hpp"

namespace {

using namespace pmemfs;

check::Report must_check(Region& region, BackingDir* host, bool repair) {
  check::Options options;
  options.repair = repair;
  auto report = check::check(region, host, options);
  fuzz::demand(report.ok(), "a region that was read once cannot be checked any more");
  return std::move(report).value();
}

void tell(const check::Report& report) {
  for (const check::Finding& f : report.findings) {
    std::fprintf(stderr, "%s: inode %llu: %s\n", std::string(to_string(f.problem)).c_str(),
                 static_cast<unsigned long long>(f.ino.value), f.what.c_str());
  }
}

void check_and_repair(Region& region, BackingDir* host) {
  check::Options options;
  const auto first = check::check(region, host, options);
  if (!first || !first->complete) {
    return;  // no region any more
  }
  const check::Report repaired = must_check(region, host, true);
  if (repaired.stays_damaged()) {
    return;  // it says so
  }
  const check::Report again = must_check(region, host, false);
  if (!again.clean()) {
    tell(again);
  }
  fuzz::demand(again.clean(), "the repair has left damage");
  store::OpenReport opened;
  const auto store = store::Store::open(region, &opened);
  if (store.code() == EROFS) {
    return;  // a feature of the future, which allows reading only
  }
  fuzz::demand(store.ok(), "a repaired region cannot be opened");
  fuzz::demand_equal(0, opened.damaged_structures, "damage that a mount finds after the repair");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  base::log::init_callback([](base::log::Level, const std::string&) {});
  fuzz::Input input(data, size);
  const test::Sample& sample = test::samples()[input.below(test::samples().size())];
  const fuzz::Patches patches(input, sample);
  test::GuardedRegion region(*sample.image);
  patches.apply(region.bytes());
  const auto host = sample.host_copy();
  check_and_repair(region, host.get());
  return 0;
}
