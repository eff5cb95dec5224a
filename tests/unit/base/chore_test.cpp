#include "base/chore.hpp"

#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#include "harness/catch.hpp"

namespace pmemfs::test {

TEST_CASE("a chore outlives a want of memory, which is told, and nothing else") {
  std::vector<std::string> told;
  base::log::init_callback(
      [&](base::log::Level, const std::string& line) { told.push_back(line); });
  int done = 0;
  for (int i = 0; i < 2; ++i) {
    base::do_chore([&] {
      ++done;
      throw std::bad_alloc();
    });
  }
  base::do_chore([&] { ++done; });
  CHECK(done == 3);
  REQUIRE(told.size() == 1);
  CHECK(told[0].find("no memory") != std::string::npos);
  CHECK_THROWS_AS(base::do_chore([] { throw std::logic_error("a bug"); }), std::logic_error);
}

}  // namespace pmemfs::test
