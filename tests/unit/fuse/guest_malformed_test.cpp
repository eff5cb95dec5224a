// What no kernel sends: by name, and what it is answered with.
#include <fcntl.h>
#include <sys/stat.h>

#include <functional>
#include <vector>

#include "unit/fuse/guest_rig.hpp"

namespace pmemfs::test {
namespace {

struct Malformed {
  const char* name;
  int expected;
  std::function<GuestRequest(const GuestFile&)> make;
};

template <typename T>
T with_handle(const GuestFile& file) {
  T in{};
  in.fh = file.fh;
  return in;
}

fuse_read_in read_in(const GuestFile& file, std::uint32_t size, std::uint64_t off = 0) {
  auto in = with_handle<fuse_read_in>(file);
  in.size = size;
  in.offset = off;
  return in;
}

fuse_write_in write_in(const GuestFile& file, std::uint32_t size, std::uint64_t off = 0) {
  auto in = with_handle<fuse_write_in>(file);
  in.size = size;
  in.offset = off;
  return in;
}

fuse_setattr_in setattr_in(std::uint32_t valid, std::uint32_t nanoseconds, std::uint32_t id) {
  fuse_setattr_in in{};
  in.valid = valid;
  in.atimensec = in.mtimensec = in.ctimensec = nanoseconds;
  in.uid = in.gid = id;
  return in;
}

const std::string kLong(256, 'n');
const std::string kLongest(255, 'n');
constexpr std::uint32_t kHuge = (1U << 20U) + 1;

const std::vector<Malformed>& lengths() {
  static const std::vector<Malformed> kAll{
      {"a length that is more than came", EINVAL,
       [](const GuestFile&) {
         GuestRequest r(FUSE_LOOKUP);
         r.add_name("a").length = 1000;
         return r;
       }},
      {"a length that is less than came", EINVAL,
       [](const GuestFile&) {
         GuestRequest r(FUSE_LOOKUP);
         r.add_name("a").length = 40;
         return r;
       }},
      {"extensions", EINVAL,
       [](const GuestFile&) {
         GuestRequest r(FUSE_LOOKUP);
         r.header.total_extlen = 1;
         r.add_name("a").add(std::uint64_t{0});
         return r;
       }},
      {"half an argument", EINVAL,
       [](const GuestFile& f) {
         return GuestRequest(FUSE_GETATTR, f.node).add(std::uint64_t{0});
       }},
      {"no argument", EINVAL,
       [](const GuestFile& f) {
         return GuestRequest(FUSE_OPEN, f.node);
       }},
      {"more to write than came", EINVAL,
       [](const GuestFile& f) {
         return GuestRequest(FUSE_WRITE, f.node).add(write_in(f, 9)).add_bytes("12345678");
       }},
      {"more to write than was offered", EINVAL,
       [](const GuestFile& f) {
         return GuestRequest(FUSE_WRITE, f.node)
             .add(write_in(f, kHuge))
             .add_bytes(std::string(kHuge, 'x'));
       }},
      {"more to read than was offered", EINVAL,
       [](const GuestFile& f) {
         return GuestRequest(FUSE_READ, f.node).add(read_in(f, kHuge));
       }},
      {"a larger listing than was offered", EINVAL,
       [](const GuestFile& f) {
         return GuestRequest(FUSE_READDIRPLUS).add(read_in(f, kHuge));
       }},
      {"a value longer than what came", EINVAL,
       [](const GuestFile& f) {
         fuse_setxattr_in in{};
         in.size = 6;
         return GuestRequest(FUSE_SETXATTR, f.node).add(in).add_name("user.x").add_bytes("12345");
       }},
      {"an ioctl longer than what came", EINVAL,
       [](const GuestFile& f) {
         fuse_ioctl_in in{};
         in.in_size = 9;
         return GuestRequest(FUSE_IOCTL, f.node).add(in).add(std::uint64_t{0});
       }},
      {"an ioctl whose answer is larger than the room", EINVAL,
       [](const GuestFile& f) {
         fuse_ioctl_in in{};
         in.out_size = UINT32_MAX;
         return GuestRequest(FUSE_IOCTL, f.node).add(in);
       }},
  };
  return kAll;
}

const std::vector<Malformed>& names() {
  static const std::vector<Malformed> kAll{
      {"a name without an end", EINVAL,
       [](const GuestFile&) {
         return GuestRequest(FUSE_LOOKUP).add_bytes("abc");
       }},
      {"no name", EINVAL,
       [](const GuestFile&) {
         return GuestRequest(FUSE_LOOKUP);
       }},
      {"an empty name", EINVAL,
       [](const GuestFile&) {
         return GuestRequest(FUSE_LOOKUP).add_name("");
       }},
      {"a name with a slash", EINVAL,
       [](const GuestFile&) {
         return GuestRequest(FUSE_UNLINK).add_name("a/b");
       }},
      {"a name that is too long", ENAMETOOLONG,
       [](const GuestFile&) {
         return GuestRequest(FUSE_LOOKUP).add_name(kLong);
       }},
      {"a second name without an end", EINVAL,
       [](const GuestFile&) {
         return GuestRequest(FUSE_RENAME).add(fuse_rename_in{1}).add_name("a").add_bytes("b");
       }},
      {"no second name", EINVAL,
       [](const GuestFile&) {
         return GuestRequest(FUSE_RENAME2).add(fuse_rename2_in{1, 0, 0}).add_name("a");
       }},
      {"a second name with a slash", EINVAL,
       [](const GuestFile&) {
         return GuestRequest(FUSE_RENAME).add(fuse_rename_in{1}).add_name("a").add_name("b/c");
       }},
      {"a target without an end", EINVAL,
       [](const GuestFile&) {
         return GuestRequest(FUSE_SYMLINK).add_name("a").add_bytes("to");
       }},
      {"a target that is too long", ENAMETOOLONG,
       [](const GuestFile&) {
         return GuestRequest(FUSE_SYMLINK).add_name("a").add_name(std::string(4096, 't'));
       }},
      {"an attribute's name that is too long", EINVAL,
       [](const GuestFile& f) {
         return GuestRequest(FUSE_GETXATTR, f.node).add(fuse_getxattr_in{}).add_name(kLong);
       }},
      {"an attribute without a name", EINVAL,
       [](const GuestFile& f) {
         return GuestRequest(FUSE_SETXATTR, f.node).add(fuse_setxattr_in{}).add_name("");
       }},
  };
  return kAll;
}

const std::vector<Malformed>& values() {
  static const std::vector<Malformed> kAll{
      {"an access time of too many nanoseconds", EINVAL,
       [](const GuestFile& f) {
         return GuestRequest(FUSE_SETATTR, f.node).add(setattr_in(FATTR_ATIME, 1'000'000'000, 0));
       }},
      {"a modification time of too many nanoseconds", EINVAL,
       [](const GuestFile& f) {
         return GuestRequest(FUSE_SETATTR, f.node).add(setattr_in(FATTR_MTIME, UINT32_MAX, 0));
       }},
      {"a change time of too many nanoseconds", EINVAL,
       [](const GuestFile& f) {
         return GuestRequest(FUSE_SETATTR, f.node).add(setattr_in(FATTR_CTIME, UINT32_MAX, 0));
       }},
      {"an owner that is nobody", EINVAL,
       [](const GuestFile& f) {
         return GuestRequest(FUSE_SETATTR, f.node).add(setattr_in(FATTR_UID, 0, UINT32_MAX));
       }},
      {"a group that is nobody's", EINVAL,
       [](const GuestFile& f) {
         return GuestRequest(FUSE_SETATTR, f.node).add(setattr_in(FATTR_GID, 0, UINT32_MAX));
       }},
      {"a file of no known type", EINVAL,
       [](const GuestFile&) {
         return GuestRequest(FUSE_MKNOD).add(fuse_mknod_in{0170644, 0, 0, 0}).add_name("x");
       }},
      {"a directory by MKNOD", EINVAL,
       [](const GuestFile&) {
         return GuestRequest(FUSE_MKNOD).add(fuse_mknod_in{S_IFDIR | 0755, 0, 0, 0}).add_name("x");
       }},
      {"reading beyond all offsets", EINVAL,
       [](const GuestFile& f) {
         return GuestRequest(FUSE_READ, f.node).add(read_in(f, 1, INT64_MAX));
       }},
      {"writing beyond all offsets", EINVAL,
       [](const GuestFile& f) {
         return GuestRequest(FUSE_WRITE, f.node)
             .add(write_in(f, 1, std::uint64_t{1} << 63U))
             .add_bytes("x");
       }},
      {"allocating beyond all offsets", EINVAL,
       [](const GuestFile& f) {
         auto in = with_handle<fuse_fallocate_in>(f);
         in.length = UINT64_MAX;
         return GuestRequest(FUSE_FALLOCATE, f.node).add(in);
       }},
      {"copying beyond all offsets", EINVAL,
       [](const GuestFile& f) {
         return GuestRequest(FUSE_COPY_FILE_RANGE, f.node)
             .add(fuse_copy_file_range_in{f.fh, 0, f.node, f.fh, INT64_MAX, 1, 0});
       }},
      {"a mapping, without a window", ENOSYS,
       [](const GuestFile& f) {
         return GuestRequest(FUSE_SETUPMAPPING, f.node).add(fuse_setupmapping_in{});
       }},
      {"more ranges than came", EINVAL,
       [](const GuestFile& f) {
         return GuestRequest(FUSE_REMOVEMAPPING, f.node)
             .add(fuse_removemapping_in{2})
             .add(fuse_removemapping_one{0, 1U << 21U});
       }},
      {"no range", EINVAL,
       [](const GuestFile& f) {
         return GuestRequest(FUSE_REMOVEMAPPING, f.node).add(fuse_removemapping_in{0});
       }},
  };
  return kAll;
}

const std::vector<Malformed>& strangers() {
  static const std::vector<Malformed> kAll{
      {"a node that the guest does not hold", ESTALE,
       [](const GuestFile&) {
         return GuestRequest(FUSE_GETATTR, 77).add(fuse_getattr_in{});
       }},
      {"node 0", ESTALE,
       [](const GuestFile&) {
         return GuestRequest(FUSE_LOOKUP, 0).add_name("a");
       }},
      {"a node that is as the root's but for a bit", ESTALE,
       [](const GuestFile&) {
         return GuestRequest(FUSE_LOOKUP, 1U | std::uint64_t{1} << 62U).add_name("a");
       }},
      {"a link to a node that it does not hold", ESTALE,
       [](const GuestFile&) {
         return GuestRequest(FUSE_LINK).add(fuse_link_in{77}).add_name("x");
       }},
      {"moving to a directory that it does not hold", ESTALE,
       [](const GuestFile&) {
         return GuestRequest(FUSE_RENAME).add(fuse_rename_in{77}).add_name("a").add_name("b");
       }},
      {"a handle that is not its own", EBADF,
       [](const GuestFile& f) {
         GuestFile other = f;
         other.fh++;
         return GuestRequest(FUSE_READ, f.node).add(read_in(other, 1));
       }},
      {"a handle of another node", EBADF,
       [](const GuestFile& f) {
         return GuestRequest(FUSE_READ, 1).add(read_in(f, 1));
       }},
      {"attributes by a handle that is not its own", EBADF,
       [](const GuestFile& f) {
         return GuestRequest(FUSE_GETATTR, f.node)
             .add(fuse_getattr_in{FUSE_GETATTR_FH, 0, f.fh + 1});
       }},
      {"a change by a handle that is not its own", EBADF,
       [](const GuestFile& f) {
         return GuestRequest(FUSE_SETATTR, f.node).add(setattr_in(FATTR_FH, 0, 0));
       }},
      {"a copy to a handle that is not its own", EBADF,
       [](const GuestFile& f) {
         return GuestRequest(FUSE_COPY_FILE_RANGE, f.node)
             .add(fuse_copy_file_range_in{f.fh, 0, f.node, f.fh + 1, 0, 1, 0});
       }},
      {"closing a handle that is not its own", EBADF,
       [](const GuestFile& f) {
         fuse_release_in in{};
         in.fh = f.fh + 1;
         return GuestRequest(FUSE_RELEASE, f.node).add(in);
       }},
  };
  return kAll;
}

void check_all(const std::vector<Malformed>& all) {
  OneGuest rig;
  const GuestFile file = rig.guest.create("file");
  REQUIRE(file.error == 0);
  for (const Malformed& one : all) {
    INFO(one.name);
    const GuestReply reply = rig.guest.ask(one.make(file));
    CHECK(reply.came);
    CHECK(reply.error == one.expected);
    CHECK(reply.body.empty());
  }
  CHECK(rig.guest.session().status().nodes == 1);
  CHECK(rig.guest.session().status().handles == 1);
  CHECK(rig.guest.write(file, 0, "still there").error == 0);
}

TEST_CASE("lengths that are not true are refused") {
  check_all(lengths());
}

TEST_CASE("names that are none are refused") {
  check_all(names());
}

TEST_CASE("numbers that no kernel sends are refused") {
  check_all(values());
}

TEST_CASE("nodes and handles of others are refused") {
  check_all(strangers());
}

TEST_CASE("the longest names are names") {
  OneGuest rig;
  CHECK(rig.guest.create(kLongest).error == 0);
  CHECK(rig.guest.ask(GuestRequest(FUSE_SYMLINK).add_name("l").add_name(std::string(4095, 't')))
            .error == 0);
}

TEST_CASE("every opcode with too little is refused, and reads no further") {
  OneGuest rig;
  for (std::uint32_t opcode = 1; opcode < 60; ++opcode) {
    if (opcode == FUSE_DESTROY || opcode == FUSE_READLINK || opcode == FUSE_STATFS) {
      continue;  // nothing follows
    }
    INFO(opcode);
    const GuestReply reply = rig.guest.ask(GuestRequest(opcode));
    CHECK(reply.came == (opcode != FUSE_FORGET && opcode != FUSE_BATCH_FORGET));
    if (reply.came) {
      CHECK((reply.error == EINVAL || reply.error == ENOSYS));
    }
  }
}

TEST_CASE("an INIT that promises more than it has is refused") {
  GuestRig rig;
  Guest guest(*rig.fs);
  const std::uint32_t in[] = {FUSE_KERNEL_VERSION, 38, 0, FUSE_INIT_EXT};
  CHECK(guest.ask(GuestRequest(FUSE_INIT, 0).add(in)).error == EINVAL);
  const std::uint32_t old[] = {FUSE_KERNEL_VERSION, 31, 0, 0};
  CHECK(guest.ask(GuestRequest(FUSE_INIT, 0).add(old)).error == 0);
}

TEST_CASE("what is not even a header is dropped") {
  OneGuest rig;
  std::array<std::uint64_t, 4> words{};
  bool came = false;
  const iovec somewhere{nullptr, 100};
  rig.guest.session().serve(std::as_writable_bytes(std::span(words)), {}, {&somewhere, 1},
                            [&](std::span<const iovec>) { return came = true; });
  rig.guest.session().serve({}, {}, {&somewhere, 1},
                            [&](std::span<const iovec>) { return came = true; });
  CHECK_FALSE(came);
}

TEST_CASE("a batch of forgets that did not all come is none") {
  OneGuest rig;
  const GuestFile file = rig.guest.create("a");
  CHECK_FALSE(rig.guest
                  .ask(GuestRequest(FUSE_BATCH_FORGET)
                           .add(fuse_batch_forget_in{2, 0})
                           .add(fuse_forget_one{file.node, 1}))
                  .came);
  CHECK(rig.guest.session().status().nodes == 1);
  CHECK_FALSE(rig.guest
                  .ask(GuestRequest(FUSE_BATCH_FORGET)
                           .add(fuse_batch_forget_in{1, 0})
                           .add(fuse_forget_one{file.node, 1}))
                  .came);
  CHECK(rig.guest.session().status().nodes == 0);
}

TEST_CASE("no answer is longer than its room") {
  OneGuest rig;
  Guest& guest = rig.guest;
  rig.make_file("other");
  const GuestFile file = guest.create("a");
  CHECK(guest.write(file, 0, std::string(100, 'x')).error == 0);
  CHECK(guest.setxattr(file.node, "user.x", "value").error == 0);
  const GuestReply link = guest.ask(GuestRequest(FUSE_SYMLINK).add_name("l").add_name("target"));
  const auto refused = [&](std::size_t room, const GuestReply& reply, int code) {
    INFO(room);
    CHECK(reply.came);
    CHECK(reply.error == code);
  };
  constexpr std::size_t kHeader = sizeof(fuse_out_header);
  guest.room = kHeader + 99;
  refused(guest.room, guest.read(file, 0, 100), EINVAL);
  guest.room = kHeader + 100;
  CHECK(guest.read(file, 0, 100).body.size() == 100);
  guest.room = kHeader + sizeof(fuse_entry_out) - 1;
  refused(guest.room, guest.lookup("other"), EINVAL);
  CHECK(guest.create("no room").error == EINVAL);
  guest.room = kHeader + 4;
  refused(guest.room, guest.getxattr(file.node, "user.x", 5), EINVAL);
  refused(guest.room, guest.getxattr(file.node, "user.x", 0), EINVAL);
  // Known only when it is read.
  refused(guest.room, guest.ask(GuestRequest(FUSE_READLINK, link.get<fuse_entry_out>().nodeid)),
          EIO);
  guest.room = kHeader - 1;
  CHECK_FALSE(guest.lookup("other").came);
  guest.room = 1U << 20U;
  CHECK(guest.lookup("no room").get<fuse_entry_out>().nodeid == 0);
}

}  // namespace
}  // namespace pmemfs::test
