#include "base/spin_policy.hpp"

#include "harness/catch.hpp"

namespace {

using namespace std::chrono_literals;
using pmemfs::base::SpinPolicy;

// Requests in close order until the policy looks for them; how many it took.
int warm_up(SpinPolicy& policy, int most = 10'000) {
  int gaps = 0;
  while (!policy.hot() && gaps < most) {
    policy.slept(10us);
    ++gaps;
  }
  return gaps;
}

TEST_CASE("an idle or slow client is never looked for") {
  SpinPolicy policy(100us);
  CHECK_FALSE(policy.hot());
  for (int i = 0; i < 1000; ++i) {
    policy.slept(1ms);
  }
  CHECK_FALSE(policy.hot());
}

TEST_CASE("several short gaps in a row make it look, a long one between them does not") {
  SpinPolicy policy(100us);
  const int needed = warm_up(policy);
  CHECK(needed > 1);
  SpinPolicy other(100us);
  for (int i = 0; i < 1000; ++i) {
    other.slept(i % needed == 0 ? 10ms : 10us);
  }
  CHECK_FALSE(other.hot());
}

TEST_CASE("a look in vain stops it and makes the next one dearer, success makes it cheap again") {
  SpinPolicy policy(100us);
  const int first = warm_up(policy);
  policy.missed();
  CHECK_FALSE(policy.hot());
  const int second = warm_up(policy);
  CHECK(second == 2 * first);
  for (int i = 0; i < 1000; ++i) {
    policy.caught();
  }
  CHECK(policy.hot());
  policy.missed();
  CHECK_FALSE(policy.hot());
  CHECK(warm_up(policy) == first);
}

TEST_CASE("what it takes stays bounded") {
  SpinPolicy policy(100us);
  for (int i = 0; i < 100; ++i) {
    REQUIRE(warm_up(policy) < 10'000);
    policy.missed();
  }
}

TEST_CASE("a window of zero switches it off") {
  SpinPolicy policy(0us);
  CHECK(warm_up(policy) == 10'000);
}

}  // namespace
