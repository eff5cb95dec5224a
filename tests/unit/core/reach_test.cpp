// Opens by another kernel than the mount's.
#include <sys/resource.h>

#include <functional>

#include "core_rig.hpp"

namespace pmemfs::test {
namespace {

constexpr auto kBoth = {CoreRig::Data::kBacking, CoreRig::Data::kExtents};

TEST_CASE("what another kernel opens is served, whatever the mount was granted") {
  for (const auto data : kBoth) {
    CoreRig rig(data);
    rig.put("plain", "p");
    rig.put("durable", "d");
    REQUIRE(rig.set_durable("durable") == 0);
    const auto path = [&](std::string_view name, Reach reach) {
      const auto opened = rig.fs().open_file(rig.stat(name).ino, O_RDWR, false, reach);
      REQUIRE(opened.ok());
      rig.fs().release(opened->handle);
      return opened->path;
    };
    CHECK(path("plain", Reach::kServed) == DataPath::kCached);
    CHECK(path("durable", Reach::kServed) == DataPath::kDirect);
    CHECK(path("plain", Reach::kDirect) == DataPath::kDirect);
    CHECK(path("durable", Reach::kDirect) == DataPath::kDirect);
    if (data == CoreRig::Data::kBacking) {
      CHECK(path("plain", Reach::kMount) == DataPath::kPassthrough);
      CHECK(path("durable", Reach::kMount) == DataPath::kPassthroughDirect);
    }
    const auto made = rig.fs().create(kRoot, kRootInode, "new", 0600, O_RDWR, Reach::kServed);
    REQUIRE(made.ok());
    CHECK(made->opened.path == DataPath::kCached);
    const auto unnamed = rig.fs().tmpfile(kRoot, kRootInode, 0600, O_RDWR, Reach::kDirect);
    REQUIRE(unnamed.ok());
    CHECK(unnamed->opened.path == DataPath::kDirect);
  }
}

TEST_CASE("a file does not become durable while another kernel may have it cached") {
  for (const auto data : kBoth) {
    CoreRig rig(data);
    rig.put("db", "content");
    const InodeNo ino = rig.stat("db").ino;
    const auto cached = rig.fs().open_file(ino, O_RDWR, false, Reach::kServed);
    REQUIRE(cached.ok());
    CHECK(rig.set_durable("db") == EBUSY);
    rig.fs().release(cached->handle);
    const auto direct = rig.fs().open_file(ino, O_RDWR, false, Reach::kDirect);
    REQUIRE(direct.ok());
    CHECK(rig.set_durable("db") == 0);
  }
}

// How often this thread had to wait, or slept.
long waits_of(const std::function<void()>& act) {
  rusage before{};
  rusage after{};
  REQUIRE(::getrusage(RUSAGE_THREAD, &before) == 0);
  act();
  REQUIRE(::getrusage(RUSAGE_THREAD, &after) == 0);
  return after.ru_nvcsw - before.ru_nvcsw;
}

TEST_CASE("only who has a file cached and may be closing it is waited for") {
  constexpr long kMany = 150;  // of 200
  for (const auto data : kBoth) {
    CoreRig rig(data);
    rig.fs().set_passthrough(false);
    rig.put("db", "content");
    const InodeNo ino = rig.stat("db").ino;
    const auto opened_by = [&](Reach reach) {
      const auto opened = rig.fs().open_file(ino, O_RDWR, false, reach);
      REQUIRE(opened.ok());
      return opened->handle;
    };
    const HandleId mounts = opened_by(Reach::kMount);
    CHECK(waits_of([&] { CHECK(rig.set_durable("db") == EBUSY); }) > kMany);
    const HandleId guests = opened_by(Reach::kServed);
    CHECK(waits_of([&] { CHECK(rig.set_durable("db") == EBUSY); }) < kMany);
    rig.fs().release(mounts);
    CHECK(waits_of([&] { CHECK(rig.set_durable("db") == EBUSY); }) < kMany);
    rig.fs().release(guests);
    opened_by(Reach::kDirect);
    CHECK(waits_of([&] { CHECK(rig.set_durable("db") == 0); }) < kMany);
    opened_by(Reach::kMount);
    CHECK(waits_of([&] { CHECK(rig.set_durable("db") == 0); }) < kMany);
  }
}

TEST_CASE("no access time moves by a handle, or a listing, that asks for that") {
  CoreRig rig(CoreRig::Data::kExtents);
  rig.put("a", "content");
  const InodeNo ino = rig.stat("a").ino;
  AttributeChange old;
  old.atime = Timestamp{1, 0};
  REQUIRE(rig.fs().setattr(kRoot, ino, old).ok());
  REQUIRE(rig.fs().setattr(kRoot, kRootInode, old).ok());
  const auto read = [&](int flags) {
    std::array<std::byte, 7> buffer{};
    const auto opened = rig.fs().open_file(ino, O_RDONLY | flags, false);
    REQUIRE(opened.ok());
    REQUIRE(rig.fs().read(opened->handle, 0, buffer).ok());
    rig.fs().release(opened->handle);
    return rig.fs().getattr(ino)->atime.sec;
  };
  const auto list = [&](bool touch) {
    const auto all = [](const ListedEntry&) {
      return true;
    };
    REQUIRE(rig.fs().list(kRootInode, 0, false, all, touch).ok());
    return rig.fs().getattr(kRootInode)->atime.sec;
  };
  CHECK(read(O_NOATIME) == 1);
  CHECK(read(0) > 1);
  CHECK(list(false) == 1);
  CHECK(list(true) > 1);
}

}  // namespace
}  // namespace pmemfs::test
