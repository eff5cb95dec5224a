// The central property test (durable_property.hpp), with the gate as it is.
#include "durable_property.hpp"

#include "support/environment.hpp"

namespace pmemfs::test {

namespace {

struct Seen {
  std::uint64_t durable = 0;
  std::uint64_t compactions = 0;  // that moved something
  std::uint64_t moved = 0;
  int cuts = 0;
  int evacuated = 0;
  int shrunk = 0;
  int mapped = 0;
};

Seen run_all(CoreRig::Data data, std::uint64_t seeds, bool windows = false) {
  const std::uint64_t first = number_from("PMEMFS_SEED", 21);  // some seeds compact little
  const auto steps = static_cast<int>(number_from("PMEMFS_PROPERTY_STEPS", 100));
  Seen seen;
  for (std::uint64_t seed = first; seed < first + seeds; seed++) {
    INFO("PMEMFS_SEED=" << seed);
    PropertyRun run(seed, data, windows);
    CHECK(run.run(steps));
    seen.durable += run.durable_files();
    seen.compactions += run.compactions();
    seen.moved += run.files_moved();
    seen.cuts += run.cuts();
    seen.evacuated += run.evacuated();
    seen.shrunk += run.shrunk();
    seen.mapped += run.mapped();
  }
  return seen;
}

}  // namespace

TEST_CASE("no byte of a durable file moves, whatever happens") {
  const Seen seen = run_all(CoreRig::Data::kExtents, 6);
  CHECK(seen.durable > 5);
  CHECK(seen.compactions > 2);
  CHECK(seen.cuts > 5);
  CHECK(seen.evacuated > 20);
  CHECK(seen.shrunk > 5);
}

TEST_CASE("no block that a machine maps moves, or becomes another file's") {
  const Seen seen = run_all(CoreRig::Data::kExtents, 4, true);
  CHECK(seen.mapped > 20);
  CHECK(seen.durable > 2);
  CHECK(seen.cuts > 5);
  CHECK(seen.evacuated > 10);
}

TEST_CASE("on directory regions neither, and its host file stays the same") {
  const Seen seen = run_all(CoreRig::Data::kBacking, 4);
  CHECK(seen.durable > 5);
  CHECK(seen.moved > 5);
  CHECK(seen.cuts > 5);
}

}  // namespace pmemfs::test
