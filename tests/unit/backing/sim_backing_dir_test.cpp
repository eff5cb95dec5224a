// The simulator that the crash tests of core stand on: each line of its model.
#include "support/sim_backing_dir.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <set>
#include <string>

#include "base/unique_fd.hpp"
#include "harness/catch.hpp"

using namespace pmemfs;
using base::UniqueFd;
using test::ExhaustiveChooser;
using test::HostOp;
using test::KeepAll;
using test::KeepNone;
using test::RandomChooser;
using test::SimBackingDir;

namespace {

constexpr BackingName kName{InodeNo(0x12ab), 7};
constexpr BackingName kNeighbour{InodeNo(0x13ab), 8};  // in the same directory
constexpr BackingName kFar{InodeNo(0x1301), 9};
constexpr std::uint64_t kPage = 4096;

void write(SimBackingDir& dir, const UniqueFd& fd, std::uint64_t off, const std::string& text) {
  REQUIRE(dir.write(fd.get(), off, text.data(), text.size()).value() == text.size());
}

std::string read(SimBackingDir& dir, BackingName name, std::uint64_t off, std::size_t n) {
  const UniqueFd fd(dir.open(name).value());
  std::string text(n, '?');
  text.resize(dir.read(fd.get(), off, text.data(), n).value());
  return text;
}

// What a file reads as after every possible crash; "-" when it is gone.
std::set<std::string> outcomes(SimBackingDir& dir, BackingName name, std::uint64_t off,
                               std::size_t n) {
  std::set<std::string> seen;
  ExhaustiveChooser choices;
  do {
    const auto after = dir.crash(choices);
    seen.insert(after->exists(name) ? read(*after, name, off, n) : "-");
  } while (choices.next());
  return seen;
}

UniqueFd create_synced(SimBackingDir& dir, const std::string& text) {
  UniqueFd fd(dir.create(kName).value());
  write(dir, fd, 0, text);
  REQUIRE(dir.sync_file(fd.get()).ok());
  REQUIRE(dir.sync_parent(kName).ok());
  return fd;
}

class Mapping {
 public:
  Mapping(int fd, std::size_t size) : size_(size) {
    void* p = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    REQUIRE(p != MAP_FAILED);
    at_ = static_cast<char*>(p);
  }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping() { ::munmap(at_, size_); }
  void store(std::size_t off, const std::string& text) const {
    std::memcpy(at_ + off, text.data(), text.size());
  }

 private:
  std::size_t size_;
  char* at_ = nullptr;
};

}  // namespace

TEST_CASE("sim backing: works as a directory") {
  SimBackingDir dir;
  const UniqueFd fd(dir.create(kName).value());
  CHECK(dir.create(kName).code() == EEXIST);
  write(dir, fd, 10, "hello");
  CHECK(dir.stat(kName)->size == 15);
  CHECK(read(dir, kName, 10, 100) == "hello");
  CHECK(dir.unlink(kName).ok());
  CHECK(dir.unlink(kName).code() == ENOENT);
  CHECK(dir.open(kName).code() == ENOENT);
  CHECK(dir.stat(kName).code() == ENOENT);
  write(dir, fd, 0, "still open");
  CHECK(dir.sync_parent(kName).ok());
  write(dir, fd, 0, "still open, no name");
  CHECK(dir.stat_fd(fd.get())->size == 19);
}

TEST_CASE("sim backing: a name needs its directory synced, content its file") {
  SimBackingDir dir;
  const UniqueFd fd(dir.create(kName).value());
  write(dir, fd, 0, "abc");
  CHECK(outcomes(dir, kName, 0, 3) == std::set<std::string>{"-", "", "abc", std::string(3, '\0')});
  REQUIRE(dir.sync_file(fd.get()).ok());
  CHECK(outcomes(dir, kName, 0, 3) == std::set<std::string>{"-", "abc"});
  REQUIRE(dir.sync_parent(kNeighbour).ok());
  CHECK(outcomes(dir, kName, 0, 3) == std::set<std::string>{"abc"});
  CHECK(dir.unlink(kName).ok());
  REQUIRE(dir.sync_parent(kFar).ok());
  CHECK(outcomes(dir, kName, 0, 3) == std::set<std::string>{"-", "abc"});
  REQUIRE(dir.sync_all().ok());
  CHECK(outcomes(dir, kName, 0, 3) == std::set<std::string>{"-"});
}

