#include "tools/guest_options.hpp"

#include "harness/catch.hpp"
#include "tools/failure.hpp"

using namespace pmemfs::tools;
using pmemfs::fuse::CachePolicy;

namespace {

std::vector<GuestOptions> parse_all(const std::vector<std::string>& texts) {
  return parse_guest_options(texts);
}

GuestOptions parse(const std::string& text) {
  return parse_all({text}).front();
}

// The line that wrong texts are answered with.
std::string complaint(const std::vector<std::string>& texts) {
  try {
    parse_all(texts);
  } catch (const Failure& failure) {
    CHECK(failure.exit_code() == kExitUsage);
    return failure.what();
  }
  return "";
}

}  // namespace

TEST_CASE("a virtual machine's words") {
  const GuestOptions least = parse("/run/vm1.sock,tag=pmem");
  CHECK(least.socket == "/run/vm1.sock");
  CHECK(least.tag == "pmem");
  CHECK(least.window == 0);
  CHECK(least.cache == CachePolicy::kAuto);
  CHECK_FALSE(least.read_only);
  CHECK(least.uids.identity());
  CHECK(least.gids.identity());

  const GuestOptions all = parse(
      "/run/"
      "a\\,b.sock,tag=t,window=8G,cache=none,ro,queues=4,threads=3,translate-uid=0:100000:65536,"
      "translate-uid=70000:7:1,translate-gid=0:0:10,memory-slots");
  CHECK(all.socket == "/run/a,b.sock");
  CHECK(all.window == 8ULL << 30U);
  CHECK(all.cache == CachePolicy::kNone);
  CHECK(all.read_only);
  CHECK(all.queues == 4);
  CHECK(all.threads == 3);
  CHECK(all.memory_slots);
  CHECK_FALSE(least.memory_slots);
  REQUIRE(all.uids.ranges.size() == 2);
  CHECK(all.uids.ranges[0].guest == 0);
  CHECK(all.uids.ranges[0].host == 100000);
  CHECK(all.uids.ranges[0].count == 65536);
  CHECK(all.gids.ranges.size() == 1);

  const GuestOptions squashed = parse("/s,tag=t,squash-uid=root,squash-gid=12,cache=always");
  CHECK(squashed.uids.squash == 0);
  CHECK(squashed.gids.squash == 12);
  CHECK(squashed.cache == CachePolicy::kAlways);
}

TEST_CASE("a wrong word is named, with what would do") {
  struct Row {
    const char* text;
    const char* said;
  };
  const Row rows[] = {
      {"", "begins with the path of a socket"},
      {"tag=pmem", "begins with the path of a socket"},
      {"/s", "a tag is missing"},
      {"/s,tag=", "1 to 36 bytes"},
      {"/s,tag=1234567890123456789012345678901234567", "1 to 36 bytes"},
      {"/s,tag=t,window=3G", "power of two of at least 2M"},
      {"/s,tag=t,window=1M", "power of two of at least 2M"},
      {"/s,tag=t,window=", "power of two of at least 2M"},
      {"/s,tag=t,cache=sometimes", "none, auto or always"},
      {"/s,tag=t,queues=0", "1 to 64"},
      {"/s,tag=t,threads=65", "1 to 64"},
      {"/s,tag=t,ro=1", "'ro' takes no value"},
      {"/s,tag=t,window", "'window' wants a value: window=SIZE"},
      {"/s,tag=t,translate-uid=0:1", "GUEST:HOST:COUNT"},
      {"/s,tag=t,translate-uid=0:1:2:3", "GUEST:HOST:COUNT"},
      {"/s,tag=t,translate-uid=0:1:x", "GUEST:HOST:COUNT"},
      {"/s,tag=t,translate-uid=0:1:0", "holds one at least"},
      {"/s,tag=t,translate-uid=0:4294967295:1", "from 0 to 4294967294"},
      {"/s,tag=t,translate-gid=0:0:10,translate-gid=9:100:1", "overlaps"},
      {"/s,tag=t,translate-gid=0:0:10,translate-gid=20:9:1", "overlaps"},
      {"/s,tag=t,squash-uid=nobody-of-this-name", "no such user"},
      {"/s,tag=t,squash-gid=4294967295", "no such group"},
      {"/s,tag=t,dax", "unknown word 'dax'"},
  };
  for (const Row& row : rows) {
    INFO(row.text);
    const std::string said = complaint({row.text});
    CHECK(said.find("--virtiofs") != std::string::npos);
    CHECK(said.find(row.said) != std::string::npos);
    CHECK(said.find('\n') == std::string::npos);
  }
}

TEST_CASE("two machines have a socket each") {
  CHECK(parse_all({"/a,tag=t", "/b,tag=t"}).size() == 2);
  CHECK(complaint({"/a,tag=t", "/a,tag=u"}).find("each machine has its own") != std::string::npos);
}
