#include "fuse/afterwork.hpp"

#include <linux/fuse.h>
#include <sys/socket.h>

#include <array>
#include <vector>

#include "fuse/receiver.hpp"
#include "harness/catch.hpp"
#include "support/memory_filesystem.hpp"
#include "support/memory_region.hpp"

namespace pmemfs::fuse {
namespace {

using namespace std::chrono_literals;

Afterwork::Item references(std::uint64_t ino) {
  return {Afterwork::Kind::kReferences, InodeNo(ino), 1};
}

// An Afterwork that notes what it did.
struct Noted {
  std::vector<std::uint64_t> done{};
  Afterwork work{[this](const Afterwork::Item& item) {
    done.push_back(item.ino.value);
  }};
};

TEST_CASE("afterwork is done in order, one at a time") {
  Noted noted;
  CHECK_FALSE(noted.work.do_one());
  for (std::uint64_t i = 1; i <= 3; ++i) {
    noted.work.add(references(i));
  }
  CHECK(noted.done.empty());
  CHECK(noted.work.do_one());
  CHECK(noted.done == std::vector<std::uint64_t>{1});
  noted.work.add(references(4));
  noted.work.do_all();
  CHECK(noted.done == std::vector<std::uint64_t>{1, 2, 3, 4});
  CHECK_FALSE(noted.work.do_one());
}

TEST_CASE("no more afterwork waits than kMost items") {
  Noted noted;
  for (std::uint64_t i = 1; i <= Afterwork::kMost + 1; ++i) {
    noted.work.add(references(i));
  }
  CHECK(noted.done.size() == Afterwork::kMost);
  noted.work.do_all();
  CHECK(noted.done.size() == Afterwork::kMost + 1);
}

TEST_CASE("afterwork that adds afterwork is done once, however much waits") {
  constexpr std::uint64_t kHandles = 3 * Afterwork::kMost;
  std::vector<std::uint64_t> closed;
  std::vector<std::uint64_t> dropped;
  Afterwork* self = nullptr;
  Afterwork work([&](const Afterwork::Item& item) {
    if (item.kind == Afterwork::Kind::kHandle) {
      closed.push_back(item.ino.value);
      REQUIRE(closed.size() <= kHandles);
      self->add({.kind = Afterwork::Kind::kRegistration, .ino = item.ino});
    } else {
      dropped.push_back(item.ino.value);
    }
  });
  self = &work;
  std::vector<std::uint64_t> all;
  for (std::uint64_t i = 1; i <= kHandles; ++i) {
    work.add({Afterwork::Kind::kHandle, InodeNo(i), i});
    all.push_back(i);
  }
  work.do_all();
  CHECK(closed == all);
  CHECK(dropped == all);
  CHECK_FALSE(work.do_one());
}

// A poller that looks, and the other end of its device.
struct Look {
  Look() : region(64ULL << 20U), fs(test::make_filesystem(*region)), edge{*fs, {}} {
    std::array<int, 2> ends{};
    REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()) ==
            0);
    kernel = base::UniqueFd(ends[0]);
    auto channel = Channel::create(base::UniqueFd(ends[1]), edge, false);
    REQUIRE(channel.ok());
    poller = std::make_unique<Poller>(std::move(*channel), 20ms);
    for (int i = 0; i < 100; ++i) {  // a busy client
      poller->answered(0);
      poller->slept(1);
    }
  }
  void send(std::uint32_t opcode) const {
    fuse_in_header header{};
    header.len = sizeof(header);
    header.opcode = opcode;
    REQUIRE(::send(kernel.get(), &header, sizeof(header), 0) == sizeof(header));
  }

  test::MemoryRegion region;
  std::unique_ptr<Filesystem> fs;
  Edge edge;
  base::UniqueFd kernel{};
  std::unique_ptr<Poller> poller{};
  std::array<std::byte, 4096> buffer{};
};

TEST_CASE("what may need space waits for afterwork, what does not overtakes it") {
  Noted noted;
  noted.work.add(references(7));
  fuse_in_header header{};
  header.len = sizeof(header);
  const Request request(std::as_bytes(std::span(&header, 1)));
  header.opcode = FUSE_UNLINK;
  noted.work.make_way_for(request);
  CHECK(noted.done.empty());
  header.opcode = FUSE_CREATE;
  noted.work.make_way_for(request);
  CHECK(noted.done == std::vector<std::uint64_t>{7});
}

TEST_CASE("what asks for an inode whose handle is to be closed waits for that") {
  Noted noted;
  noted.work.add({Afterwork::Kind::kHandle, InodeNo(7), 1});
  fuse_in_header header{};
  header.len = sizeof(header);
  header.opcode = FUSE_GETATTR;
  const Request request(std::as_bytes(std::span(&header, 1)));
  header.nodeid = 8;
  noted.work.make_way_for(request);
  CHECK(noted.done.empty());
  header.nodeid = 7;
  noted.work.make_way_for(request);
  CHECK(noted.done == std::vector<std::uint64_t>{7});
}

TEST_CASE("a request that waits is received before afterwork is done") {
  Look look;
  Noted noted;
  noted.work.add(references(7));
  look.send(FUSE_GETATTR);
  const auto received = look.poller->look(look.buffer, noted.work);
  REQUIRE(received);
  CHECK(received->kind == Received::Kind::kRequest);
  CHECK(noted.done.empty());
}

TEST_CASE("afterwork is done when no request waits") {
  Look look;
  Noted noted;
  noted.work.add(references(7));
  noted.work.add(references(8));
  CHECK_FALSE(look.poller->look(look.buffer, noted.work));
  CHECK(noted.done == std::vector<std::uint64_t>{7, 8});
}

}  // namespace
}  // namespace pmemfs::fuse
