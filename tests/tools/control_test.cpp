#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <stdexcept>

#include <nlohmann/json.hpp>

#include "harness/catch.hpp"
#include "tools/control_client.hpp"
#include "tools/control_server.hpp"
#include "tools/failure.hpp"

using namespace pmemfs::tools;
using namespace pmemfs::tools::control;

namespace {

// The server wants its directory, which only root can make in /run.
std::string test_socket() {
  if (::geteuid() != 0) {
    PMEMFS_SKIP("needs root, for " PMEMFS_RUN_DIR);
  }
  return std::string(PMEMFS_RUN_DIR) + "/test-" + std::to_string(::getpid()) + ".sock";
}

void add_commands(Server& server) {
  server.add("echo", [](const Json& request, const Progress& progress) -> Json {
    progress({{"done", 1}});
    return request;
  });
  server.add("fail", [](const Json&, const Progress&) -> Json {
    throw std::runtime_error("it went wrong");
  });
}

// Sends bytes as they are and returns all that comes back.
std::string talk(const std::string& path, const std::string& bytes) {
  const pmemfs::base::UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(static_cast<char*>(address.sun_path), path.c_str(), path.size() + 1);
  REQUIRE(::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) ==
          0);
  static_cast<void>(::send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL));
  ::shutdown(socket.get(), SHUT_WR);
  std::string answer;
  char chunk[4096];
  for (ssize_t n = 0; (n = ::recv(socket.get(), chunk, sizeof chunk, 0)) > 0;) {
    answer.append(chunk, static_cast<std::size_t>(n));
  }
  return answer;
}

}  // namespace

TEST_CASE("a request is answered, an error keeps its words") {
  const std::string path = test_socket();
  Server server;
  add_commands(server);
  server.start(path);
  auto client = Client::connect(path);
  REQUIRE(client);
  CHECK(client->pid() == ::getpid());
  CHECK(client->ask("echo")["command"] == "echo");
  auto second = Client::connect(path);
  REQUIRE(second);
  CHECK_THROWS_WITH(second->ask("fail"), "it went wrong");
  auto third = Client::connect(path);
  REQUIRE(third);
  CHECK_THROWS_AS(third->ask("unheard of"), Failure);
}

TEST_CASE("the socket is closed to others and gone afterwards") {
  const std::string path = test_socket();
  struct stat st {};
  {
    Server server;
    server.start(path);
    REQUIRE(::stat(path.c_str(), &st) == 0);
    CHECK((st.st_mode & 0777U) == 0600);
    REQUIRE(::stat(PMEMFS_RUN_DIR, &st) == 0);
    CHECK((st.st_mode & 0777U) == 0700);
    Server other;
    CHECK_THROWS_AS(other.start(path), Failure);
  }
  CHECK(::stat(path.c_str(), &st) != 0);
  CHECK_FALSE(Client::connect(path));
}

TEST_CASE("a socket that a dead daemon left is replaced") {
  const std::string path = test_socket();
  {
    const pmemfs::base::UniqueFd stale(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(static_cast<char*>(address.sun_path), path.c_str(), path.size() + 1);
    REQUIRE(::bind(stale.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  }
  Server server;
  add_commands(server);
  server.start(path);
  auto client = Client::connect(path);
  REQUIRE(client);
  CHECK(client->ask("echo")["command"] == "echo");
}

TEST_CASE("malformed, deep, endless and empty requests harm nothing") {
  const std::string path = test_socket();
  Server server;
  add_commands(server);
  server.start(path);
  for (const std::string& bytes :
       {std::string("nonsense\n"), std::string("[]\n"), std::string("{\"command\":7}\n"),
        std::string(50'000, '[') + "\n", std::string("{}\n"), std::string("\xff\xfe\n")}) {
    CHECK(talk(path, bytes).find("error") != std::string::npos);
  }
  CHECK(talk(path, std::string(1U << 20U, 'x')).empty());
  CHECK(talk(path, "").empty());
  CHECK(talk(path, "no newline").empty());
  CHECK(talk(path, "{\"command\":\"echo\"}\n").find("progress") != std::string::npos);
}
