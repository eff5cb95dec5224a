// Requests of a guest whose users are not the filesystem's: each right that is needed, there and
// missing.
#include "fuse/guest_checks.hpp"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "support/acl_text.hpp"
#include "unit/fuse/guest_rig.hpp"

namespace pmemfs::test {
namespace {

constexpr std::uint32_t kUser = 100'000;  // the guest's user 0
constexpr std::uint32_t kGroup = 200'000;
constexpr std::uint32_t kOther = 7;  // nobody of the guest's

fuse::GuestOptions mapped() {
  fuse::GuestOptions options;
  options.uids.ranges = {{0, kUser, 1000}};
  options.gids.ranges = {{0, kGroup, 1000}};
  return options;
}

// A guest, and files that the host makes.
struct Rig : GuestRig {
  explicit Rig(fuse::GuestOptions options = mapped()) : guest(*fs, std::move(options)) {
    REQUIRE(guest.init().error == 0);
  }

  // The guest's node of it.
  std::uint64_t make(std::string_view name, std::uint32_t mode, std::uint32_t uid,
                     std::uint32_t gid, InodeNo dir = kRootInode) {
    const auto made =
        S_ISDIR(mode) ? fs->mkdir(kRoot, dir, name, mode) : fs->mknod(kRoot, dir, name, mode, 0);
    REQUIRE(made.code() == 0);
    change(made->ino, mode, uid, gid);
    fs->forget(made->ino, 1);
    const GuestReply found = guest.lookup(name, dir.value);
    return found.error == 0 ? found.get<fuse_entry_out>().nodeid : made->ino.value;
  }
  std::uint64_t make_dir(std::string_view name, std::uint32_t mode, std::uint32_t uid = kOther,
                         std::uint32_t gid = kOther) {
    return make(name, S_IFDIR | mode, uid, gid);
  }
  void change(InodeNo ino, std::uint32_t mode, std::uint32_t uid, std::uint32_t gid) const {
    AttributeChange to;
    to.uid = uid;
    to.gid = gid;
    REQUIRE(fs->setattr(kRoot, ino, to).ok());
    AttributeChange bits;
    bits.mode = mode & 07777U;
    REQUIRE(fs->setattr(kRoot, ino, bits).ok());
  }
  [[nodiscard]] std::uint32_t mode(std::uint64_t node) const {
    return fs->getattr(InodeNo(node))->mode & 07777U;
  }
  int setattr(std::uint64_t node, fuse_setattr_in in) {
    return guest.ask(GuestRequest(FUSE_SETATTR, node).add(in)).error;
  }
  int chmod(std::uint64_t node, std::uint32_t mode) {
    fuse_setattr_in in{};
    in.valid = FATTR_MODE;
    in.mode = mode;
    return setattr(node, in);
  }
  int open(std::uint64_t node, std::uint32_t flags) {
    const GuestFile file = guest.open(node, flags);
    return file.error != 0 ? file.error : guest.release(file).error;
  }

