// The control of corrupt_test: this program does not ask whether a block may be used, and must die.
#include <csignal>

#include "exercise.hpp"
#include "harness/catch.hpp"
#include "shapes.hpp"
#include "support/child.hpp"

using namespace pmemfs;

TEST_CASE("without the check of block numbers, images kill the program") {
  const test::Sample& sample = test::samples().front();
  int killed = 0;
  int images = 0;
  for (const test::ShapeDamage& shape : test::shapes_for(sample)) {
    test::ChildProcess child([&] {
      for (const int signal : {SIGABRT, SIGSEGV, SIGBUS}) {
        std::signal(signal, SIG_DFL);
      }
      (void)test::exercise(sample, shape.apply, shape.focus);
      return 0;
    });
    killed += child.wait() != 0 ? 1 : 0;
    ++images;
  }
  CHECK(killed >= 5);
  CHECK(killed < images);  // the program as such works
}
