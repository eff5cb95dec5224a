#include "crash/cases.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <string>

#include "crash/explorer.hpp"
#include "harness/catch.hpp"
#include "support/environment.hpp"

namespace pmemfs::crash {
namespace {

using test::number_from;

using Clock = std::chrono::steady_clock;

void report(const char* what, const Figures& figures, Clock::time_point since) {
  const std::chrono::duration<double> seconds = Clock::now() - since;
  const auto states = static_cast<double>(figures.states + figures.second_states);
  fmt::print(
      "{}: {} workloads, {} cuts, {} states, {} after a second cut, {} violations; {:.0f} states a "
      "second\n",
      what, figures.workloads, figures.cuts, figures.states, figures.second_states,
      figures.violations.size(), states / seconds.count());
  for (std::size_t i = 0; i < figures.violations.size() && i < 20; ++i) {
    FAIL_CHECK(figures.violations[i]);
  }
}

}  // namespace

void explore_given(Placement placement) {
  const auto since = Clock::now();
  const char* const given = std::getenv("PMEMFS_CRASH_WORKLOAD");
  if (given == nullptr) {
    PMEMFS_SKIP("needs PMEMFS_CRASH_WORKLOAD, such as \"create n; write n\"");
  }
  const std::string workload = given;
  Explorer explorer(placement, {64, 8, 3}, number_from("PMEMFS_SEED", 1));
  Explorer::Prefix steps;
  for (std::size_t at = 0; at < workload.size();) {
    const std::size_t end = std::min(workload.find("; ", at), workload.size());
    steps.push_back(&find_operation(explorer.all(), workload.substr(at, end - at)));
    at = end + 2;
  }
  const Operation& last = *steps.back();
  steps.pop_back();
  explorer.explore(steps, last);
  report(given, explorer.figures(), since);
}

void explore_singles(Placement placement) {
  const auto since = Clock::now();
  Explorer explorer(placement, {32, 5, 2}, number_from("PMEMFS_SEED", 1));
  const Operation& create = find_operation(explorer.all(), "create n");
  const Operation& write = find_operation(explorer.all(), "write n");
  for (const Operation& operation : explorer.all()) {
    explorer.explore({}, operation);
    explorer.explore({&create, &write}, operation);  // of a file that nobody has synced
  }
  report("one operation", explorer.figures(), since);
}

void explore_pairs(Placement placement) {
  const auto since = Clock::now();
  const std::uint64_t states = number_from("PMEMFS_CRASH_STATES", 0);
  Explorer explorer(placement, {states, states, states / 8}, number_from("PMEMFS_SEED", 1));
  for (const Operation& first : explorer.all()) {
    for (const Operation& second : explorer.all()) {
      explorer.explore({&first}, second);
    }
  }
  report("two operations", explorer.figures(), since);
}

void explore_walks(Placement placement) {
  const auto since = Clock::now();
  Explorer explorer(placement, {8, 2, 1}, 1);
  const std::uint64_t first = number_from("PMEMFS_SEED", 1);
  const std::uint64_t walks = number_from("PMEMFS_CRASH_WALKS", 20);
  for (std::uint64_t seed = first; seed < first + walks; ++seed) {
    explorer.walk(seed, 30);
  }
  report("random walks", explorer.figures(), since);
}

}  // namespace pmemfs::crash
