#include "fuse/buffers.hpp"

#include <linux/fuse.h>

#include <cstdint>
#include <cstring>

#include "harness/catch.hpp"

namespace {

using pmemfs::fuse::Buffers;
using pmemfs::fuse::kMaxTransfer;

TEST_CASE("a request of the largest size fits, and its data begin on a page") {
  auto buffers = Buffers::create();
  REQUIRE(buffers);
  const auto request = buffers->request();
  CHECK(request.size() >= sizeof(fuse_in_header) + sizeof(fuse_write_in) + kMaxTransfer);
  const auto data = reinterpret_cast<std::uintptr_t>(request.data()) + sizeof(fuse_in_header) +
                    sizeof(fuse_write_in);
  CHECK(data % 4096 == 0);
  std::memset(request.data(), 1, request.size());
}

TEST_CASE("answers are capped at one transfer and do not overlap requests") {
  auto buffers = Buffers::create();
  REQUIRE(buffers);
  CHECK(buffers->answer(10).size() == 10);
  const auto answer = buffers->answer(kMaxTransfer * 3);
  CHECK(answer.size() == kMaxTransfer);
  std::memset(answer.data(), 2, answer.size());
  const auto request = buffers->request();
  CHECK((answer.data() >= request.data() + request.size() ||
         answer.data() + answer.size() <= request.data()));
}

TEST_CASE("only large use makes a buffer worth giving back") {
  auto buffers = Buffers::create();
  REQUIRE(buffers);
  buffers->used(4096);
  CHECK_FALSE(buffers->dirty());
  static_cast<void>(buffers->answer(4096));
  CHECK_FALSE(buffers->dirty());
  buffers->used(kMaxTransfer);
  CHECK(buffers->dirty());
  buffers->request()[0] = std::byte{7};
  buffers->trim();
  CHECK_FALSE(buffers->dirty());
  CHECK(buffers->request()[0] == std::byte{0});
  static_cast<void>(buffers->answer(kMaxTransfer));
  CHECK(buffers->dirty());
}

}  // namespace
