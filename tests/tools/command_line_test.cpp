#include "harness/catch.hpp"
#include "tools/ctl_options.hpp"
#include "tools/daemon_options.hpp"
#include "tools/failure.hpp"
#include "tools/helper_options.hpp"
#include "tools/mkfs_options.hpp"
#include "tools/uuid.hpp"

using namespace pmemfs::tools;

namespace {

using Words = std::vector<const char*>;

template <typename Parse>
auto parsed(Parse parse, Words words) {
  words.insert(words.begin(), "program");
  return parse(static_cast<int>(words.size()), words.data());
}

template <typename Parse>
std::string complaint(Parse parse, const Words& words) {
  try {
    parsed(parse, words);
  } catch (const Failure& failure) {
    CHECK(failure.exit_code() == kExitUsage);
    CHECK(std::string(failure.what()).find('\n') == std::string::npos);
    return failure.what();
  }
  return "(accepted)";
}

bool names(const std::string& line, const std::string& what) {
  INFO(line);
  return line.find(what) != std::string::npos;
}

}  // namespace

TEST_CASE("mkfs: options") {
  const auto options =
      parsed(parse_mkfs_options, {"--emulate", "-f", "--size=64M", "-L", "data", "--uuid",
                                  "01234567-89ab-cdef-0123-456789abcdef", "--root-owner", "1000:0",
                                  "--root-mode", "1777", "-q", "/p"});
  REQUIRE(options);
  CHECK(options->path == "/p");
  CHECK(options->emulate);
  CHECK(options->force);
  CHECK(options->quiet);
  CHECK(options->size == 64U << 20U);
  CHECK(options->label == "data");
  CHECK(show_uuid(options->uuid) == "01234567-89ab-cdef-0123-456789abcdef");
  CHECK(options->root_uid == 1000);
  CHECK(options->root_gid == 0);
  CHECK(options->root_mode == 01777);
}

TEST_CASE("mkfs: wrong words are named") {
  const std::string long_label(64, 'x');
  const auto says = [](const Words& words) {
    return complaint(parse_mkfs_options, words);
  };
  CHECK(names(says({}), "missing"));
  CHECK(names(says({"a", "b"}), "too many"));
  CHECK(names(says({"--bogus", "a"}), "--bogus"));
  CHECK(names(says({"--emul", "a"}), "--emul"));
  CHECK(names(says({"--size", "x", "a"}), "--size=x"));
  CHECK(names(says({"--size=0", "a"}), "--size=0"));
  CHECK(names(says({"-L", long_label.c_str(), "a"}), "--label"));
  CHECK(names(says({"-U", "1", "a"}), "--uuid=1"));
  CHECK(names(says({"-U", "00000000-0000-0000-0000-000000000000", "a"}), "--uuid"));
  CHECK(names(says({"--root-owner=0", "a"}), "--root-owner=0"));
  CHECK(names(says({"--root-owner=nobody-here:0", "a"}), "--root-owner"));
  CHECK(names(says({"--root-mode=9", "a"}), "--root-mode=9"));
}

TEST_CASE("daemon: options") {
  const auto options = parsed(parse_daemon_options, {"/r", "/m", "-f", "-o", "ro,noatime",
                                                     "-othreads=2", "--options", "nosuid"});
  REQUIRE(options);
  CHECK(options->region == "/r");
  CHECK(options->mount_point == "/m");
  CHECK(options->foreground);
  CHECK(options->mount.read_only());
  CHECK(options->mount.threads == 2);
  CHECK(options->mount.kernel == std::vector<std::string>{"ro", "noatime", "nosuid"});
  CHECK(parsed(parse_daemon_options, {"-d", "/r", "/m"})->foreground);
  CHECK(parsed(parse_daemon_options, {"--", "-r", "-m"})->region == "-r");
}

TEST_CASE("daemon: wrong words are named") {
  const auto says = [](const Words& words) {
    return complaint(parse_daemon_options, words);
  };
  CHECK(names(says({"/r"}), "mount point, or --virtiofs for virtual machines, is missing"));
  CHECK(names(says({"/r", "/m", "/x"}), "too many"));
  CHECK(names(says({"/r", "/m", "-o", "remount"}), "remount"));
  CHECK(names(says({"/r", "/m", "-o", "bogus"}), "bogus"));
  CHECK(names(says({"/r", "/m", "-o"}), "options"));
}

TEST_CASE("mount helper: as mount(8) calls it") {
  const auto options = parsed(parse_mount_helper_options, {"/r", "/m", "-sfnv", "-t", "fuse.pmemfs",
                                                           "-N", "12", "-o", "rw,bogus,threads=1"});
  REQUIRE(options);
  CHECK(options->source == "/r");
  CHECK(options->directory == "/m");
  CHECK(options->fake);
  CHECK(options->verbose);
  CHECK(options->mount_namespace == "12");
  CHECK(options->mount.threads == 1);
  CHECK(parsed(parse_mount_helper_options, {"-o", "remount,ro", "/r", "/m"})->mount.remount);
  const auto says = [](const Words& words) {
    return complaint(parse_mount_helper_options, words);
  };
  CHECK(names(says({"/r", "/m", "-o", "bogus"}), "'bogus'"));
  CHECK(names(says({"/r", "/m", "-t", "ext4"}), "-t ext4"));
  CHECK(names(says({"/r"}), "missing"));
}

TEST_CASE("umount helper: as umount(8) calls it") {
  const auto options =
      parsed(parse_umount_helper_options, {"/m", "-flnrv", "-t", "fuse.pmemfs", "-N", "/ns"});
  REQUIRE(options);
  CHECK(options->target == "/m");
  CHECK(options->force);
  CHECK(options->lazy);
  CHECK(options->read_only);
  CHECK(options->verbose);
  CHECK(options->mount_namespace == "/ns");
  CHECK(names(complaint(parse_umount_helper_options, {}), "missing"));
}

TEST_CASE("pmemfsctl: commands") {
  const auto options = parsed(parse_ctl_options, {"counters", "--json", "--reset", "/m"});
  REQUIRE(options);
  CHECK(options->command == "counters");
  CHECK(options->paths == std::vector<std::string>{"/m"});
  CHECK(options->json);
  CHECK(options->reset);
  const auto says = [](const Words& words) {
    return complaint(parse_ctl_options, words);
  };
  CHECK(names(says({}), "command is missing"));
  CHECK(names(says({"status"}), "path is missing"));
  CHECK(names(says({"explode", "/m"}), "'explode'"));
  CHECK(names(says({"status", "--reset", "/m"}), "--reset"));
}
