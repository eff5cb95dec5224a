// pmemfsctl grow and shrink on live mounts, and long work that Ctrl-C ends.
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>

#include <nlohmann/json.hpp>

#include "harness/catch.hpp"
#include "pmemfs/durable.h"
#include "program_output.hpp"
#include "support/extent_text.hpp"
#include "support/mount_fixture.hpp"

using namespace pmemfs::test;
using Json = nlohmann::json;

namespace {

constexpr std::uint64_t kMiB = 1U << 20U;

ProgramResult ctl(std::vector<std::string> words, bool with_stderr = true) {
  words.insert(words.begin(), program("pmemfsctl"));
  return run_program(words, with_stderr);
}

Json run_json(std::vector<std::string> words) {
  words.emplace_back("--json");
  const ProgramResult result = ctl(std::move(words));
  INFO(result.output);
  REQUIRE(result.status == 0);
  return Json::parse(result.output);
}

std::uint64_t region_bytes(const Mount& mount) {
  return run_json({"status", mount.root()})["region_bytes"].get<std::uint64_t>();
}

// Where the file's data begins and ends in the region.
struct Span {
  std::uint64_t begin = UINT64_MAX;
  std::uint64_t end = 0;
};
Span span_of(const std::string& path) {
  Span span;
  for (const ExtentLine& line : parse_extents(xattr_of(path, PMEMFS_XATTR_EXTENTS))) {
    span.begin = std::min(span.begin, line.at);
    span.end = std::max(span.end, line.at + line.length);
  }
  return span;
}

// Runs pmemfsctl with a terminal for stderr, presses Ctrl-C when it first says how far it is, and
// returns how it ended, as waitpid(2) tells.
int interrupted_ctl(const std::vector<std::string>& words) {
  const UniqueFd terminal(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
  REQUIRE(terminal);
  REQUIRE(::grantpt(terminal.get()) == 0);
  REQUIRE(::unlockpt(terminal.get()) == 0);
  const std::string name = ::ptsname(terminal.get());
  std::vector<std::string> all = words;
  all.insert(all.begin(), program("pmemfsctl"));
  std::vector<char*> arguments;
  for (std::string& word : all) {
    arguments.push_back(word.data());
  }
  arguments.push_back(nullptr);
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::dup2(::open(name.c_str(), O_RDWR | O_NOCTTY), STDERR_FILENO);
    ::dup2(::open("/dev/null", O_WRONLY), STDOUT_FILENO);
    ::execv(arguments[0], arguments.data());
    ::_exit(127);
  }
  std::string said;
  char part[256];
  for (ssize_t n = 0; said.find("moved") == std::string::npos &&
                      (n = ::read(terminal.get(), part, sizeof part)) > 0;) {
    said.append(part, static_cast<std::size_t>(n));
  }
  ::kill(pid, SIGINT);
  int status = 0;
  ::waitpid(pid, &status, 0);
  return status;
}

bool ended_by_interrupt(int status) {
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGINT;
}

}  // namespace

TEST_CASE("grow: a file region becomes larger while it is mounted, and stays so") {
  need_mounting();
  Mount mount(MountSpec{Kind::kFile});  // of 64 MiB
  make_file(mount / "before", pattern(40U << 20U, 1));
  CHECK(run_json({"grow", "--size=128M", mount.root()})["region_bytes"] == 128U << 20U);
  make_file(mount / "after", pattern(60U << 20U, 2));
  CHECK(run_json({"status", mount.root()})["region_bytes"] == 128U << 20U);
  const std::string ctl = program("pmemfsctl");
  check_refused({ctl, "grow", "--size=128M", mount.root()}, 32, "that large already");
  check_refused({ctl, "grow", mount.root()}, 32, "that large already");
  mount.remount();
  CHECK((content_of(mount / "before") == pattern(40U << 20U, 1)));
  CHECK((content_of(mount / "after") == pattern(60U << 20U, 2)));
  mount.kill_and_remount();
  CHECK((content_of(mount / "after") == pattern(60U << 20U, 2)));
  const Mount directory(MountSpec{Kind::kDirectory});
  check_refused({ctl, "grow", "--size=1G", directory.root()}, 32, "grows by itself");
}

TEST_CASE("shrink: a file region and its file become smaller while it is mounted, and stay so") {
  need_mounting();
  Mount mount(MountSpec{Kind::kFile});  // of 64 MiB
  const std::string kept = pattern(10 * kMiB, 2);
  make_file(mount / "filler", pattern(40 * kMiB, 1));
  make_file(mount / "kept", kept);  // beyond 40 MiB
  NEED_OK(sys::mkdir(mount / "dir"));
  make_file(mount / "dir/small", "small");
  NEED_OK(sys::unlink(mount / "filler"));
  UniqueFd open = open_file(mount / "kept", O_RDONLY);
  const Json report = run_json({"shrink", mount.root(), "32M"});
  CHECK(report["region_bytes"] == 32 * kMiB);
  CHECK(report["bytes_moved"] == 10 * kMiB + 4096);  // "small", too
  CHECK(report["left"].empty());
  CHECK(region_bytes(mount) == 32 * kMiB);
  const bool on_device = !std::filesystem::is_regular_file(mount.region());
  CHECK((on_device || std::filesystem::file_size(mount.region()) == 32 * kMiB));
  std::string byte(1, ' ');
  CHECK(::pread(open.get(), byte.data(), 1, 0) == 1);
  CHECK(byte == kept.substr(0, 1));
  open.reset();
  CHECK((content_of(mount / "kept") == kept));
  for (int i = 0; i < 2; i++) {
    i == 0 ? mount.remount() : mount.kill_and_remount();
    CHECK(region_bytes(mount) == 32 * kMiB);
    CHECK((content_of(mount / "kept") == kept));
    CHECK(content_of(mount / "dir/small") == "small");
  }
  const ProgramResult text = ctl({"shrink", mount.root(), "20M"});
  CHECK(text.status == 0);
  CHECK(text.output.find("the region has 20 MiB now") != std::string::npos);
  CHECK(run_json({"grow", "--size=64M", mount.root()})["region_bytes"] == 64 * kMiB);
  make_file(mount / "after", pattern(40 * kMiB, 3));
  CHECK((content_of(mount / "after") == pattern(40 * kMiB, 3)));
  CHECK((content_of(mount / "kept") == kept));
}

