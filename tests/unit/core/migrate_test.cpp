// Files that leave for another filesystem: nothing that comes between copy and removal is lost.
#include "core_rig.hpp"

using namespace pmemfs;
using namespace pmemfs::test;

namespace {

// On both placements.
template <typename Body>
void on_both(const Body& body) {
  for (const auto data : {CoreRig::Data::kBacking, CoreRig::Data::kExtents}) {
    CoreRig rig(data);
    rig.put("file", "content");
    body(rig);
  }
}

int leave(CoreRig& rig, const FileStamp& stamp, std::string_view name = "file") {
  return rig.fs().unlink_moved(kRootInode, name, stamp).code();
}

FileStamp stamp_of(CoreRig& rig, std::string_view name = "file") {
  const auto stamp = rig.fs().stamp_to_move(rig.stat(name).ino);
  REQUIRE(stamp.code() == 0);
  return *stamp;
}

}  // namespace

TEST_CASE("an unchanged file leaves, and the edge hears of the name") {
  on_both([](CoreRig& rig) {
    std::string gone;
    EdgeHooks hooks;
    hooks.name_gone = [&gone](InodeNo dir, InodeNo child, std::string_view name) {
      gone =
          std::to_string(dir.value) + "/" + std::string(name) + "=" + std::to_string(child.value);
    };
    rig.fs().set_hooks(hooks);
    const FileStamp stamp = stamp_of(rig);
    CHECK(leave(rig, stamp) == 0);
    CHECK_FALSE(rig.exists("file"));
    CHECK(gone == "1/file=" + std::to_string(stamp.ino.value));
    CHECK(leave(rig, stamp) == ENOENT);
  });
}

TEST_CASE("a file that changed after its stamp stays: data, attributes, another file of its name") {
  on_both([](CoreRig& rig) {
    const FileStamp written = stamp_of(rig);
    rig.put("other", "x");
    const auto opened = rig.fs().open_file(written.ino, O_WRONLY, false);
    REQUIRE(opened.code() == 0);
    rig.write(opened->handle, 0, "CONTENT");  // as long as before, within the same tick
    rig.fs().release(opened->handle);
    CHECK(leave(rig, written) == EAGAIN);

    const FileStamp owned = stamp_of(rig);
    AttributeChange change;
    change.uid = 12;
    REQUIRE(rig.fs().setattr(kRoot, owned.ino, change).code() == 0);
    CHECK(leave(rig, owned) == EAGAIN);

    const FileStamp replaced = stamp_of(rig);
    REQUIRE(rig.fs().rename(kRoot, kRootInode, "other", kRootInode, "file", 0).code() == 0);
    CHECK(leave(rig, replaced) == EAGAIN);
    CHECK(rig.get("file") == "x");
  });
}

TEST_CASE(
    "of several links each leaves under the same stamp, unless something changes in between") {
  on_both([](CoreRig& rig) {
    const InodeNo ino = rig.stat("file").ino;
    for (const char* name : {"second", "third"}) {
      REQUIRE(rig.fs().link(ino, kRootInode, name).code() == 0);
      rig.fs().forget(ino, 1);
    }
    const FileStamp stamp = stamp_of(rig);
    CHECK(leave(rig, stamp) == 0);
    CHECK(leave(rig, stamp, "second") == 0);
    AttributeChange change;  // in the tick in which a link went
    change.mode = 0600;
    REQUIRE(rig.fs().setattr(kRoot, ino, change).code() == 0);
    CHECK(leave(rig, stamp, "third") == EAGAIN);
    CHECK(rig.get("third") == "content");
    CHECK(leave(rig, stamp_of(rig, "third"), "third") == 0);
  });
}

TEST_CASE("what may not leave: durable files, open ones, directories") {
  on_both([](CoreRig& rig) {
    const FileStamp stamp = stamp_of(rig);
    const auto opened = rig.fs().open_file(stamp.ino, O_RDONLY, false);
    REQUIRE(opened.code() == 0);
    CHECK(rig.fs().stamp_to_move(stamp.ino).code() == EBUSY);
    CHECK(leave(rig, stamp) == EBUSY);
    rig.fs().release(opened->handle);
    REQUIRE(rig.set_durable("file") == 0);
    CHECK(rig.fs().stamp_to_move(stamp.ino).code() == ETXTBSY);
    CHECK(leave(rig, stamp) == ETXTBSY);
    CHECK(rig.fs().stamp_to_move(kRootInode).code() == EISDIR);
    CHECK(rig.get("file") == "content");
  });
}
