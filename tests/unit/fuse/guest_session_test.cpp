// Each request of a guest's, once, by bytes.
#include "fuse/guest_session.hpp"

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/stat.h>

#include "unit/fuse/guest_rig.hpp"

namespace pmemfs::test {
namespace {

TEST_CASE("nothing is served before INIT, and nothing after DESTROY") {
  GuestRig rig;
  Guest guest(*rig.fs);
  CHECK(guest.lookup("a").error == EIO);
  CHECK_FALSE(guest.session().status().mounted);
  CHECK(guest.init().error == 0);
  CHECK(guest.session().status().mounted);
  CHECK(guest.lookup("a").error == 0);  // a negative entry
  CHECK(guest.ask(GuestRequest(FUSE_DESTROY, 0)).error == 0);
  CHECK(guest.lookup("a").error == EIO);
  CHECK(guest.init().error == 0);
  CHECK(guest.lookup("a").error == 0);
}

TEST_CASE("INIT asks for what the edge needs and nothing that a guest cannot have") {
  GuestRig rig;
  Guest guest(*rig.fs);
  const GuestReply reply = guest.init();
  const auto out = reply.get<fuse_init_out>();
  const std::uint64_t flags = out.flags | std::uint64_t{out.flags2} << 32U;
  CHECK(out.major == FUSE_KERNEL_VERSION);
  CHECK(out.max_write == 1U << 20U);
  using Flags = std::initializer_list<std::uint64_t>;
  for (const std::uint32_t flag : std::initializer_list<std::uint32_t>{
           FUSE_POSIX_ACL, FUSE_DONT_MASK, FUSE_AUTO_INVAL_DATA, FUSE_DO_READDIRPLUS,
           FUSE_ATOMIC_O_TRUNC, FUSE_HANDLE_KILLPRIV_V2, FUSE_SETXATTR_EXT, FUSE_PARALLEL_DIROPS}) {
    INFO(flag);
    CHECK((flags & flag) != 0);
  }
  constexpr std::uint64_t kPassthrough = 1ULL << 37U;
  for (const std::uint64_t flag :
       Flags{FUSE_EXPORT_SUPPORT, FUSE_WRITEBACK_CACHE, kPassthrough, FUSE_POSIX_LOCKS,
             FUSE_MAP_ALIGNMENT, FUSE_HAS_INODE_DAX, FUSE_SPLICE_READ}) {
    INFO(flag);
    CHECK((flags & flag) == 0);
  }
}

TEST_CASE("a kernel of another major version is told ours, an older one is refused") {
  GuestRig rig;
  Guest guest(*rig.fs);
  CHECK(guest.init(Guest::kAllFlags, 30).error == EPROTO);
  fuse_init_in in{};
  in.major = 6;
  CHECK(guest.ask(GuestRequest(FUSE_INIT, 0).add(in)).error == EPROTO);
  in.major = 8;
  const GuestReply reply = guest.ask(GuestRequest(FUSE_INIT, 0).add(in));
  CHECK(reply.error == 0);
  CHECK(reply.get<fuse_init_out>().major == FUSE_KERNEL_VERSION);
  CHECK_FALSE(guest.session().status().mounted);
  CHECK(guest.init().error == 0);
}

TEST_CASE("a file of a guest's is made, written, read, closed and removed") {
  OneGuest rig;
  Guest& guest = rig.guest;
  const GuestFile file = guest.create("a");
  REQUIRE(file.error == 0);
  CHECK(guest.write(file, 0, "hello").get<fuse_write_out>().size == 5);
  CHECK(guest.read(file, 1, 100).body == "ello");
  CHECK(guest.getattr(file.node).get<fuse_attr_out>().attr.size == 5);
  CHECK(guest.getattr(file.node).get<fuse_attr_out>().attr.blksize == 4096);
  CHECK(guest.ask(GuestRequest(FUSE_FSYNC, file.node).add(fuse_fsync_in{file.fh, 0, 0})).error ==
        0);
  fuse_fallocate_in room{};
  room.fh = file.fh;
  room.length = 8192;
  CHECK(guest.ask(GuestRequest(FUSE_FALLOCATE, file.node).add(room)).error == 0);
  fuse_lseek_in seek{};
  seek.fh = file.fh;
  seek.whence = SEEK_HOLE;
  CHECK(guest.ask(GuestRequest(FUSE_LSEEK, file.node).add(seek)).error == 0);
  CHECK(guest.ask(GuestRequest(FUSE_FLUSH, file.node).add(fuse_flush_in{file.fh, 0, 0, 0})).error ==
        ENOSYS);
  CHECK(guest.session().status().handles == 1);
  CHECK(guest.release(file).error == 0);
  CHECK(guest.session().status().handles == 0);
  CHECK(rig.fs->status().open_handles == 0);
  CHECK(guest.ask(GuestRequest(FUSE_UNLINK, 1).add_name("a")).error == 0);
  CHECK(guest.lookup("a").get<fuse_entry_out>().nodeid == 0);
  guest.forget(file.node);
  CHECK(guest.session().status().nodes == 0);
}

TEST_CASE("a copy goes from one open file to another") {
  OneGuest rig;
  Guest& guest = rig.guest;
  const GuestFile from = guest.create("from");
  const GuestFile to = guest.create("to");
  CHECK(guest.write(from, 0, "content").error == 0);
  fuse_copy_file_range_in in{from.fh, 0, to.node, to.fh, 0, 7, 0};
  CHECK(
      guest.ask(GuestRequest(FUSE_COPY_FILE_RANGE, from.node).add(in)).get<fuse_write_out>().size ==
      7);
  CHECK(guest.read(to, 0, 100).body == "content");
  in.nodeid_out = from.node;
  CHECK(guest.ask(GuestRequest(FUSE_COPY_FILE_RANGE, from.node).add(in)).error == EBADF);
}

TEST_CASE("names are made, moved and removed") {
  OneGuest rig;
  Guest& guest = rig.guest;
  const auto node = [](const GuestReply& reply) {
    return reply.get<fuse_entry_out>().nodeid;
  };
  const GuestReply made =
      guest.ask(GuestRequest(FUSE_MKDIR, 1).add(fuse_mkdir_in{0755, 022}).add_name("d"));
  REQUIRE(made.error == 0);
  const std::uint64_t dir = node(made);
  CHECK(guest
            .ask(GuestRequest(FUSE_MKNOD, dir)
                     .add(fuse_mknod_in{S_IFIFO | 0644, 0, 022, 0})
                     .add_name("p"))
            .error == 0);
  const GuestReply link = guest.ask(GuestRequest(FUSE_SYMLINK, dir).add_name("s").add_name("/to"));
  CHECK(guest.ask(GuestRequest(FUSE_READLINK, node(link))).body == "/to");
  const std::uint64_t file = guest.create("f").node;
  CHECK(guest.ask(GuestRequest(FUSE_LINK, dir).add(fuse_link_in{file}).add_name("g"))
            .get<fuse_entry_out>()
            .attr.nlink == 2);
  CHECK(guest.ask(GuestRequest(FUSE_RENAME, 1).add(fuse_rename_in{dir}).add_name("f").add_name("h"))
            .error == 0);
  CHECK(guest
            .ask(GuestRequest(FUSE_RENAME2, dir)
                     .add(fuse_rename2_in{dir, RENAME_NOREPLACE, 0})
                     .add_name("h")
                     .add_name("g"))
            .error == EEXIST);
  CHECK(guest.ask(GuestRequest(FUSE_RMDIR, 1).add_name("d")).error == ENOTEMPTY);
  CHECK(guest.ask(GuestRequest(FUSE_UNLINK, dir).add_name("h")).error == 0);
  const GuestReply unnamed = guest.ask(
      GuestRequest(FUSE_TMPFILE, dir).add(fuse_create_in{O_RDWR, 0600, 0, 0}).add_name("/"));
  CHECK(unnamed.error == 0);
  CHECK(unnamed.get<fuse_entry_out>().attr.nlink == 0);
}

TEST_CASE("directories are listed, with and without attributes") {
  OneGuest rig;
  Guest& guest = rig.guest;
  rig.make_file("one");
  rig.make_file("two");
  const GuestReply opened = guest.ask(GuestRequest(FUSE_OPENDIR, 1).add(fuse_open_in{}));
  CHECK(opened.error == 0);
  fuse_read_in in{};
  in.size = 4096;
  const GuestReply plain = guest.ask(GuestRequest(FUSE_READDIR, 1).add(in));
  CHECK(plain.body.find("one") != plain.body.npos);
  CHECK(guest.session().status().nodes == 0);
  const GuestReply plus = guest.ask(GuestRequest(FUSE_READDIRPLUS, 1).add(in));
  CHECK(plus.body.find("two") != plus.body.npos);
  CHECK(guest.session().status().nodes == 2);
  CHECK(guest.ask(GuestRequest(FUSE_FSYNCDIR, 1).add(fuse_fsync_in{})).error == 0);
  CHECK(guest.ask(GuestRequest(FUSE_RELEASEDIR, 1).add(fuse_release_in{})).error == 0);
}

TEST_CASE("attributes and extended attributes are set and read") {
  OneGuest rig;
  Guest& guest = rig.guest;
  const GuestFile file = guest.create("a");
  fuse_setattr_in set{};
  set.valid = FATTR_MODE | FATTR_SIZE | FATTR_FH;
  set.fh = file.fh;
  set.mode = 0600;
  set.size = 100;
  const GuestReply changed = guest.ask(GuestRequest(FUSE_SETATTR, file.node).add(set));
  CHECK(changed.get<fuse_attr_out>().attr.size == 100);
  CHECK((changed.get<fuse_attr_out>().attr.mode & 0777U) == 0600);
  CHECK(guest.setxattr(file.node, "user.x", "value").error == 0);
  CHECK(guest.getxattr(file.node, "user.x", 0).get<fuse_getxattr_out>().size == 5);
  CHECK(guest.getxattr(file.node, "user.x", 100).body == "value");
  CHECK(guest.getxattr(file.node, "user.x", 4).error == ERANGE);
  CHECK(guest.ask(GuestRequest(FUSE_LISTXATTR, file.node).add(fuse_getxattr_in{100, 0})).body ==
        std::string("user.x\0", 7));
  CHECK(guest.ask(GuestRequest(FUSE_REMOVEXATTR, file.node).add_name("user.x")).error == 0);
  CHECK(guest.getxattr(file.node, "user.x", 0).error == ENODATA);
  fuse_ioctl_in ask{};
  ask.cmd = FS_IOC_GETFLAGS;
  ask.out_size = 4;
  CHECK(guest.ask(GuestRequest(FUSE_IOCTL, file.node).add(ask)).error == 0);
  ask.cmd = 1;
  CHECK(guest.ask(GuestRequest(FUSE_IOCTL, file.node).add(ask)).error == ENOTTY);
  CHECK(guest.ask(GuestRequest(FUSE_STATFS)).get<fuse_statfs_out>().st.bsize == 4096);
  CHECK(guest.ask(GuestRequest(FUSE_SYNCFS).add(fuse_syncfs_in{})).error == 0);
}

TEST_CASE("a kernel without SETXATTR_EXT sends a shorter SETXATTR") {
  OneGuest rig({}, Guest::kAllFlags & ~std::uint64_t{FUSE_SETXATTR_EXT});
  const GuestFile file = rig.guest.create("a");
  const std::uint32_t in[] = {5, 0};
  CHECK(
      rig.guest
          .ask(GuestRequest(FUSE_SETXATTR, file.node).add(in).add_name("user.x").add_bytes("value"))
          .error == 0);
  CHECK(rig.guest.getxattr(file.node, "user.x", 100).body == "value");
}

TEST_CASE("what is not served is ENOSYS, so that it is not asked for again") {
  OneGuest rig;
  constexpr std::uint32_t kStatx = 52;
  for (const std::uint32_t opcode : std::initializer_list<std::uint32_t>{
           0, 7, FUSE_GETLK, FUSE_SETLK, FUSE_SETLKW, FUSE_ACCESS, FUSE_INTERRUPT, FUSE_BMAP,
           FUSE_POLL, FUSE_NOTIFY_REPLY, kStatx, 53, 1000, CUSE_INIT, FUSE_SETUPMAPPING,
           UINT32_MAX}) {
    INFO(opcode);
    const GuestReply reply =
        rig.guest.ask(GuestRequest(opcode).add(std::array<std::uint64_t, 16>{}));
    CHECK(reply.came);
    CHECK(reply.error == ENOSYS);
  }
}

TEST_CASE("requests are counted by opcode") {
  OneGuest rig;
  (void)rig.guest.lookup("a");
  (void)rig.guest.lookup("b");
  const auto requests = rig.guest.session().status().requests;
  REQUIRE(requests.size() == 2);
  CHECK(requests[0] == std::pair<std::string, std::uint64_t>{"LOOKUP", 2});
  CHECK(requests[1].first == "INIT");
}

}  // namespace
}  // namespace pmemfs::test
