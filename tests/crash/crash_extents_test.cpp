#include "crash/cases.hpp"
#include "harness/catch.hpp"

namespace pmemfs::crash {

TEST_CASE("extents: a cut anywhere in one operation") {
  explore_singles(Placement::kExtents);
}
TEST_CASE("extents: a cut anywhere in the second of two operations") {
  explore_pairs(Placement::kExtents);
}
TEST_CASE("extents: cuts on long ways") {
  explore_walks(Placement::kExtents);
}
TEST_CASE("extents: the workload that is given", "[.]") {
  explore_given(Placement::kExtents);
}

}  // namespace pmemfs::crash
