// Who asks, and what he may not.
#include <fcntl.h>
#include <grp.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <initializer_list>

#include "fuse/id_map.hpp"
#include "support/acl_text.hpp"
#include "unit/fuse/guest_rig.hpp"

namespace pmemfs::test {
namespace {

using fuse::IdMap;

TEST_CASE("ids are mapped by ranges, both ways") {
  const IdMap same;
  CHECK(same.to_host(7) == 7);
  CHECK(same.to_guest(7) == 7);
  const IdMap map{{{0, 100'000, 1000}, {5000, 7, 1}}, {}};
  CHECK(map.to_host(0) == 100'000);
  CHECK(map.to_host(999) == 100'999);
  CHECK(map.to_host(1000) == fuse::kNoId);
  CHECK(map.to_host(5000) == 7);
  CHECK(map.to_host(UINT32_MAX) == fuse::kNoId);
  CHECK(map.to_guest(100'999) == 999);
  CHECK(map.to_guest(7) == 5000);
  CHECK(map.to_guest(0) == fuse::kOverflowId);
  const IdMap all{{}, 1234};
  CHECK(all.to_host(0) == 1234);
  CHECK(all.to_guest(0) == 0);
}

fuse::GuestOptions mapped() {
  fuse::GuestOptions options;
  options.uids.ranges = {{0, 100'000, 1000}};
  options.gids.ranges = {{0, 200'000, 1000}};
  return options;
}

// One whose root directory belongs to it.
struct MappedGuest : OneGuest {
  explicit MappedGuest(const fuse::GuestOptions& options = mapped()) : OneGuest(options) {
    AttributeChange to;
    to.uid = options.uids.to_host(0);
    to.gid = options.gids.to_host(0);
    REQUIRE(fs->setattr(kRoot, kRootInode, to).ok());
  }
};

TEST_CASE("a guest's users are others in the filesystem") {
  MappedGuest rig;
  Guest& guest = rig.guest;
  GuestRequest make(FUSE_MKDIR);
  make.add(fuse_mkdir_in{0755, 0}).add_name("d").as(5, 6);
  const auto made = guest.ask(make).get<fuse_entry_out>();
  CHECK(made.attr.uid == 5);
  CHECK(made.attr.gid == 6);
  CHECK(rig.fs->getattr(InodeNo(made.nodeid))->uid == 100'005);
  CHECK(rig.fs->getattr(InodeNo(made.nodeid))->gid == 200'006);
  fuse_setattr_in in{};
  in.valid = FATTR_UID | FATTR_GID;
  in.uid = 8;
  in.gid = 9;
  const auto changed =
      guest.ask(GuestRequest(FUSE_SETATTR, made.nodeid).add(in)).get<fuse_attr_out>();
  CHECK(changed.attr.uid == 8);
  CHECK(changed.attr.gid == 9);
  CHECK(rig.fs->getattr(InodeNo(made.nodeid))->uid == 100'008);
  in.uid = 5000;
  CHECK(guest.ask(GuestRequest(FUSE_SETATTR, made.nodeid).add(in)).error == EPERM);
  in.uid = 8;
  in.gid = 5000;
  CHECK(guest.ask(GuestRequest(FUSE_SETATTR, made.nodeid).add(in)).error == EPERM);
  in.valid = 0;  // what is not set does not count
  CHECK(guest.ask(GuestRequest(FUSE_SETATTR, made.nodeid).add(in)).error == 0);
}

TEST_CASE("a user without a counterpart makes nothing, and may look") {
  MappedGuest rig;
  rig.make_file("host's");
  GuestRequest look(FUSE_LOOKUP);
  look.add_name("host's").as(5000, 5000);
  const auto found = rig.guest.ask(look).get<fuse_entry_out>();
  CHECK(found.attr.uid == fuse::kOverflowId);
  CHECK(found.attr.gid == fuse::kOverflowId);
  for (const auto& [uid, gid] : {std::pair{5000U, 0U}, std::pair{0U, 5000U}}) {
    GuestRequest make(FUSE_SYMLINK);
    make.add_name("l").add_name("to").as(uid, gid);
    CHECK(rig.guest.ask(make).error == EPERM);
    GuestRequest whiteout(FUSE_RENAME2);
    whiteout.add(fuse_rename2_in{1, RENAME_WHITEOUT, 0}).add_name("host's").add_name("x");
    CHECK(rig.guest.ask(whiteout.as(uid, gid)).error == EPERM);
  }
  CHECK(rig.guest.lookup("host's").get<fuse_entry_out>().nodeid != 0);
}

TEST_CASE("who is nobody may not set durable, whoever was granted it") {
  MappedGuest rig;
  const GuestFile file = rig.guest.create("a");
  REQUIRE(rig.guest.release(file).error == 0);
  fuse_setxattr_in in{};
  in.size = 1;
  for (const std::uint32_t uid : {0U, 5000U}) {  // 100000 in the filesystem, and nobody
    GuestRequest set(FUSE_SETXATTR, file.node);
    set.add(in).add_name(PMEMFS_XATTR_DURABLE).add_bytes("1").as(uid, 0);
    CHECK(rig.guest.ask(set).error == EPERM);
  }
}

TEST_CASE("squashed, everybody in a guest is one") {
  fuse::GuestOptions options;
  options.uids.squash = 1234;
  options.gids.squash = 1235;
  MappedGuest rig(options);
  GuestRequest make(FUSE_MKDIR);
  make.add(fuse_mkdir_in{0755, 0}).add_name("d").as(0, 0);
  const auto made = rig.guest.ask(make).get<fuse_entry_out>();
  CHECK(made.attr.uid == 1234);
  CHECK(made.attr.gid == 1235);
  rig.make_file("root's");
  CHECK(rig.guest.lookup("root's").get<fuse_entry_out>().attr.uid == 0);
}

TEST_CASE("access lists name the filesystem's users there, and the guest's users in the guest") {
  MappedGuest rig;
  const GuestFile file = rig.guest.create("a");
  const std::string list = acl("u::rw- u:5:r-- g::r-- g:6:r-- m::rw- o::---");
  REQUIRE(rig.guest.setxattr(file.node, kAccessAcl, list).error == 0);
  const auto stored = rig.fs->getxattr(InodeNo(file.node), kAccessAcl);
  REQUIRE(stored.ok());
  const std::string there(reinterpret_cast<const char*>(stored->data()), stored->size());
  CHECK(decode_acl(there) == "u::rw- u:100005:r-- g::r-- g:200006:r-- m::rw- o::---");
  CHECK(decode_acl(rig.guest.getxattr(file.node, kAccessAcl, 1000).body) ==
        "u::rw- u:5:r-- g::r-- g:6:r-- m::rw- o::---");
  CHECK(rig.guest.getxattr(file.node, kAccessAcl, 0).get<fuse_getxattr_out>().size == list.size());
  CHECK(rig.guest.setxattr(file.node, kAccessAcl, acl("u::rw- u:5000:r-- g::r-- m::rw- o::---"))
            .error == EPERM);
  CHECK(rig.guest.setxattr(file.node, kAccessAcl, list.substr(0, 7)).error == EINVAL);
  // As data, it is nobody's list.
  CHECK(rig.guest.setxattr(file.node, "user.acl", list).error == 0);
  CHECK(rig.guest.getxattr(file.node, "user.acl", 1000).body == list);
}

// A process of user 1 and group 1 that is in one group more, while it lives.
class InGroup {
 public:
  explicit InGroup(gid_t group) {
    std::array<int, 2> ends{};
    REQUIRE(::pipe(ends.data()) == 0);
    pid_ = ::fork();
    if (pid_ == 0) {
      const bool done = ::setgroups(1, &group) == 0 && ::setgid(1) == 0 && ::setuid(1) == 0;
      (void)!::write(ends[1], done ? "1" : "0", 1);
      ::pause();
      ::_exit(0);
    }
    char done = '0';
    REQUIRE(::read(ends[0], &done, 1) == 1);
    REQUIRE(done == '1');
    ::close(ends[0]);
    ::close(ends[1]);
  }
  ~InGroup() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  InGroup(const InGroup&) = delete;
  InGroup& operator=(const InGroup&) = delete;

  [[nodiscard]] pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = 0;
};

TEST_CASE("a guest's process is none of the host's") {
  if (::geteuid() != 0) {
    PMEMFS_SKIP("needs root");
  }
  constexpr gid_t kGranted = 4321;
  const InGroup process(kGranted);
  GuestRig rig;
  rig.fs.reset();
  auto store = store::Store::open(*rig.region, nullptr);
  REQUIRE(store.ok());
  FilesystemOptions granting;
  granting.durable.gids = {kGranted};
  granting.background = false;
  rig.fs = std::move(Filesystem::open(std::move(*store), nullptr, granting).value());
  Guest guest(*rig.fs);
  REQUIRE(guest.init().error == 0);
  const GuestFile file = guest.create("a");
  REQUIRE(guest.release(file).error == 0);
  fuse_setxattr_in in{};
  in.size = 1;
  GuestRequest set(FUSE_SETXATTR, file.node);
  set.add(in).add_name(PMEMFS_XATTR_DURABLE).add_bytes("1").as(1, 1);
  set.by_process(static_cast<std::uint32_t>(process.pid()));
  CHECK(guest.ask(set).error == EPERM);
  // The control: asked for here, the same process may.
  const auto one = std::as_bytes(std::span(std::string_view("1")));
  const Caller here{.uid = 1, .gid = 1, .pid = process.pid(), .umask = 0};
  CHECK(rig.fs->setxattr(here, InodeNo(file.node), PMEMFS_XATTR_DURABLE, one, 0, false).code() ==
        0);
}

// --- Read-only ---

TEST_CASE("a read-only guest changes nothing") {
  GuestRig rig;
  const InodeNo file = rig.make_file("a", "content");
  AttributeChange old;  // so that reading would move it
  old.atime = Timestamp{1, 0};
  REQUIRE(rig.fs->setattr(kRoot, file, old).ok());
  REQUIRE(rig.fs->setattr(kRoot, kRootInode, old).ok());
  const Attributes before = *rig.fs->getattr(file);
  const Attributes root_before = *rig.fs->getattr(kRootInode);
  fuse::GuestOptions options;
  options.read_only = true;
  Guest guest(*rig.fs, options);
  REQUIRE(guest.init().error == 0);
  const std::uint64_t node = guest.lookup("a").get<fuse_entry_out>().nodeid;
  for (const std::uint32_t flags :
       std::initializer_list<std::uint32_t>{O_WRONLY, O_RDWR, O_TRUNC}) {
    CHECK(guest.open(node, flags).error == EROFS);
  }
  const GuestFile open = guest.open(node, O_RDONLY);
  REQUIRE(open.error == 0);
  CHECK(guest.read(open, 0, 100).body == "content");
  CHECK(guest.write(open, 0, "x").error == EROFS);
  CHECK(guest.create("new").error == EROFS);
  CHECK(guest.setxattr(node, "user.x", "v").error == EROFS);
  fuse_read_in list{};
  list.size = 4096;
  CHECK(guest.ask(GuestRequest(FUSE_READDIR).add(list)).error == 0);
  CHECK(guest.ask(GuestRequest(FUSE_SYNCFS).add(fuse_syncfs_in{})).error == 0);
  fuse_fallocate_in room{};
  room.fh = open.fh;
  const GuestRequest changes[] = {
      GuestRequest(FUSE_SETATTR, node).add(fuse_setattr_in{}),
      GuestRequest(FUSE_SYMLINK).add_name("l").add_name("to"),
      GuestRequest(FUSE_MKNOD).add(fuse_mknod_in{S_IFREG, 0, 0, 0}).add_name("n"),
      GuestRequest(FUSE_MKDIR).add(fuse_mkdir_in{0755, 0}).add_name("n"),
      GuestRequest(FUSE_UNLINK).add_name("a"),
      GuestRequest(FUSE_RMDIR).add_name("a"),
      GuestRequest(FUSE_RENAME).add(fuse_rename_in{1}).add_name("a").add_name("b"),
      GuestRequest(FUSE_RENAME2).add(fuse_rename2_in{1, 0, 0}).add_name("a").add_name("b"),
      GuestRequest(FUSE_LINK).add(fuse_link_in{node}).add_name("b"),
      GuestRequest(FUSE_REMOVEXATTR, node).add_name("user.x"),
      GuestRequest(FUSE_FALLOCATE, node).add(room),
      GuestRequest(FUSE_COPY_FILE_RANGE, node)
          .add(fuse_copy_file_range_in{open.fh, 0, node, open.fh, 0, 1, 0}),
      GuestRequest(FUSE_TMPFILE).add(fuse_create_in{2, 0600, 0, 0}).add_name("/"),
  };
  for (const GuestRequest& change : changes) {
    INFO(change.header.opcode);
    CHECK(guest.ask(change).error == EROFS);
  }
  const Attributes after = *rig.fs->getattr(file);
  CHECK(after.atime == before.atime);
  CHECK(after.ctime == before.ctime);
  CHECK(rig.fs->getattr(kRootInode)->atime == root_before.atime);
}

TEST_CASE("reading moves access times, unless the guest is read-only") {  // the control of the last
  OneGuest rig;
  const InodeNo file = rig.make_file("a", "content");
  const GuestFile open = rig.guest.open(rig.guest.lookup("a").get<fuse_entry_out>().nodeid, 0);
  AttributeChange old;
  old.atime = Timestamp{1, 0};
  REQUIRE(rig.fs->setattr(kRoot, file, old).ok());
  REQUIRE(rig.fs->setattr(kRoot, kRootInode, old).ok());
  CHECK(rig.guest.read(open, 0, 1).body == "c");
  fuse_read_in list{};
  list.size = 4096;
  CHECK(rig.guest.ask(GuestRequest(FUSE_READDIR).add(list)).error == 0);
  CHECK(rig.fs->getattr(file)->atime.sec > 1);
  CHECK(rig.fs->getattr(kRootInode)->atime.sec > 1);
}

}  // namespace
}  // namespace pmemfs::test
