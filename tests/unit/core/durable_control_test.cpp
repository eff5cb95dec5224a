// The control of the central property test: this program has a gate that lets everything pass.
#include "durable_property.hpp"

namespace pmemfs::test {

TEST_CASE("without the gate, the central property test fails") {
  int broken = 0;
  for (std::uint64_t seed = 1; seed <= 8; seed++) {
    PropertyRun run(seed);
    broken += run.run(150) ? 0 : 1;
  }
  CHECK(broken > 0);
}

}  // namespace pmemfs::test
