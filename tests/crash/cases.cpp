#include "crash/cases.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <string>

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

}  // namespace

void explore_given(Placement placement) {
  const char* const given = std::getenv("PMEMFS_CRASH_WORKLOAD");
  if (given == nullptr) {
    PMEMFS_SKIP("needs PMEMFS_CRASH_WORKLOAD, such as \"create n; write n\"");
  }
  const std::string workload = given;
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
  report(given, explorer.figures());
}

void explore_singles(Placement placement) {
  Explorer explorer(placement, {32, 5, 2}, from_environment("PMEMFS_SEED", 1));
  for (const Operation& operation : explorer.all()) {
    explorer.explore({}, operation);
  }
  report("one operation", explorer.figures());
}

void explore_pairs(Placement placement) {
  const std::uint64_t states = from_environment("PMEMFS_CRASH_STATES", 0);
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

}  // namespace pmemfs::crash
