// The controls of the crash explorer: a filesystem that breaks a rule, and it must be found.
#include <algorithm>

#include "crash/explorer.hpp"
#include "harness/catch.hpp"
#include "journal/control.hpp"
#include "support/broken_host.hpp"

namespace pmemfs::crash {
namespace {

// Single operations and those after a new file was written, as the bounded run has them, until the
// first violation.
Figures find_violation(Explorer& explorer) {
  const auto named = [&](const char* name) {
    return &find_operation(explorer.all(), name);
  };
  const std::vector<Explorer::Prefix> prefixes = {
      {}, {named("unlink a")}, {named("create n"), named("write n")}};
  for (const Explorer::Prefix& prefix : prefixes) {
    for (const Operation& operation : explorer.all()) {
      explorer.explore(prefix, operation);
      if (!explorer.figures().violations.empty()) {
        return explorer.figures();
      }
    }
  }
  return explorer.figures();
}

struct ControlOn {
  explicit ControlOn(journal::Control control) { journal::g_control = control; }
  ~ControlOn() { journal::g_control = journal::Control::kNone; }
};

bool found_with(journal::Control control) {
  Explorer explorer(Placement::kExtents, {16, 4, 0}, 1);
  const ControlOn on(control);
  const Figures figures = find_violation(explorer);
  if (!figures.violations.empty()) {
    WARN(figures.states << " states, then: " << figures.violations.front());
  }
  return !figures.violations.empty();
}

}  // namespace

TEST_CASE("the explorer finds nothing in what breaks no rule") {
  CHECK_FALSE(found_with(journal::Control::kNone));
}
TEST_CASE("the explorer finds a missing fence between data and log") {
  CHECK(found_with(journal::Control::kNoDataFence));
}
TEST_CASE("the explorer finds a missing fence between log and its application") {
  CHECK(found_with(journal::Control::kNoLogFence));
}
TEST_CASE("the explorer finds a missing flush") {
  CHECK(found_with(journal::Control::kNoApplyFlush));
}
TEST_CASE("the explorer finds a missing fence between application and the lane's end") {
  CHECK(found_with(journal::Control::kNoApplyFence));
}
TEST_CASE("the explorer finds a change that is applied before it is logged") {
  CHECK(found_with(journal::Control::kApplyBeforeLog));
}

TEST_CASE("the explorer finds fsyncs that do nothing") {
  Explorer explorer(Placement::kBacking, {16, 4, 0}, 1);
  explorer.decorate_host([](BackingDir& host) { return std::make_unique<test::NoSync>(host); });
  CHECK_FALSE(find_violation(explorer).violations.empty());
}

}  // namespace pmemfs::crash