TEST_CASE("sim backing: an unsynced create and unlink may leave the file") {
  SimBackingDir dir;
  const UniqueFd fd(dir.create(kName).value());
  REQUIRE(dir.unlink(kName).ok());
  CHECK(outcomes(dir, kName, 0, 1) == std::set<std::string>{"-", ""});
}

TEST_CASE("sim backing: a reused name can bring the former file back") {
  SimBackingDir dir;
  { const UniqueFd old = create_synced(dir, "secret"); }
  REQUIRE(dir.unlink(kName).ok());
  const UniqueFd fd(dir.create(kName).value());
  CHECK(outcomes(dir, kName, 0, 6) == std::set<std::string>{"secret", "-", ""});
}

TEST_CASE("sim backing: unsynced writes are undone page by page") {
  SimBackingDir dir;
  const std::string old = "old" + std::string(kPage - 3, 'o') + "old";
  const UniqueFd fd = create_synced(dir, old);
  write(dir, fd, 0, "NEW");
  write(dir, fd, kPage, "NEW");
  std::set<std::string> seen;
  ExhaustiveChooser choices;
  do {
    const auto after = dir.crash(choices);
    seen.insert(read(*after, kName, 0, 3) + read(*after, kName, kPage, 3));
  } while (choices.next());
  CHECK(seen == std::set<std::string>{"oldold", "oldNEW", "NEWold", "NEWNEW"});
  REQUIRE(dir.sync_file(fd.get()).ok());
  CHECK(outcomes(dir, kName, 0, 3) == std::set<std::string>{"NEW"});
}

TEST_CASE(
    "sim backing: stores through mappings survive in pages that were written and synced, only "
    "there") {
  SimBackingDir dir;
  const UniqueFd fd(dir.create(kName).value());
  REQUIRE(dir.sync_parent(kName).ok());
  REQUIRE(dir.allocate(fd.get(), 0, 0, 3 * kPage).ok());
  SECTION("allocated and synced alone: unwritten, a crash may give zeros") {
    REQUIRE(dir.sync_file(fd.get()).ok());
    const Mapping map(fd.get(), 3 * kPage);
    map.store(kPage, "abc");
    CHECK(outcomes(dir, kName, kPage, 3) == std::set<std::string>{"abc", std::string(3, '\0')});
    REQUIRE(dir.sync_file(fd.get()).ok());
    CHECK(outcomes(dir, kName, kPage, 3) == std::set<std::string>{"abc"});
  }
  SECTION("touched, not synced: the same") {
    REQUIRE(dir.sync_file(fd.get()).ok());
    REQUIRE(dir.touch(fd.get(), 0, 3 * kPage).ok());
    const Mapping map(fd.get(), 3 * kPage);
    map.store(kPage, "abc");
    CHECK(outcomes(dir, kName, kPage, 3) == std::set<std::string>{"abc", std::string(3, '\0')});
  }
  SECTION(
      "touched and synced: durable without any call, also after a crash and beside unsynced "
      "writes") {
    REQUIRE(dir.touch(fd.get(), 0, 3 * kPage).ok());
    REQUIRE(dir.sync_file(fd.get()).ok());
    const Mapping map(fd.get(), 3 * kPage);
    map.store(kPage, "abc");
    CHECK(outcomes(dir, kName, kPage, 3) == std::set<std::string>{"abc"});
    write(dir, fd, kPage + 1, "XY");
    CHECK(outcomes(dir, kName, kPage, 3) == std::set<std::string>{"abc", "aXY"});
    map.store(kPage + 2, "Z");
    CHECK(outcomes(dir, kName, kPage, 3) == std::set<std::string>{"abZ", "aXZ"});
    KeepNone none;
    const auto after = dir.crash(none);
    const UniqueFd again(after->open(kName).value());
    const Mapping later(again.get(), 3 * kPage);
    later.store(0, "later");
    CHECK(outcomes(*after, kName, 0, 5) == std::set<std::string>{"later"});
  }
}

