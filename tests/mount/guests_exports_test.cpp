// What each export lets its guest do, and what guest and host keep of each other's names.
#include "mount/guests_support.hpp"

namespace pmemfs::test {
namespace {

const std::string kGuest = "tag=pmem,window=16M";

GuestReply set_durable_as(GuestMachine& machine, std::uint64_t node, std::uint32_t uid) {
  fuse_setxattr_in in{};
  in.size = 1;
  return machine.ask(GuestRequest(FUSE_SETXATTR, node)
                         .add(in)
                         .add_name(PMEMFS_XATTR_DURABLE)
                         .add_bytes("1")
                         .as(uid, uid));
}

GuestReply make_dir_as(GuestMachine& machine, std::string_view name, std::uint32_t id) {
  return machine.ask(
      GuestRequest(FUSE_MKDIR).add(fuse_mkdir_in{0777, 0}).add_name(name).as(id, id));
}

fuse_attr attributes(GuestMachine& machine, std::string_view name) {
  return machine.lookup(name).get<fuse_entry_out>().attr;
}

}  // namespace

TEST_CASE("a read-only export changes nothing, and has no window") {
  on_each(pmemfs_kinds(), [](Kind kind) {
    const Mount mount(with_guests(kind, {kGuest + ",ro", kGuest}));
    GuestMachine reader(mount.socket(0));
    GuestMachine writer(mount.socket(1));
    writer.durable_file("db", pattern(kPlace, 1));
    const GuestFile file = reader.open(reader.lookup("db").get<fuse_entry_out>().nodeid, O_RDONLY);
    REQUIRE(file.error == 0);
    CHECK(reader.create("new").error == EROFS);
    CHECK(reader.write(file, 0, "x").error == EROFS);
    CHECK(reader.resize(file.node, 0).error == EROFS);
    CHECK(reader.unlink("db").error == EROFS);
    CHECK(reader.setxattr(file.node, "user.name", "x").error == EROFS);
    fuse_setupmapping_in in{};
    in.len = kPlace;
    in.flags = FUSE_SETUPMAPPING_FLAG_READ;
    CHECK(reader.ask(GuestRequest(FUSE_SETUPMAPPING, file.node).add(in)).error == ENOSYS);
    CHECK(reader.read(file, 0, 100).body == pattern(kPlace, 1).substr(0, 100));
    CHECK(exists(mount / "db"));
  });
}

TEST_CASE("a monitor that knows no window has a guest that maps nothing, whatever it asks for") {
  on_each(pmemfs_kinds(), [](Kind kind) {
    const Mount mount(with_guests(kind, {kGuest, kGuest}));
    GuestMachine machine(mount.socket(0), 0);
    CHECK((machine.initialized().get<fuse_init_out>().flags & FUSE_MAP_ALIGNMENT) == 0);
    const GuestFile file = machine.durable_file("db", pattern(kPlace, 1));
    CHECK(machine.getxattr(file.node, PMEMFS_XATTR_MAPPING, 100).body == "refused");
    GuestMachine other(mount.socket(1));  // control
    CHECK((other.initialized().get<fuse_init_out>().flags & FUSE_MAP_ALIGNMENT) != 0);
    const std::uint64_t node = other.lookup("db").get<fuse_entry_out>().nodeid;
    CHECK(other.getxattr(node, PMEMFS_XATTR_MAPPING, 100).body == "window");
  });
}

TEST_CASE("ids of a guest are others here, each export's its own") {
  need_kind(Kind::kDirectory);
  const Mount mount(
      with_guests(Kind::kDirectory, {"tag=a,translate-uid=0:1000:10,translate-gid=0:3000:10",
                                     "tag=b,translate-uid=0:2000:10,translate-gid=0:4000:10",
                                     "tag=c,squash-uid=1234,squash-gid=4321", "tag=d"}));
  NEED_OK(sys::chmod(mount.root(), 0777));
  GuestMachine a(mount.socket(0), 0);
  GuestMachine b(mount.socket(1), 0);
  GuestMachine squashed(mount.socket(2), 0);
  GuestMachine plain(mount.socket(3), 0);
  CHECK(make_dir_as(a, "of-a", 5).error == 0);
  CHECK(make_dir_as(b, "of-b", 5).error == 0);
  CHECK(make_dir_as(squashed, "squashed", 5).error == 0);
  CHECK(make_dir_as(plain, "plain", 5).error == 0);
  const auto owners = [&](const std::string& name) {
    const struct stat st = stat_of(mount / name);
    return std::pair(st.st_uid, st.st_gid);
  };
  CHECK(owners("of-a") == std::pair(1005U, 3005U));
  CHECK(owners("of-b") == std::pair(2005U, 4005U));
  CHECK(owners("squashed") == std::pair(1234U, 4321U));
  CHECK(owners("plain") == std::pair(5U, 5U));
  CHECK(attributes(a, "of-a").uid == 5);
  CHECK(attributes(a, "of-b").uid == 65534);
  CHECK(attributes(b, "of-b").gid == 5);
  CHECK(attributes(plain, "of-b").uid == 2005);
}

TEST_CASE("a guest sets durable with the right to, as its ids are here") {
  need_kind(Kind::kFile);
  MountSpec spec = with_guests(Kind::kFile, {kGuest, kGuest + ",translate-uid=0:1000:1"});
  spec.options = "allow_other,durable_uid=7";
  const Mount mount(spec);
  GuestMachine whole(mount.socket(0));
  GuestMachine mapped(mount.socket(1));
  const auto made = [&](const char* name) {
    const GuestFile file = whole.create(name);
    whole.release(file);
    NEED_OK(sys::chmod(mount / name, 0666));
    return file.node;
  };
  CHECK(set_durable_as(whole, made("first"), 8).error == EPERM);
  CHECK(set_durable_as(mapped, mapped.lookup("first").get<fuse_entry_out>().nodeid, 0).error ==
        EPERM);
  CHECK_FALSE(is_durable(mount / "first"));
  CHECK(set_durable_as(whole, made("second"), 7).error == 0);
  CHECK(set_durable_as(whole, made("third"), 0).error == 0);
  CHECK(is_durable(mount / "second"));
  CHECK(is_durable(mount / "third"));
}

TEST_CASE("cache= says what the guest may keep") {
  need_kind(Kind::kFile);
  const Mount mount(
      with_guests(Kind::kFile, {"tag=n,cache=none", "tag=a,cache=auto", "tag=y,cache=always"}));
  make_file(mount / "file", "content");
  struct Terms {
    std::uint64_t seconds;
    bool direct;
  };
  const std::vector<Terms> expected{{0, true}, {1, false}, {86400, false}};
  for (std::size_t i = 0; i < expected.size(); ++i) {
    INFO(i);
    GuestMachine machine(mount.socket(i), 0);
    const auto entry = machine.lookup("file").get<fuse_entry_out>();
    CHECK(entry.entry_valid == expected[i].seconds);
    CHECK(entry.attr_valid == expected[i].seconds);
    CHECK(machine.getattr(entry.nodeid).get<fuse_attr_out>().attr_valid == expected[i].seconds);
    const GuestReply opened =
        machine.ask(GuestRequest(FUSE_OPEN, entry.nodeid).add(fuse_open_in{O_RDONLY, 0}));
    const bool direct = (opened.get<fuse_open_out>().open_flags & FOPEN_DIRECT_IO) != 0;
    CHECK(direct == expected[i].direct);
    CHECK(machine.getxattr(entry.nodeid, PMEMFS_XATTR_MAPPING, 100).body ==
          (direct ? "refused" : "cached"));
  }
}

TEST_CASE("the host's mount sees what guests do to names within moments") {
  need_kind(Kind::kDirectory);
  const Mount mount(with_guests(Kind::kDirectory, {kGuest}));
  GuestMachine machine(mount.socket());
  make_file(mount / "gone", "content");
  CHECK(exists(mount / "gone"));
  CHECK_FALSE(exists(mount / "made"));  // the kernel keeps both
  REQUIRE(machine.unlink("gone").error == 0);
  REQUIRE(make_dir_as(machine, "made", 0).error == 0);
  CHECK(eventually([&] { return exists(mount / "made") && !exists(mount / "gone"); }));
  CHECK(names_in(mount.root()) == std::vector<std::string>{"made"});
}

}  // namespace pmemfs::test
