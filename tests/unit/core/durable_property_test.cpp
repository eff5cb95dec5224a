// The central property test (durable_property.hpp), with the gate as it is.
#include "durable_property.hpp"

namespace pmemfs::test {

TEST_CASE("no byte of a durable file moves, whatever happens") {
  const std::uint64_t first = from_environment("PMEMFS_SEED", 1);
  const auto steps = static_cast<int>(from_environment("PMEMFS_PROPERTY_STEPS", 100));
  std::uint64_t durable = 0;
  std::uint64_t frames = 0;
  int cuts = 0;
  int evacuated = 0;
  int shrunk = 0;
  for (std::uint64_t seed = first; seed < first + 6; seed++) {
    INFO("PMEMFS_SEED=" << seed);
    PropertyRun run(seed);
    CHECK(run.run(steps));
    durable += run.durable_files();
    frames += run.frames_made();
    cuts += run.cuts();
    evacuated += run.evacuated();
    shrunk += run.shrunk();
  }
  CHECK(durable > 5);
  CHECK(frames > 5);
  CHECK(cuts > 5);
  CHECK(evacuated > 20);
  CHECK(shrunk > 5);
}

}  // namespace pmemfs::test