TEST_CASE("shrink: what it refuses, with nothing changed") {
  need_mounting();
  const Mount mount(MountSpec{Kind::kFile});  // of 64 MiB
  const std::string program_path = program("pmemfsctl");
  const auto refused = [&](const std::string& size, const std::string& mention) {
    check_refused({program_path, "shrink", mount.root(), size}, 32, mention);
  };
  refused("64M", "must be smaller");
  refused("1G", "must be smaller");
  refused("15M", "at least 16 MiB");
  refused("33554433", "multiple of 4096");
  check_refused({program_path, "shrink", mount.root()}, 1, "a path and a size");
  check_refused({program_path, "shrink", mount.root(), "x"}, 1, "must be a size");
  check_refused({program_path, "shrink", mount.root(), "32M", "x"}, 1, "too many");
  check_refused({program_path, "shrink", mount.region() + ".none", "32M"}, 32, "not mounted");
  make_file(mount / "big", pattern(40 * kMiB, 1));
  refused("32M", "does not fit");
  NEED_OK(sys::mkdir(mount / "folder"));
  make_file(mount / "folder/durable", pattern(3 * kMiB, 2));
  NEED_OK(sys::setxattr(mount / "folder/durable", PMEMFS_XATTR_DURABLE, "1"));
  NEED_OK(sys::unlink(mount / "big"));
  const std::string placed = xattr_of(mount / "folder/durable", PMEMFS_XATTR_EXTENTS);
  REQUIRE(span_of(mount / "folder/durable").end > 32 * kMiB);

  const ProgramResult text = ctl({"shrink", mount.root(), "32M"});
  INFO(text.output);
  CHECK(text.status == 32);
  CHECK(text.output.find("/folder/durable (3 MiB, durable)") != std::string::npos);
  CHECK(text.output.find("ETXTBSY") != std::string::npos);
  CHECK(text.output.find("the region has 64 MiB now") != std::string::npos);
  const ProgramResult machine = ctl({"shrink", "--json", mount.root(), "32M"}, false);
  CHECK(machine.status == 32);
  const Json report = Json::parse(machine.output);
  CHECK(report["region_bytes"] == 64 * kMiB);
  REQUIRE(report["left"].size() == 1);
  CHECK(report["left"][0]["path"] == "/folder/durable");
  CHECK(report["left"][0]["bytes"] == 3 * kMiB);
  CHECK(report["left"][0]["reason"] == "durable");
  CHECK(region_bytes(mount) == 64 * kMiB);
  CHECK(xattr_of(mount / "folder/durable", PMEMFS_XATTR_EXTENTS) == placed);

  const Mount directory(MountSpec{Kind::kDirectory});
  check_refused({program_path, "shrink", directory.root(), "16M"}, 32, "does not shrink");
}

TEST_CASE("Ctrl-C ends long work where it is, and it can go on") {
  need_mounting();
  MountSpec spec{Kind::kFile};
  spec.region_size = "1G";
  Mount mount(spec);
  const std::string content = pattern(300 * kMiB, 1);
  make_file(mount / "big", content);
  // The work may be done before the key is pressed; then it is pressed again on the way back.
  bool went_on = false;
  for (int attempt = 0; attempt < 10 && !went_on; attempt++) {
    note_progress();
    const Span span = span_of(mount / "big");
    const std::vector<std::string> words = {"evacuate", "--offset=" + std::to_string(span.begin),
                                            "--length=" + std::to_string(span.end - span.begin),
                                            mount.root()};
    const int status = interrupted_ctl(words);
    CHECK((ended_by_interrupt(status) || WIFEXITED(status)));
    CHECK((content_of(mount / "big") == content));
    const Json rest = run_json(words);
    CHECK(rest["finished"] == true);
    went_on = ended_by_interrupt(status) && rest["bytes_moved"] > 0;
    const Span now = span_of(mount / "big");
    CHECK((now.begin >= span.end || now.end <= span.begin));
    mount.remount();  // ends the hold
  }
  CHECK(went_on);
  CHECK((content_of(mount / "big") == content));
  static_cast<void>(interrupted_ctl({"shrink", mount.root(), "400M"}));
  CHECK((content_of(mount / "big") == content));
  if (region_bytes(mount) != 400 * kMiB) {
    CHECK(run_json({"shrink", mount.root(), "400M"})["region_bytes"] == 400 * kMiB);
  }
  CHECK((content_of(mount / "big") == content));
  mount.kill_and_remount();
  CHECK((content_of(mount / "big") == content));
}
