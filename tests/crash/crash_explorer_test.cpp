#include <fmt/format.h>

#include <cstdlib>

#include "crash/explorer.hpp"
#include "harness/catch.hpp"

namespace pmemfs::crash {
namespace {

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

void report(const char* what, const Figures& figures) {
  fmt::print("{}: {} workloads, {} cuts, {} states, {} after a second cut, {} violations\n", what,
             figures.workloads, figures.cuts, figures.states, figures.second_states,
             figures.violations.size());
  for (std::size_t i = 0; i < figures.violations.size() && i < 20; ++i) {
    FAIL_CHECK(figures.violations[i]);
  }
}

// "create n; write n": the last one is cut, with many states, as is wanted of a finding.
void explore_one(Placement placement, const std::string& workload) {
  Explorer explorer(placement, {64, 8, 3}, from_environment("PMEMFS_SEED", 1));
  Explorer::Prefix steps;
  for (std::size_t at = 0; at < workload.size();) {
    const std::size_t end = std::min(workload.find("; ", at), workload.size());
    steps.push_back(&find_operation(explorer.all(), workload.substr(at, end - at)));
    at = end + 2;
  }
  const Operation& last = *steps.back();
  steps.pop_back();
  explorer.explore(steps, last);
  report(workload.c_str(), explorer.figures());
}

void explore_singles(Placement placement) {
  Explorer explorer(placement, {32, 5, 2}, from_environment("PMEMFS_SEED", 1));
  for (const Operation& operation : explorer.all()) {
    explorer.explore({}, operation);
  }
  report("one operation", explorer.figures());
}

void explore_pairs(Placement placement) {
  const std::uint64_t states = from_environment("PMEMFS_CRASH_STATES", 1);
  Explorer explorer(placement, {states, states, states / 8}, from_environment("PMEMFS_SEED", 1));
  for (const Operation& first : explorer.all()) {
    for (const Operation& second : explorer.all()) {
      explorer.explore({&first}, second);
    }
  }
  report("two operations", explorer.figures());
}

void explore_walks(Placement placement) {
  Explorer explorer(placement, {8, 2, 1}, 1);
  const std::uint64_t first = from_environment("PMEMFS_SEED", 1);
  const std::uint64_t walks = from_environment("PMEMFS_CRASH_WALKS", 20);
  for (std::uint64_t seed = first; seed < first + walks; ++seed) {
    explorer.walk(seed, 30);
  }
  report("random walks", explorer.figures());
}

}  // namespace

TEST_CASE("the workload of PMEMFS_CRASH_WORKLOAD", "[.]") {
  const char* workload = std::getenv("PMEMFS_CRASH_WORKLOAD");
  if (workload != nullptr) {
    explore_one(Placement::kExtents, workload);
    explore_one(Placement::kBacking, workload);
  }
}

TEST_CASE("extents: a cut anywhere in one operation") {
  explore_singles(Placement::kExtents);
}
TEST_CASE("backing files: a cut anywhere in one operation") {
  explore_singles(Placement::kBacking);
}
TEST_CASE("extents: a cut anywhere in the second of two operations") {
  explore_pairs(Placement::kExtents);
}
TEST_CASE("backing files: a cut anywhere in the second of two operations") {
  explore_pairs(Placement::kBacking);
}

TEST_CASE("extents: cuts on long ways") {
  explore_walks(Placement::kExtents);
}
TEST_CASE("backing files: cuts on long ways") {
  explore_walks(Placement::kBacking);
}

}  // namespace pmemfs::crash
