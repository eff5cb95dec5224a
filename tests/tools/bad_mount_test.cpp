// Mounts that are refused: one clear line, mount(8)'s exit codes, and a region as it was.
#include <sys/mount.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>
#include <filesystem>

#include "base/crc32c.hpp"
#include "harness/catch.hpp"
#include "pmemfs/format.hpp"
#include "program_output.hpp"
#include "support/mount_fixture.hpp"
#include "support/temp_dir.hpp"

using namespace pmemfs::test;
namespace fs = std::filesystem;
namespace format = pmemfs::format;

namespace {

// A region and a mount point in a folder of their own; unmounted at the end if a test went wrong.
struct Stage {
  TempDir dir{scratch()};
  std::string region = dir / "region";
  std::string point = dir / "mnt";

  Stage() {
    need_mounting();
    fs::create_directory(point);
    make_region(region);
  }
  Stage(const Stage&) = delete;
  Stage& operator=(const Stage&) = delete;
  ~Stage() { ::umount2(point.c_str(), MNT_DETACH); }

  void check(int code, const std::string& mention, const std::string& options = "rw") const {
    check_at(region, point, code, mention, options);
  }
  void check_at(const std::string& source, const std::string& where, int code,
                const std::string& mention, const std::string& options = "rw") const {
    const std::uint32_t before = fingerprint(region);
    check_refused({program("mount.fuse.pmemfs"), source, where, "-o", options}, code, mention);
    CHECK(fingerprint(region) == before);
  }
};

// Changes one superblock, the first or its copy, and makes its crc right again.
void patch_superblock(const std::string& file, std::uint64_t block,
                      void (*change)(format::Superblock&), bool good_crc = true) {
  std::string bytes = read_file(file);
  format::Superblock sb{};
  const std::size_t at = block * format::kBlockSize;
  std::memcpy(&sb, bytes.data() + at, sizeof sb);
  change(sb);
  if (good_crc) {
    sb.crc.store(pmemfs::base::crc32c(0, &sb, offsetof(format::Superblock, crc)));
  }
  std::memcpy(bytes.data() + at, &sb, sizeof sb);
  write_file(file, bytes);
}

void damage(format::Superblock& sb) {
  sb.inode_root.store(sb.inode_root.load() + 1);
}
void from_the_future(format::Superblock& sb) {
  sb.incompat.store(1ULL << 40U);
}
void readable_only(format::Superblock& sb) {
  sb.ro_compat.store(1ULL << 40U);
}

std::string shell_quote(const std::string& text) {
  return "'" + text + "'";
}

}  // namespace

TEST_CASE("what is not a region") {
  const Stage stage;
  const std::string& dir = stage.dir.path();
  fs::create_directory(dir + "/empty");
  fs::permissions(dir + "/empty", fs::perms::owner_all);
  stage.check_at(dir + "/empty", stage.point, 32, "not a pmemfs region");
  write_file(dir + "/zeros", std::string(16U << 20U, '\0'));
  fs::permissions(dir + "/zeros", fs::perms::owner_read | fs::perms::owner_write);
  stage.check_at(dir + "/zeros", stage.point, 32, "not a pmemfs region");
  stage.check_at(dir + "/missing", stage.point, 32, "does not exist");
  stage.check_at("/dev/null", stage.point, 32, "/dev/null");
}

TEST_CASE("a region that others can write or own") {
  const Stage stage;
  fs::permissions(stage.region, fs::perms::all);
  stage.check(1, stage.region);
  fs::permissions(stage.region, fs::perms::owner_all);
  REQUIRE(::chown(stage.region.c_str(), 65534, 65534) == 0);
  stage.check(1, stage.region);
}

TEST_CASE("a newer format") {
  const Stage stage;
  const std::string file = stage.region + "/region";
  patch_superblock(file, 0, from_the_future);
  patch_superblock(file, format::kSuperblockCopyBlock, from_the_future);
  stage.check(32, "newer");
}

TEST_CASE("an older format") {
  const Stage stage;
  const std::string file = stage.region + "/region";
  const auto older = [](format::Superblock& sb) {
    sb.version.store(format::kFormatVersion - 1);
  };
  patch_superblock(file, 0, older);
  patch_superblock(file, format::kSuperblockCopyBlock, older);
  stage.check(32, "older format");
}

TEST_CASE("a format that this version may only read is mounted read-only") {
  const Stage stage;
  const std::string file = stage.region + "/region";
  patch_superblock(file, 0, readable_only);
  patch_superblock(file, format::kSuperblockCopyBlock, readable_only);
  const ProgramResult result =
      run_program({program("mount.fuse.pmemfs"), "-v", stage.region, stage.point});
  INFO(result.output);
  CHECK(result.status == 0);
  CHECK(result.output.find("read-only") != std::string::npos);
  CHECK(::access(stage.point.c_str(), W_OK) != 0);
  CHECK(run_program({program("umount.fuse.pmemfs"), stage.point}).status == 0);
}

TEST_CASE("one damaged superblock: the copy serves, with a warning; two: refused") {
  const Stage stage;
  const std::string file = stage.region + "/region";
  patch_superblock(file, 0, damage, false);
  const ProgramResult result =
      run_program({program("mount.fuse.pmemfs"), "-v", stage.region, stage.point});
  INFO(result.output);
  CHECK(result.status == 0);
  CHECK(result.output.find("first superblock is damaged") != std::string::npos);
  CHECK(run_program({program("umount.fuse.pmemfs"), stage.point}).status == 0);
  patch_superblock(file, 0, damage, false);
  patch_superblock(file, format::kSuperblockCopyBlock, damage, false);
  stage.check(32, "both superblocks are damaged");
  // Overwritten altogether: not taken for a region that nobody made.
  const auto wipe = [](format::Superblock& superblock) {
    std::memset(&superblock, 0x5a, sizeof(superblock));
  };
  patch_superblock(file, 0, wipe, false);
  patch_superblock(file, format::kSuperblockCopyBlock, wipe, false);
  stage.check(32, "both superblocks are damaged");
}

