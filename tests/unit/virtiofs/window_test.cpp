// What the guest sees in the window, by the channel to its VMM.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rig.hpp"

namespace pmemfs::virtiofs {
namespace {

constexpr std::uint64_t kUnit = 2U << 20U;

struct WindowRig : Rig {
  explicit WindowRig(DeviceOptions options = defaults()) : Rig(std::move(options)) {
    connect();
    frontend().open_channel(8U << 20U);
    start(1);
    REQUIRE(::ftruncate(file.get(), 4 * kUnit) == 0);
    const std::string text = "in the file";
    REQUIRE(::pwrite(file.get(), text.data(), text.size(), kUnit) > 0);
  }
  [[nodiscard]] std::string seen(std::uint64_t off) {
    return {reinterpret_cast<const char*>(frontend().window() + off), 11};
  }
  Status map(std::uint64_t off = 0) { return device().map(file.get(), kUnit, off, kUnit); }

  base::UniqueFd file{::memfd_create("file", MFD_CLOEXEC)};
};

TEST_CASE("what is mapped is what the guest sees") {
  WindowRig rig;
  REQUIRE(rig.map(2 * kUnit).ok());
  CHECK(rig.seen(2 * kUnit) == "in the file");
  rig.frontend().window()[2 * kUnit] = std::byte{'I'};
  char first = 0;
  REQUIRE(::pread(rig.file.get(), &first, 1, kUnit) == 1);
  CHECK(first == 'I');
  REQUIRE(rig.device().unmap(2 * kUnit, kUnit).ok());
  REQUIRE(rig.map(0).ok());
  CHECK(rig.seen(0) == "In the file");
}

// As QEMU does, which does not always tell when something else is shown there.
TEST_CASE("what the VMM tells of its window as memory is not served as such") {
  WindowRig rig;
  const SharedMemory shown(kUnit, 0x8000'0000, 0x6000'0000'0000);
  shown.data()[0] = std::byte{'x'};
  REQUIRE(rig.device().map(shown.fd(), 0, 0, kUnit).ok());
  REQUIRE(rig.frontend().set_memory({&rig.memory(), &shown}) == 0);
  DriverRing& ring = rig.ring(1);
  std::byte* const place = rig.memory().data() + (14U << 20U);
  const Bytes request = message(Op::kEcho, 1, 100);
  std::memcpy(place, request.data(), request.size());
  const std::uint64_t at = rig.memory().guest(14U << 20U);
  ring.descriptors()[0] = {at, 100, wire::kNext, 1};
  ring.descriptors()[1] = {at + 4096, 16, wire::kDeviceWrites | wire::kNext, 2};
  ring.descriptors()[2] = {shown.guest(0), 100, wire::kDeviceWrites, 0};
  ring.expose(0);
  CHECK(eventually([&] { return rig.device().status().unreachable == 1; }));
  CHECK(shown.data()[0] == std::byte{'x'});
}

TEST_CASE("what windows of other devices show is taken for memory, and is none") {
  const bool all_of_it = GENERATE(false, true);
  const test::TempDir dir(test::kTmpfs);
  const base::UniqueFd file(::open((dir / "file").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  struct stat st {};
  REQUIRE(::ftruncate(file.get(), kUnit) == 0);
  REQUIRE(::fstat(file.get(), &st) == 0);
  const auto shown = std::make_shared<ShownFiles>(all_of_it ? st.st_dev : 0);
  REQUIRE((all_of_it || shown->add(file.get()).ok()));
  DeviceOptions options = Rig::defaults();
  options.shown = shown;
  Rig rig(options);
  VirtiofsFrontend& vmm = rig.connect();
  DriverRing& ring = rig.start(1);
  const wire::MemoryRegion there{0x8000'0000, kUnit, 0x6000'0000'0000, 0};
  const std::array fds{rig.memory().fd(), file.get()};
  const wire::MemoryTable table{2, 0, {rig.memory().region(), there}};
  REQUIRE(vmm.acknowledged(Request::kSetMemTable, table, fds) == 0);
  const std::uint64_t at = rig.memory().guest(14U << 20U);
  ring.descriptors()[0] = {at, kHeader, wire::kNext, 1};
  ring.descriptors()[1] = {there.guest, 100, wire::kNext, 2};
  ring.descriptors()[2] = {at + 4096, 16, wire::kDeviceWrites, 0};
  ring.expose(0);
  CHECK(eventually([&] { return rig.device().status().unreachable == 1; }));
}

TEST_CASE("what the VMM refuses is EIO") {
  WindowRig rig;
  REQUIRE(rig.map().ok());
  CHECK(rig.map().code() == EIO);  // over what is there
  CHECK(rig.device().unmap(0, kUnit / 2).code() == EIO);
  REQUIRE(rig.device().unmap(0, kUnit).ok());
  CHECK(rig.device().unmap(0, kUnit).code() == EIO);
  rig.frontend().set_window_mode(WindowMode::kRefuse);
  CHECK(rig.map().code() == EIO);
  rig.frontend().set_window_mode(WindowMode::kAnswer);
  CHECK(rig.map().ok());
}

TEST_CASE("nothing outside of the window is asked for") {
  WindowRig rig;
  Device& device = rig.device();
  const int fd = rig.file.get();
  CHECK(device.map(fd, 0, 8U << 20U, 4096).code() == EINVAL);
  CHECK(device.map(fd, 0, 7U << 20U, kUnit).code() == EINVAL);
  CHECK(device.map(fd, 0, 0, 0).code() == EINVAL);
  CHECK(device.map(fd, 0, 1, 4096).code() == EINVAL);
  CHECK(device.map(fd, 100, 0, 4096).code() == EINVAL);
  CHECK(device.map(fd, 0, 0, ~std::uint64_t{4095}).code() == EINVAL);
  CHECK(device.map(-1, 0, 0, 4096).code() == EINVAL);
  CHECK(device.unmap(4096, ~std::uint64_t{4095}).code() == EINVAL);
  CHECK(rig.frontend().window_requests() == 0);
}

TEST_CASE("without a VMM, a channel or a ring nothing can be mapped") {
  Rig rig;
  base::UniqueFd file(::memfd_create("file", MFD_CLOEXEC));
  REQUIRE(::ftruncate(file.get(), 4096) == 0);
  const auto map = [&] {
    return rig.device().map(file.get(), 0, 0, 4096).code();
  };
  CHECK(map() == ENOTCONN);
  CHECK_FALSE(rig.device().has_window());
  VirtiofsFrontend& vmm = rig.connect();
  CHECK(rig.device().has_window());
  rig.start(1);
  CHECK(map() == ENOTCONN);
  vmm.open_channel(8U << 20U);
  CHECK(map() == 0);
  vmm.stop_ring(1);
  CHECK(map() == ENOTCONN);
  rig.disconnect();
  CHECK(map() == ENOTCONN);
}

TEST_CASE("a VMM that does not know the window has none") {
  Rig rig;
  VirtiofsFrontend vmm(rig.socket());
  vmm.handshake(0, wire::kShmem);
  CHECK(vmm.ask(Request::kGetQueueNum) == 3);
  CHECK_FALSE(rig.device().has_window());
}

TEST_CASE("a ring that stops ends what waits for the VMM, and nothing is mixed up later") {
  WindowRig rig;
  VirtiofsFrontend& vmm = rig.frontend();
  vmm.set_window_mode(WindowMode::kHold);
  int code = 0;
  std::thread mapping([&] { code = rig.map().code(); });
  REQUIRE(eventually([&] { return vmm.window_requests() == 1; }));
  vmm.stop_ring(1);  // the VMM waits here and answers nothing there
  mapping.join();
  CHECK(code == EAGAIN);
  vmm.set_window_mode(WindowMode::kAnswer);  // the answer that nobody waits for
  vmm.start_ring(1, rig.ring(1));
  // It was done after all; the next answer is not taken for this one's.
  CHECK(rig.map().code() == EIO);
  CHECK(rig.device().unmap(0, kUnit).ok());
  CHECK(rig.map().ok());
}

TEST_CASE("a VMM that does not answer is given up") {
  DeviceOptions options = Rig::defaults();
  options.patience = std::chrono::milliseconds(50);
  WindowRig rig(options);
  rig.frontend().set_window_mode(WindowMode::kHold);
  CHECK(rig.map().code() == ETIMEDOUT);
  CHECK(rig.frontend().hung_up());
  CHECK(rig.log().find("does not answer") != std::string::npos);
}

TEST_CASE("a VMM that answers nonsense is given up") {
  WindowRig rig;
  rig.frontend().set_window_mode(WindowMode::kNonsense);
  CHECK(rig.map().code() == EPROTO);
  CHECK(rig.frontend().hung_up());
}

TEST_CASE("a VMM that goes ends what waits for it") {
  WindowRig rig;
  rig.frontend().set_window_mode(WindowMode::kHold);
  int code = 0;
  std::thread mapping([&] { code = rig.map().code(); });
  REQUIRE(eventually([&] { return rig.frontend().window_requests() == 1; }));
  rig.frontend().close();
  mapping.join();
  CHECK(code == EAGAIN);
}

TEST_CASE("after a reset the window is used again") {
  WindowRig rig;
  REQUIRE(rig.map().ok());
  REQUIRE(rig.frontend().acknowledged_bytes(Request::kResetDevice, {}) == 0);
  CHECK(rig.map(kUnit).code() == ENOTCONN);
  rig.frontend().start_ring(1, rig.ring(1));
  CHECK(rig.map(kUnit).ok());
}

}  // namespace
}  // namespace pmemfs::virtiofs
