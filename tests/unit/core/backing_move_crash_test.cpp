// Power cuts while a backing file moves, and what they leave behind.
#include <optional>

#include "fragmented_rig.hpp"
#include "support/broken_host.hpp"

namespace pmemfs::test {
namespace {

// Cuts the power at the n-th host call or fence of a move. What the file is found to hold must be
// what it held; and no second host file of it is left. Nothing when there is no n-th.
std::optional<bool> survives_cut(int nth, std::uint64_t seed,
                                 const std::function<std::unique_ptr<Passing>(CoreRig&)>& control) {
  Fragmented rig;
  rig.sync("one");
  std::unique_ptr<Passing> other = control ? control(rig) : nullptr;
  if (other) {
    rig.interpose(other.get());
    rig.remount();
  }
  const InodeNo ino = rig.ino();
  RandomChooser chooser(seed);
  std::unique_ptr<SimRegion> region;
  std::unique_ptr<SimBackingDir> host;
  int countdown = nth;
  const auto cut = [&] {
    if (countdown-- == 0) {
      region = rig.region().crash(chooser);
      host = rig.backing().crash(chooser);
    }
  };
  rig.region().on_fence([&](SimRegion&) { cut(); });
  rig.backing().on_call([&](const HostCall&) { cut(); });
  REQUIRE(rig.fs().defrag(ino, {}).ok());
  rig.region().on_fence({});
  rig.backing().on_call({});
  if (!region) {
    return std::nullopt;
  }
  rig.restart_from(std::move(region), std::move(host));
  return rig.get("one") == one() && rig.host_files(ino).size() == 1;
}

int losses(const std::function<std::unique_ptr<Passing>(CoreRig&)>& control, int* cuts) {
  int lost = 0;
  for (int nth = 0;; nth++) {
    for (std::uint64_t seed = 1; seed <= 5; seed++) {
      const auto whole = survives_cut(nth, seed, control);
      if (!whole) {
        return lost;
      }
      lost += *whole ? 0 : 1;
      ++*cuts;
    }
  }
}

// Removes the old file when the new one is synced, before the region knows of it.
class UnlinksEarly final : public Passing {
 public:
  using Passing::Passing;
  Status sync_parent(BackingName n) override {
    const auto others = [&](BackingName other) {
      if (other.ino == n.ino && other.gen < n.gen) {
        CHECK(unlink(other).ok());
      }
    };
    PMEMFS_CHECK(Passing::sync_parent(n));
    return for_each(others, [](const std::string&) {});
  }
};

class KeepsOrphans final : public Passing {
 public:
  using Passing::Passing;
  Status unlink(BackingName /*n*/) override { return {}; }
};

}  // namespace

TEST_CASE("a power cut at any step of a move leaves the file whole, and no orphan") {
  int cuts = 0;
  CHECK(losses({}, &cuts) == 0);
  CHECK(cuts > 100);
  CHECK(losses([](CoreRig& rig) { return std::make_unique<NoSync>(rig.backing()); }, &cuts) > 0);
  CHECK(losses([](CoreRig& rig) { return std::make_unique<UnlinksEarly>(rig.backing()); }, &cuts) >
        0);
}

TEST_CASE("the old host file that a crash left is collected, whatever its inode is now") {
  Fragmented rig;
  const BackingName old = rig.host();
  KeepsOrphans keeps(rig.backing());
  rig.interpose(&keeps);
  rig.remount();
  REQUIRE(rig.fs().defrag(old.ino, {}).ok());
  REQUIRE(rig.host_files(old.ino).size() == 2);
  rig.interpose(nullptr);
  rig.options().collect_orphans = false;
  rig.remount();
  CHECK(rig.host_files(old.ino).size() == 2);
  CHECK(rig.fs().status().orphans_kept == 1);
  rig.options().collect_orphans = true;
  rig.remount();
  CHECK(rig.host() != old);
  CHECK(rig.get("one") == one());
}

TEST_CASE("a file that was never synced is on media once it moved") {
  const auto scenario = [](RandomChooser& chooser) {
    Fragmented rig;
    const InodeNo ino = rig.ino();
    REQUIRE(rig.fs().defrag(ino, {}).ok());
    rig.crash(chooser);
    return rig.get("one") == one() && rig.host_files(ino).size() == 1;
  };
  CHECK(broken(scenario) == 0);
  Fragmented rig;
  REQUIRE(rig.fs().defrag(rig.ino(), {}).ok());
  rig.backing().remove_behind(rig.host());
  CHECK(rig.fs().lookup(kRootInode, "one").code() == EUCLEAN);
}

}  // namespace pmemfs::test