TEST_CASE("a region that was cut short, or lost its data directories") {
  const Stage stage;
  SECTION("cut short") {
    fs::resize_file(stage.region + "/region", 16U << 20U);
    const std::string big = stage.dir / "big";
    make_region(big, {"--size=32M"});
    fs::resize_file(big, 16U << 20U);
    stage.check_at(big, stage.point, 32, "shorter");
  }
  SECTION("too short for any region") {
    fs::resize_file(stage.region + "/region", 1U << 20U);
    stage.check(32, "size");
  }
  SECTION("one of its directories is missing") {
    fs::remove(stage.region + "/data/7f");
    stage.check(32, "missing");
  }
  SECTION("all of them are") {
    fs::remove_all(stage.region + "/data");
    stage.check(32, stage.region);
  }
}

TEST_CASE("a region that is mounted: refused at once, by mkfs too, naming place and process") {
  const Mount mount({});
  const std::string elsewhere = mount.root() + ".2";
  fs::create_directory(elsewhere);
  const std::uint32_t before = fingerprint(mount.region());
  const std::string process = "process " + std::to_string(mount.daemon());
  const auto start = std::chrono::steady_clock::now();
  const std::string line = check_refused({program("mount.fuse.pmemfs"), mount.region(), elsewhere},
                                         32, "mounted on " + mount.root());
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(8));
  CHECK(line.find(process) != std::string::npos);
  check_refused({program("mkfs.pmemfs"), "--emulate", "-f", mount.region()}, 32, process);
  CHECK(fingerprint(mount.region()) == before);
  CHECK(mount.alive());
}

TEST_CASE("options and mount points") {
  const Stage stage;
  stage.check(1, "'bogus'", "rw,bogus");
  stage.check(1, "'threads=x'", "threads=x");
  stage.check(1, "'durable_uid=no.such.user'", "durable_uid=no.such.user");
  stage.check_at(stage.region, stage.dir / "missing", 32, "does not exist");
  stage.check_at(stage.region, stage.dir / "mis/sing", 32, "does not exist");
  write_file(stage.dir / "file", "");
  stage.check_at(stage.region, stage.dir / "file", 32, "not a directory");
  stage.check(32, "leave out remount", "remount,ro");
}

TEST_CASE("no privilege") {
  const Stage stage;
  // The program must be reachable for the other user.
  const std::string copy = stage.dir / "pmemfs";
  fs::copy_file(program("pmemfs"), copy);
  fs::permissions(stage.dir.path(), fs::perms::owner_all | fs::perms::others_exec);
  fs::permissions(copy, fs::perms::all & ~fs::perms::others_write & ~fs::perms::group_write);
  const ProgramResult result = run_program({"setpriv", "--reuid=65534", "--regid=65534",
                                            "--clear-groups", copy, stage.region, stage.point});
  INFO(result.output);
  CHECK(result.status == 1);
  CHECK(result.output == "pmemfs: mounting needs root (CAP_SYS_ADMIN); run it as root\n");
}

TEST_CASE("/dev/fuse missing or closed") {
  const Stage stage;
  const TempDir on_disk;
  const std::string region = on_disk / "region";
  make_region(region);
  const std::string point = on_disk / "mnt";
  fs::create_directory(point);
  const std::string mount = shell_quote(program("mount.fuse.pmemfs")) + " " + shell_quote(region) +
                            " " + shell_quote(point);
  const std::uint32_t before = fingerprint(region);
  SECTION("missing") {
    check_refused({"unshare", "-m", "sh", "-c", "mount -t tmpfs none /dev && " + mount}, 32,
                  "modprobe fuse");
  }
  SECTION("closed") {
    check_refused({"unshare", "-m", "sh", "-c",
                   "mount -t tmpfs -o nodev none /dev && mknod /dev/fuse c 10 229 && " + mount},
                  32, "/dev/fuse");
  }
  CHECK(fingerprint(region) == before);
}

TEST_CASE("a region on a read-only filesystem: refused, read-only accepted") {
  const Stage stage;
  const std::string& dir = stage.dir.path();
  fs::create_directory(dir + "/ro");
  REQUIRE(::mount(dir.c_str(), (dir + "/ro").c_str(), nullptr, MS_BIND, nullptr) == 0);
  REQUIRE(::mount(nullptr, (dir + "/ro").c_str(), nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY,
                  nullptr) == 0);
  const std::string region = dir + "/ro/region";
  check_refused({program("mount.fuse.pmemfs"), region, stage.point}, 32, "-o ro");
  check_refused({program("mkfs.pmemfs"), "--emulate", "-f", region}, 32, "read-only");
  const ProgramResult result =
      run_program({program("mount.fuse.pmemfs"), region, stage.point, "-o", "ro"});
  INFO(result.output);
  CHECK(result.status == 0);
  CHECK(run_program({program("umount.fuse.pmemfs"), stage.point}).status == 0);
  ::umount2((dir + "/ro").c_str(), MNT_DETACH);
}
