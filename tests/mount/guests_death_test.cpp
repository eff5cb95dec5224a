// A daemon that is killed while a virtual machine stores, and a machine that is killed.
#include <algorithm>
#include <atomic>

#include "mount/guests_support.hpp"

namespace pmemfs::test {
namespace {

constexpr unsigned kPlaces = 4;
const std::string kGuest = "tag=pmem,window=16M";

// The guest's program: stores all over what is mapped, again and again.
class Storing {
 public:
  explicit Storing(GuestMachine& machine) : machine_(machine), thread_([this] { run(); }) {}
  ~Storing() {
    stop_ = true;
    thread_.join();
  }
  Storing(const Storing&) = delete;
  Storing& operator=(const Storing&) = delete;

  // Two more rounds: one of them began after this was called.
  [[nodiscard]] bool goes_on() {
    const std::uint64_t before = rounds_;
    return eventually([&] { return rounds_ >= before + 2; });
  }

 private:
  void run() {
    while (!stop_) {
      const char letter = static_cast<char>('A' + rounds_ % 26);
      for (std::uint64_t at = 0; at < kPlaces * kPlace; at += 64) {
        *reinterpret_cast<volatile char*>(machine_.window(at)) = letter;
      }
      ++rounds_;
    }
  }

  GuestMachine& machine_;
  std::atomic<bool> stop_{false};
  std::atomic<std::uint64_t> rounds_{0};
  std::thread thread_;
};

// One line that says so, and changes nothing.
void check_says_machine(const std::vector<std::string>& words) {
  const ProgramResult result = run_program(words);
  INFO(result.output);
  CHECK(result.status != 0);
  CHECK(std::count(result.output.begin(), result.output.end(), '\n') == 1);
  CHECK(result.output.find("a virtual machine still maps files of it; shut the machine down") !=
        std::string::npos);
}

void check_refused_while_mapped(const Mount& mount) {
  check_says_machine({program("mkfs.pmemfs"), "--emulate", "--force", mount.region()});
  check_says_machine({program("fsck.pmemfs"), "--repair", mount.region()});
}

}  // namespace

TEST_CASE("stores into what a killed daemon had mapped reach nobody else's file") {
  on_each(pmemfs_kinds(), [](Kind kind) {
    Mount mount(with_guests(kind, {kGuest}));
    const std::uint64_t free = free_bytes(mount);
    auto machine = std::make_unique<GuestMachine>(mount.socket());
    const GuestFile file = machine->durable_file("db", pattern(kPlaces * kPlace, 1));
    REQUIRE(map_places(*machine, file, kPlaces) == 0);
    std::string filled;
    {
      Storing storing(*machine);
      REQUIRE(storing.goes_on());
      mount.kill_daemon();
      mount.detach();
      if (kind == Kind::kFile) {
        check_refused_while_mapped(mount);
      }
      mount.mount();
      CHECK(machine->vmm().hung_up());
      NEED_OK(sys::unlink(mount / "db"));
      CHECK(fill_up(mount / "fill") == Errno{ENOSPC});
      filled = content_of(mount / "fill");
      CHECK(filled.size() + kPlaces * kPlace <= free);
      REQUIRE(storing.goes_on());
      CHECK(content_on_media(mount / "fill") == filled);
      CHECK(filled.find(std::string(64, 'A')) == std::string::npos);
    }
    mount.remount();
    CHECK(content_of(mount / "fill") == filled);
    machine.reset();
    NEED_OK(sys::unlink(mount / "fill"));
    CHECK(eventually([&] { return free_bytes(mount) + kMiB > free; }));
    mount.unmount();
    mount.require_sound();
  });
}

TEST_CASE("a machine that is killed leaves its stores, and the region as any other") {
  on_each(pmemfs_kinds(), [](Kind kind) {
    Mount mount(with_guests(kind, {kGuest}));
    Turnstile stored;
    Child vmm([&] {
      GuestMachine machine(mount.socket());
      const GuestFile file = machine.durable_file("db", pattern(kPlace, 1));
      if (map_places(machine, file, 1) != 0) {
        return Errno{EIO};
      }
      machine.store(1000, "stored by the guest");
      stored.let_pass();
      ::pause();
      return Errno{};
    });
    REQUIRE(stored.wait_for_turn());
    EXPECT_ERRNO(EBUSY, clear_durable(mount / "db"));
    vmm.kill();
    CHECK(read_at(mount / "db", 1000, 19) == "stored by the guest");
    CHECK(eventually([&] { return !status_of(mount).at("virtiofs")[0].at("connected"); }));
    CHECK(status_of(mount).at("virtiofs")[0].at("window_mapped") == 0);
    CHECK(once_idle([&] { return clear_durable(mount / "db"); }) == Errno{});
    GuestMachine next(mount.socket());
    CHECK(next.lookup("db").error == 0);
    mount.unmount();
    CHECK(next.vmm().hung_up());
    mount.require_sound();
  });
}

}  // namespace pmemfs::test
