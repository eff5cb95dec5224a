// Descriptors for mappings in other processes, and the locks that tell of them.
#include "region/exports.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>

#include "base/passed_descriptor.hpp"
#include "harness/catch.hpp"
#include "region/region_handle.hpp"
#include "support/child.hpp"
#include "support/temp_dir.hpp"

namespace pmemfs::test {
namespace {

using base::UniqueFd;

constexpr std::uint64_t kSize = 16ULL << 20U;

std::unique_ptr<region::RegionHandle> make(const std::string& path, bool force = false) {
  std::string why;
  auto handle = region::create(path, {.emulate = true, .force = force, .size = kSize}, why);
  INFO(why);
  REQUIRE(handle.ok());
  return std::move(*handle);
}

// A process that maps what it is sent; it has nothing else of the test's.
class Machine {
 public:
  Machine() : ends_(pair()), child_([this] { return map_and_wait(ends_.second.get()); }) {}

  void map(int fd) const {
    Message message;
    message.passed.send_with(message.header, fd);
    REQUIRE(::sendmsg(ends_.first.get(), &message.header, 0) == 1);
    char mapped = 0;
    REQUIRE(::read(ends_.first.get(), &mapped, 1) == 1);
    REQUIRE(mapped == 'y');
  }
  void kill() {
    child_.kill();
    child_.wait();
  }

 private:
  struct Message {
    Message() {
      header.msg_iov = &vector;
      header.msg_iovlen = 1;
    }

    char byte = 0;
    iovec vector{&byte, 1};
    msghdr header{};
    base::PassedDescriptor passed;
  };

  static std::pair<UniqueFd, UniqueFd> pair() {
    int ends[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
    return {UniqueFd(ends[0]), UniqueFd(ends[1])};
  }

  static int map_and_wait(int socket) {
    Message message;
    message.passed.expect_with(message.header);
    UniqueFd fd;
    if (::recvmsg(socket, &message.header, 0) == 1) {
      fd = base::PassedDescriptor::received_with(message.header);
    }
    const void* memory = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
    fd.reset();
    (void)!::write(socket, memory == MAP_FAILED ? "n" : "y", 1);
    ::pause();
    return 0;
  }

  std::pair<UniqueFd, UniqueFd> ends_;
  ChildProcess child_;
};

}  // namespace

TEST_CASE("an export lives as long as its last descriptor or mapping") {
  const TempDir dir;
  const auto handle = make(dir.path() + "/region");
  Region& region = handle->region();
  CHECK_FALSE(region.any_exported());
  const auto fd = region.export_memory(7);
  REQUIRE(fd.ok());
  UniqueFd own(*fd);
  CHECK(region.exported(7));
  CHECK(region.any_exported());
  CHECK_FALSE(region.exported(6));
  CHECK_FALSE(region.exported(8));
  CHECK(region.exported_keys() == std::vector<std::uint64_t>{7});
  void* memory = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, own.get(), 0);
  REQUIRE(memory != MAP_FAILED);
  own = {};
  CHECK(region.exported(7));
  const auto second = region.export_memory(7);
  REQUIRE(second.ok());
  ::munmap(memory, 4096);
  CHECK(region.exported(7));
  ::close(*second);
  CHECK_FALSE(region.any_exported());
}

TEST_CASE("all keys that live are told, each once") {
  const TempDir dir;
  const auto handle = make(dir.path() + "/region");
  Region& region = handle->region();
  CHECK(region.exported_keys().empty());
  // Neighbours, which one description would join, the first and the last; some twice.
  const std::vector<std::uint64_t> keys{0, 1, 2, 7, 1000, 1001, region::kExportKeys - 1};
  std::vector<UniqueFd> exports;
  for (const std::uint64_t key : keys) {
    for (int i = 0; i < (key % 2 == 0 ? 1 : 3); ++i) {
      const auto fd = region.export_memory(key);
      REQUIRE(fd.ok());
      exports.emplace_back(*fd);
    }
  }
  std::vector<std::uint64_t> told = region.exported_keys();
  std::sort(told.begin(), told.end());
  CHECK(told == keys);
  exports.clear();
  CHECK(region.exported_keys().empty());
}

TEST_CASE("a key that is none is refused") {
  const TempDir dir;
  const auto handle = make(dir.path() + "/region");
  CHECK(handle->region().export_memory(region::kExportKeys).code() == EINVAL);
}

TEST_CASE("an export outlives the one who gave it, and a region under it is not made anew") {
  const TempDir dir;
  const std::string path = dir.path() + "/region";
  Machine machine;
  {
    const auto handle = make(path);
    const auto fd = handle->region().export_memory(7);
    REQUIRE(fd.ok());
    const UniqueFd own(*fd);
    machine.map(own.get());
  }
  std::string why;
  {
    const auto again = region::open(path, {}, why);
    INFO(why);
    REQUIRE(again.ok());  // mounting goes on
    CHECK((*again)->region().exported(7));
  }
  CHECK(region::create(path, {.emulate = true, .force = true, .size = kSize}, why).code() ==
        ETXTBSY);
  CHECK(why.find("virtual machine") != std::string::npos);
  machine.kill();
  CHECK(make(path, true) != nullptr);
}

}  // namespace pmemfs::test
