#include "crash/cases.hpp"
#include "harness/catch.hpp"

namespace pmemfs::crash {

TEST_CASE("backing files: a cut anywhere in one operation") {
  explore_singles(Placement::kBacking);
}
TEST_CASE("backing files: a cut anywhere in the second of two operations") {
  explore_pairs(Placement::kBacking);
}
TEST_CASE("backing files: cuts on long ways") {
  explore_walks(Placement::kBacking);
}
TEST_CASE("backing files: the workload that is given", "[.]") {
  explore_given(Placement::kBacking);
}

}  // namespace pmemfs::crash
