#include "fuse/staffing.hpp"

#include "harness/catch.hpp"

namespace {

using namespace std::chrono_literals;
using pmemfs::fuse::Staffing;

// Requests that were there already, until one more thread is wanted; how many it took.
int pile_up(Staffing& staffing, int most = 1000) {
  int n = 1;
  while (!staffing.waited(1us) && n < most) {
    ++n;
  }
  return n;
}

TEST_CASE("one thread is enough for a client that waits for each answer") {
  Staffing staffing(8);
  for (int i = 0; i < 1000; ++i) {
    CHECK_FALSE(staffing.waited(20us));
    CHECK_FALSE(staffing.waited(1us));  // an asynchronous one was sent with it
  }
  CHECK(staffing.wanted() == 1);
}

TEST_CASE("requests that pile up call for more threads, up to the bound") {
  Staffing staffing(3);
  CHECK(pile_up(staffing) > 1);
  CHECK(staffing.wanted() == 2);
  pile_up(staffing);
  CHECK(staffing.wanted() == 3);
  CHECK(pile_up(staffing, 500) == 500);
  CHECK(staffing.wanted() == 3);
}

TEST_CASE("threads that sleep are wanted no longer, but for the last") {
  Staffing staffing(4);
  pile_up(staffing);
  pile_up(staffing);
  REQUIRE(staffing.wanted() == 3);
  for (int i = 0; i < 10; ++i) {
    staffing.waited(1ms);
  }
  CHECK(staffing.wanted() == 3);  // a pause is not the end
  for (int i = 0; i < 1000; ++i) {
    staffing.waited(1ms);
  }
  CHECK(staffing.wanted() == 1);
}

TEST_CASE("a bound of one is one") {
  Staffing staffing(1);
  CHECK(pile_up(staffing, 500) == 500);
  CHECK(staffing.wanted() == 1);
}

}  // namespace
