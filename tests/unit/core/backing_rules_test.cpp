// The rules that keep a region and its host files together (docs/DESIGN.md, "Backing files"): each
// under crashes that lose any subset of what the host had not synced, and each with a control in
// which the rule is broken and the loss is seen.
#include <sys/mman.h>
#include <unistd.h>

#include <array>

#include "core_rig.hpp"
#include "support/broken_host.hpp"

namespace pmemfs::test {

namespace {

class NoTouch final : public Passing {
 public:
  using Passing::Passing;
  Status touch(int /*fd*/, std::uint64_t /*o*/, std::uint64_t /*l*/) override { return {}; }
};

// One name for all generations of an inode number.
class ReusesNames final : public Passing {
 public:
  using Passing::Passing;
  static BackingName plain(BackingName n) { return {n.ino, 1}; }
  Result<int> create(BackingName n) override { return Passing::create(plain(n)); }
  Result<int> open(BackingName n) override { return Passing::open(plain(n)); }
  Status unlink(BackingName n) override { return Passing::unlink(plain(n)); }
  Result<HostStat> stat(BackingName n) override { return Passing::stat(plain(n)); }
  Status sync_parent(BackingName n) override { return Passing::sync_parent(plain(n)); }
};

// Whose clock stands still, so that all changes are stamped alike; times that were set are as set.
class OneTick final : public Passing {
 public:
  using Passing::Passing;
  static constexpr Timestamp kStamp{9'000'000'000, 0};
  Result<HostStat> stat(BackingName n) override { return stamped(Passing::stat(n)); }
  Result<HostStat> stat_fd(int fd) override { return stamped(Passing::stat_fd(fd)); }

 private:
  static Result<HostStat> stamped(Result<HostStat> host) {
    if (host) {
      host->atime = host->atime.sec < kStamp.sec - 10 ? kStamp : host->atime;
      host->mtime = host->mtime.sec < kStamp.sec - 10 ? kStamp : host->mtime;
    }
    return host;
  }
};

void fsync(CoreRig& rig, std::string_view name) {
  const auto opened = rig.fs().open_file(rig.stat(name).ino, O_RDWR, false);
  REQUIRE(opened.ok());
  REQUIRE(rig.fs().fsync(opened->handle, false).ok());
  rig.fs().release(opened->handle);
}

}  // namespace

TEST_CASE("a change in the same tick as the one before a time was set shows") {
  CoreRig rig(CoreRig::Data::kBacking);
  OneTick one_tick(rig.backing());
  rig.interpose(&one_tick);
  rig.remount();
  rig.put("file", "content");
  const InodeNo ino = rig.stat("file").ino;
  AttributeChange change;
  change.atime = Timestamp{50, 5};
  change.mtime = Timestamp{60, 6};
  for (int i = 0; i < 2; ++i) {
    REQUIRE(rig.fs().setattr(kRoot, ino, change).ok());
    CHECK(rig.stat("file").atime == Timestamp{50, 5});
    CHECK(rig.stat("file").mtime == Timestamp{60, 6});
  }
  change.mtime.reset();
  REQUIRE(rig.fs().setattr(kRoot, ino, change).ok());
  CHECK(rig.stat("file").mtime == Timestamp{60, 6});
  const auto opened = rig.fs().open_file(ino, O_RDWR, false);
  REQUIRE(opened.ok());
  const std::array<std::byte, 1> byte{};
  REQUIRE(rig.fs().write(opened->handle, 0, byte, false, false).ok());
  rig.fs().release(opened->handle);
  CHECK(rig.stat("file").mtime == OneTick::kStamp);
}

TEST_CASE("write a temporary file and rename it over: one of both versions survives") {
  const auto scenario = [](bool control, RandomChooser& chooser) {
    CoreRig rig(CoreRig::Data::kBacking);
    rig.put("file", "old version");
    fsync(rig, "file");
    NoSync no_sync(rig.backing());
    if (control) {
      rig.interpose(&no_sync);
      rig.remount();
    }
    rig.put("temp", "new version");
    REQUIRE(rig.fs().rename(kRoot, kRootInode, "temp", kRootInode, "file", 0).ok());
    rig.crash(chooser);
    const std::string found = rig.get("file");
    return found == "old version" || found == "new version";
  };
  CHECK(broken([&](RandomChooser& c) { return scenario(false, c); }) == 0);
  CHECK(broken([&](RandomChooser& c) { return scenario(true, c); }) > 0);
}

TEST_CASE("fsync makes a file and its name survive") {
  const auto scenario = [](bool control, RandomChooser& chooser) {
    CoreRig rig(CoreRig::Data::kBacking);
    NoSync no_sync(rig.backing());
    if (control) {
      rig.interpose(&no_sync);
      rig.remount();
    }
    rig.put("file", "synced");
    fsync(rig, "file");
    rig.crash(chooser);
    return rig.get("file") == "synced";
  };
  CHECK(broken([&](RandomChooser& c) { return scenario(false, c); }) == 0);
  CHECK(broken([&](RandomChooser& c) { return scenario(true, c); }) > 0);
}

TEST_CASE("nobody sees another file's old bytes under a new inode") {
  const auto scenario = [](bool control, RandomChooser& chooser) {
    CoreRig rig(CoreRig::Data::kBacking);
    ReusesNames reuses(rig.backing());
    if (control) {
      rig.interpose(&reuses);
      rig.remount();
    }
    rig.put("secret", "the old owner's");
    const InodeNo ino = rig.stat("secret").ino;
    const auto opened = rig.fs().open_file(ino, O_RDWR, false);
    REQUIRE(rig.fs().fsync(opened->handle, false).ok());
    rig.fs().release(opened->handle);
    REQUIRE(rig.fs().unlink(kRootInode, "secret").ok());
    for (int i = 0; i < 300 && !rig.exists("mine"); i++) {  // until the number comes round again
      const Created file = rig.create("try");
      rig.close(file);
      const bool same = file.attributes.ino == ino;
      const std::string to = same ? "mine" : "other" + std::to_string(i);
      REQUIRE(rig.fs().rename(kRoot, kRootInode, "try", kRootInode, to, 0).ok());
    }
    REQUIRE(rig.exists("mine"));
    FilesystemOptions& options = rig.options();
    options.collect_orphans = false;
    if (control) {
      // The control's names live one layer above the simulator: look through the same glasses.
      auto crashed = rig.backing().crash(chooser);
      const auto found = crashed->open(ReusesNames::plain({ino, 0}));
      if (!found) {
        return true;
      }
      std::array<char, 32> text{};
      const auto n = crashed->read(*found, 0, text.data(), text.size());
      ::close(*found);
      return !n || *n == 0;
    }
    rig.crash(chooser);
    return rig.get("mine").find("old owner") == std::string::npos;
  };
  CHECK(broken([&](RandomChooser& c) { return scenario(false, c); }) == 0);
  CHECK(broken([&](RandomChooser& c) { return scenario(true, c); }) > 0);
}

TEST_CASE("the bytes of a durable file survive stores without any sync") {
  const auto scenario = [](bool control, RandomChooser& chooser) {
    CoreRig rig(CoreRig::Data::kBacking);
    NoTouch no_touch(rig.backing());
    if (control) {
      rig.interpose(&no_touch);
      rig.remount();
    }
    const Created file = rig.create("db");
    AttributeChange grow;
    grow.size = 64 * 1024;
    REQUIRE(rig.fs().setattr(kRoot, file.attributes.ino, grow).ok());
    REQUIRE(rig.set_durable("db") == 0);
    const auto fd = rig.fs().backing_fd(file.opened.handle);
    REQUIRE(fd.ok());
    void* map = ::mmap(nullptr, 64 * 1024, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
    REQUIRE(map != MAP_FAILED);
    std::memset(map, 'D', 64 * 1024);
    ::munmap(map, 64 * 1024);
    rig.crash(chooser);
    return rig.get("db") == std::string(64 * 1024, 'D');
  };
  CHECK(broken([&](RandomChooser& c) { return scenario(false, c); }) == 0);
  CHECK(broken([&](RandomChooser& c) { return scenario(true, c); }) > 0);
}

TEST_CASE("growth of a durable file is filled before it is promised") {
  const auto scenario = [](RandomChooser& chooser) {
    CoreRig rig(CoreRig::Data::kBacking);
    rig.put("db", std::string(4096, 'a'));
    REQUIRE(rig.set_durable("db") == 0);
    AttributeChange grow;
    grow.size = 40'000;
    REQUIRE(rig.fs().setattr(kRoot, rig.stat("db").ino, grow).ok());
    rig.crash(chooser);
    return rig.stat("db").size == 40'000 &&
           rig.get("db") == std::string(4096, 'a') + std::string(40'000 - 4096, '\0');
  };
  CHECK(broken(scenario) == 0);
}

TEST_CASE("a host file is unlinked only after the region forgot it") {
  CoreRig rig(CoreRig::Data::kBacking);
  rig.put("a", "x");
  const InodeNo ino = rig.stat("a").ino;
  bool checked = false;
  rig.backing().on_call([&](const HostCall& call) {
    if (call.op != HostOp::kUnlink) {
      return;
    }
    KeepNone none;
    auto image = rig.region().crash(none);
    store::OpenReport report;
    const auto store = store::Store::open(*image, &report);
    REQUIRE(store.ok());
    CHECK((*store)->inode(ino).code() == ENOENT);
    checked = true;
  });
  REQUIRE(rig.fs().unlink(kRootInode, "a").ok());
  CHECK(checked);
}

TEST_CASE("a lost file that was never synced is empty, one that was is EUCLEAN") {
  CoreRig rig(CoreRig::Data::kBacking);
  rig.put("never", "lost");
  rig.put("synced", "kept");
  fsync(rig, "synced");
  const auto name = [&](std::string_view file) {
    const Attributes a = rig.stat(file);
    return BackingName{a.ino, a.generation};
  };
  rig.backing().remove_behind(name("never"));
  rig.backing().remove_behind(name("synced"));
  CHECK(rig.stat("never").size == 0);
  CHECK(rig.get("never").empty());
  CHECK(rig.fs().lookup(kRootInode, "synced").code() == EUCLEAN);
}

TEST_CASE("a durable file that the host shortened is EUCLEAN, one that it lengthened is filled") {
  CoreRig rig(CoreRig::Data::kBacking);
  for (const char* name : {"short", "long"}) {
    rig.put(name, std::string(8192, 'x'));
    REQUIRE(rig.set_durable(name) == 0);
  }
  const Attributes shortened = rig.stat("short");
  const Attributes lengthened = rig.stat("long");
  rig.backing().resize_behind({shortened.ino, shortened.generation}, 4096);
  rig.backing().resize_behind({lengthened.ino, lengthened.generation}, 20'000);
  CHECK(rig.fs().open_file(shortened.ino, O_RDONLY, false).code() == EUCLEAN);
  rig.backing().forget_calls();
  const auto opened = rig.fs().open_file(lengthened.ino, O_RDONLY, false);
  REQUIRE(opened.ok());
  CHECK(rig.backing().count(HostOp::kTouch) == 1);
  CHECK(rig.backing().count(HostOp::kSyncFile) == 1);
  CHECK(rig.read_all(opened->handle) == std::string(8192, 'x') + std::string(20'000 - 8192, '\0'));
  rig.fs().release(opened->handle);
}

TEST_CASE("orphans are collected when nothing is in doubt, else kept and counted") {
  for (const bool doubt : {false, true}) {
    CoreRig rig(CoreRig::Data::kBacking);
    rig.put("kept", "x");
    const Attributes kept = rig.stat("kept");
    const BackingName orphan{InodeNo(200), 1};
    REQUIRE(rig.backing().create(orphan).ok());
    rig.backing().add_foreign("somebody-elses-file");
    rig.options().collect_orphans = !doubt;
    rig.remount();
    CHECK(rig.backing().exists(orphan) == doubt);
    CHECK(rig.backing().exists({kept.ino, kept.generation}));
    CHECK(rig.fs().status().orphans_kept == (doubt ? 2 : 1));
  }
}

TEST_CASE("clear is refused while a mapping may exist, though its daemon is dead") {
  CoreRig rig(CoreRig::Data::kBacking);
  rig.put("db", std::string(4096, 'x'));
  REQUIRE(rig.set_durable("db") == 0);
  const Attributes a = rig.stat("db");
  rig.backing().hold_open({a.ino, a.generation});
  CHECK(rig.set_durable("db", "0") == EBUSY);
  rig.kill();
  CHECK(rig.set_durable("db", "0") == EBUSY);
  rig.backing().release_open({a.ino, a.generation});
  CHECK(rig.set_durable("db", "0") == 0);
}

TEST_CASE("the host, which may share blocks, copies nothing from or to a durable file") {
  CoreRig rig(CoreRig::Data::kBacking);
  rig.put("durable", std::string(20'000, 'd'));
  rig.put("ordinary", std::string(20'000, 'o'));
  REQUIRE(rig.set_durable("durable") == 0);
  const auto durable = rig.fs().open_file(rig.stat("durable").ino, O_RDWR, false);
  const auto ordinary = rig.fs().open_file(rig.stat("ordinary").ino, O_RDWR, false);
  REQUIRE((durable.ok() && ordinary.ok()));
  const auto copy = [&](const Opened& from, const Opened& to, std::uint64_t to_off) {
    const auto n = rig.fs().copy_range(from.handle, 0, to.handle, to_off, 9000);
    REQUIRE(n.code() == 0);
    CHECK(*n == 9000);
  };
  copy(*ordinary, *durable, 15'000);
  copy(*durable, *ordinary, 0);
  CHECK(rig.backing().count(HostOp::kCopy) == 0);
  copy(*ordinary, *ordinary, 9000);
  CHECK(rig.backing().count(HostOp::kCopy) == 1);
  CHECK(rig.stat("durable").size == 24'000);
  rig.fs().release(durable->handle);
  rig.fs().release(ordinary->handle);
  CHECK(rig.get("durable") == std::string(15'000, 'd') + std::string(9000, 'o'));
  CHECK(rig.get("ordinary") == std::string(18'000, 'd') + std::string(2000, 'o'));
}

TEST_CASE("O_SYNC creation is synced before the reply") {
  const auto scenario = [](RandomChooser& chooser) {
    CoreRig rig(CoreRig::Data::kBacking);
    rig.close(rig.create("log", O_RDWR | O_SYNC));
    rig.crash(chooser);
    const Attributes a = rig.stat("log");
    return rig.backing().exists({a.ino, a.generation});
  };
  CHECK(broken(scenario) == 0);
}

TEST_CASE("truncation to nothing of a synced file is synced at the next release") {
  CoreRig rig(CoreRig::Data::kBacking);
  rig.put("file", "old");
  fsync(rig, "file");
  rig.backing().forget_calls();
  const auto opened = rig.fs().open_file(rig.stat("file").ino, O_WRONLY | O_TRUNC, false);
  REQUIRE(opened.ok());
  rig.write(opened->handle, 0, "new");
  CHECK(rig.backing().count(HostOp::kSyncFile) == 0);
  rig.fs().release(opened->handle);
  CHECK(rig.backing().count(HostOp::kSyncFile) == 1);
}

}  // namespace pmemfs::test
