// Several threads serve one session, as the queues of a device do.
#include <atomic>
#include <thread>
#include <vector>

#include "unit/fuse/guest_rig.hpp"

namespace pmemfs::test {
namespace {

// What goes wrong is counted: Catch's checks are for one thread.
TEST_CASE("two threads serve one guest, while it forgets and boots anew") {
  OneGuest rig;
  for (const char* name : {"0", "1", "2", "3"}) {
    rig.make_file(name, "content");
  }
  std::atomic<int> wrong{0};
  std::atomic<int> served{0};
  const auto use = [&](std::string_view name) {
    for (int i = 0; i < 300; ++i) {
      const GuestReply found = rig.guest.lookup(name);
      const std::uint64_t node = found.get<fuse_entry_out>().nodeid;
      const GuestFile file = rig.guest.open(node);
      const GuestReply data = rig.guest.read(file, 0, 100);
      const GuestReply written = rig.guest.write(file, 0, "content");
      const GuestReply closed = rig.guest.release(file);
      rig.guest.forget(node);
      // Another boot takes everything away at any moment; nothing else may happen.
      for (const GuestReply& reply : {found, data, written, closed}) {
        wrong += reply.came && (reply.error == 0 || reply.error == EBADF) ? 0 : 1;
      }
      wrong += data.error == 0 && data.body != "content" ? 1 : 0;
      served += data.error == 0 ? 1 : 0;
    }
  };
  std::vector<std::thread> threads;
  threads.emplace_back(use, "0");
  threads.emplace_back(use, "0");
  threads.emplace_back([&] {
    for (int i = 0; i < 30; ++i) {
      wrong += rig.guest.init().error == 0 ? 0 : 1;
      std::this_thread::yield();
      (void)rig.guest.session().status();
    }
  });
  for (std::thread& thread : threads) {
    thread.join();
  }
  CHECK(wrong == 0);
  CHECK(served > 0);
  rig.guest.session().end();
  CHECK(rig.fs->status().open_handles == 0);
  CHECK(rig.fs->status().inodes_in_memory == 1);
}

TEST_CASE("a file that is forgotten while it is used is no other's meanwhile") {
  OneGuest rig;
  std::atomic<int> wrong{0};
  std::atomic<bool> done{false};
  std::atomic<std::uint64_t> node{0};
  // One thread makes, deletes and forgets; the number comes back for the next file. The other asks
  // for whatever has it: it may be told of the file or that there is none, of nothing else.
  std::thread asking([&] {
    while (!done) {
      if (const std::uint64_t known = node; known != 0) {
        const GuestReply reply = rig.guest.getattr(known);
        wrong += reply.error == 0 || reply.error == ESTALE ? 0 : 1;
        wrong += reply.error == 0 && reply.get<fuse_attr_out>().attr.ino != known ? 1 : 0;
      }
    }
  });
  for (int i = 0; i < 300; ++i) {
    const GuestFile file = rig.guest.create("a");
    node = file.node;
    wrong += file.error;
    wrong += rig.guest.release(file).error;
    wrong += rig.guest.ask(GuestRequest(FUSE_UNLINK).add_name("a")).error;
    rig.guest.forget(file.node);
  }
  done = true;
  asking.join();
  CHECK(wrong == 0);
  CHECK(rig.guest.session().status().nodes == 0);
  CHECK(rig.fs->status().inodes_in_memory == 1);
}

}  // namespace
}  // namespace pmemfs::test
