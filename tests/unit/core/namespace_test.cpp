// Names and their inodes, on both placements.
#include <dirent.h>
#include <linux/fs.h>

#include <set>

#include "core_rig.hpp"

namespace pmemfs::test {

namespace {

std::vector<std::string> names_in(CoreRig& rig, InodeNo dir) {
  std::vector<std::string> names;
  REQUIRE(rig.fs()
              .list(dir, 0, false,
                    [&names](const ListedEntry& e) {
                      names.emplace_back(e.name);
                      return true;
                    })
              .ok());
  return names;
}

CoreRig::Data any_placement() {
  return GENERATE(CoreRig::Data::kBacking, CoreRig::Data::kExtents);
}

}  // namespace

TEST_CASE("a new filesystem holds an empty root") {
  CoreRig rig(any_placement());
  CHECK(names_in(rig, kRootInode) == std::vector<std::string>{".", ".."});
  const auto root = rig.fs().getattr(kRootInode);
  REQUIRE(root.ok());
  CHECK(root->mode == (S_IFDIR | 0755));
  CHECK(root->nlink == 2);
}

TEST_CASE("files keep their content over a remount and over the daemon's death") {
  CoreRig rig(any_placement());
  rig.put("a", "content of a");
  rig.remount();
  CHECK(rig.get("a") == "content of a");
  rig.put("b", "content of b");
  rig.kill();
  CHECK(rig.get("a") == "content of a");
  CHECK(rig.get("b") == "content of b");
}

TEST_CASE("errors of names") {
  CoreRig rig(any_placement());
  Filesystem& fs = rig.fs();
  rig.put("file", "x");
  const InodeNo made = rig.mkdir("dir");
  rig.mkdir("sub", made);
  CHECK(fs.create(kRoot, kRootInode, "file", 0644, O_RDWR).code() == EEXIST);
  CHECK(fs.mkdir(kRoot, kRootInode, "file", 0755).code() == EEXIST);
  CHECK(fs.unlink(kRootInode, "none").code() == ENOENT);
  CHECK(fs.unlink(kRootInode, "dir").code() == EISDIR);
  CHECK(fs.rmdir(kRootInode, "file").code() == ENOTDIR);
  CHECK(fs.rmdir(kRootInode, "dir").code() == ENOTEMPTY);
  CHECK(fs.lookup(rig.stat("file").ino, "x").code() == ENOTDIR);
  CHECK(fs.create(kRoot, kRootInode, std::string(256, 'n'), 0644, O_RDWR).code() == ENAMETOOLONG);
  CHECK(fs.link(made, kRootInode, "hard").code() == EPERM);
}

TEST_CASE("a removed inode is not found by its number, held or not") {
  CoreRig rig(any_placement());
  Filesystem& fs = rig.fs();
  const Created file = rig.create("file");
  const InodeNo dir = rig.mkdir("dir");
  REQUIRE(fs.lookup(kRootInode, "dir").ok());
  CHECK(fs.lookup(file.attributes.ino, ".").ok());
  fs.forget(file.attributes.ino, 1);
  REQUIRE(fs.unlink(kRootInode, "file").ok());
  REQUIRE(fs.rmdir(kRootInode, "dir").ok());
  CHECK(fs.lookup(file.attributes.ino, ".").code() == ENOENT);
  CHECK(fs.lookup(dir, ".").code() == ENOENT);
  rig.close(file);
  fs.forget(dir, 1);
  CHECK(fs.lookup(file.attributes.ino, ".").code() == ENOENT);
}

TEST_CASE("link counts follow names") {
  CoreRig rig(any_placement());
  Filesystem& fs = rig.fs();
  rig.put("one", "x");
  const InodeNo ino = rig.stat("one").ino;
  REQUIRE(fs.link(ino, kRootInode, "two").ok());
  fs.forget(ino, 1);
  CHECK(rig.stat("two").nlink == 2);
  REQUIRE(fs.unlink(kRootInode, "one").ok());
  CHECK(rig.stat("two").nlink == 1);
  CHECK(rig.get("two") == "x");
  rig.mkdir("d");
  CHECK(fs.getattr(kRootInode)->nlink == 3);
  REQUIRE(fs.rmdir(kRootInode, "d").ok());
  CHECK(fs.getattr(kRootInode)->nlink == 2);
}

TEST_CASE("an unlinked file lives while it is open, and is gone afterwards") {
  CoreRig rig(any_placement());
  const std::uint64_t before = rig.fs().status().inodes_used;
  const Created file = rig.create("gone");
  REQUIRE(rig.fs().unlink(kRootInode, "gone").ok());
  rig.write(file.opened.handle, 0, "still here");
  CHECK(rig.read_all(file.opened.handle) == "still here");
  CHECK(rig.fs().getattr(file.attributes.ino)->nlink == 0);
  rig.close(file);
  CHECK(rig.fs().getattr(file.attributes.ino).code() == ENOENT);
  CHECK(rig.fs().status().inodes_used == before);
}

TEST_CASE("a crash frees what was unlinked and open") {
  CoreRig rig(any_placement());
  const std::uint64_t before = rig.fs().status().inodes_used;
  const Created file = rig.create("gone");
  REQUIRE(rig.fs().unlink(kRootInode, "gone").ok());
  rig.fs().release(file.opened.handle);
  KeepNone none;
  rig.crash(none);
  CHECK(rig.fs().status().inodes_used == before);
}

TEST_CASE("tmpfile gets its name by link") {
  CoreRig rig(any_placement());
  const auto file = rig.fs().tmpfile(kRoot, kRootInode, 0600, O_RDWR);
  REQUIRE(file.ok());
  rig.write(file->opened.handle, 0, "made in private");
  CHECK(file->attributes.nlink == 0);
  REQUIRE(rig.fs().link(file->attributes.ino, kRootInode, "public").ok());
  rig.fs().forget(file->attributes.ino, 1);
  rig.close(*file);
  CHECK(rig.get("public") == "made in private");
}

TEST_CASE("rename in all its forms") {
  CoreRig rig(any_placement());
  Filesystem& fs = rig.fs();
  rig.put("a", "A");
  rig.put("b", "B");
  const auto rename = [&fs](std::string_view from, std::string_view to, unsigned flags = 0) {
    return fs.rename(kRoot, kRootInode, from, kRootInode, to, flags).code();
  };
  SECTION("over a file") {
    CHECK(rename("a", "b") == 0);
    CHECK_FALSE(rig.exists("a"));
    CHECK(rig.get("b") == "A");
  }
  SECTION("NOREPLACE") {
    CHECK(rename("a", "b", RENAME_NOREPLACE) == EEXIST);
    CHECK(rename("a", "c", RENAME_NOREPLACE) == 0);
    CHECK(rig.get("c") == "A");
  }
  SECTION("EXCHANGE") {
    CHECK(rename("a", "none", RENAME_EXCHANGE) == ENOENT);
    CHECK(rename("a", "b", RENAME_EXCHANGE) == 0);
    CHECK(rig.get("a") == "B");
    CHECK(rig.get("b") == "A");
    CHECK(rename("a", "b", RENAME_EXCHANGE | RENAME_NOREPLACE) == EINVAL);
  }
  SECTION("WHITEOUT") {
    CHECK(rename("a", "c", RENAME_WHITEOUT) == 0);
    CHECK(rig.stat("a").mode == S_IFCHR);
    CHECK(rig.stat("a").rdev == 0);
    CHECK(rig.get("c") == "A");
  }
  SECTION("directories") {
    const InodeNo x = rig.mkdir("x");
    const InodeNo y = rig.mkdir("y", x);
    rig.mkdir("z");
    CHECK(rename("a", "x") == EISDIR);
    CHECK(rename("x", "a") == ENOTDIR);
    CHECK(rename("z", "x") == ENOTEMPTY);
    CHECK(fs.rename(kRoot, kRootInode, "x", y, "inside", 0).code() == EINVAL);
    CHECK(fs.rename(kRoot, x, "y", kRootInode, "y", 0).code() == 0);
    CHECK(fs.getattr(x)->nlink == 2);
    CHECK(fs.getattr(kRootInode)->nlink == 5);
    const auto parent = fs.lookup(y, "..");
    REQUIRE(parent.ok());
    CHECK(parent->ino == kRootInode);
    fs.forget(kRootInode, 1);
    CHECK(rename("z", "x") == 0);
    CHECK(fs.getattr(kRootInode)->nlink == 4);
  }
  rig.remount();
  CHECK(rig.exists("b"));
}

TEST_CASE("listing goes on at a cookie while names come and go") {
  CoreRig rig(any_placement());
  std::set<std::string> stay;
  for (int i = 0; i < 500; i++) {
    const std::string name = "stays-" + std::to_string(i);
    rig.put(name, "");
    stay.insert(name);
  }
  std::multiset<std::string> seen;
  std::uint64_t cookie = 0;
  for (int round = 0; round < 1000; round++) {
    std::size_t taken = 0;
    REQUIRE(rig.fs()
                .list(kRootInode, cookie, true,
                      [&](const ListedEntry& e) {
                        if (taken == 7)
                          return false;
                        taken++;
                        if (e.attributes != nullptr)
                          rig.fs().forget(e.ino, 1);
                        seen.insert(std::string(e.name));
                        cookie = e.next;
                        return true;
                      })
                .ok());
    if (taken == 0) {
      break;
    }
    const std::string passing = "passing-" + std::to_string(round);
    rig.put(passing, "");
    if (round % 2 == 0) {
      REQUIRE(rig.fs().unlink(kRootInode, passing).ok());
    }
  }
  for (const std::string& name : stay) {
    CHECK(seen.count(name) == 1);
  }
  CHECK(rig.fs().status().inodes_in_memory == 1);  // every reference was given back
}

TEST_CASE("the index of a directory goes with its node") {
  CoreRig rig(any_placement());
  const InodeNo dir = rig.mkdir("dir");
  const std::uint64_t before = rig.fs().status().directory_index_bytes;  // the root's
  const auto held = rig.fs().lookup(kRootInode, "dir");
  REQUIRE(held.ok());
  for (int i = 0; i < 200; i++) {
    rig.close(rig.create("f" + std::to_string(i), O_RDWR, dir));
  }
  CHECK(rig.fs().status().directory_index_bytes > before + 200);
  rig.fs().forget(dir, 1);
  CHECK(rig.fs().status().directory_index_bytes == before);
}

TEST_CASE("long and short symlinks") {
  CoreRig rig(any_placement());
  for (const std::size_t length : {1U, 72U, 73U, 4095U}) {
    const std::string target(length, 't');
    const std::string name = "link" + std::to_string(length);
    const auto made = rig.fs().symlink(kRoot, kRootInode, name, target);
    REQUIRE(made.ok());
    CHECK(made->size == length);
    CHECK(*rig.fs().readlink(made->ino) == target);
    rig.fs().forget(made->ino, 1);
  }
  CHECK(rig.fs().symlink(kRoot, kRootInode, "long", std::string(4096, 't')).code() == ENAMETOOLONG);
  rig.remount();
  CHECK(rig.fs().readlink(rig.stat("link4095").ino)->size() == 4095);
}

}  // namespace pmemfs::test
