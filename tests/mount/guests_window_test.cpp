// Files in the windows of virtual machines, with the daemon as a program: the same memory for
// guests and host, as it grows, and until nobody maps it.
#include "mount/guests_support.hpp"

namespace pmemfs::test {
namespace {

const std::string kGuest = "tag=pmem,window=16M";

}  // namespace

TEST_CASE("what one stores the others see, and no request is made") {
  on_each(pmemfs_kinds(), [](Kind kind) {
    const Mount mount(with_guests(kind, {kGuest, kGuest}));
    GuestMachine one(mount.socket(0));
    GuestMachine other(mount.socket(1));
    const GuestFile file = one.durable_file("db", pattern(2 * kMiB + 5000, 1));
    REQUIRE(is_durable(mount / "db"));
    REQUIRE(map_places(one, file, 2) == 0);
    const auto found = other.lookup("db").get<fuse_entry_out>();
    CHECK((found.attr.flags & FUSE_ATTR_DAX) != 0);
    REQUIRE(other.setup_mapping(found.nodeid, 0, kPlace).error == 0);  // elsewhere in its window
    const UniqueFd host = open_file(mount / "db", O_RDWR);

    const std::uint64_t before = guest_requests(mount);
    one.store(100, "by one guest");
    CHECK(other.seen(kPlace + 100, 12) == "by one guest");
    CHECK(pread_some(host.get(), 12, 100) == "by one guest");
    other.store(kPlace + 4096, "by the other");
    CHECK(one.seen(4096, 12) == "by the other");
    CHECK(pread_some(host.get(), 12, 4096) == "by the other");
    REQUIRE(pwrite_all(host.get(), "by the host", 8192));
    CHECK(one.seen(8192, 11) == "by the host");
    CHECK(other.seen(kPlace + 8192, 11) == "by the host");
    CHECK(one.seen(kPlace, 5000) == pattern(2 * kMiB + 5000, 1).substr(2 * kMiB));
    CHECK(guest_requests(mount) == before);

    one.getattr(file.node);
    CHECK(guest_requests(mount) == before + 1);
    CHECK(status_of(mount).at("virtiofs")[0].at("window_mapped") == 2 * kPlace);
  });
}

TEST_CASE("a file that grows is seen in the mapping that is there") {
  on_each(pmemfs_kinds(), [](Kind kind) {
    const Mount mount(with_guests(kind, {kGuest}));
    GuestMachine machine(mount.socket());
    if (kind == Kind::kDirectory) {
      need_window_files(mount);
    }
    const GuestFile file = machine.durable_file("db", "small");
    REQUIRE(map_places(machine, file, 1) == 0);
    const std::uint64_t asked = machine.vmm().window_requests();
    REQUIRE(machine.write(file, 100'000, "by the guest").error == 0);
    CHECK(machine.seen(100'000, 12) == "by the guest");
    NEED_OK(sys::truncate(mount / "db", 300'000));
    machine.store(299'990, "a store at");
    CHECK(read_at(mount / "db", 299'990, 100) == "a store at");
    CHECK(read_at(mount / "db", 0, 6) == std::string("small\0", 6));
    CHECK(machine.seen(200'000, 10) == std::string(10, '\0'));
    CHECK(guest_requests(mount, "SETUPMAPPING") == 1);
    CHECK(machine.vmm().window_requests() == asked);
  });
}

TEST_CASE("an unlinked file's space comes back when the machine is gone, not before") {
  on_each(pmemfs_kinds(), [](Kind kind) {
    const Mount mount(with_guests(kind, {kGuest, kGuest}));
    GuestMachine witness(mount.socket(1));
    const auto syncfs = [&] {
      return witness.ask(GuestRequest(FUSE_SYNCFS).add(fuse_syncfs_in{})).error;
    };
    const std::uint64_t free = free_bytes(mount);
    auto machine = std::make_unique<GuestMachine>(mount.socket(0));
    const GuestFile file = machine->durable_file("db", pattern(4 * kMiB, 1));
    REQUIRE(map_places(*machine, file, 2) == 0);
    REQUIRE(machine->unlink("db").error == 0);
    machine->release(file);
    machine->forget(file.node);
    REQUIRE(syncfs() == 0);
    CHECK(free_bytes(mount) + 4 * kMiB <= free);
    machine->store(0, pattern(4 * kMiB, 2));
    CHECK(machine->seen(0, 4 * kMiB) == pattern(4 * kMiB, 2));
    machine.reset();
    CHECK(eventually([&] { return syncfs() == 0 && free_bytes(mount) + kMiB > free; }));
  });
}

TEST_CASE("fsync by a guest counts as a write where data lie in extents") {
  need_kind(Kind::kFile);
  const Mount mount(with_guests(Kind::kFile, {kGuest}));
  GuestMachine machine(mount.socket());
  const GuestFile file = machine.durable_file("db", "content");
  const auto mtime = [&] {
    const auto attr = machine.getattr(file.node).get<fuse_attr_out>().attr;
    return std::pair(attr.mtime, attr.mtimensec);
  };
  const auto unmapped = mtime();
  tick();
  REQUIRE(machine.fsync(file).error == 0);
  CHECK(mtime() == unmapped);
  REQUIRE(map_places(machine, file, 1) == 0);
  machine.store(0, "CONTENT");
  CHECK(mtime() == unmapped);
  REQUIRE(machine.fsync(file).error == 0);
  CHECK(mtime() > unmapped);
}

TEST_CASE("of an ordinary file that the host cuts, what lies beyond is unmapped before") {
  need_kind(Kind::kDirectory);
  const Mount mount(with_guests(Kind::kDirectory, {kGuest}));
  GuestMachine machine(mount.socket());
  const GuestFile file = machine.create("plain");
  REQUIRE(machine.resize(file.node, 3 * kPlace).error == 0);
  REQUIRE(map_places(machine, file, 3) == 0);
  const std::string below = host_file(mount, inode_of(mount / "plain"));
  std::vector<std::pair<std::uint64_t, std::uint64_t>> unmapped;  // where, and the size then
  const auto watch = [&](wire::BackendRequest request, const wire::ShmemRange& range) {
    if (request == wire::BackendRequest::kShmemUnmap) {
      unmapped.emplace_back(range.shm_offset, std::filesystem::file_size(below));
    }
  };
  machine.vmm().watch_window(watch);
  NEED_OK(sys::truncate(mount / "plain", kPlace + 10));
  machine.vmm().watch_window({});
  CHECK(unmapped == decltype(unmapped){{2 * kPlace, 3 * kPlace}});
  CHECK(machine.seen(kPlace, 10) == std::string(10, '\0'));
  CHECK(machine.setup_mapping(file.node, 2 * kPlace, 2 * kPlace).error == ENXIO);

  unmapped.clear();
  machine.vmm().watch_window(watch);
  machine.release(file);
  REQUIRE(machine.setxattr(file.node, PMEMFS_XATTR_DURABLE, "1").error == 0);
  EXPECT_ERRNO(ETXTBSY, sys::truncate(mount / "plain", 10));
  EXPECT_ERRNO(ETXTBSY, sys::open(mount / "plain", O_RDWR | O_TRUNC));
  machine.vmm().watch_window({});
  CHECK(unmapped.empty());
}

TEST_CASE("of a file in extents that the host cuts nothing is unmapped, and the blocks stay its") {
  need_kind(Kind::kFile);
  const Mount mount(with_guests(Kind::kFile, {kGuest}));
  GuestMachine machine(mount.socket());
  const GuestFile file = machine.create("plain");
  REQUIRE(machine.resize(file.node, 2 * kPlace).error == 0);
  REQUIRE(map_places(machine, file, 2) == 0);
  machine.store(kPlace, "stored");
  const std::uint64_t asked = machine.vmm().window_requests();
  NEED_OK(sys::truncate(mount / "plain", 10));
  CHECK(fill_up(mount / "fill") == Errno{ENOSPC});
  const std::string filled = content_of(mount / "fill");
  machine.store(0, std::string(2 * kPlace, 'X'));
  CHECK(machine.vmm().window_requests() == asked);
  CHECK(content_on_media(mount / "fill") == filled);
  NEED_OK(sys::unlink(mount / "fill"));
  NEED_OK(sys::truncate(mount / "plain", 2 * kPlace));
  CHECK(content_of(mount / "plain") == std::string(10, 'X') + std::string(2 * kPlace - 10, '\0'));
  machine.store(kPlace, "again");
  CHECK(read_at(mount / "plain", kPlace, 5) == "again");
}

TEST_CASE("on a full host a mapped file grows by what the guest may store to, or not at all") {
  need_kind(Kind::kDirectory);
  const Mount mount(with_guests(Kind::kDirectory, {kGuest}));
  GuestMachine machine(mount.socket());
  need_window_files(mount);
  const GuestFile file = machine.create("plain");
  REQUIRE(machine.resize(file.node, kPlace).error == 0);
  REQUIRE(map_places(machine, file, 1) == 0);
  REQUIRE(machine.resize(file.node, 10).error == 0);
  CHECK(fill_up(mount / "fill") == Errno{ENOSPC});
  CHECK(machine.resize(file.node, kMiB).error == ENOSPC);
  CHECK(stat_of(mount / "plain").st_size == 10);
  NEED_OK(sys::truncate(mount / "fill", 8 * kMiB));
  REQUIRE(machine.resize(file.node, kMiB).error == 0);
  (void)fill_up(mount / "more");
  machine.store(0, std::string(kMiB, 'X'));  // or SIGBUS
  CHECK(content_of(mount / "plain") == std::string(kMiB, 'X'));
}

}  // namespace pmemfs::test
