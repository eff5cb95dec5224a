#include "base/log_pace.hpp"

#include "harness/catch.hpp"

namespace pmemfs::base {
namespace {

using Verdict = LogPace::Verdict;

}  // namespace

TEST_CASE("a kind of lines has its number in each minute") {
  LogPace pace;
  const auto start = LogPace::Clock::now();
  const int one = 0;
  const int other = 0;
  for (unsigned i = 1; i < LogPace::kMost; ++i) {
    REQUIRE(pace.ask(&one, start) == Verdict::kWrite);
  }
  CHECK(pace.ask(&one, start) == Verdict::kWriteLast);
  CHECK(pace.ask(&one, start + LogPace::kTime / 2) == Verdict::kLeaveOut);
  CHECK(pace.ask(&other, start) == Verdict::kWrite);
  for (unsigned i = 1; i < LogPace::kMost; ++i) {
    REQUIRE(pace.ask(&one, start + LogPace::kTime) == Verdict::kWrite);
  }
  CHECK(pace.ask(&one, start + LogPace::kTime) == Verdict::kWriteLast);
  CHECK(pace.ask(&one, start + LogPace::kTime) == Verdict::kLeaveOut);
}

TEST_CASE("lines that come slowly are all written") {
  LogPace pace;
  auto now = LogPace::Clock::now();
  const int kind = 0;
  for (unsigned i = 0; i < 10 * LogPace::kMost; ++i, now += LogPace::kTime / (LogPace::kMost / 2)) {
    REQUIRE(pace.ask(&kind, now) == Verdict::kWrite);
  }
}

}  // namespace pmemfs::base
