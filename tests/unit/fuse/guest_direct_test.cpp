// Direct mapping, caching, and what a guest's kernel is told of both.
#include <linux/fs.h>
#include <sys/stat.h>

#include <vector>

#include "unit/fuse/guest_rig.hpp"

namespace pmemfs::test {
namespace {

constexpr std::uint64_t kBlock = std::uint64_t{1} << 21U;
constexpr std::uint64_t kRead = FUSE_SETUPMAPPING_FLAG_READ;
constexpr std::uint64_t kWrite = FUSE_SETUPMAPPING_FLAG_WRITE;
constexpr std::uint64_t kDirectBit = std::uint64_t{1} << 62U;

// What the callbacks were asked.
struct Window {
  std::vector<fuse::MappingRequest> mapped{};
  std::vector<std::pair<std::uint64_t, std::uint64_t>> unmapped{};
  int emptied = 0;
  int map_code = 0;
  int unmap_code = 0;

  fuse::GuestOptions options() {
    const auto status = [](int code) {
      return code == 0 ? Status() : Status(Error(code));
    };
    fuse::GuestOptions options;
    options.window = true;
    options.map = [this, status](const fuse::MappingRequest& request) {
      mapped.push_back(request);
      return status(map_code);
    };
    options.unmap = [this, status](std::uint64_t off, std::uint64_t len) {
      unmapped.emplace_back(off, len);
      return status(unmap_code);
    };
    options.unmap_all = [this] {
      emptied++;
    };
    return options;
  }
};

bool marked(const fuse_attr& attr) {
  return (attr.flags & FUSE_ATTR_DAX) != 0;
}

bool has(const GuestReply& init, std::uint64_t flag) {
  const auto out = init.get<fuse_init_out>();
  return ((out.flags | std::uint64_t{out.flags2} << 32U) & flag) != 0;
}

TEST_CASE("what a guest learns of a file's size can be reached, or it does not learn it") {
  std::vector<std::pair<InodeNo, std::uint64_t>> reached;
  int code = 0;
  fuse::GuestOptions options;
  options.reach = [&](InodeNo ino, std::uint64_t size) {
    reached.emplace_back(ino, size);
    return code == 0 ? Status() : Status(Error(code));
  };
  OneGuest rig(std::move(options));
  const InodeNo ino = rig.make_file("file", "12345");
  using Reached = std::vector<std::pair<InodeNo, std::uint64_t>>;
  const auto asked = [&] {
    return std::exchange(reached, {});
  };
  const GuestReply found = rig.guest.lookup("file");
  REQUIRE(found.error == 0);
  CHECK(asked() == Reached{{ino, 5}});
  const GuestFile file = rig.guest.open(found.get<fuse_entry_out>().nodeid);
  CHECK(asked().empty());
  CHECK(rig.guest.write(file, 5, "678").error == 0);
  CHECK(asked() == Reached{{ino, UINT64_MAX}});
  CHECK(rig.guest.getattr(file.node).error == 0);
  CHECK(asked() == Reached{{ino, 8}});
  fuse_fallocate_in more{};
  more.fh = file.fh;
  more.length = 100;
  CHECK(rig.guest.ask(GuestRequest(FUSE_FALLOCATE, file.node).add(more)).error == 0);
  CHECK(asked() == Reached{{ino, UINT64_MAX}});
  fuse_copy_file_range_in copy{};
  copy.fh_in = copy.fh_out = file.fh;
  copy.nodeid_out = file.node;
  copy.off_out = 200;
  copy.len = 3;
  CHECK(rig.guest.ask(GuestRequest(FUSE_COPY_FILE_RANGE, file.node).add(copy)).error == 0);
  CHECK(asked() == Reached{{ino, UINT64_MAX}});

  code = ENOSPC;
  const std::size_t nodes = rig.guest.session().status().nodes;
  CHECK(rig.guest.lookup("file").error == ENOSPC);
  CHECK(rig.guest.write(file, 0, "1").error == ENOSPC);
  CHECK(rig.guest.ask(GuestRequest(FUSE_FALLOCATE, file.node).add(more)).error == ENOSPC);
  CHECK(rig.guest.session().status().nodes == nodes);
}

TEST_CASE("direct mapping is offered to who asks for it, where there is a window") {
  GuestRig rig;
  Window window;
  Guest guest(*rig.fs, window.options());
  GuestReply reply = guest.init();
  CHECK(has(reply, FUSE_MAP_ALIGNMENT));
  CHECK(has(reply, FUSE_HAS_INODE_DAX));
  CHECK(reply.get<fuse_init_out>().map_alignment == 21);
  CHECK(guest.session().status().direct);
  reply = guest.init(Guest::kAllFlags & ~FUSE_HAS_INODE_DAX);  // dax=always
  CHECK(has(reply, FUSE_MAP_ALIGNMENT));
  CHECK_FALSE(has(reply, FUSE_HAS_INODE_DAX));
  CHECK_FALSE(guest.session().status().direct);
  reply = guest.init(Guest::kAllFlags & ~std::uint64_t{FUSE_MAP_ALIGNMENT});
  CHECK_FALSE(has(reply, FUSE_MAP_ALIGNMENT));
  CHECK_FALSE(has(reply, FUSE_HAS_INODE_DAX));
  CHECK(reply.get<fuse_init_out>().map_alignment == 0);
  bool can_map = false;  // as a monitor whose window is its own affair
  fuse::GuestOptions options = window.options();
  options.can_map = [&] {
    return can_map;
  };
  Guest other(*rig.fs, std::move(options));
  CHECK_FALSE(has(other.init(), FUSE_MAP_ALIGNMENT));
  CHECK_FALSE(other.session().status().direct);
  can_map = true;
  CHECK(has(other.init(), FUSE_MAP_ALIGNMENT));
  Guest without(*rig.fs);
  reply = without.init();
  CHECK_FALSE(has(reply, FUSE_MAP_ALIGNMENT));
  CHECK_FALSE(has(reply, FUSE_HAS_INODE_DAX));
}

TEST_CASE("durable regular files are marked wherever attributes go out") {
  Window window;
  OneGuest rig(window.options());
  Guest& guest = rig.guest;
  const auto entry_of = [](const GuestReply& reply) {
    return reply.get<fuse_entry_out>();
  };
  const auto dir =
      entry_of(guest.ask(GuestRequest(FUSE_MKDIR).add(fuse_mkdir_in{0755, 0}).add_name("d")));
  rig.set_durable(InodeNo(dir.nodeid));
  CHECK_FALSE(marked(guest.getattr(dir.nodeid).get<fuse_attr_out>().attr));
  CHECK(guest.getattr(dir.nodeid).get<fuse_attr_out>().attr.blksize == 4096);

  const GuestReply created = guest.ask(
      GuestRequest(FUSE_CREATE, dir.nodeid).add(fuse_create_in{2, 0644, 0, 0}).add_name("f"));
  const std::uint64_t node = entry_of(created).nodeid;
  CHECK(marked(entry_of(created).attr));
  CHECK((node & kDirectBit) != 0);
  CHECK(entry_of(created).attr.ino == (node & ~kDirectBit));
  CHECK(entry_of(created).attr.blksize == 4096);
  CHECK(marked(entry_of(guest.lookup("f", dir.nodeid)).attr));
  CHECK(entry_of(guest.lookup("f", dir.nodeid)).nodeid == node);
  CHECK(marked(guest.getattr(node).get<fuse_attr_out>().attr));
  fuse_setattr_in set{};
  set.valid = FATTR_MODE;
  set.mode = 0600;
  CHECK(marked(guest.ask(GuestRequest(FUSE_SETATTR, node).add(set)).get<fuse_attr_out>().attr));
  CHECK(marked(entry_of(guest.ask(GuestRequest(FUSE_MKNOD, dir.nodeid)
                                      .add(fuse_mknod_in{S_IFREG | 0644, 0, 0, 0})
                                      .add_name("n")))
                   .attr));
  CHECK(marked(
      entry_of(guest.ask(GuestRequest(FUSE_LINK).add(fuse_link_in{node}).add_name("l"))).attr));
  CHECK(marked(entry_of(guest.ask(GuestRequest(FUSE_TMPFILE, dir.nodeid)
                                      .add(fuse_create_in{2, 0644, 0, 0})
                                      .add_name("/")))
                   .attr));
  const auto pipe = entry_of(guest.ask(GuestRequest(FUSE_MKNOD, dir.nodeid)
                                           .add(fuse_mknod_in{S_IFIFO | 0644, 0, 0, 0})
                                           .add_name("p")));
  CHECK_FALSE(marked(pipe.attr));
  CHECK((pipe.nodeid & kDirectBit) == 0);

  fuse_read_in in{};
  in.size = 4096;
  const GuestReply listed = guest.ask(GuestRequest(FUSE_READDIRPLUS, dir.nodeid).add(in));
  int found = 0;
  for (std::size_t at = 0; at < listed.body.size();) {
    const auto entry = listed.get<fuse_direntplus>(at);
    const char first = listed.body[at + FUSE_NAME_OFFSET_DIRENTPLUS];
    if (entry.entry_out.nodeid != 0) {
      CHECK(marked(entry.entry_out.attr) == (first == 'f' || first == 'n'));
      CHECK(entry.entry_out.attr.blksize == 4096);
      ++found;
    }
    at += FUSE_DIRENTPLUS_SIZE(&entry);
  }
  CHECK(found == 3);
}

TEST_CASE("a guest is told what it maps directly itself") {
  GuestRig rig;
  Window window;
  Guest guest(*rig.fs, window.options());
  rig.make_file("ordinary");
  const InodeNo durable = rig.make_file("durable");
  rig.set_durable(durable);
  const auto mapping = [&](std::string_view name) {
    const std::uint64_t node = guest.lookup(name).get<fuse_entry_out>().nodeid;
    return guest
        .ask(GuestRequest(FUSE_GETXATTR, node)
                 .add(fuse_getxattr_in{64, 0})
                 .add_name("user.pmemfs.mapping"))
        .body;
  };
  guest.init();
  CHECK(mapping("durable") == "window");
  CHECK(mapping("ordinary") == "cached");
  guest.init(Guest::kAllFlags & ~FUSE_HAS_INODE_DAX);  // dax=always
  CHECK(mapping("durable") == "window");
  CHECK(mapping("ordinary") == "window");
  guest.init(Guest::kAllFlags & ~std::uint64_t{FUSE_MAP_ALIGNMENT});  // dax=never
  CHECK(mapping("durable") == "refused");
  CHECK(mapping("ordinary") == "cached");
}

TEST_CASE("without direct mapping nothing is marked, and a durable file is direct io") {
  OneGuest rig;
  const InodeNo file = rig.make_file("a");
  rig.set_durable(file);
  const auto entry = rig.guest.lookup("a").get<fuse_entry_out>();
  CHECK_FALSE(marked(entry.attr));
  CHECK(entry.nodeid == file.value);
  CHECK(entry.attr.blksize == 4096);
  const GuestReply opened =
      rig.guest.ask(GuestRequest(FUSE_OPEN, entry.nodeid).add(fuse_open_in{2, 0}));
  CHECK((opened.get<fuse_open_out>().open_flags & FOPEN_DIRECT_IO) != 0);
}

TEST_CASE("a file is no direct io for who maps it directly, and is for who met it before") {
  Window window;
  GuestRig rig;
  Guest guest(*rig.fs, window.options());
  const auto direct_io = [](const GuestReply& reply, std::size_t at = 0) {
    REQUIRE(reply.error == 0);
    return (reply.get<fuse_open_out>(at).open_flags & FOPEN_DIRECT_IO) != 0;
  };
  const auto open = [&](std::uint64_t node) {
    return guest.ask(GuestRequest(FUSE_OPEN, node).add(fuse_open_in{2, 0}));
  };
  const InodeNo file = rig.make_file("a");
  guest.init();
  const std::uint64_t before = guest.lookup("a").get<fuse_entry_out>().nodeid;
  rig.set_durable(file);
  CHECK(open(before).error == ESTALE);
  CHECK(direct_io(open(before)));
  CHECK_FALSE(direct_io(open(guest.lookup("a").get<fuse_entry_out>().nodeid)));
  rig.set_durable(kRootInode);
  GuestRequest create(FUSE_CREATE);
  create.add(fuse_create_in{2, 0644, 0, 0}).add_name("b");
  CHECK_FALSE(direct_io(guest.ask(create), sizeof(fuse_entry_out)));
  guest.init(Guest::kAllFlags & ~FUSE_HAS_INODE_DAX);  // dax=always
  CHECK_FALSE(direct_io(open(guest.lookup("a").get<fuse_entry_out>().nodeid)));
  guest.init(Guest::kAllFlags & ~std::uint64_t{FUSE_MAP_ALIGNMENT});  // dax=never
  CHECK(direct_io(open(guest.lookup("a").get<fuse_entry_out>().nodeid)));
}

TEST_CASE("a file that became durable is met as a new node, after one ESTALE") {
  Window window;
  OneGuest rig(window.options());
  Guest& guest = rig.guest;
  const InodeNo file = rig.make_file("a", "content");
  const std::uint64_t old = guest.lookup("a").get<fuse_entry_out>().nodeid;
  CHECK(old == file.value);
  const GuestFile before = guest.open(old);
  REQUIRE(guest.release(before).error == 0);
  REQUIRE(guest.setxattr(old, PMEMFS_XATTR_DURABLE, "1").error == 0);

  // The kernel opens what it knows, is refused, and walks the path again.
  CHECK(guest.open(old).error == ESTALE);
  const std::uint64_t now = guest.lookup("a").get<fuse_entry_out>().nodeid;
  CHECK(now == (old | kDirectBit));
  const GuestFile direct = guest.open(now);
  CHECK(direct.error == 0);
  CHECK(guest.read(direct, 0, 100).body == "content");
  // By another name it knows the old node still.
  CHECK(guest.open(old).error == ESTALE);
  // And where no lookup follows, it opens after all.
  const GuestFile again = guest.open(old);
  CHECK(again.error == 0);
  CHECK(guest.read(again, 0, 100).body == "content");
  CHECK(guest.getattr(old).error == 0);
  guest.forget(old);
  CHECK(guest.getattr(old).error == ESTALE);
  CHECK(guest.getattr(now).error == 0);
  CHECK(guest.release(again).error == 0);  // FORGET may overtake RELEASE
  CHECK(guest.release(direct).error == 0);

  // The way back is the same.
  rig.clear_durable(file);
  CHECK(guest.open(now).error == ESTALE);
  CHECK(guest.lookup("a").get<fuse_entry_out>().nodeid == file.value);
  CHECK(guest.open(file.value).error == 0);
}

TEST_CASE("a file does not become durable while a guest may have it cached") {
  OneGuest rig;
  const GuestFile file = rig.guest.create("a");
  CHECK(rig.guest.setxattr(file.node, PMEMFS_XATTR_DURABLE, "1").error == EBUSY);
  REQUIRE(rig.guest.release(file).error == 0);
  CHECK(rig.guest.setxattr(file.node, PMEMFS_XATTR_DURABLE, "1").error == 0);
}

// --- Mappings ---

GuestRequest mapping(std::uint64_t node, const fuse_setupmapping_in& in) {
  return GuestRequest(FUSE_SETUPMAPPING, node).add(in);
}

TEST_CASE("a mapping is asked for as the guest asked") {
  Window window;
  OneGuest rig(window.options());
  const InodeNo file = rig.make_file("a");
  rig.set_durable(file);
  const std::uint64_t node = rig.guest.lookup("a").get<fuse_entry_out>().nodeid;
  CHECK(rig.guest.ask(mapping(node, {UINT64_MAX, kBlock, 2 * kBlock, kRead | kWrite, 4 * kBlock}))
            .error == 0);
  CHECK(rig.guest.ask(mapping(node, {UINT64_MAX, 0, kBlock, kRead, 0})).error == 0);
  REQUIRE(window.mapped.size() == 2);
  CHECK(window.mapped[0].ino == file);
  CHECK(window.mapped[0].file_off == kBlock);
  CHECK(window.mapped[0].len == 2 * kBlock);
  CHECK(window.mapped[0].window_off == 4 * kBlock);
  window.map_code = EBUSY;
  CHECK(rig.guest.ask(mapping(node, {UINT64_MAX, 0, kBlock, kRead, 0})).error == EBUSY);
}

TEST_CASE("a mapping that cannot be is not asked for") {
  Window window;
  OneGuest rig(window.options());
  const GuestFile file = rig.guest.create("a");
  const auto dir = rig.guest.ask(GuestRequest(FUSE_MKDIR).add(fuse_mkdir_in{0755, 0}).add_name("d"))
                       .get<fuse_entry_out>();
  const fuse_setupmapping_in wrong[] = {
      {0, 1, kBlock, kRead, 0},
      {0, 4096, kBlock, kRead, 0},
      {0, 0, 4096, kRead, 0},
      {0, 0, 0, kRead, 0},
      {0, 0, kBlock, kRead, kBlock / 2},
      {0, 0, kBlock, 0, 0},
      {0, 0, kBlock, kRead | 4U, 0},
      {0, std::uint64_t{1} << 63U, kBlock, kRead, 0},
      {0, kBlock, 0 - 2 * kBlock, kRead, 0},
      {0, 0, (std::uint64_t{1} << 63U) - kBlock, kRead, 2 * kBlock},
      {0, 0, kBlock, kRead, std::uint64_t{1} << 63U},
  };
  for (const auto& in : wrong) {
    INFO(in.foffset << ' ' << in.len << ' ' << in.moffset << ' ' << in.flags);
    CHECK(rig.guest.ask(mapping(file.node, in)).error == EINVAL);
  }
  CHECK(rig.guest.ask(mapping(dir.nodeid, {0, 0, kBlock, kRead, 0})).error == EINVAL);
  CHECK(rig.guest.ask(mapping(77, {0, 0, kBlock, kRead, 0})).error == ESTALE);
  CHECK(window.mapped.empty());
}

TEST_CASE("a read-only guest maps nothing, since all mappings can be written") {
  Window window;
  fuse::GuestOptions options = window.options();
  options.read_only = true;
  OneGuest rig(options);
  rig.make_file("a");
  const std::uint64_t node = rig.guest.lookup("a").get<fuse_entry_out>().nodeid;
  CHECK(rig.guest.ask(mapping(node, {0, 0, kBlock, kRead | kWrite, 0})).error == ENOSYS);
  CHECK(rig.guest.ask(mapping(node, {0, 0, kBlock, kRead, 0})).error == ENOSYS);
  CHECK(window.mapped.empty());
}

TEST_CASE("mappings are removed range by range, all or none when one is wrong") {
  Window window;
  OneGuest rig(window.options());
  const auto remove = [&](const std::vector<fuse_removemapping_one>& ranges) {
    GuestRequest request(FUSE_REMOVEMAPPING, 1);
    request.add(fuse_removemapping_in{static_cast<std::uint32_t>(ranges.size())});
    for (const auto& range : ranges) {
      request.add(range);
    }
    return rig.guest.ask(request).error;
  };
  CHECK(remove({{0, kBlock}, {4 * kBlock, kBlock}}) == 0);
  using Ranges = std::vector<std::pair<std::uint64_t, std::uint64_t>>;
  CHECK(window.unmapped == Ranges{{0, kBlock}, {4 * kBlock, kBlock}});
  window.unmapped.clear();
  CHECK(remove({{0, kBlock}, {1, kBlock}}) == EINVAL);
  CHECK(remove({{0, 0}}) == EINVAL);
  CHECK(window.unmapped.empty());
  window.unmap_code = EIO;
  CHECK(remove({{0, kBlock}, {kBlock, kBlock}}) == EIO);
  CHECK(window.unmapped.size() == 2);
}

TEST_CASE("a guest that unmounts, or begins anew, has nothing mapped") {
  Window window;
  OneGuest rig(window.options());
  const int before = window.emptied;
  REQUIRE(rig.guest.ask(GuestRequest(FUSE_DESTROY, 0)).error == 0);
  CHECK(window.emptied == before + 1);
  rig.guest.init();
  CHECK(window.emptied == before + 2);
  rig.guest.session().end();  // the machine is gone, and its window
  CHECK(window.emptied == before + 2);
}

TEST_CASE("what may take long is told") {
  GuestRequest map(FUSE_SETUPMAPPING);
  GuestRequest look(FUSE_LOOKUP);
  GuestRequest sync(FUSE_FSYNC);
  CHECK(fuse::GuestSession::may_take_long(map.bytes()));
  CHECK(fuse::GuestSession::may_take_long(sync.bytes()));
  CHECK_FALSE(fuse::GuestSession::may_take_long(look.bytes()));
}

// --- Caching ---

struct Told {
  double name = 0;
  double attributes = 0;
  std::uint32_t open_flags = 0;
  bool compare = false;
};

Told told(fuse::CachePolicy policy) {
  fuse::GuestOptions options;
  options.cache = policy;
  GuestRig rig;
  Guest guest(*rig.fs, options);
  const GuestReply init = guest.init();
  rig.make_file("a");
  const auto entry = guest.lookup("a").get<fuse_entry_out>();
  const auto missing = guest.lookup("b").get<fuse_entry_out>();
  CHECK(missing.entry_valid == entry.entry_valid);
  const GuestReply opened =
      guest.ask(GuestRequest(FUSE_OPEN, entry.nodeid).add(fuse_open_in{2, 0}));
  return {static_cast<double>(entry.entry_valid), static_cast<double>(entry.attr_valid),
          opened.get<fuse_open_out>().open_flags, has(init, FUSE_AUTO_INVAL_DATA)};
}

TEST_CASE("a guest caches as its policy says") {
  const Told none = told(fuse::CachePolicy::kNone);
  CHECK(none.name == 0);
  CHECK(none.attributes == 0);
  CHECK((none.open_flags & FOPEN_DIRECT_IO) != 0);
  const Told automatic = told(fuse::CachePolicy::kAuto);
  CHECK(automatic.name == 1);
  CHECK(automatic.attributes == 1);
  CHECK((automatic.open_flags & (FOPEN_DIRECT_IO | FOPEN_KEEP_CACHE)) == 0);
  CHECK(automatic.compare);
  const Told always = told(fuse::CachePolicy::kAlways);
  CHECK(always.name == 86'400);
  CHECK(always.attributes == 86'400);
  CHECK((always.open_flags & FOPEN_KEEP_CACHE) != 0);
  CHECK_FALSE(always.compare);
}

}  // namespace
}  // namespace pmemfs::test
