// What is sound, and what a crash leaves, is no finding.
#include <fmt/format.h>

#include <cerrno>
#include <cstring>

#include "check_rig.hpp"
#include "harness/catch.hpp"
#include "pmemfs/filesystem.hpp"
#include "store/store.hpp"
#include "support/chooser.hpp"

using namespace pmemfs;
using test::CheckRig;
using test::describe;
using Data = CheckRig::Data;

namespace {

constexpr Data kBoth[] = {Data::kBacking, Data::kExtents};

}  // namespace

TEST_CASE("a sound region has no finding and is not written to") {
  for (const Data data : kBoth) {
    CheckRig rig(data);
    rig.region().set_read_only(true);
    const std::vector<std::byte> before(rig.region().data(),
                                        rig.region().data() + rig.region().size());
    const auto report = rig.check();
    INFO(describe(report));
    CHECK(report.clean());
    CHECK_FALSE(report.stays_damaged());
    CHECK(report.notes.empty());
    CHECK(report.was_clean);
    CHECK(report.counts.inodes == 112);
    CHECK(report.counts.directories == 4);
    CHECK(report.counts.durable == 1);
    CHECK(report.counts.blocks == rig.region().size() / 4096);
    CHECK(report.counts.blocks_used > 257);
    CHECK(report.counts.host_files == (data == Data::kBacking ? 5 : 0));
    CHECK(std::memcmp(before.data(), rig.region().data(), before.size()) == 0);
  }
}

TEST_CASE("repair of a sound region changes nothing") {
  CheckRig rig(Data::kExtents);
  const std::vector<std::byte> before(rig.region().data(),
                                      rig.region().data() + rig.region().size());
  const auto report = rig.check(true);
  CHECK(report.clean());
  CHECK(std::memcmp(before.data(), rig.region().data(), before.size()) == 0);
}

TEST_CASE("what is no region, and what may not be written") {
  test::SimRegion empty(16ULL << 20U);
  CHECK(check::check(empty, nullptr, {}).code() == EINVAL);
  CheckRig rig(Data::kExtents);
  rig.region().set_read_only(true);
  check::Options repair;
  repair.repair = true;
  CHECK(check::check(rig.region(), nullptr, repair).code() == EROFS);
}

TEST_CASE("it can be ended") {
  CheckRig rig(Data::kBacking);
  for (const auto phase : {check::Phase::kInodes, check::Phase::kDirectories, check::Phase::kLinks,
                           check::Phase::kSpace, check::Phase::kHostFiles}) {
    check::Options options;
    bool seen = false;
    options.watch = [&](check::Phase now, std::uint64_t, std::uint64_t) {
      seen |= now == phase;
      return now != phase;
    };
    CHECK(check::check(rig.region(), rig.host(), options).code() == EINTR);
    CHECK(seen);
  }
}

// Invariant 8. Each fence with the three kinds of luck in turn; the host loses power with the
// region.
TEST_CASE("a crash at any fence leaves nothing to repair") {
  for (const Data data : kBoth) {
    std::uint64_t fences = 0;
    std::uint64_t noted = 0;
    const CheckRig rig(data, [&](test::SimRegion& region, test::SimBackingDir* host) {
      ++fences;
      test::KeepNone none;
      test::KeepAll all;
      test::RandomChooser random(fences);
      test::Chooser* const luck[] = {&none, &all, &random};
      test::Chooser& chooser = *luck[fences % 3];
      const auto cut = region.crash(chooser);
      const auto cut_host = host != nullptr ? host->crash(chooser) : nullptr;
      const auto report = check::check(*cut, cut_host.get(), {});
      REQUIRE(report.code() == 0);
      if (!report->clean()) {
        FAIL("fence " << fences << "\n" << describe(*report));
      }
      noted += report->notes.empty() ? 0U : 1U;
    });
    CHECK(fences > 300);
    CHECK(noted > 100);  // torn and finished transactions: there was something to say
  }
}
