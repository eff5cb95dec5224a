// No content of a region makes the filesystem crash, hang, or read outside of it (invariant 7).
// The environment chooses other images and more: images.hpp.
#include <cstdio>

#include "exercise.hpp"
#include "harness/catch.hpp"
#include "images.hpp"

using namespace pmemfs;
using test::Sample;

TEST_CASE("a sound sample is exercised") {
  for (const Sample& sample : test::samples()) {
    CAPTURE(sample.name);
    const std::string complaint = test::exercise(
        sample, [](auto) {}, 1);
    CAPTURE(complaint);
    CHECK(complaint.empty());
  }
}

TEST_CASE("damaged images are answered") {
  const int images = test::for_each_image([](const Sample& sample, const test::Image& image) {
    CAPTURE(image.name);
    const std::string complaint = test::exercise(sample, image.damage, image.focus, image.size);
    CAPTURE(complaint);
    CHECK(complaint.empty());
  });
  std::printf("%d images\n", images);
  CHECK(images > 0);
}
