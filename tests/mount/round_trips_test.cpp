// The performance model: how many requests each system call causes, by the daemon's own counters.

#include <sys/mman.h>

#include "mount/durable_support.hpp"

namespace pmemfs::test {
namespace {

constexpr std::uint64_t kRounds = 20;
constexpr std::uint64_t kSingles = 4;  // of those that are counted one by one

// A file that has been looked at before: its name and attributes are cached.
void warm(const std::string& path) {
  static_cast<void>(stat_of(path));
  static_cast<void>(stat_of(path));
}

std::uint64_t count_of(const Counters& counters, const std::string& opcode) {
  const auto found = counters.find(opcode);
  return found == counters.end() ? 0 : found->second;
}

// What one round of `call` costs, of many; a rest that does not divide fails.
template <typename Call>
Counters cost_of(const Mount& mount, Call call) {
  const RequestCount requests(mount);
  for (std::uint64_t i = 0; i < kRounds; ++i) {
    call(i);
  }
  Counters cost = requests.so_far();
  for (auto& [name, count] : cost) {
    INFO(name << " " << count << " times in " << kRounds << " rounds");
    CHECK(count % kRounds == 0);
    count = (count + kRounds - 1) / kRounds;
  }
  return cost;
}

// The same, where the directory's attributes are valid before each round: after a change in a
// directory the kernel asks for them again (docs/decisions/0001-getattr-of-the-parent.md).
template <typename Call>
Counters cost_in_known_directory(const Place& place, Call call) {
  Counters cost;
  for (std::uint64_t i = 0; i < kSingles; ++i) {
    static_cast<void>(stat_of(place.path()));
    const RequestCount requests(place.mount());
    call(i);
    for (const auto& [name, count] : requests.so_far()) {
      cost[name] += count;
    }
  }
  cost.erase("FORGET");  // asynchronous, and nobody waits for it
  for (auto& [name, count] : cost) {
    INFO(name << " " << count << " times in " << kSingles << " rounds");
    CHECK((name == "GETATTR" || count % kSingles == 0));
    count = (count + kSingles - 1) / kSingles;
  }
  return cost;
}

std::string numbered(const Place& place, std::uint64_t i) {
  return place / ("file" + std::to_string(i));
}

}  // namespace

DIRECTORY_CASE("round trips: a warm stat costs nothing") {
  make_file(place / "file", pattern(10'000, 1));
  NEED_OK(sys::mkdir(place / "dir"));
  warm(place / "file");
  warm(place / "dir");
  const Counters cost = cost_of(place.mount(), [&](std::uint64_t /*i*/) {
    static_cast<void>(stat_of(place / "file"));
    static_cast<void>(stat_of(place / "dir"));
    EXPECT_OK(sys::access(place / "file", R_OK));
  });
  CHECK(cost.empty());
}

DIRECTORY_CASE("round trips: open, read, seek, map, close are OPEN and RELEASE only") {
  make_file(place / "file", pattern(100'000, 1));
  warm(place / "file");
  const Counters cost = cost_of(place.mount(), [&](std::uint64_t /*i*/) {
    const UniqueFd fd = open_file(place / "file", O_RDONLY);
    std::string data(4096, '\0');
    CHECK(::read(fd.get(), data.data(), data.size()) == 4096);
    CHECK(::lseek(fd.get(), 50'000, SEEK_SET) == 50'000);
    CHECK(::lseek(fd.get(), 10, SEEK_CUR) == 50'010);
    CHECK(::lseek(fd.get(), -10, SEEK_END) == 99'990);
    CHECK(::pread(fd.get(), data.data(), data.size(), 0) == 4096);
    const Mapped map(fd.get(), 4 * kPage, MAP_SHARED, PROT_READ);
    REQUIRE(map.error() == Errno{});
    CHECK((map.text(0, 4096) == data));
  });
  CHECK(cost == Counters{{"OPEN", 1}, {"RELEASE", 1}});
}

DIRECTORY_CASE("round trips: a durable file opened for reading costs the same") {
  durable_file(place / "file", pattern(100'000, 1));
  warm(place / "file");
  const Counters cost = cost_of(place.mount(), [&](std::uint64_t /*i*/) {
    const UniqueFd fd = open_file(place / "file", O_RDONLY);
    std::string data(4096, '\0');
    CHECK(::pread(fd.get(), data.data(), data.size(), 0) == 4096);
  });
  CHECK(cost == Counters{{"OPEN", 1}, {"RELEASE", 1}});
}

DIRECTORY_CASE("round trips: stores through a durable mapping cost nothing") {
  durable_file(place / "file", std::string(64 * kPage, '.'));
  const UniqueFd fd = open_file(place / "file", O_RDWR);
  const Mapped map(fd.get(), 64 * kPage);
  REQUIRE(map.error() == Errno{});
  const Counters cost = cost_of(place.mount(), [&](std::uint64_t i) {
    for (std::size_t page = 0; page < 64; ++page) {
      map.store(page * kPage + i, "x");
    }
    EXPECT_OK(map.sync());
  });
  CHECK(cost.empty());
}

DIRECTORY_CASE("round trips: reads and writes of an open ordinary file ask nobody") {
  make_file(place / "file", pattern(100'000, 1));
  const UniqueFd fd = open_file(place / "file", O_RDWR);
  CHECK(pwrite_all(fd.get(), "first", 0));
  const RequestCount requests(place.mount());
  std::string data(4096, '\0');
  for (std::uint64_t i = 0; i < kRounds; ++i) {
    CHECK(::pread(fd.get(), data.data(), data.size(), static_cast<off_t>(i * 100)) == 4096);
    CHECK(pwrite_all(fd.get(), data, static_cast<off_t>(i * 100)));
  }
  const Counters cost = requests.so_far();
  CHECK(count_of(cost, "READ") == 0);
  CHECK(count_of(cost, "WRITE") == 0);
  CHECK(cost.empty());
}

DIRECTORY_CASE("round trips: the first stat after a read or write is one GETATTR") {
  make_file(place / "file", pattern(100'000, 1));
  const UniqueFd fd = open_file(place / "file", O_RDWR);
  CHECK(pwrite_all(fd.get(), "first", 0));
  warm(place / "file");
  const Counters reading = cost_of(place.mount(), [&](std::uint64_t /*i*/) {
    char byte = 0;
    NEED_OK(::pread(fd.get(), &byte, 1, 0));
    static_cast<void>(stat_of(fd.get()));
  });
  CHECK(reading == Counters{{"GETATTR", 1}});
  const Counters writing = cost_of(place.mount(), [&](std::uint64_t /*i*/) {
    NEED_OK(::pwrite(fd.get(), "x", 1, 0));
    static_cast<void>(stat_of(fd.get()));
  });
  // The write after an attribute refresh asks for security.capability once.
  CHECK(writing == Counters{{"GETATTR", 1}, {"GETXATTR", 1}});
}

DIRECTORY_CASE("round trips: create in a known directory, write 4 KiB, close") {
  warm(place.path());
  make_file(place / "before");
  const std::string data = pattern(4096, 1);
  const Counters cost = cost_in_known_directory(place, [&](std::uint64_t i) {
    const UniqueFd fd(sys::open(numbered(place, i), O_CREAT | O_WRONLY));
    CHECK(::write(fd.get(), data.data(), data.size()) == 4096);
  });
  CHECK(cost == Counters{{"LOOKUP", 1}, {"CREATE", 1}, {"GETXATTR", 1}, {"RELEASE", 1}});
}

DIRECTORY_CASE("round trips: creations in a row cost one GETATTR of the directory each") {
  warm(place.path());
  const Counters cost = cost_of(place.mount(), [&](std::uint64_t i) {
    make_file(place / ("before" + std::to_string(i)));
    static_cast<void>(stat_of(place.path()));
  });
  CHECK(count_of(cost, "GETATTR") == 1);
}

PMEMFS_CASE("round trips: names cost one request each beside the lookup of a new one") {
  for (std::uint64_t i = 0; i < kRounds; ++i) {
    make_file(numbered(place, i));
    static_cast<void>(stat_of(numbered(place, i)));
  }
  const auto other = [&](std::uint64_t i) {
    return place / ("other" + std::to_string(i));
  };
  Counters linking = cost_in_known_directory(
      place, [&](std::uint64_t i) { NEED_OK(sys::link(numbered(place, i), other(i))); });
  linking.erase("GETATTR");  // of a file written a second ago: its attributes are not cached long
  CHECK(linking == Counters{{"LOOKUP", 1}, {"LINK", 1}});
  CHECK(cost_in_known_directory(place, [&](std::uint64_t i) { NEED_OK(sys::unlink(other(i))); }) ==
        Counters{{"UNLINK", 1}});
  const Counters renames = cost_in_known_directory(
      place, [&](std::uint64_t i) { NEED_OK(sys::rename(numbered(place, i), other(i))); });
  CHECK(count_of(renames, "RENAME") + count_of(renames, "RENAME2") == 1);
  CHECK(count_of(renames, "LOOKUP") <= 1);
  CHECK(renames.size() <= 2);
  CHECK(cost_in_known_directory(place, [&](std::uint64_t i) {
          NEED_OK(sys::mkdir(place / ("d" + std::to_string(i))));
        }) == Counters{{"LOOKUP", 1}, {"MKDIR", 1}});
  CHECK(cost_in_known_directory(place, [&](std::uint64_t i) {
          NEED_OK(sys::rmdir(place / ("d" + std::to_string(i))));
        }) == Counters{{"RMDIR", 1}});
}

PMEMFS_CASE("round trips: a symlink is read once") {
  NEED_OK(sys::symlink("target", place / "link"));
  std::string target;
  NEED_OK(sys::readlink(place / "link", target));
  const Counters cost = cost_of(place.mount(), [&](std::uint64_t /*i*/) {
    EXPECT_OK(sys::readlink(place / "link", target));
  });
  CHECK(cost.empty());
}

PMEMFS_CASE("round trips: readdir and stat of 10 000 files on a fresh mount is READDIRPLUS") {
  constexpr std::uint64_t kFiles = 10'000;
  for (std::uint64_t i = 0; i < kFiles; ++i) {
    REQUIRE(sys::mknod(numbered(place, i), S_IFREG | 0644U) == 0);
  }
  note_progress();
  place.mount().remount();
  {
    const RequestCount requests(place.mount());
    const std::vector<std::string> names = names_in(place.path());
    CHECK(names.size() == kFiles);
    for (const std::string& name : names) {
      static_cast<void>(stat_of(place / name));
    }
    const Counters cost = requests.so_far();
    INFO("LOOKUP " << count_of(cost, "LOOKUP") << " GETATTR " << count_of(cost, "GETATTR"));
    CHECK(count_of(cost, "READDIRPLUS") >= 1);
    CHECK(count_of(cost, "READDIRPLUS") <= kFiles / 10);
    CHECK(count_of(cost, "READDIR") == 0);
    CHECK(count_of(cost, "LOOKUP") <= 1);   // the directory itself
    CHECK(count_of(cost, "GETATTR") <= 2);  // the same
    CHECK(count_of(cost, "OPENDIR") <= 1);
    CHECK(cost.size() <= 5);
  }
  place.mount().remount();
  const RequestCount requests(place.mount());
  const ProgramResult listed = run_program({"ls", "-l", place.path()});
  CHECK(listed.status == 0);
  const Counters cost = requests.so_far();
  CHECK(count_of(cost, "LOOKUP") <= 1);
  CHECK(count_of(cost, "GETATTR") <= 3);
  CHECK(count_of(cost, "GETXATTR") <=
        2 * kFiles + 3);  // the directory has a default ACL to ask for
  CHECK(count_of(cost, "LISTXATTR") == 0);
}

}  // namespace pmemfs::test