  Guest guest;
};

// Each request that makes a name in a directory.
std::vector<GuestRequest> makings(std::uint64_t dir) {
  return {
      GuestRequest(FUSE_SYMLINK, dir).add_name("l").add_name("to"),
      GuestRequest(FUSE_MKNOD, dir).add(fuse_mknod_in{S_IFREG | 0644, 0, 0, 0}).add_name("n"),
      GuestRequest(FUSE_MKDIR, dir).add(fuse_mkdir_in{0755, 0}).add_name("d"),
      GuestRequest(FUSE_CREATE, dir).add(fuse_create_in{2, 0644, 0, 0}).add_name("c"),
      GuestRequest(FUSE_TMPFILE, dir).add(fuse_create_in{2, 0644, 0, 0}).add_name("/"),
  };
}

TEST_CASE("names are made where a user of the guest may write and search") {
  Rig rig;
  const struct {
    std::uint32_t mode, uid, gid;
    int error;
  } rows[] = {
      {0755, kOther, kOther, EACCES}, {0776, kOther, kOther, EACCES},
      {0775, kOther, kOther, EACCES}, {0777, kOther, kOther, 0},
      {0770, kOther, kGroup, 0},      {0750, kOther, kGroup, EACCES},
      {0700, kUser, kOther, 0},       {0500, kUser, kOther, EACCES},
      {0000, kUser, kGroup, 0},
  };
  int i = 0;
  for (const auto& row : rows) {
    const std::uint64_t dir = rig.make_dir(std::to_string(i++), row.mode, row.uid, row.gid);
    for (GuestRequest& request : makings(dir)) {
      INFO("row " << i << ", opcode " << request.header.opcode);
      CHECK(rig.guest.ask(request).error == row.error);
    }
  }
}

TEST_CASE("no rights are asked for where users are the filesystem's") {
  Rig rig{fuse::GuestOptions{}};
  const std::uint64_t dir = rig.make_dir("d", 0);
  for (GuestRequest& request : makings(dir)) {
    CHECK(rig.guest.ask(request).error == 0);
  }
  CHECK(rig.guest.unlink("c", dir).error == 0);
  GuestRequest device(FUSE_MKNOD, dir);
  device.add(fuse_mknod_in{S_IFCHR | 0600, 0x103, 0, 0}).add_name("null");
  CHECK(rig.guest.ask(device).error == 0);
  CHECK(rig.guest.setxattr(dir, "trusted.x", "1").error == 0);
}

TEST_CASE("what needs the right to search a directory, and what the right to read it") {
  Rig rig;
  const std::uint64_t dir = rig.make_dir("d", 0777);
  rig.guest.forget(rig.make("f", S_IFREG | 0644, kOther, kOther, InodeNo(dir)));
  fuse_read_in list{};
  list.size = 4096;
  const auto listed = [&](std::uint32_t opcode) {
    return rig.guest.ask(GuestRequest(opcode, dir).add(list));
  };
  rig.change(InodeNo(dir), 0774, kOther, kOther);
  CHECK(rig.guest.lookup("f", dir).error == EACCES);
  CHECK(rig.guest.ask(GuestRequest(FUSE_OPENDIR, dir).add(fuse_open_in{})).error == 0);
  CHECK(listed(FUSE_READDIR).error == 0);
  const std::size_t nodes = rig.guest.session().status().nodes;
  const GuestReply names = listed(FUSE_READDIRPLUS);
  CHECK(names.error == 0);
  CHECK(names.body.find('f') != std::string::npos);
  CHECK(rig.guest.session().status().nodes == nodes);  // names, and nothing to use
  rig.change(InodeNo(dir), 0771, kOther, kOther);
  CHECK(rig.guest.lookup("f", dir).error == 0);
  for (const std::uint32_t opcode : {FUSE_READDIR, FUSE_READDIRPLUS}) {
    CHECK(listed(opcode).error == EACCES);
  }
  CHECK(rig.guest.ask(GuestRequest(FUSE_OPENDIR, dir).add(fuse_open_in{})).error == EACCES);
  rig.change(InodeNo(dir), 0777, kOther, kOther);
  CHECK(listed(FUSE_READDIRPLUS).get<fuse_entry_out>().nodeid == 0);  // "."
  rig.guest.forget(rig.guest.lookup("f", dir).get<fuse_entry_out>().nodeid, 100);
  const std::size_t before = rig.guest.session().status().nodes;
  CHECK(listed(FUSE_READDIRPLUS).error == 0);
  CHECK(rig.guest.session().status().nodes == before + 1);
}

TEST_CASE("files are opened for what a user of the guest may") {
  Rig rig;
  const struct {
    std::uint32_t mode, uid, gid;
    int read, write, both, cut;
  } rows[] = {
      {0600, kOther, kOther, EACCES, EACCES, EACCES, EACCES},
      {0604, kOther, kOther, 0, EACCES, EACCES, EACCES},
      {0602, kOther, kOther, EACCES, 0, EACCES, EACCES},
      {0606, kOther, kOther, 0, 0, 0, 0},
      {0640, kOther, kGroup + 5, 0, EACCES, EACCES, EACCES},
      {0400, kUser + 5, kOther, 0, EACCES, EACCES, EACCES},
      {0000, kUser + 5, kGroup + 9, 0, 0, 0, 0},
      {0000, kUser + 1000, kGroup, EACCES, EACCES, EACCES, EACCES},
  };
  int i = 0;
  for (const auto& row : rows) {
    INFO("row " << i);
    const std::uint64_t node = rig.make(std::to_string(i++), S_IFREG | row.mode, row.uid, row.gid);
    CHECK(rig.open(node, O_RDONLY) == row.read);
    CHECK(rig.open(node, O_WRONLY) == row.write);
    CHECK(rig.open(node, O_RDWR) == row.both);
    CHECK(rig.open(node, O_RDONLY | O_TRUNC) == row.cut);
  }
  const std::uint64_t node = rig.make("lasting", S_IFREG | 0644, kOther, kOther);
  CHECK(rig.open(node, O_RDONLY | O_NOATIME) == EPERM);
}

TEST_CASE("a handle serves for what it was opened for, whoever the guest's users are") {
  Rig rig{fuse::GuestOptions{}};
  const std::uint64_t node = rig.make("f", S_IFREG | 0600, kOther, kOther);
  const GuestFile reading = rig.guest.open(node, O_RDONLY);
  const GuestFile writing = rig.guest.open(node, O_WRONLY);
  CHECK(rig.guest.write(reading, 0, "x").error == EBADF);
  CHECK(rig.guest.write(writing, 0, "x").error == 0);
  CHECK(rig.guest.read(writing, 0, 1).error == EBADF);
  CHECK(rig.guest.read(reading, 0, 1).body == "x");
  const auto allocate = [&](const GuestFile& file) {
    fuse_fallocate_in in{};
    in.fh = file.fh;
    in.length = 100;
    return rig.guest.ask(GuestRequest(FUSE_FALLOCATE, node).add(in)).error;
  };
  CHECK(allocate(reading) == EBADF);
  CHECK(allocate(writing) == 0);
  const auto copy = [&](const GuestFile& from, const GuestFile& to) {
    return rig.guest
        .ask(GuestRequest(FUSE_COPY_FILE_RANGE, node)
                 .add(fuse_copy_file_range_in{from.fh, 0, node, to.fh, 50, 1, 0}))
        .error;
  };
  CHECK(copy(reading, reading) == EBADF);
  CHECK(copy(writing, writing) == EBADF);
  CHECK(copy(reading, writing) == 0);
  fuse_setattr_in in{};
  in.valid = FATTR_SIZE | FATTR_FH;
  in.fh = reading.fh;
  CHECK(rig.setattr(node, in) == EBADF);
  in.fh = writing.fh;
  CHECK(rig.setattr(node, in) == 0);
}

TEST_CASE("names go where a user of the guest may write, from sticky directories by the owner") {
  Rig rig;
  const struct {
    std::uint32_t dir_mode, dir_uid, file_uid;
    int error;
  } rows[] = {
      {0755, kOther, kUser, EACCES},  {0776, kOther, kUser, EACCES}, {0777, kOther, kOther, 0},
      {01777, kOther, kOther, EPERM}, {01777, kOther, kUser, 0},     {01700, kUser, kOther, 0},
  };
  int i = 0;
  for (const auto& row : rows) {
    INFO("row " << i);
    const std::uint64_t dir = rig.make_dir(std::to_string(i++), 0777);
    rig.make("f", S_IFREG, row.file_uid, kOther, InodeNo(dir));
    rig.make("g", S_IFREG, row.file_uid, kOther, InodeNo(dir));
    rig.make("d", S_IFDIR, row.file_uid, kOther, InodeNo(dir));
    rig.change(InodeNo(dir), row.dir_mode, row.dir_uid, kOther);
    const std::uint64_t mine = rig.make_dir("mine" + std::to_string(i), 0700, kUser, kGroup);
    const auto rename = [&](std::uint64_t from, std::string_view name, std::uint64_t to) {
      return rig.guest
          .ask(GuestRequest(FUSE_RENAME, from).add(fuse_rename_in{to}).add_name(name).add_name("g"))
          .error;
    };
    CHECK(rig.guest.unlink("f", dir).error == row.error);
    CHECK(rig.guest.ask(GuestRequest(FUSE_RMDIR, dir).add_name("d")).error == row.error);
    CHECK(rename(dir, "g", mine) == row.error);
    rig.make("over", S_IFREG, kUser, kGroup, InodeNo(mine));
    if (row.error != 0) {
      CHECK(rename(mine, "over", dir) == row.error);  // it would take "g" away
    }
  }
}

TEST_CASE("what is looked at for a check is not held") {
  Rig rig;
  const std::uint64_t sticky = rig.make_dir("sticky", 01777);
  const auto used = [&] {
    const FilesystemSpace space = rig.fs->space().value();
    return space.files - space.files_free;
  };
  const std::uint64_t before = used();
  rig.guest.forget(rig.make("f", S_IFREG | 0644, kOther, kOther, InodeNo(sticky)));
  CHECK(rig.guest.unlink("f", sticky).error == EPERM);
  REQUIRE(rig.fs->unlink(InodeNo(sticky), "f").ok());
  CHECK(used() == before);
}

TEST_CASE("of what is not there, that is said") {
  Rig rig;
  const std::uint64_t dir = rig.make_dir("d", 01777);
  CHECK(rig.guest.unlink("f", dir).error == ENOENT);
  rig.make("f", S_IFREG, kUser, kGroup, InodeNo(dir));
  GuestRequest rename(FUSE_RENAME, dir);
  rename.add(fuse_rename_in{dir}).add_name("f").add_name("new");
  CHECK(rig.guest.ask(rename).error == 0);
}

TEST_CASE("a directory moves elsewhere when it may be written to itself") {
  Rig rig;
  const std::uint64_t from = rig.make_dir("from", 0777);
  const std::uint64_t to = rig.make_dir("to", 0777);
  const auto move = [&](std::uint64_t target, std::string_view name, unsigned flags) {
    GuestRequest rename(FUSE_RENAME2, from);
    rename.add(fuse_rename2_in{target, flags, 0}).add_name("d").add_name(name);
    return rig.guest.ask(rename).error;
  };
  rig.make("d", S_IFDIR | 0755, kOther, kOther, InodeNo(from));
  CHECK(move(to, "d", 0) == EACCES);
  CHECK(move(from, "d", RENAME_EXCHANGE) == 0);  // where it was
  rig.make("theirs", S_IFDIR | 0755, kOther, kOther, InodeNo(to));
  rig.make("mine", S_IFDIR | 0755, kUser, kOther, InodeNo(to));
  CHECK(move(to, "mine", RENAME_EXCHANGE) == EACCES);  // the one that goes
  rig.change(rig.fs->lookup(InodeNo(from), "d")->ino, 0777, kOther, kOther);
  CHECK(move(to, "theirs", RENAME_EXCHANGE) == EACCES);  // the one that comes
  CHECK(move(to, "mine", RENAME_EXCHANGE) == 0);
}

TEST_CASE("files of others get names when they may be read and written, and run as nobody") {
  Rig rig;
  const std::uint64_t dir = rig.make_dir("d", 0777);
  const std::uint64_t closed = rig.make_dir("closed", 0755);
  const struct {
    std::uint32_t mode, uid;
    int error;
  } rows[] = {
      {S_IFREG | 0666, kOther, 0},      {S_IFREG | 0664, kOther, EPERM},
      {S_IFREG | 04666, kOther, EPERM}, {S_IFREG | 02676, kOther, EPERM},
      {S_IFREG | 02666, kOther, 0},     {S_IFIFO | 0666, kOther, EPERM},
      {S_IFREG | 04000, kUser, 0},      {S_IFIFO | 0000, kUser, 0},
  };
  int i = 0;
  for (const auto& row : rows) {
    INFO("row " << i);
    const std::string name = std::to_string(i++);
    const std::uint64_t node = rig.make(name, row.mode, row.uid, kOther);
    const auto link = [&](std::uint64_t where) {
      return rig.guest.ask(GuestRequest(FUSE_LINK, where).add(fuse_link_in{node}).add_name(name))
          .error;
    };
    CHECK(link(dir) == row.error);
    CHECK(link(closed) == EACCES);
  }
}

TEST_CASE("devices are nothing for users of a guest") {
  Rig rig;
  const std::uint64_t dir = rig.make_dir("d", 0777, kUser, kGroup);
  int i = 0;
  const auto make = [&](std::uint32_t mode, std::uint32_t rdev) {
    GuestRequest request(FUSE_MKNOD, dir);
    request.add(fuse_mknod_in{mode, rdev, 0, 0}).add_name(std::to_string(i++));
    return rig.guest.ask(request).error;
  };
  CHECK(make(S_IFBLK | 0600, 0x801) == EPERM);
  CHECK(make(S_IFBLK | 0600, 0) == EPERM);
  CHECK(make(S_IFCHR | 0600, 0x103) == EPERM);
  CHECK(make(S_IFCHR | 0600, 0) == 0);  // a whiteout
  CHECK(make(S_IFIFO | 0600, 0) == 0);
  CHECK(make(S_IFSOCK | 0600, 0) == 0);
}

TEST_CASE("attributes are the owner's to set, times also of who may write") {
  Rig rig;
  const struct {
    std::uint32_t valid;
    int stranger, writer, owner, ruler;
  } rows[] = {
      {FATTR_MODE, EPERM, EPERM, 0, 0},
      {FATTR_UID, EPERM, EPERM, EPERM, 0},
      {FATTR_GID, EPERM, EPERM, 0, 0},
      {FATTR_SIZE, EACCES, 0, EACCES, 0},
      {FATTR_ATIME, EPERM, EPERM, 0, 0},
      {FATTR_MTIME, EPERM, EPERM, 0, 0},
      {FATTR_CTIME, EPERM, EPERM, 0, 0},
      {FATTR_ATIME | FATTR_ATIME_NOW, EACCES, 0, 0, 0},
      {FATTR_MTIME | FATTR_MTIME_NOW, EACCES, 0, 0, 0},
      {FATTR_ATIME | FATTR_ATIME_NOW | FATTR_MTIME, EPERM, EPERM, 0, 0},
      {0, 0, 0, 0, 0},
  };
  int i = 0;
  for (const auto& row : rows) {
    INFO("row " << i);
    const auto set = [&](std::uint32_t mode, std::uint32_t uid, std::uint32_t gid) {
      const std::uint64_t node = rig.make(std::to_string(i++), S_IFREG | mode, uid, gid);
      fuse_setattr_in in{};
      in.valid = row.valid;
      in.mode = S_IFREG | 0400;
      in.uid = 3;
      in.gid = 3;
      return rig.setattr(node, in);
    };
    CHECK(set(0644, kOther, kOther) == row.stranger);
    CHECK(set(0646, kOther, kOther) == row.writer);
    CHECK(set(0440, kUser, kOther) == row.owner);
    CHECK(set(0000, kUser, kGroup) == row.ruler);
  }
}

TEST_CASE("an owner may give a file to himself") {
  Rig rig;
  const std::uint64_t node = rig.make("f", S_IFREG | 0600, kUser + 4, kOther);
  fuse_setattr_in in{};
  in.valid = FATTR_UID;
  in.uid = 4;
  CHECK(rig.setattr(node, in) == 0);
  in.uid = 5;
  CHECK(rig.setattr(node, in) == EPERM);
}

TEST_CASE("nothing of a guest's runs with the rights of a group that it is not in") {
  Rig rig;
  const std::uint64_t theirs = rig.make_dir("theirs", 02777, kOther, kOther);
  const std::uint64_t ours = rig.make_dir("ours", 02777, kOther, kGroup);
  for (const bool foreign : {true, false}) {
    const std::uint64_t dir = foreign ? theirs : ours;
    const std::uint32_t kept = foreign ? 0 : S_ISGID;
    const auto made = [&](GuestRequest request) {
      const GuestReply reply = rig.guest.ask(std::move(request));
      REQUIRE(reply.error == 0);
      return reply.get<fuse_entry_out>().nodeid;
    };
    const std::uint32_t wanted = S_IFREG | S_ISGID | 0770;
    const std::uint64_t nodes[] = {
        made(GuestRequest(FUSE_MKNOD, dir).add(fuse_mknod_in{wanted, 0, 0, 0}).add_name("n")),
        made(GuestRequest(FUSE_CREATE, dir).add(fuse_create_in{2, wanted, 0, 0}).add_name("c")),
        made(GuestRequest(FUSE_TMPFILE, dir).add(fuse_create_in{2, wanted, 0, 0}).add_name("/")),
    };
    for (const std::uint64_t node : nodes) {
      CHECK(rig.mode(node) == (0770 | kept));
      CHECK(rig.chmod(node, wanted) == 0);
      CHECK(rig.mode(node) == (0770 | kept));
    }
    // A directory goes on as its parent is.
    const std::uint64_t below =
        made(GuestRequest(FUSE_MKDIR, dir).add(fuse_mkdir_in{0770, 0}).add_name("d"));
    CHECK((rig.mode(below) & S_ISGID) != 0);
  }
  // With another group it is another matter.
  const std::uint64_t node = rig.make("f", S_IFREG | 0770, kUser, kOther);
  fuse_setattr_in in{};
  in.valid = FATTR_GID | FATTR_MODE;
  in.mode = S_IFREG | S_ISGID | 0770;
  in.gid = 1;
  CHECK(rig.setattr(node, in) == 0);
  CHECK(rig.mode(node) == (S_ISGID | 0770));
}

TEST_CASE("an access list takes a foreign group's set-id bit") {
  Rig rig;
  for (const bool foreign : {true, false}) {
    const std::uint64_t node =
        rig.make(foreign ? "f" : "o", S_IFREG | S_ISGID | 0770, kUser, foreign ? kOther : kGroup);
    const std::string list = acl("u::rwx u:5:r-- g::rwx m::rwx o::---");
    fuse_setxattr_in in{};
    in.size = static_cast<std::uint32_t>(list.size());
    GuestRequest set(FUSE_SETXATTR, node);
    CHECK(rig.guest.ask(set.add(in).add_name(kAccessAcl).add_bytes(list)).error == 0);
    CHECK(rig.mode(node) == (0770 | (foreign ? 0 : S_ISGID)));
  }
}

TEST_CASE("writing ends set-id bits, whatever the guest's kernel says") {
  Rig rig;
  const std::array<std::string_view, 3> ways{"write", "cut", "open"};
  for (const std::string_view way : ways) {
    INFO(way);
    const std::uint64_t node = rig.make(way, S_IFREG | S_ISUID | 0777, kOther, kOther);
    const GuestFile file = rig.guest.open(node, way == "open" ? O_RDWR | O_TRUNC : O_RDWR);
    REQUIRE(file.error == 0);
    CHECK(rig.mode(node) == (way == "open" ? 0777 : S_ISUID | 0777));
    if (way == "write") {
      CHECK(rig.guest.write(file, 0, "x").error == 0);
    } else if (way == "cut") {
      CHECK(rig.guest.resize(node, 5).error == 0);
    }
    CHECK(rig.mode(node) == 0777);
  }
}

TEST_CASE("extended attributes: whose they are to set and to read") {
  Rig rig;
  const struct {
    std::string_view name;
    int set_stranger, set_writer, set_owner, get_stranger, remove_writer;
  } rows[] = {
      {"user.x", EACCES, 0, 0, EACCES, 0},
      {PMEMFS_XATTR_DURABLE, EACCES, EPERM, EPERM, EACCES, EPERM},  // the core's to say
      {"trusted.x", EPERM, EPERM, EPERM, ENODATA, EPERM},
      {"security.capability", EPERM, EPERM, EPERM, ENODATA, ENODATA},
      {"security.x", EPERM, EPERM, EPERM, ENODATA, EPERM},
      {"system.x", EOPNOTSUPP, EOPNOTSUPP, EOPNOTSUPP, EOPNOTSUPP, EOPNOTSUPP},
      {kDefaultAcl, EPERM, EPERM, EINVAL, ENODATA, EPERM},
  };
  const std::uint64_t closed = rig.make("closed", S_IFREG | 0600, kOther, kOther);
  const std::uint64_t open = rig.make("open", S_IFREG | 0606, kOther, kOther);
  const std::uint64_t own = rig.make("own", S_IFREG | 0600, kUser, kOther);
  const auto value = std::as_bytes(std::span(std::string_view("1")));
  REQUIRE(rig.fs->setxattr(kRoot, InodeNo(closed), "trusted.x", value, 0, false).ok());
  for (const auto& row : rows) {
    INFO(row.name);
    const auto remove = [&](std::uint64_t node) {
      return rig.guest.ask(GuestRequest(FUSE_REMOVEXATTR, node).add_name(row.name)).error;
    };
    CHECK(rig.guest.setxattr(closed, row.name, "1").error == row.set_stranger);
    CHECK(rig.guest.setxattr(open, row.name, "1").error == row.set_writer);
    CHECK(rig.guest.setxattr(own, row.name, "1").error == row.set_owner);
    CHECK(rig.guest.getxattr(closed, row.name, 100).error == row.get_stranger);
    CHECK(remove(open) == row.remove_writer);
  }
  const std::uint64_t sticky = rig.make_dir("sticky", 01777);
  CHECK(rig.guest.setxattr(sticky, "user.x", "1").error == EPERM);
  const std::uint64_t fifo = rig.make("fifo", S_IFIFO | 0777, kUser, kGroup);
  CHECK(rig.guest.setxattr(fifo, "user.x", "1").error == EPERM);
}

TEST_CASE("what was opened stays open") {
  Rig rig;
  const std::uint64_t node = rig.make("f", S_IFREG | 0666, kOther, kOther);
  const GuestFile file = rig.guest.open(node, O_RDWR);
  rig.change(InodeNo(node), 0600, kOther, kOther);
  CHECK(rig.guest.write(file, 0, "x").error == 0);
  CHECK(rig.guest.read(file, 0, 1).body == "x");
  fuse_setattr_in cut{};
  cut.valid = FATTR_SIZE | FATTR_FH;
  cut.fh = file.fh;
  CHECK(rig.setattr(node, cut) == 0);
  cut.valid = FATTR_SIZE;
  CHECK(rig.setattr(node, cut) == EACCES);
  CHECK(rig.open(node, O_RDONLY) == EACCES);
}

// --- Mapping ---

struct MappedRig : Rig {
  explicit MappedRig() : Rig(options()) {}

