// The daemon is killed again and again while several clients work: what had returned is there, what
// was under way wholly or not at all. The operations and the oracle are those of the power cuts
// (vm/cuts).

#include <algorithm>
#include <chrono>
#include <memory>
#include <thread>

#include "mount/durable_support.hpp"
#include "support/mount_random.hpp"
#include "vm/cuts/check.hpp"
#include "vm/cuts/perform.hpp"

namespace pmemfs::test {
namespace {

constexpr std::size_t kWorkers = 8;
constexpr std::uint64_t kKills = 5;

// How many operations of each worker have returned; in memory that all of them share.
class Progress {
 public:
  Progress() : file_(sys::open(scratch() + "/progress", O_CREAT | O_RDWR | O_TRUNC)) {
    NEED_OK(::ftruncate(file_.get(), kPage));
    map_ = std::make_unique<Mapped>(file_.get(), kPage);
  }
  volatile std::uint64_t& of(std::size_t worker) {
    return reinterpret_cast<volatile std::uint64_t*>(map_->data())[worker];
  }
  std::uint64_t all() {
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < kWorkers; ++i) {
      sum += of(i);
    }
    return sum;
  }

 private:
  UniqueFd file_;
  std::unique_ptr<Mapped> map_;
};

std::string folder(const Mount& mount, std::size_t worker) {
  return mount / ("worker" + std::to_string(worker));
}

// Until the daemon dies.
Errno work(const Mount& mount, const vm::Who& who, volatile std::uint64_t& done) {
  const vm::Medium medium =
      mount.kind() == Kind::kDirectory ? vm::Medium::kDirectory : vm::Medium::kExtents;
  ::umask(0);
  const std::string dir = folder(mount, who.worker);
  vm::State state = vm::state_after(who, done);
  if (sys::mkdir(dir) < 0 && errno != EEXIST) {
    return Errno{errno};
  }
  for (;;) {
    const vm::Operation op = vm::next_operation(who, done + 1, state);
    vm::apply_to_model(op, state);
    try {
      vm::perform(dir, who, op, state, medium);
    } catch (const std::system_error& e) {
      return Errno{e.code().value()};
    }
    done = done + 1;
  }
}

void check_all(const Mount& mount, std::uint64_t seed, Progress& progress) {
  for (std::size_t i = 0; i < kWorkers; ++i) {
    const vm::Finding finding = vm::check(folder(mount, i), {seed, i}, progress.of(i));
    INFO("worker " << i << " at " << progress.of(i) << ", " << vm::name_of(finding.under_way.action)
                   << " " << finding.under_way.path << ":\n"
                   << finding.why);
    CHECK(finding.verdict != vm::Verdict::kWrong);
    progress.of(i) = progress.of(i) + (finding.verdict == vm::Verdict::kAfter ? 1 : 0);
  }
}

void kill_amid_work(Mount& mount, std::uint64_t seed, std::uint64_t operations,
                    Progress& progress) {
  std::vector<std::unique_ptr<Child>> workers;
  for (std::size_t i = 0; i < kWorkers; ++i) {
    workers.push_back(std::make_unique<Child>([&, i] {
      return work(mount, {seed, i}, progress.of(i));
    }));
  }
  const std::uint64_t goal = progress.all() + operations;
  while (progress.all() < goal) {
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
  mount.kill_daemon();
  for (const auto& worker : workers) {
    const Errno end = worker->wait();
    // EIO: of a write that the daemon had begun.
    CHECK((end == Errno{ENOTCONN} || end == Errno{ECONNABORTED} || end == Errno{EIO}));
  }
  mount.detach();
}

}  // namespace

TEST_CASE("kill: under load, everything that had returned is found by the next mount") {
  on_each(pmemfs_kinds(), [](Kind kind) {
    const std::uint64_t seed = Random::any_seed();
    const std::uint64_t kills = number_from("PMEMFS_KILLS", kKills);
    INFO("repeat with PMEMFS_SEED=" << seed << " PMEMFS_KILLS=" << kills);
    Random random(seed);
    Mount mount(MountSpec{kind, "allow_other", "128M"});
    Progress progress;
    for (std::uint64_t i = 0; i < kills; ++i) {
      INFO("kill " << i);
      kill_amid_work(mount, seed, random.between(1, 2000), progress);
      mount.require_sound();
      mount.mount();
      check_all(mount, seed, progress);
    }
    mount.remount();
    check_all(mount, seed, progress);
  });
}

}  // namespace pmemfs::test
