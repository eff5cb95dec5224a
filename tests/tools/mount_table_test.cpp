#include "tools/mount_table.hpp"

#include <sys/mount.h>
#include <sys/sysmacros.h>

#include <filesystem>

#include "harness/catch.hpp"
#include "support/temp_dir.hpp"

using namespace pmemfs::tools;

namespace {

constexpr const char* kText =
    "22 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n"
    "45 30 0:41 / /mnt/a\\040b rw,nosuid,noatime shared:3 master:1 - fuse.pmemfs /r\\134x "
    "rw,user_id=0,group_id=0,default_permissions,allow_other\n"
    "half a line\n"
    "46 30 0:42 / /mnt/ro ro,relatime - fuse.pmemfs /q ro,lazytime\n";

}  // namespace

TEST_CASE("the mount table: fields, escapes, lines that are not understood") {
  const auto table = parse_mount_table(kText);
  REQUIRE(table.size() == 3);
  CHECK(table[1].id == 45);
  CHECK(table[1].device == ::makedev(0, 41));
  CHECK(table[1].mount_point == "/mnt/a b");
  CHECK(table[1].type == kFilesystemType);
  CHECK(table[1].source == "/r\\x");
  CHECK(parse_mount_table("").empty());
}

TEST_CASE("the flags of a mounted filesystem, of the mount point and of the filesystem") {
  const auto table = parse_mount_table(kText);
  REQUIRE(table.size() == 3);
  CHECK(flags_of(table[1]) == (MS_NOSUID | MS_NOATIME));
  CHECK(flags_of(table[2]) == (MS_RDONLY | MS_RELATIME | MS_LAZYTIME));
}

TEST_CASE("the table of this process has a root") {
  CHECK(find_mount_point("/"));
}

TEST_CASE("canonical paths: links followed, the last part may be missing") {
  const pmemfs::test::TempDir dir;
  const std::string here = std::filesystem::canonical(dir.path());
  std::filesystem::create_directory(dir / "d");
  std::filesystem::create_directory_symlink("d", dir / "link");
  CHECK(canonical_path(dir / "link") == here + "/d");
  CHECK(canonical_path(dir / "link/../d/") == here + "/d");
  CHECK(canonical_path(dir / "new") == here + "/new");
  CHECK(canonical_path(dir / "new/") == here + "/new");
  CHECK_FALSE(canonical_path(dir / "no/new"));
  CHECK(canonical_path("/") == "/");
  CHECK_FALSE(canonical_path(""));
}
