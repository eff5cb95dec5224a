// How daemons that serve virtual machines begin and end.
#include "mount/guests_support.hpp"

namespace pmemfs::test {
namespace {

const std::string kGuest = "tag=pmem,window=16M";

}  // namespace

TEST_CASE("a daemon without a mount point serves its guest, and ends on SIGTERM") {
  on_each(pmemfs_kinds(), [](Kind kind) {
    MountSpec spec = with_guests(kind, {kGuest});
    spec.mounted = false;
    Mount served(spec);
    GuestMachine machine(served.socket());
    const GuestFile file = machine.durable_file("db", pattern(kPlace, 1));
    REQUIRE(map_places(machine, file, 1) == 0);
    machine.store(0, "stored");
    const nlohmann::json status = status_of(served);
    CHECK(status.at("served") == true);
    CHECK(status.at("mounted") == false);
    CHECK(status.at("mount_point").get<std::string>().empty());
    CHECK(status.at("pid") == served.daemon());
    const nlohmann::json& guest = status.at("virtiofs").at(0);
    CHECK(guest.at("connected") == true);
    CHECK(guest.at("mounted") == true);
    CHECK(guest.at("direct") == true);
    CHECK(guest.at("socket") == served.socket());
    CHECK(guest.at("tag") == "pmem");
    served.end_daemon();  // with status 0
    CHECK(machine.vmm().hung_up());
    CHECK_FALSE(exists(served.socket()));
    CHECK(status_of(served).at("clean") == true);
    served.require_sound();
    CHECK(machine.seen(0, 6) == "stored");  // it maps it still
    served.mount();
    GuestMachine again(served.socket());
    const GuestFile same = again.open(again.lookup("db").get<fuse_entry_out>().nodeid);
    CHECK(again.read(same, 0, 6).body == "stored");
    served.end_daemon();
  });
}

TEST_CASE("umount ends the mount and what is served beside it") {
  need_kind(Kind::kDirectory);
  Mount mount(with_guests(Kind::kDirectory, {kGuest, "tag=other"}));
  GuestMachine machine(mount.socket(0));
  GuestMachine other(mount.socket(1), 0);
  mount.unmount();  // with status 0
  CHECK(machine.vmm().hung_up());
  CHECK(other.vmm().hung_up());
  CHECK_FALSE(exists(mount.socket(0)));
  CHECK_FALSE(exists(mount.socket(1)));
  mount.require_sound();
}

TEST_CASE("the socket that a killed daemon left is replaced") {
  need_kind(Kind::kDirectory);
  MountSpec spec = with_guests(Kind::kDirectory, {kGuest});
  spec.mounted = false;
  Mount served(spec);
  served.kill_daemon();
  REQUIRE(exists(served.socket()));
  CHECK_THROWS(GuestMachine(served.socket()));
  served.mount();
  CHECK(GuestMachine(served.socket()).getattr(1).error == 0);
  served.end_daemon();
}

}  // namespace pmemfs::test
