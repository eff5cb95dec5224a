#include "tools/mount_options.hpp"

#include <sys/mount.h>

#include <algorithm>

#include "harness/catch.hpp"
#include "tools/failure.hpp"

using namespace pmemfs::tools;

namespace {

MountOptions parse(const std::string& list, bool sloppy = false) {
  return parse_mount_options(std::vector<std::string>{list}, sloppy);
}

// The line that a wrong list is answered with.
std::string complaint(const std::string& list) {
  try {
    parse(list);
  } catch (const Failure& failure) {
    CHECK(failure.exit_code() == kExitUsage);
    return failure.what();
  }
  return "";
}

using Strings = std::vector<std::string>;

}  // namespace

TEST_CASE("flags of mount(8): the last word wins") {
  struct Row {
    const char* list;
    unsigned long flags;
  };
  const Row rows[] = {
      {"", 0},
      {"rw", 0},
      {"ro", MS_RDONLY},
      {"ro,rw", 0},
      {"rw,ro", MS_RDONLY},
      {"defaults", 0},
      {"nosuid,nodev,noexec", MS_NOSUID | MS_NODEV | MS_NOEXEC},
      {"nosuid,suid,nodev,dev,noexec,exec", 0},
      {"sync,dirsync", MS_SYNCHRONOUS | MS_DIRSYNC},
      {"sync,async", 0},
      {"noatime", MS_NOATIME},
      {"noatime,relatime", MS_RELATIME},
      {"relatime,noatime", MS_NOATIME},
      {"relatime,strictatime", MS_STRICTATIME},
      {"nodiratime,lazytime", MS_NODIRATIME | MS_LAZYTIME},
      {"nodiratime,diratime,lazytime,nolazytime", 0},
      {"nosymfollow", 256},
      {"silent", MS_SILENT},
  };
  for (const Row& row : rows) {
    INFO(row.list);
    CHECK(parse(row.list).flags() == row.flags);
  }
  CHECK(parse("ro").read_only());
  CHECK_FALSE(parse("ro,rw").read_only());
}

TEST_CASE("a negative word also clears what is mounted, for remount") {
  CHECK((parse("rw").clear_flags & MS_RDONLY) != 0);
  CHECK((parse("relatime").clear_flags & MS_NOATIME) != 0);
  CHECK((parse("rw,ro").clear_flags & MS_RDONLY) == 0);
  CHECK(parse("remount,ro").remount);
}

TEST_CASE("what is meant for others has no effect and no complaint") {
  const MountOptions options = parse(
      "defaults,auto,noauto,user,user=joe,users,owner,group,nofail,_netdev,comment=x y,"
      "x-systemd.automount,X-mount.mkdir=0755,uhelper=udisks,helper=fuse,mand,nonempty,"
      "allow_other,default_permissions,subtype=pmemfs");
  CHECK(options.flags() == 0);
  CHECK(options.own.empty());
  CHECK(options.kernel.empty());
}

TEST_CASE("our own options") {
  const MountOptions options = parse(
      "durable_uid=0:1000,durable_uid=7,durable_gid=root,durable_all,durable_max=10G,"
      "durable_io=fast,no_passthrough,threads=3,index_memory=2M,idle_backing=0,spin=5");
  CHECK(options.durable_uids == std::vector<std::uint32_t>{0, 1000, 7});
  CHECK(options.durable_gids == std::vector<std::uint32_t>{0});
  CHECK(options.durable_all);
  CHECK(options.durable_max.of(1) == 10ULL << 30U);
  CHECK(options.durable_fast_io);
  CHECK_FALSE(options.passthrough);
  CHECK(options.threads == 3);
  CHECK(options.index_memory == 2U << 20U);
  CHECK(options.idle_backing == 0);
  CHECK(options.spin == 5);
  CHECK(options.own.size() == 11);
  CHECK(parse("durable_max=25%").durable_max.of(4000) == 1000);
  CHECK(parse("").durable_max.of(4000) == UINT64_MAX);
  CHECK_FALSE(parse("durable_io=fast,durable_io=safe").durable_fast_io);
}

TEST_CASE("unknown and malformed options are named in one line") {
  struct Row {
    const char* list;
    const char* named;
  };
  const Row rows[] = {
      {"bogus", "'bogus'"},
      {"rw,bogus=1,ro", "'bogus=1'"},
      {"fsname=x", "'fsname=x'"},
      {"ro=1", "'ro=1'"},
      {"durable_all=yes", "'durable_all=yes'"},
      {"durable_uid", "'durable_uid'"},
      {"durable_uid=", "'durable_uid='"},
      {"durable_uid=no such user", "'no such user'"},
      {"durable_uid=0:", "'durable_uid=0:'"},
      {"durable_uid=4294967295", "'4294967295'"},
      {"durable_gid=99999999999", "'99999999999'"},
      {"durable_max=x", "'durable_max=x'"},
      {"durable_max=101%", "'durable_max=101%'"},
      {"durable_max=%", "'durable_max=%'"},
      {"durable_max=-1", "'durable_max=-1'"},
      {"durable_io=", "'durable_io='"},
      {"durable_io=quick", "'durable_io=quick'"},
      {"threads=0", "'threads=0'"},
      {"threads=x", "'threads=x'"},
      {"threads=100000", "'threads=100000'"},
      {"index_memory=1K", "'index_memory=1K'"},
      {"idle_backing=-1", "'idle_backing=-1'"},
      {"spin=1s", "'spin=1s'"},
      {"subtype=other", "'subtype=other'"},
  };
  for (const Row& row : rows) {
    INFO(row.list);
    const std::string line = complaint(row.list);
    INFO(line);
    CHECK(line.find(row.named) != std::string::npos);
    CHECK(line.find('\n') == std::string::npos);
  }
}

TEST_CASE("sloppy tolerates unknown options, not malformed ones") {
  CHECK(parse("bogus,ro", true).unknown == Strings{"bogus"});
  CHECK(parse("bogus,sloppy,ro").read_only());
  CHECK_THROWS_AS(parse("threads=x", true), Failure);
}

TEST_CASE("commas: quoted, escaped, doubled") {
  CHECK(split_options("a,,b,") == Strings{"a", "b"});
  CHECK(split_options("context=\"a:b,c\",ro") == Strings{"context=a:b,c", "ro"});
  CHECK(split_options("a\\,b,c\\\\d,e\\f") == Strings{"a,b", "c\\d", "e\\f"});
  const Strings odd = {"a,b", "c\\", "d"};
  CHECK(split_options(join_options(odd)) == odd);
}

TEST_CASE("what the helper passes on to the daemon") {
  const Strings lists = {"rw,noauto,x-systemd.automount,bogus", "threads=2,noatime"};
  CHECK(options_for_daemon(lists) == Strings{"rw", "threads=2", "noatime"});
}

TEST_CASE("words for the kernel keep their order") {
  CHECK(parse("ro,nosuid,context=x,rw,nofail").kernel ==
        Strings{"ro", "nosuid", "context=x", "rw"});
}

TEST_CASE("help names every option of our own") {
  const std::string help = describe_own_options();
  const auto names = own_option_names();
  CHECK(names.size() == 10);
  CHECK(std::all_of(names.begin(), names.end(),
                    [&](const std::string& name) { return help.find(name) != std::string::npos; }));
}
