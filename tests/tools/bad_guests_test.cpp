// Daemons for virtual machines that are refused: one clear line, the usual exit codes, and a region
// and sockets as they were.
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>

#include "base/unique_fd.hpp"
#include "harness/catch.hpp"
#include "program_output.hpp"
#include "support/mount_fixture.hpp"
#include "support/temp_dir.hpp"

using namespace pmemfs::test;
namespace fs = std::filesystem;

namespace {

struct GuestStage {
  TempDir dir{scratch()};
  std::string region = dir / "region";
  std::string socket = dir / "vm.sock";

  GuestStage() { make_region(region); }

  // `guests`: what --virtiofs= is given, each time.
  void check(int code, const std::string& mention, const std::vector<std::string>& guests) const {
    std::vector<std::string> words = {program("pmemfs"), region};
    for (const std::string& guest : guests) {
      words.push_back("--virtiofs=" + guest);
    }
    const std::uint32_t before = fingerprint(region);
    const std::string line = check_refused(words, code, mention);
    CHECK(fingerprint(region) == before);
    const bool way_out =
        line.find("; ") != std::string::npos || line.find("must ") != std::string::npos;
    CHECK(way_out);
  }
};

// A socket that somebody listens at, or did.
pmemfs::base::UniqueFd listen_at(const std::string& path) {
  pmemfs::base::UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(static_cast<char*>(address.sun_path), sizeof address.sun_path - 1);
  REQUIRE(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  REQUIRE(::listen(fd.get(), 1) == 0);
  return fd;
}

}  // namespace

TEST_CASE("a socket that cannot be had") {
  const GuestStage stage;
  SECTION("a file is there") {
    write_file(stage.socket, "precious");
    stage.check(32, stage.socket + ": exists and is not a socket", {stage.socket + ",tag=a"});
    CHECK(read_file(stage.socket) == "precious");
  }
  SECTION("somebody listens there") {
    const auto other = listen_at(stage.socket);
    stage.check(32, stage.socket + ": another program listens there", {stage.socket + ",tag=a"});
    CHECK(fs::is_socket(stage.socket));
  }
  SECTION("its directory is missing") {
    const std::string deep = stage.dir / "missing/vm.sock";
    stage.check(32, deep + ": no socket can be made there", {deep + ",tag=a"});
  }
  SECTION("its directory cannot be written") {
    stage.check(32, "/proc/vm.sock: no socket can be made there", {"/proc/vm.sock,tag=a"});
  }
  SECTION("its path is too long") {
    stage.check(32, "name a shorter one", {stage.dir / std::string(120, 'a') + ",tag=a"});
  }
  SECTION("the second of two: the first is given back") {
    write_file(stage.socket, "");
    const std::string first = stage.dir / "first.sock";
    stage.check(32, "is not a socket", {first + ",tag=a", stage.socket + ",tag=b"});
    CHECK_FALSE(fs::exists(first));
  }
}

TEST_CASE("words that make no sense") {
  const GuestStage stage;
  stage.check(1, "a tag is missing; add tag=NAME", {stage.socket});
  stage.check(1, "this socket was named before",
              {stage.socket + ",tag=a", stage.socket + ",tag=b"});
  stage.check(1, "window=3G: must be a power of two", {stage.socket + ",tag=a,window=3G"});
  stage.check(1, "unknown word 'windows'", {stage.socket + ",tag=a,windows=2M"});
  stage.check(1, "the mount point, or --virtiofs for virtual machines, is missing", {});
  CHECK_FALSE(fs::exists(stage.socket));
}

TEST_CASE("a region that another daemon serves to guests") {
  MountSpec spec;
  spec.guests = {"tag=a"};
  spec.mounted = false;
  const Mount served(spec);
  const std::string other = served.root() + ".sock";
  const auto start = std::chrono::steady_clock::now();
  check_refused({program("pmemfs"), served.region(), "--virtiofs=" + other + ",tag=b"}, 32,
                "process " + std::to_string(served.daemon()) + " (pmemfs)");
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(8));
  CHECK_FALSE(fs::exists(other));
  // By its socket too, which stays its own.
  const GuestStage stage;
  stage.check(32, "another program listens there", {served.socket() + ",tag=b"});
  CHECK(fs::is_socket(served.socket()));
}
