// --help and the man pages name the same options, and every program knows its version.
#include <regex>
#include <set>

#include "harness/catch.hpp"
#include "program_output.hpp"
#include "support/mount_fixture.hpp"
#include "tools/mount_options.hpp"

using namespace pmemfs::test;

namespace {

const char* const kPrograms[] = {"mkfs.pmemfs",        "pmemfs",    "mount.fuse.pmemfs",
                                 "umount.fuse.pmemfs", "pmemfsctl", "fsck.pmemfs"};

std::set<std::string> long_options(const std::string& text) {
  static const std::regex kPattern("--([a-z][a-z-]+)");
  std::set<std::string> found;
  for (std::sregex_iterator it(text.begin(), text.end(), kPattern), end; it != end; ++it) {
    found.insert((*it)[1]);
  }
  return found;
}

// roff's "\-" is a plain hyphen.
std::string man_page(const std::string& name) {
  static const std::regex kHyphen("\\\\-");
  return std::regex_replace(read_file(std::string(PMEMFS_MAN_DIR) + "/" + name + ".8"), kHyphen,
                            "-");
}

}  // namespace

TEST_CASE("--help and the man page name the same options") {
  for (const char* name : kPrograms) {
    INFO(name);
    const ProgramResult help = run_program({program(name), "--help"});
    CHECK(help.status == 0);
    CHECK(help.output.find(std::string("Usage: ") + name) == 0);
    const std::string page = man_page(name);
    REQUIRE_FALSE(page.empty());
    CHECK(long_options(help.output) == long_options(page));
  }
}

TEST_CASE("the man page of the daemon names every mount option of our own") {
  const std::string page = man_page("pmemfs");
  for (const std::string& name : pmemfs::tools::own_option_names()) {
    INFO(name);
    CHECK(page.find(name) != std::string::npos);
  }
}

TEST_CASE("--version is one line on stdout") {
  for (const char* name : kPrograms) {
    const ProgramResult result = run_program({program(name), "--version"}, false);
    CHECK(result.status == 0);
    CHECK(result.output == std::string(name) + " " + PMEMFS_VERSION + "\n");
  }
}

TEST_CASE("wrong usage is one line and exit code 1, or what fsck(8) has for it") {
  for (const char* name : kPrograms) {
    const int code = std::string(name) == "fsck.pmemfs" ? 16 : 1;
    check_refused({program(name), "--no-such-option"}, code, "--no-such-option");
    check_refused({program(name)}, code, "--help");
  }
}
