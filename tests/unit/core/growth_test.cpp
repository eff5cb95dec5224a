// How durable files of a directory region grow: what each step costs on the host, what is allocated
// ahead and given back, and what a crash leaves.
#include <linux/falloc.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "core/ahead.hpp"
#include "core_rig.hpp"
#include "support/broken_host.hpp"

namespace pmemfs::test {

namespace {

constexpr std::uint64_t kMiB = 1ULL << 20U;
constexpr std::uint64_t kGiB = 1ULL << 30U;

class NoParentSync final : public Passing {
 public:
  using Passing::Passing;
  Status sync_parent(BackingName /*n*/) override { return {}; }
};

// Takes half of each write, as a host does whose space ends there.
class HalfWrites final : public Passing {
 public:
  using Passing::Passing;
  Result<std::size_t> write(int fd, std::uint64_t o, const void* s, std::size_t n) override {
    return Passing::write(fd, o, s, n / 2);
  }
};

BackingName host_name(const Attributes& a) {
  return {a.ino, a.generation};
}

// A file made in a durable directory, open for writing.
Created durable_file(CoreRig& rig, std::string_view name) {
  const InodeNo dir = rig.exists("db") ? rig.stat("db").ino : rig.mkdir("db");
  REQUIRE(rig.set_durable("db") == 0);
  return rig.create(name, O_RDWR, dir);
}

int resize(CoreRig& rig, const Created& file, std::uint64_t size) {
  AttributeChange change;
  change.size = size;
  return rig.fs().setattr(kRoot, file.attributes.ino, change).code();
}

HostStat host_of(CoreRig& rig, const Created& file) {
  const auto host = rig.backing().stat(host_name(file.attributes));
  REQUIRE(host.ok());
  return *host;
}

std::uint64_t allocated(CoreRig& rig, const Created& file) {
  return host_of(rig, file).blocks * 512;
}

std::string own_text(CoreRig& rig, const Created& file, const char* name) {
  const auto value = rig.fs().getxattr(file.attributes.ino, name);
  REQUIRE(value.ok());
  return {reinterpret_cast<const char*>(value->data()), value->size()};
}

void store(CoreRig& rig, const Created& file, std::uint64_t size, char what) {
  const auto fd = rig.fs().backing_fd(file.opened.handle);
  REQUIRE(fd.ok());
  void* map = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
  REQUIRE(map != MAP_FAILED);
  std::memset(map, what, size);
  ::munmap(map, size);
}

// Full until a file is gone, which takes its time.
class FullUntilUnlinked final : public Passing {
 public:
  using Passing::Passing;
  Status unlink(BackingName n) override {
    unlinking.store(true);
    unlinking.notify_all();
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    full = false;
    return Passing::unlink(n);
  }
  Result<std::size_t> write(int fd, std::uint64_t o, const void* s, std::size_t n) override {
    return full ? Result<std::size_t>(Error(ENOSPC)) : Passing::write(fd, o, s, n);
  }

