// A byte string as a list of operations, on the real filesystem and on a model of it: answers,
// attributes and content must agree, over unmounts and power cuts, too.
#include "world.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  pmemfs::fuzz::Input input(data, size);
  pmemfs::fuzz::World world(input);
  world.run();
  return 0;
}
