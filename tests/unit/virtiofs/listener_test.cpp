#include "virtiofs/listener.hpp"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <fstream>

#include "harness/catch.hpp"
#include "rig.hpp"

namespace pmemfs::virtiofs {
namespace {

std::string problem(const std::string& path, int code) {
  std::string why;
  CHECK(Listener::listen(path, &why).code() == code);
  CHECK(why.find('\n') == std::string::npos);
  return why;
}

TEST_CASE("the socket is its owner's alone, whatever the umask") {
  const test::TempDir dir;
  const mode_t before = ::umask(0);
  auto listener = Listener::listen(dir / "s", nullptr);
  ::umask(before);
  REQUIRE(listener.ok());
  struct stat st {};
  REQUIRE(::lstat((dir / "s").c_str(), &st) == 0);
  CHECK((st.st_mode & 07777U) == 0600);
  listener->close();
  CHECK(::lstat((dir / "s").c_str(), &st) != 0);
}

TEST_CASE("a socket that nobody listens at is replaced, one in use is not") {
  const test::TempDir dir;
  const std::string path = dir / "s";
  {
    // What a daemon that was killed leaves.
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(static_cast<char*>(address.sun_path), path.size());
    const base::UniqueFd dead(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(::bind(dead.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  }
  auto first = Listener::listen(path, nullptr);
  REQUIRE(first.ok());
  CHECK(problem(path, EADDRINUSE) ==
        path + ": another program listens there; stop it or name another path");
  struct stat st {};
  CHECK(::lstat(path.c_str(), &st) == 0);
}

TEST_CASE("what is no socket is left alone") {
  const test::TempDir dir;
  const std::string path = dir / "file";
  std::ofstream(path) << "precious";
  CHECK(problem(path, EEXIST) ==
        path + ": exists and is not a socket; remove it or name another path");
  CHECK(::access(path.c_str(), F_OK) == 0);
  REQUIRE(::symlink(path.c_str(), (dir / "link").c_str()) == 0);
  problem(dir / "link", EEXIST);
  CHECK(problem(dir / "no/such/folder", ENOENT).find("No such file") != std::string::npos);
  CHECK(problem(dir / std::string(108, 'x'), ENAMETOOLONG).find("name a shorter one") !=
        std::string::npos);
  problem("", ENAMETOOLONG);
}

TEST_CASE("a socket that has taken the place of ours is not removed") {
  const test::TempDir dir;
  auto ours = Listener::listen(dir / "s", nullptr);
  REQUIRE(ours.ok());
  REQUIRE(::unlink((dir / "s").c_str()) == 0);
  auto other = Listener::listen(dir / "s", nullptr);
  REQUIRE(other.ok());
  ours->close();
  CHECK(::access((dir / "s").c_str(), F_OK) == 0);
}

TEST_CASE("options that make no sense are refused in one line") {
  const test::TempDir dir;
  const auto why = [&](auto change) {
    DeviceOptions options = Rig::defaults();
    options.socket = dir / "s";
    change(options);
    std::string line;
    CHECK(Device::create(options, {}, &line).code() == EINVAL);
    CHECK(line.find('\n') == std::string::npos);
    return line;
  };
  CHECK(why([](auto& o) { o.tag = ""; }).find("the tag ''") != std::string::npos);
  why([](auto& o) { o.tag = std::string(37, 't'); });
  why([](auto& o) { o.window = 3U << 20U; });
  why([](auto& o) { o.window = 4096; });
  why([](auto& o) { o.queues = 0; });
  why([](auto& o) { o.queues = 65; });
  why([](auto& o) { o.threads = 0; });
  CHECK(::access((dir / "s").c_str(), F_OK) != 0);
}

}  // namespace
}  // namespace pmemfs::virtiofs