TEST_CASE("sim backing: a lost truncation gives size and bytes back") {
  SimBackingDir dir;
  const std::string old = std::string(kPage, 'a') + std::string(100, 'b');
  const UniqueFd fd = create_synced(dir, old);
  REQUIRE(dir.truncate(fd.get(), 50).ok());
  KeepNone none;
  CHECK(read(*dir.crash(none), kName, 0, 2 * kPage) == old);
  KeepAll all;
  CHECK(read(*dir.crash(all), kName, 0, 2 * kPage) == std::string(50, 'a'));
  REQUIRE(dir.truncate(fd.get(), kPage).ok());
  CHECK(read(dir, kName, 0, 2 * kPage) == std::string(50, 'a') + std::string(kPage - 50, '\0'));
  REQUIRE(dir.sync_file(fd.get()).ok());
  CHECK(read(*dir.crash(none), kName, 0, 2 * kPage) == read(dir, kName, 0, 2 * kPage));
}

TEST_CASE("sim backing: punched and zeroed ranges come back unless synced") {
  SimBackingDir dir;
  const std::string old(3 * kPage, 'a');
  const UniqueFd fd = create_synced(dir, old);
  const int mode = GENERATE(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, FALLOC_FL_ZERO_RANGE);
  REQUIRE(dir.allocate(fd.get(), mode, 100, 2 * kPage).ok());
  const std::string now =
      std::string(100, 'a') + std::string(2 * kPage, '\0') + std::string(kPage - 100, 'a');
  CHECK(read(dir, kName, 0, 3 * kPage) == now);
  KeepNone none;
  KeepAll all;
  CHECK(read(*dir.crash(none), kName, 0, 3 * kPage) == old);
  CHECK(read(*dir.crash(all), kName, 0, 3 * kPage) == now);
  REQUIRE(dir.sync_file(fd.get()).ok());
  CHECK(read(*dir.crash(none), kName, 0, 3 * kPage) == now);
  CHECK(dir.allocate(fd.get(), FALLOC_FL_COLLAPSE_RANGE, 0, kPage).code() == EOPNOTSUPP);
}

TEST_CASE("sim backing: truncation to the same size drops what is allocated beyond it") {
  SimBackingDir dir;
  const UniqueFd fd(dir.create(kName).value());
  write(dir, fd, 0, "text");
  REQUIRE(dir.allocate(fd.get(), FALLOC_FL_KEEP_SIZE, 0, 64 * kPage).ok());
  CHECK(dir.stat_fd(fd.get())->blocks == 64 * kPage / 512);
  REQUIRE(dir.truncate(fd.get(), 4).ok());
  CHECK(dir.stat_fd(fd.get())->blocks == kPage / 512);
  CHECK(read(dir, kName, 0, 10) == "text");
}

TEST_CASE("sim backing: times are metadata too") {
  SimBackingDir dir;
  const UniqueFd fd = create_synced(dir, "x");
  REQUIRE(dir.set_times(fd.get(), {1, 0}, {2, 0}).ok());
  REQUIRE(dir.sync_file(fd.get()).ok());
  REQUIRE(dir.set_times(fd.get(), {3, 0}, {4, 0}).ok());
  KeepNone none;
  KeepAll all;
  CHECK(dir.crash(none)->stat(kName)->mtime == Timestamp{2, 0});
  CHECK(dir.crash(all)->stat(kName)->mtime == Timestamp{4, 0});
}

TEST_CASE("sim backing: a crash does not disturb the original, and the same seed repeats it") {
  SimBackingDir dir;
  for (std::uint64_t ino = 1; ino <= 50; ++ino) {
    const UniqueFd fd(dir.create({InodeNo(ino), ino}).value());
    write(dir, fd, ino * 100, "text");
  }
  const auto present = [](SimBackingDir& d) {
    std::string names;
    const auto ours = [&](BackingName n) {
      names += std::to_string(n.ino.value) + ":" + std::to_string(d.stat(n)->size) + " ";
    };
    REQUIRE(d.for_each(ours, [](const std::string&) {}).ok());
    return names;
  };
  const std::string before = present(dir);
  RandomChooser one(3);
  RandomChooser two(3);
  const std::string after = present(*dir.crash(one));
  CHECK(after == present(*dir.crash(two)));
  CHECK(after != before);
  CHECK(present(dir) == before);
}

