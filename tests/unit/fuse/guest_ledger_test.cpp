// What a guest holds: as numbers, and as guests see it of each other.
#include "fuse/guest_ledger.hpp"

#include <fcntl.h>

#include <map>
#include <vector>

#include "fuse/operations.hpp"
#include "fuse/passthrough.hpp"
#include "unit/fuse/guest_rig.hpp"

namespace pmemfs::test {
namespace {

using fuse::GuestLedger;
using fuse::GuestNode;

// A ledger, and what it gave back.
struct Books {
  std::map<std::uint64_t, std::uint64_t> given{};
  std::vector<std::uint64_t> closed{};
  GuestLedger ledger{{3, 2},
                     [this](InodeNo ino, std::uint64_t count) { given[ino.value] += count; },
                     [this](InodeNo, std::uint64_t fh) {
                       closed.push_back(fh);
                     }};
};

TEST_CASE("a ledger gives back what was forgotten, and no more than it had") {
  Books books;
  REQUIRE(books.ledger.add({5}));
  REQUIRE(books.ledger.add({5}));
  books.ledger.forget({5}, 1);
  CHECK(books.given[5] == 1);
  CHECK(books.ledger.hold({5}));
  books.ledger.let_go({5});
  books.ledger.forget({5}, UINT64_MAX);
  CHECK(books.given[5] == 2);
  books.ledger.forget({5}, 1);
  CHECK(books.given[5] == 2);
  CHECK(books.ledger.nodes() == 0);
  CHECK_FALSE(books.ledger.hold({5}));
}

TEST_CASE("what a request is about is not given back before it ends") {
  Books books;
  REQUIRE(books.ledger.add({5}));
  REQUIRE(books.ledger.add({5}));
  REQUIRE(books.ledger.hold({5}));
  books.ledger.forget({5}, 2);
  CHECK(books.given[5] == 1);
  CHECK_FALSE(books.ledger.hold({5}));  // the guest has it no more
  REQUIRE(books.ledger.add({5}));       // and has it again
  books.ledger.let_go({5});
  CHECK(books.given[5] == 2);
  CHECK(books.ledger.nodes() == 1);
  books.ledger.forget({5}, 1);
  CHECK(books.given[5] == 3);
}

TEST_CASE("the root is held always, and counted like others") {
  Books books;
  CHECK(books.ledger.hold({1}));
  books.ledger.let_go({1});
  books.ledger.forget({1}, 5);
  CHECK(books.given.empty());
  REQUIRE(books.ledger.add({1}));
  books.ledger.forget({1}, 5);
  CHECK(books.given[1] == 1);
}

TEST_CASE("a ledger has room for so much, and gives back what is too much") {
  Books books;
  for (const std::uint64_t id : {5U, 6U, 7U}) {
    REQUIRE(books.ledger.add({id}));
  }
  CHECK_FALSE(books.ledger.add({8}));
  CHECK(books.given[8] == 1);
  CHECK(books.ledger.add({7}));
  CHECK(books.ledger.add_handle(InodeNo(5), 50, O_RDWR).ok());
  CHECK(books.ledger.add_handle(InodeNo(5), 51, O_RDWR).ok());
  CHECK(books.ledger.add_handle(InodeNo(5), 52, O_RDWR).code() == ENFILE);
  CHECK(books.closed == std::vector<std::uint64_t>{52});
}

TEST_CASE("the two nodes of an inode are two") {
  Books books;
  const GuestNode plain{5};
  REQUIRE(books.ledger.add(plain));
  CHECK_FALSE(books.ledger.hold(plain.other()));
  CHECK(plain.other().ino() == InodeNo(5));
  CHECK(books.ledger.first_refusal(plain));
  CHECK_FALSE(books.ledger.first_refusal(plain));
  REQUIRE(books.ledger.add(plain));
  CHECK_FALSE(books.ledger.first_refusal(plain));
  REQUIRE(books.ledger.add(plain.other()));
  CHECK(books.ledger.first_refusal(plain));
  books.ledger.forget(plain.other(), 1);
  CHECK(books.given[5] == 1);
}

TEST_CASE("handles are the guest's own numbers, good for their inode") {
  Books books;
  const auto number = books.ledger.add_handle(InodeNo(5), 50, O_RDWR);
  REQUIRE(number.ok());
  CHECK(books.ledger.find_handle(InodeNo(5), *number, fuse::HandleUse::kAny) == 50);
  CHECK_FALSE(books.ledger.find_handle(InodeNo(6), *number, fuse::HandleUse::kAny));
  CHECK_FALSE(books.ledger.find_handle(InodeNo(5), 50, fuse::HandleUse::kAny));
  CHECK_FALSE(books.ledger.take_handle(InodeNo(6), *number));
  CHECK(books.ledger.take_handle(InodeNo(5), *number) == 50);
  CHECK_FALSE(books.ledger.take_handle(InodeNo(5), *number));
  CHECK(books.closed.empty());
}

TEST_CASE("a handle is found for what it was opened for") {
  Books books;
  const struct {
    std::uint32_t flags;
    bool reads, writes;
  } rows[] = {{O_RDONLY, true, false}, {O_WRONLY, false, true}, {O_RDWR | O_APPEND, true, true}};
  for (const auto& row : rows) {
    const auto number = books.ledger.add_handle(InodeNo(5), 50, row.flags);
    REQUIRE(number.ok());
    const auto found = [&](fuse::HandleUse use) {
      return books.ledger.find_handle(InodeNo(5), *number, use).has_value();
    };
    CHECK(found(fuse::HandleUse::kAny));
    CHECK(found(fuse::HandleUse::kReading) == row.reads);
    CHECK(found(fuse::HandleUse::kWriting) == row.writes);
    CHECK(books.ledger.take_handle(InodeNo(5), *number) == 50);
  }
}

TEST_CASE("at the end all is closed and given back") {
  Books books;
  REQUIRE(books.ledger.add({5}));
  REQUIRE(books.ledger.add({5}));
  REQUIRE(books.ledger.add({6}));
  REQUIRE(books.ledger.add_handle(InodeNo(6), 60, O_RDWR).ok());
  books.ledger.clear();
  CHECK(books.given == std::map<std::uint64_t, std::uint64_t>{{5, 2}, {6, 1}});
  CHECK(books.closed == std::vector<std::uint64_t>{60});
  CHECK(books.ledger.nodes() == 0);
  CHECK(books.ledger.handles() == 0);
}

// --- Guests ---

TEST_CASE("a guest cannot use what another one holds") {
  OneGuest rig;
  Guest other(*rig.fs);
  REQUIRE(other.init().error == 0);
  const GuestFile file = rig.guest.create("a");
  REQUIRE(rig.guest.write(file, 0, "mine").error == 0);
  CHECK(other.getattr(file.node).error == ESTALE);
  CHECK(other.read(file, 0, 4).error == EBADF);
  CHECK(other.release(file).error == EBADF);
  // Found by its name it is the other's too, the handle still is not.
  CHECK(other.lookup("a").get<fuse_entry_out>().nodeid == file.node);
  CHECK(other.getattr(file.node).error == 0);
  CHECK(other.read(file, 0, 4).error == EBADF);
  CHECK(rig.guest.read(file, 0, 4).body == "mine");
}

TEST_CASE("a guest cannot forget what another one or the host holds") {
  OneGuest rig;
  Guest other(*rig.fs);
  REQUIRE(other.init().error == 0);
  const GuestFile file = rig.guest.create("a");
  REQUIRE(rig.guest.release(file).error == 0);
  REQUIRE(other.lookup("a").error == 0);
  REQUIRE(rig.guest.ask(GuestRequest(FUSE_UNLINK).add_name("a")).error == 0);
  other.forget(file.node, 100);
  other.forget(file.node, 100);
  // Unlinked, so it lives as long as somebody holds it.
  CHECK(rig.guest.getattr(file.node).error == 0);
  rig.guest.forget(file.node);
  CHECK(rig.guest.getattr(file.node).error == ESTALE);
  CHECK(rig.fs->getattr(InodeNo(file.node)).code() != 0);
}

TEST_CASE("what a guest held is given back when it goes, however it goes") {
  OneGuest rig;
  const auto inodes = rig.fs->status().inodes_in_memory;
  const auto use = [&] {
    REQUIRE(rig.guest.create("a").error == 0);
    REQUIRE(rig.guest.ask(GuestRequest(FUSE_UNLINK).add_name("a")).error == 0);
    CHECK(rig.fs->status().open_handles == 1);
    CHECK(rig.fs->status().inodes_in_memory > inodes);
  };
  const auto check_gone = [&] {
    CHECK(rig.fs->status().open_handles == 0);
    CHECK(rig.fs->status().inodes_in_memory == inodes);
    CHECK(rig.guest.session().status().nodes == 0);
  };
  use();
  rig.guest.session().end();
  check_gone();
  CHECK_FALSE(rig.guest.session().status().mounted);
  REQUIRE(rig.guest.init().error == 0);
  use();
  REQUIRE(rig.guest.init().error == 0);  // it booted anew
  check_gone();
  use();
  REQUIRE(rig.guest.ask(GuestRequest(FUSE_DESTROY, 0)).error == 0);
  check_gone();
}

TEST_CASE("what an answer carries is given back when the guest does not take it") {
  OneGuest rig;
  rig.make_file("one");
  rig.make_file("two");
  const std::uint64_t known = rig.guest.lookup("one").get<fuse_entry_out>().nodeid;
  rig.guest.takes = false;
  CHECK(rig.guest.lookup("two").came);
  (void)rig.guest.create("three");
  (void)rig.guest.open(known);
  fuse_read_in in{};
  in.size = 4096;
  CHECK(rig.guest.ask(GuestRequest(FUSE_READDIRPLUS).add(in)).came);
  CHECK(rig.guest.session().status().nodes == 1);
  CHECK(rig.guest.session().status().handles == 0);
  CHECK(rig.fs->status().open_handles == 0);
  rig.guest.takes = true;
  rig.guest.forget(known);
  CHECK(rig.guest.session().status().nodes == 0);
}

TEST_CASE("a guest that holds too much is told ENFILE, and lists names alone") {
  fuse::GuestOptions options;
  options.max_nodes = 2;
  options.max_handles = 1;
  OneGuest rig(options);
  for (const char* name : {"1", "2", "3"}) {
    rig.make_file(name);
  }
  const std::uint64_t first = rig.guest.lookup("1").get<fuse_entry_out>().nodeid;
  CHECK(rig.guest.open(first).error == 0);
  CHECK(rig.guest.open(first).error == ENFILE);
  CHECK(rig.fs->status().open_handles == 1);
  CHECK(rig.guest.lookup("2").error == 0);
  CHECK(rig.guest.lookup("3").error == ENFILE);
  CHECK(rig.guest.create("4").error == ENFILE);
  CHECK(rig.fs->status().open_handles == 1);
  fuse_read_in in{};
  in.size = 4096;
  const GuestReply listed = rig.guest.ask(GuestRequest(FUSE_READDIRPLUS).add(in));
  REQUIRE(listed.error == 0);
  std::map<std::string, bool> entered;
  for (std::size_t at = 0; at < listed.body.size();) {
    const auto entry = listed.get<fuse_direntplus>(at);
    entered[listed.body.substr(at + FUSE_NAME_OFFSET_DIRENTPLUS, entry.dirent.namelen)] =
        entry.entry_out.nodeid != 0;
    at += FUSE_DIRENTPLUS_SIZE(&entry);
  }
  CHECK(entered ==
        std::map<std::string, bool>{
            {".", false}, {"..", false}, {"1", true}, {"2", true}, {"3", false}, {"4", false}});
  rig.guest.session().end();
  CHECK(rig.fs->status().inodes_in_memory == 1);
}

TEST_CASE("a file that a guest deletes loses its registration with the host's kernel") {
  OneGuest rig;
  fuse::PassthroughRegistry registry({[](int) -> Result<int> { return 7; },
                                      [](int) {
                                      }},
                                     {});
  EdgeHooks hooks;
  hooks.backing_unneeded = [&](InodeNo ino) {
    fuse::drop_later(registry, ino);
  };
  rig.fs->set_hooks(std::move(hooks));
  const GuestFile file = rig.guest.create("a");
  REQUIRE(registry.acquire(InodeNo(file.node), 0).ok());
  registry.release(InodeNo(file.node));
  REQUIRE(registry.size() == 1);
  REQUIRE(rig.guest.ask(GuestRequest(FUSE_UNLINK).add_name("a")).error == 0);
  REQUIRE(rig.guest.release(file).error == 0);
  CHECK(registry.size() == 0);
}

}  // namespace
}  // namespace pmemfs::test