  static fuse::GuestOptions options() {
    fuse::GuestOptions options = mapped();
    options.window = true;
    options.map = [](const fuse::MappingRequest&) {
      return Status();
    };
    options.unmap = [](std::uint64_t, std::uint64_t) {
      return Status();
    };
    return options;
  }
  // A durable file as the guest comes to see it.
  fuse_entry_out durable(std::string_view name, std::uint32_t mode, std::uint32_t uid) {
    const std::uint64_t node = make(name, S_IFREG | mode, uid, kOther);
    set_durable(InodeNo(node));
    return guest.lookup(name).get<fuse_entry_out>();
  }
  std::string mapping(std::uint64_t node) {
    return guest.getxattr(node, "user.pmemfs.mapping", 100).body;
  }
};

TEST_CASE("a durable file is mapped directly when a user of the guest may read and write it") {
  MappedRig rig;
  const fuse_entry_out own = rig.durable("own", 0600, kUser);
  CHECK((own.attr.flags & FUSE_ATTR_DAX) != 0);
  CHECK(rig.open(own.nodeid, O_RDONLY) == 0);
  CHECK(rig.mapping(own.nodeid) == "window");
  CHECK(rig.guest.setup_mapping(own.nodeid, 0, 0).error == 0);
  for (const std::uint32_t mode : {0604U, 0602U, 0600U}) {
    INFO(mode);
    const fuse_entry_out other = rig.durable(std::to_string(mode), mode, kOther);
    CHECK((other.attr.flags & FUSE_ATTR_DAX) == 0);
    CHECK(rig.open(other.nodeid, O_RDONLY) == (mode == 0604 ? 0 : EACCES));
    CHECK(rig.guest.setup_mapping(other.nodeid, 0, 0).error == EACCES);
  }
  CHECK(rig.mapping(rig.guest.lookup("388").get<fuse_entry_out>().nodeid) != "window");
}

TEST_CASE("a file that may no longer be written is another node, and stays mapped to who has it") {
  MappedRig rig;
  const fuse_entry_out before = rig.durable("f", 0666, kOther);
  REQUIRE((before.attr.flags & FUSE_ATTR_DAX) != 0);
  rig.change(InodeNo(before.attr.ino), 0644, kOther, kOther);
  CHECK(rig.guest.open(before.nodeid, O_RDONLY).error == ESTALE);
  const auto after = rig.guest.lookup("f").get<fuse_entry_out>();
  CHECK((after.attr.flags & FUSE_ATTR_DAX) == 0);
  CHECK(after.nodeid != before.nodeid);
  CHECK(rig.open(after.nodeid, O_RDONLY) == 0);
  CHECK(rig.guest.setup_mapping(before.nodeid, 0, 0).error == 0);
  CHECK(rig.guest.setup_mapping(after.nodeid, 0, 0).error == EACCES);
}

}  // namespace
}  // namespace pmemfs::test
