// Machines that ask without end, that do not answer, or let others not answer: all else goes on.
#include <array>
#include <atomic>
#include <csignal>
#include <memory>
#include <thread>
#include <vector>

#include "mount/guests_support.hpp"

namespace pmemfs::test {
namespace {

constexpr std::uint64_t kHostFiles = 200;

// Asks for what `work` does until this is destroyed.
class Flood {
 public:
  explicit Flood(std::function<void()> work)
      : thread_([this, work = std::move(work)] {
          while (!ended_) {
            work();
            ++rounds_;
          }
        }) {}
  Flood(const Flood&) = delete;
  Flood& operator=(const Flood&) = delete;
  ~Flood() {
    ended_ = true;
    thread_.join();
  }
  [[nodiscard]] std::uint64_t rounds() const { return rounds_; }

 private:
  std::atomic<bool> ended_{false};
  std::atomic<std::uint64_t> rounds_{0};
  std::thread thread_;
};

// What the host does: each file made, filled, renamed, removed.
void use_names(const Mount& mount, std::uint64_t files) {
  for (std::uint64_t i = 0; i < files; ++i) {
    const std::string name = mount / ("host" + std::to_string(i));
    make_file(name, pattern(3000, i));
    NEED_OK(sys::rename(name, name + "renamed"));
    REQUIRE(content_of(name + "renamed") == pattern(3000, i));
    NEED_OK(sys::unlink(name + "renamed"));
  }
}

}  // namespace

TEST_CASE("guests that ask without end leave the host its turn") {
  on_each(pmemfs_kinds(), [](Kind kind) {
    const Mount mount(with_guests(kind, {"tag=names", "tag=data", "tag=maps,window=16M"}));
    GuestMachine names(mount.socket(0), 0);
    GuestMachine data(mount.socket(1), 0);
    GuestMachine maps(mount.socket(2));
    const GuestFile written = data.durable_file("data", pattern(kMiB, 1));
    const GuestFile mapped = maps.durable_file("maps", pattern(2 * kPlace, 1));
    const std::string bytes = pattern(64 << 10, 2);
    std::uint64_t off = 0;

    const Flood first([&] {
      const GuestFile file = names.create("flood");
      names.unlink("flood");
      names.release(file);
      names.forget(file.node);
    });
    const Flood second([&] {
      data.write(written, off, bytes);
      data.fsync(written);
      off = (off + bytes.size()) % kMiB;
    });
    const Flood third([&] {
      maps.setup_mapping(mapped.node, 0, 0, 2 * kPlace);
      maps.remove_mapping(0, 2 * kPlace);
    });
    REQUIRE(eventually(
        [&] { return first.rounds() > 0 && second.rounds() > 0 && third.rounds() > 0; }));
    const std::uint64_t before = guest_requests(mount);
    use_names(mount, kHostFiles);
    // It takes 25 to 40 for each of the host's files where nobody is favoured.
    CHECK(guest_requests(mount) - before < 500 * kHostFiles);
  });
}

TEST_CASE("a machine that answers nothing holds up nobody but who cuts what it maps") {
  need_kind(Kind::kDirectory);
  const Mount mount(
      with_guests(Kind::kDirectory, {"tag=still,window=16M", "tag=other,window=16M"}));
  auto still = std::make_unique<GuestMachine>(mount.socket(0));
  GuestMachine other(mount.socket(1));
  const GuestFile file = still->create("plain");
  REQUIRE(still->resize(file.node, 2 * kPlace).error == 0);
  REQUIRE(map_places(*still, file, 2) == 0);
  still->vmm().set_window_mode(WindowMode::kHold);

  const std::uint64_t asked = still->vmm().window_requests();
  std::atomic<bool> cut{false};
  std::thread cutter([&] { cut = sys::truncate(mount / "plain", 10) == 0; });
  REQUIRE(eventually([&] { return still->vmm().window_requests() > asked; }));
  use_names(mount, kHostFiles / 10);  // far less than the daemon's patience of 10 s
  const GuestFile durable = other.durable_file("db", pattern(kPlace, 1));
  CHECK(map_places(other, durable, 1) == 0);
  other.store(0, "stored");
  CHECK(read_at(mount / "db", 0, 6) == "stored");
  const GuestFile plain = other.create("other");
  REQUIRE(other.resize(plain.node, kPlace).error == 0);
  REQUIRE(map_places(other, plain, 1) == 0);
  NEED_OK(sys::truncate(mount / "other", 10));
  CHECK_FALSE(cut);
  still.reset();
  cutter.join();
  CHECK(cut);
}

TEST_CASE("memory that a server of the monitor's would give is refused, and not waited for") {
  const Mount mount(with_guests(Kind::kFile, {"tag=pmem"}));
  const Mount server(MountSpec{Kind::kFile});
  make_file(server / "memory", pattern(2 * kMiB, 1));
  const UniqueFd memory = open_file(server / "memory", O_RDWR);
  VirtiofsFrontend monitor(mount.socket());
  monitor.handshake();
  wire::MemoryTable table{};
  table.count = 1;
  table.regions[0] = {0x4000'0000, 2 * kMiB, 0x5000'0000'0000, 0};
  const SharedMemory good(2 * kMiB);
  REQUIRE(monitor.acknowledged(wire::Request::kSetMemTable, table, std::array{good.fd()}) == 0);
  const std::array fds{memory.get()};
  NEED_OK(::kill(server.daemon(), SIGSTOP));
  CHECK(monitor.acknowledged(wire::Request::kSetMemTable, table, fds) != 0);
  NEED_OK(::kill(server.daemon(), SIGCONT));
}

}  // namespace pmemfs::test
