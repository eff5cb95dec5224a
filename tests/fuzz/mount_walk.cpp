// Damages one of the samples and asks everything of it: see exercise.hpp.
#include "exercise.hpp"
#include "input.hpp"
#include "patches.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace pmemfs;
  fuzz::Input input(data, size);
  const test::Sample& sample = test::samples()[input.below(test::samples().size())];
  const fuzz::Patches patches(input, sample);
  const std::string complaint = test::exercise(
      sample, [&](std::span<std::byte> image) { patches.apply(image); }, patches.focus());
  fuzz::demand(complaint.empty(), complaint.c_str());
  return 0;
}