TEST_CASE("sim backing: calls are recorded, and the chosen one fails without effect") {
  SimBackingDir dir;
  std::size_t hooked = 0;
  dir.on_call([&](const test::HostCall&) { ++hooked; });
  const UniqueFd fd(dir.create(kName).value());
  dir.fail_nth(2, EIO);
  write(dir, fd, 0, "a");
  CHECK(dir.write(fd.get(), 1, "b", 1).code() == EIO);
  write(dir, fd, 1, "c");
  dir.fail_nth(HostOp::kSyncFile, 1, ENOSPC);
  CHECK(dir.sync_parent(kName).ok());
  CHECK(dir.sync_file(fd.get()).code() == ENOSPC);
  CHECK(dir.sync_file(fd.get()).ok());
  CHECK(dir.count(HostOp::kWrite) == 3);
  CHECK(dir.calls().front() == test::HostCall{HostOp::kCreate, kName});
  CHECK(dir.calls()[1] == test::HostCall{HostOp::kWrite, kName, 0, 1});
  CHECK(hooked == dir.calls().size());
  CHECK(read(dir, kName, 0, 9) == "ac");
  dir.forget_calls();
  CHECK(dir.calls().empty());
}

TEST_CASE("sim backing: leases see descriptors, mappings and others") {
  SimBackingDir dir;
  UniqueFd fd = create_synced(dir, std::string(kPage, 'x'));
  CHECK(dir.take_lease(fd.get()).ok());
  CHECK(dir.lease_held(fd.get()));
  dir.drop_lease(fd.get());
  CHECK_FALSE(dir.lease_held(fd.get()));
  {
    const UniqueFd second(dir.open(kName).value());
    CHECK(dir.take_lease(fd.get()).code() == EBUSY);
  }
  {
    const Mapping map(fd.get(), kPage);
    CHECK(dir.take_lease(fd.get()).code() == EBUSY);
  }
  dir.hold_open(kName);
  CHECK(dir.take_lease(fd.get()).code() == EBUSY);
  dir.release_open(kName);
  CHECK(dir.take_lease(fd.get()).ok());
  dir.hold_open(kName);
  CHECK_FALSE(dir.lease_held(fd.get()));
  dir.release_open(kName);
  dir.drop_lease(fd.get());
  CHECK(dir.take_lease(fd.get()).ok());
  CHECK(dir.open(kName).code() == EBUSY);
  CHECK_FALSE(dir.lease_held(fd.get()));
  fd.reset();  // closing gives the lease up
  const UniqueFd again(dir.open(kName).value());
  CHECK(dir.take_lease(again.get()).ok());
}

TEST_CASE("sim backing: pages lie on the device as they were allocated, after a crash too") {
  SimBackingDir dir;
  const UniqueFd fd = create_synced(dir, "x");
  const UniqueFd neighbour(dir.create(kNeighbour).value());
  CHECK(dir.extents(fd.get(), 9).code() == EOPNOTSUPP);
  dir.tell_extents();
  write(dir, neighbour, 0, "y");
  write(dir, fd, kPage, std::string(2 * kPage, 'x'));
  REQUIRE(dir.allocate(fd.get(), FALLOC_FL_KEEP_SIZE, 9 * kPage, kPage).ok());
  const auto runs = dir.extents(fd.get(), 9).value();
  REQUIRE(runs.size() == 3);
  CHECK(runs[1].off == kPage);
  CHECK(runs[1].len == 2 * kPage);
  CHECK(runs[1].physical == runs[0].physical + 2 * kPage);
  CHECK(runs[2].physical == runs[1].physical + 2 * kPage);
  CHECK(runs[2].unwritten);
  CHECK(dir.extents(fd.get(), 1).value().size() == 1);
  REQUIRE(dir.sync_file(fd.get()).ok());
  KeepNone none;
  const auto after = dir.crash(none);
  const UniqueFd again(after->open(kName).value());
  CHECK(after->extents(again.get(), 9).value() == runs);
}

TEST_CASE("sim backing: others at work behind our back") {
  SimBackingDir dir;
  { const UniqueFd fd = create_synced(dir, "content"); }
  dir.resize_behind(kName, 3);
  CHECK(dir.stat(kName)->size == 3);
  dir.remove_behind(kName);
  CHECK(dir.open(kName).code() == ENOENT);
  dir.replace_behind(kName);
  CHECK(dir.open(kName).code() == EUCLEAN);
  CHECK(dir.stat(kName).code() == EUCLEAN);
  dir.add_foreign("ab/README");
  std::string foreign;
  REQUIRE(dir.for_each([](BackingName) {}, [&](const std::string& text) { foreign = text; }).ok());
  CHECK(foreign == "ab/README");
  dir.set_read_only(true);
  CHECK(dir.create(kFar).code() == EROFS);
}
