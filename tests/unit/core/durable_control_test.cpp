// The control of the central property test: this program has a gate that lets everything pass.
#include "durable_property.hpp"

namespace pmemfs::test {

namespace {

int broken_runs(CoreRig::Data data) {
  int broken = 0;
  for (std::uint64_t seed = 1; seed <= 8; seed++) {
    PropertyRun run(seed, data);
    broken += run.run(150) ? 0 : 1;
  }
  return broken;
}

}  // namespace

TEST_CASE("without the gate, the central property test fails") {
  CHECK(broken_runs(CoreRig::Data::kExtents) > 0);
}

TEST_CASE("without the gate, blocks that machines map become another file's") {
  int broken = 0;
  for (std::uint64_t seed = 1; seed <= 8; seed++) {
    PropertyRun run(seed, CoreRig::Data::kExtents, true);
    broken += run.run(150, true) ? 0 : 1;
  }
  CHECK(broken > 0);
}

TEST_CASE("without the gate, it fails on directory regions") {
  CHECK(broken_runs(CoreRig::Data::kBacking) > 0);
}

}  // namespace pmemfs::test