  std::atomic<bool> full{true};
  std::atomic<bool> unlinking{false};
};

}  // namespace

TEST_CASE("a durable append costs one write and one sync on the host") {
  CoreRig rig(CoreRig::Data::kBacking);
  const Created file = durable_file(rig, "log");
  rig.write(file.opened.handle, 0, std::string(4096, 'a'));
  rig.backing().forget_calls();
  rig.write(file.opened.handle, 4096, std::string(4096, 'b'));
  SimBackingDir& host = rig.backing();
  CHECK(host.count(HostOp::kWrite) == 1);
  CHECK(host.count(HostOp::kSyncFile) == 1);
  CHECK(host.count(HostOp::kStat) == 1);
  CHECK(host.calls().size() == 3);
  // After a gap there is more to fill than the write brings.
  host.forget_calls();
  rig.write(file.opened.handle, 64 * 1024, "c");
  CHECK(host.count(HostOp::kSyncFile) == 1);
  CHECK(host.count(HostOp::kSyncParent) == 0);
  CHECK(rig.read_all(file.opened.handle, 8192) == std::string(64 * 1024 - 8192, '\0') + "c");
}

TEST_CASE("growth touches whole frames of 2 MiB, and writes zeros where a frame is not whole") {
  CoreRig rig(CoreRig::Data::kBacking);
  const Created file = durable_file(rig, "grown");
  std::vector<std::pair<std::uint64_t, std::uint64_t>> touched;
  rig.backing().on_call([&](const HostCall& call) {
    if (call.op == HostOp::kTouch) {
      touched.emplace_back(call.off, call.len);
    }
  });
  REQUIRE(resize(rig, file, kMiB) == 0);
  CHECK(touched.empty());
  REQUIRE(resize(rig, file, 7 * kMiB) == 0);
  CHECK(touched == std::vector{std::pair(2 * kMiB, 4 * kMiB)});
  rig.backing().on_call({});
}

TEST_CASE("zeros are never written where a handle may append past the daemon") {
  CoreRig rig(CoreRig::Data::kBacking);
  const Created file = rig.create("db");  // plain passthrough, of before the flag
  REQUIRE(rig.set_durable("db") == 0);
  rig.backing().forget_calls();
  REQUIRE(resize(rig, file, 10'000) == 0);
  CHECK(rig.backing().count(HostOp::kWrite) == 0);
  CHECK(rig.backing().count(HostOp::kTouch) == 1);
  rig.backing().forget_calls();
  std::size_t zeros = 1;
  SECTION("until it is closed") {
    rig.fs().release(file.opened.handle);
  }
  SECTION("until it is served by the daemon after all") {
    rig.fs().set_path(file.opened.handle, DataPath::kDirect);
  }
  SECTION("and the daemon's death does not end that") {
    rig.kill();
    zeros = 0;
  }
  REQUIRE(resize(rig, file, 20'000) == 0);
  CHECK(rig.backing().count(HostOp::kWrite) == zeros);
  CHECK(rig.backing().count(HostOp::kTouch) == 1 - zeros);
}

TEST_CASE("growth by zeros and by touch survives any crash") {
  const auto scenario = [](bool control, RandomChooser& chooser) {
    CoreRig rig(CoreRig::Data::kBacking);
    NoSync no_sync(rig.backing());
    if (control) {
      rig.interpose(&no_sync);
      rig.remount();
    }
    const Created file = durable_file(rig, "grown");
    for (const std::uint64_t size : {5000U, 20'000U, 20'001U}) {
      REQUIRE(resize(rig, file, size) == 0);
    }
    store(rig, file, 20'001, 'S');
    const InodeNo ino = file.attributes.ino;
    rig.crash(chooser);
    const auto opened = rig.fs().open_file(ino, O_RDONLY, false);
    const bool holds = opened.ok() && rig.read_all(opened->handle) == std::string(20'001, 'S');
    if (opened) {
      rig.fs().release(opened->handle);
    }
    return holds;
  };
  CHECK(broken([&](RandomChooser& c) { return scenario(false, c); }) == 0);
  CHECK(broken([&](RandomChooser& c) { return scenario(true, c); }) > 0);
}

TEST_CASE("what was appended, and stored there since, survives without any sync") {
  const auto scenario = [](bool control, RandomChooser& chooser) {
    CoreRig rig(CoreRig::Data::kBacking);
    NoSync no_sync(rig.backing());
    if (control) {
      rig.interpose(&no_sync);
      rig.remount();
    }
    const Created file = durable_file(rig, "log");
    rig.write(file.opened.handle, 0, std::string(6000, 'a'));
    rig.write(file.opened.handle, 6000, std::string(6000, 'b'));
    store(rig, file, 4096, 'S');
    const InodeNo ino = file.attributes.ino;
    rig.crash(chooser);
    const auto opened = rig.fs().open_file(ino, O_RDONLY, false);
    const std::string expected =
        std::string(4096, 'S') + std::string(6000 - 4096, 'a') + std::string(6000, 'b');
    const bool holds = opened.ok() && rig.read_all(opened->handle) == expected;
    if (opened) {
      rig.fs().release(opened->handle);
    }
    return holds;
  };
  CHECK(broken([&](RandomChooser& c) { return scenario(false, c); }) == 0);
  CHECK(broken([&](RandomChooser& c) { return scenario(true, c); }) > 0);
}

TEST_CASE("the name of a durable file is on media before the promise, and synced only once") {
  const auto scenario = [](bool control, RandomChooser& chooser) {
    CoreRig rig(CoreRig::Data::kBacking);
    NoParentSync no_parent_sync(rig.backing());
    if (control) {
      rig.interpose(&no_parent_sync);
      rig.remount();
    }
    rig.put("db", "promised");
    REQUIRE(rig.set_durable("db") == 0);
    rig.crash(chooser);
    return rig.get("db") == "promised";
  };
  CHECK(broken([&](RandomChooser& c) { return scenario(false, c); }) == 0);
  CHECK(broken([&](RandomChooser& c) { return scenario(true, c); }) > 0);
  CoreRig rig(CoreRig::Data::kBacking);
  rig.put("db", "promised");
  rig.backing().forget_calls();
  REQUIRE(rig.set_durable("db") == 0);
  CHECK(rig.backing().count(HostOp::kSyncParent) == 1);
  AttributeChange grow;
  grow.size = 10'000;
  REQUIRE(rig.fs().setattr(kRoot, rig.stat("db").ino, grow).ok());
  CHECK(rig.backing().count(HostOp::kSyncParent) == 1);
}

TEST_CASE("a durable append is whole or not at all") {
  CoreRig rig(CoreRig::Data::kBacking);
  const Created file = durable_file(rig, "log");
  rig.write(file.opened.handle, 0, "head");
  const auto append = [&] {
    return rig.fs().write(file.opened.handle, 4, bytes("tail"), false, false).code();
  };
  SECTION("the host has no space") {
    rig.backing().fail_nth(HostOp::kWrite, 1, ENOSPC);
    rig.backing().fail_nth(HostOp::kWrite, 2, ENOSPC);
    CHECK(append() == ENOSPC);
    CHECK(rig.read_all(file.opened.handle) == "head");
    CHECK(append() == 0);
    CHECK(rig.read_all(file.opened.handle) == "headtail");
  }
  SECTION("the host cannot sync") {
    rig.backing().fail_nth(HostOp::kSyncFile, 1, EIO);
    CHECK(append() == EIO);
  }
  SECTION("the host has no space half-way") {
    const InodeNo ino = file.attributes.ino;
    HalfWrites half(rig.backing());
    rig.interpose(&half);
    rig.fs().release(file.opened.handle);
    rig.remount();
    const auto again = rig.fs().open_file(ino, O_RDWR, false);
    REQUIRE(again.ok());
    CHECK(rig.fs().write(again->handle, 4, bytes("tail"), false, false).code() == ENOSPC);
    CHECK(rig.read_all(again->handle) == "head");
    rig.fs().release(again->handle);
  }
}

TEST_CASE("where allocation ahead ends") {
  using core::ahead::end_for;
  CHECK(end_for(1, false, kGiB) == 2 * kMiB);
  CHECK(end_for(2 * kMiB, false, kGiB) == 2 * kMiB);
  CHECK(end_for(2 * kMiB + 1, false, kGiB) == 4 * kMiB);
  // A file that grows in steps: an eighth of it, at most 64 MiB.
  CHECK(end_for(3 * kMiB, true, kGiB) == 4 * kMiB);
  CHECK(end_for(32 * kMiB, true, kGiB) == 36 * kMiB);
  CHECK(end_for(8 * kGiB, true, kGiB) == 8 * kGiB + 64 * kMiB);
  // Less where space is short, and nothing where there is none.
  CHECK(end_for(33 * kMiB, true, 2 * kMiB) == 34 * kMiB);
  CHECK(end_for(33 * kMiB, true, kMiB - 1) == 33 * kMiB);
  CHECK(end_for(1, false, 0) == 1);
}

TEST_CASE("a growing file has blocks ahead while a writer has it open, and then no more") {
  CoreRig rig(CoreRig::Data::kBacking);
  const Created file = durable_file(rig, "log");
  rig.write(file.opened.handle, 0, std::string(4096, 'a'));
  CHECK(allocated(rig, file) == 2 * kMiB);
  CHECK(rig.fs().getattr(file.attributes.ino)->size == 4096);
  store(rig, file, 4096, 'S');
  const HostStat before = host_of(rig, file);
  const auto reader = rig.fs().open_file(file.attributes.ino, O_RDONLY, false);
  REQUIRE(reader.ok());
  rig.fs().release(file.opened.handle);
  CHECK(allocated(rig, file) == 4096);
  CHECK(host_of(rig, file).size == 4096);
  CHECK(host_of(rig, file).mtime == before.mtime);
  CHECK(rig.read_all(reader->handle) == std::string(4096, 'S'));
  // Without a writer nobody would give it back.
  REQUIRE(resize(rig, file, 3 * kMiB) == 0);
  CHECK(allocated(rig, file) == 3 * kMiB);
  rig.fs().release(reader->handle);
}

TEST_CASE("a file that grows in steps is allocated in few pieces, and given back at the end") {
  CoreRig rig(CoreRig::Data::kBacking);
  const Created file = durable_file(rig, "grown");
  for (std::uint64_t size = kMiB; size <= 33 * kMiB; size += kMiB) {
    REQUIRE(resize(rig, file, size) == 0);
  }
  CHECK(allocated(rig, file) == 36 * kMiB);
  rig.fs().release(file.opened.handle);
  CHECK(allocated(rig, file) == 33 * kMiB);
}

TEST_CASE("allocation ahead that the host refuses, or that would take too much, is no error") {
  CoreRig rig(CoreRig::Data::kBacking);
  const Created file = durable_file(rig, "log");
  SECTION("refused") {
    rig.backing().fail_nth(HostOp::kAllocate, 1, ENOSPC);
  }
  SECTION("more than its share") {
    rig.backing().set_space({.blocks = 4000, .blocks_free = 4000, .blocks_available = 4000});
  }
  SECTION("the share is taken by another file") {
    rig.backing().set_space({.blocks = 8000, .blocks_free = 8000, .blocks_available = 8000});
    const Created other = durable_file(rig, "other");
    rig.write(other.opened.handle, 0, "x");
    CHECK(allocated(rig, other) == 2 * kMiB);
  }
  rig.write(file.opened.handle, 0, std::string(4096, 'a'));
  CHECK(allocated(rig, file) == 4096);
  CHECK(rig.read_all(file.opened.handle) == std::string(4096, 'a'));
}

TEST_CASE("what a program allocated beyond the end stays") {
  CoreRig rig(CoreRig::Data::kBacking);
  const Created file = durable_file(rig, "log");
  const auto reserve = [&] {
    return rig.fs().fallocate(kRoot, file.opened.handle, FALLOC_FL_KEEP_SIZE, 0, 8 * kMiB).code();
  };
  SECTION("before the file grew") {
    REQUIRE(reserve() == 0);
    rig.write(file.opened.handle, 0, "x");
  }
  SECTION("after it grew") {
    rig.write(file.opened.handle, 0, "x");
    REQUIRE(reserve() == 0);
    rig.write(file.opened.handle, 1, "x");
  }
  SECTION("in another session") {
    REQUIRE(reserve() == 0);
    rig.fs().release(file.opened.handle);
    const auto again = rig.fs().open_file(file.attributes.ino, O_RDWR, false);
    REQUIRE(again.ok());
    rig.write(again->handle, 0, "x");
    rig.fs().release(again->handle);
    CHECK(allocated(rig, file) == 8 * kMiB);
    return;
  }
  rig.fs().release(file.opened.handle);
  CHECK(allocated(rig, file) == 8 * kMiB);
}

TEST_CASE("after a daemon's death nothing is cut that its handles may still append to") {
  CoreRig rig(CoreRig::Data::kBacking);
  const Created file = durable_file(rig, "log");
  const BackingName name = host_name(file.attributes);
  rig.fs().release(file.opened.handle);
  rig.kill();
  std::uint64_t left = 4096;
  SECTION("there is such a handle") {
    rig.backing().hold_open(name);
    left = 2 * kMiB;
  }
  SECTION("there is none") {}
  const auto again = rig.fs().open_file(file.attributes.ino, O_RDWR, false);
  REQUIRE(again.ok());
  rig.write(again->handle, 0, "x");
  CHECK(allocated(rig, file) == 2 * kMiB);
  rig.fs().release(again->handle);
  CHECK(allocated(rig, file) == left);
}

TEST_CASE("the host's defragmentation leaves alone what is durable, and nothing else") {
  CoreRig rig(CoreRig::Data::kBacking);
  rig.put("file", "content");
  const BackingName name = host_name(rig.stat("file"));
  CHECK_FALSE(rig.backing().nodefrag(name));
  SECTION("by the flag") {
    REQUIRE(rig.set_durable("file") == 0);
    CHECK(rig.backing().nodefrag(name));
    REQUIRE(rig.set_durable("file", "0") == 0);
    CHECK_FALSE(rig.backing().nodefrag(name));
  }
  SECTION("by the directory") {
    const Created made = durable_file(rig, "made");
    CHECK(rig.backing().nodefrag(host_name(made.attributes)));
    rig.close(made);
  }
  SECTION("a host that cannot is no error") {
    rig.backing().fail_nth(HostOp::kSetNodefrag, 1, EOPNOTSUPP);
    CHECK(rig.set_durable("file") == 0);
  }
  SECTION("not when the flag could not be set") {
    rig.backing().fail_nth(HostOp::kTouch, 1, EIO);
    CHECK(rig.set_durable("file") == EIO);
    CHECK_FALSE(rig.backing().nodefrag(name));
  }
}

TEST_CASE("user.pmemfs.extents shows where the host has the file, without what is ahead") {
  CoreRig rig(CoreRig::Data::kBacking);
  const Created file = durable_file(rig, "log");
  rig.write(file.opened.handle, 0, std::string(10'000, 'a'));
  CHECK(own_text(rig, file, "user.pmemfs.extents") == "0+10000\n");
  rig.backing().set_extents({{.off = 0, .len = 4096, .physical = 1 << 21, .located = true},
                             {.off = 4096, .len = 4096, .physical = 7, .unwritten = true},
                             {.off = 8192, .len = 2 << 20, .physical = 4096, .located = true},
                             {.off = 3 << 20, .len = 4096, .located = true}});
  CHECK(own_text(rig, file, "user.pmemfs.extents") ==
        "0+4096 at 2097152\n4096+4096 unwritten\n8192+4096 at 4096\n");
  rig.close(file);
}

TEST_CASE("space of a file that ends just now is waited for") {
  CoreRig rig(CoreRig::Data::kBacking);
  FullUntilUnlinked host(rig.backing());
  rig.interpose(&host);
  rig.remount();
  const Created large = rig.create("large", O_RDWR);
  rig.close(large);
  REQUIRE(rig.fs().lookup(kRootInode, "large").ok());  // a kernel that has the inode
  REQUIRE(rig.fs().unlink(kRootInode, "large").ok());
  const Created file = rig.create("file", O_RDWR);
  std::thread forgetting([&] { rig.fs().forget(large.attributes.ino, 1); });
  host.unlinking.wait(false);
  const auto bytes = std::as_bytes(std::span(std::string_view("content")));
  CHECK(rig.fs().write(file.opened.handle, 0, bytes, false, false).code() == 0);
  forgetting.join();
  rig.close(file);
}

}  // namespace pmemfs::test
