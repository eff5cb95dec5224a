// Directories of many entries, and reading them while they change. PMEMFS_BIG_DIRECTORY sets the
// number of entries.

#include <sys/syscall.h>

#include <algorithm>
#include <map>
#include <set>

#include "support/mount_fixture.hpp"
#include "support/mount_random.hpp"

namespace pmemfs::test {
namespace {

constexpr std::uint64_t kEntries = 100'000;
constexpr int kStayers = 5000;

using Stream = std::unique_ptr<DIR, int (*)(DIR*)>;

Stream stream_of(const std::string& dir) {
  Stream stream(::opendir(dir.c_str()), &::closedir);
  REQUIRE(stream);
  return stream;
}

std::string name_of_entry(std::uint64_t i) {
  return "entry-" + std::to_string(i);
}

void fill(const std::string& dir, std::uint64_t count, const char* prefix = "/entry-") {
  for (std::uint64_t i = 0; i < count; ++i) {
    REQUIRE(sys::mknod(dir + prefix + std::to_string(i),
                       (i % 16 == 0 ? S_IFREG : S_IFIFO) | 0644U) == 0);
  }
}

// How often each name comes, without . and ..
std::map<std::string, int> counted(DIR* stream) {
  std::map<std::string, int> seen;
  while (const dirent* entry = ::readdir(stream)) {
    if (entry->d_name[0] != '.') {
      ++seen[entry->d_name];
    }
  }
  return seen;
}

// The entries that stay all the time must come exactly once each.
void check_stayers(const std::map<std::string, int>& seen, int count) {
  int missing = 0;
  int repeated = 0;
  for (int i = 0; i < count; ++i) {
    const auto found = seen.find("stay" + std::to_string(i));
    missing += found == seen.end() ? 1 : 0;
    repeated += found != seen.end() && found->second > 1 ? 1 : 0;
  }
  CHECK(missing == 0);
  CHECK(repeated == 0);
}

// Creates, removes and renames names beside the stayers until killed.
Errno disturb(const std::string& dir, std::uint64_t seed) {
  Random random(seed);
  for (;;) {
    const std::string name =
        dir + "/move" + std::to_string(seed) + "-" + std::to_string(random.below(2000));
    if (sys::unlink(name) < 0 && sys::mknod(name, S_IFIFO | 0644U) < 0) {
      return Errno{errno};
    }
    if (random.one_in(5)) {
      sys::rename(name,
                  dir + "/move" + std::to_string(seed) + "-" + std::to_string(random.below(2000)));
    }
  }
}

}  // namespace

POSIX_CASE("big directory: every entry once, found by name, and gone when removed") {
  const std::uint64_t usual = place.kind() == Kind::kDirectory ? kEntries : kEntries / 4;
  const std::uint64_t count = number_from("PMEMFS_BIG_DIRECTORY", usual);
  const std::string dir = place / "big";
  NEED_OK(sys::mkdir(dir));
  for (std::uint64_t i = 0; i < count; ++i) {
    REQUIRE(sys::mknod(dir + "/" + name_of_entry(i), (i % 16 == 0 ? S_IFREG : S_IFIFO) | 0644U) ==
            0);
    if (i % 10'000 == 0) {
      note_progress();
    }
  }
  const std::vector<std::string> names = names_in(dir);
  CHECK(names.size() == count);
  CHECK(std::set<std::string>(names.begin(), names.end()).size() == count);
  Random random(1);
  for (int i = 0; i < 500; ++i) {
    const std::uint64_t at = random.below(count);
    REQUIRE(S_ISREG(stat_of(dir + "/" + name_of_entry(at)).st_mode) == (at % 16 == 0));
    REQUIRE(error_of(sys::access(dir + "/" + name_of_entry(count + at), F_OK)) == Errno{ENOENT});
    REQUIRE(error_of(sys::mkdir(dir + "/" + name_of_entry(at))) == Errno{EEXIST});
  }
  EXPECT_ERRNO(ENOTEMPTY, sys::rmdir(dir));
  // As rm -r does: remove what was just read, and go on reading.
  const Stream stream = stream_of(dir);
  std::uint64_t removed = 0;
  while (const dirent* entry = ::readdir(stream.get())) {
    if (entry->d_name[0] != '.') {
      REQUIRE(::unlinkat(::dirfd(stream.get()), entry->d_name, 0) == 0);
      if (++removed % 10'000 == 0) {
        note_progress();
      }
    }
  }
  CHECK(removed == count);
  CHECK(names_in(dir).empty());
  EXPECT_OK(sys::rmdir(dir));
}

POSIX_CASE("big directory: what stays is seen exactly once while others come and go") {
  const std::string dir = place / "dir";
  NEED_OK(sys::mkdir(dir));
  fill(dir, 1000, "/move1-");
  fill(dir, kStayers, "/stay");
  Child one([&] { return disturb(dir, 1); });
  Child two([&] { return disturb(dir, 2); });
  for (int pass = 0; pass < 15; ++pass) {
    const Stream stream = stream_of(dir);
    check_stayers(counted(stream.get()), kStayers);
  }
  // The same through one stream, rewound.
  const Stream stream = stream_of(dir);
  for (int pass = 0; pass < 15; ++pass) {
    check_stayers(counted(stream.get()), kStayers);
    ::rewinddir(stream.get());
  }
}

POSIX_CASE("big directory: telldir and seekdir, while others come and go") {
  constexpr int kCount = 2000;
  const std::string dir = place / "dir";
  NEED_OK(sys::mkdir(dir));
  fill(dir, 500, "/move1-");
  fill(dir, kCount, "/stay");
  const Stream stream = stream_of(dir);
  std::vector<std::pair<long, std::string>> positions;  // where each stayer was found
  long position = ::telldir(stream.get());
  while (const dirent* entry = ::readdir(stream.get())) {
    const std::string name = entry->d_name;
    if (name.rfind("stay", 0) == 0) {
      positions.emplace_back(position, name);
    }
    position = ::telldir(stream.get());
  }
  REQUIRE(positions.size() == kCount);
  const auto next_stayer = [&](long at) -> std::string {
    ::seekdir(stream.get(), at);
    while (const dirent* entry = ::readdir(stream.get())) {
      if (std::string_view(entry->d_name).substr(0, 4) == "stay") {
        return entry->d_name;
      }
    }
    return "";
  };
  Random random(3);
  for (int i = 0; i < 200; ++i) {
    const auto& [at, name] = random.pick(positions);
    REQUIRE(next_stayer(at) == name);
  }
  Child child([&] { return disturb(dir, 1); });
  for (int i = 0; i < 200; ++i) {
    const auto& [at, name] = random.pick(positions);
    REQUIRE(next_stayer(at) == name);
  }
}

POSIX_CASE("big directory: rewinddir shows what is there now") {
  const std::string dir = place / "dir";
  NEED_OK(sys::mkdir(dir));
  fill(dir, 300);
  const Stream stream = stream_of(dir);
  CHECK(counted(stream.get()).size() == 300);
  NEED_OK(sys::unlink(dir + "/entry-7"));
  make_file(dir + "/new");
  ::rewinddir(stream.get());
  const std::map<std::string, int> seen = counted(stream.get());
  CHECK(seen.size() == 300);
  CHECK(seen.count("new") == 1);
  CHECK(!seen.contains("entry-7"));
}

POSIX_CASE("big directory: getdents with the smallest buffers") {
  const std::string dir = place / "dir";
  NEED_OK(sys::mkdir(dir));
  fill(dir, 400);
  make_file(dir + "/" + std::string(255, 'l'));
  const UniqueFd fd = open_file(dir, O_RDONLY | O_DIRECTORY);
  struct Entry {
    std::uint64_t inode;
    std::int64_t next;
    std::uint16_t length;
  };
  std::set<std::string> seen;
  int count = 0;
  alignas(8) char buffer[300];
  long n = 0;
  while ((n = ::syscall(SYS_getdents64, fd.get(), buffer, sizeof buffer)) > 0) {
    for (long at = 0; at < n;) {
      Entry entry{};
      std::memcpy(&entry, buffer + at, 18);
      seen.insert(buffer + at + 19);
      ++count;
      at += entry.length;
    }
  }
  CHECK(n == 0);
  CHECK(count == 403);
  CHECK(seen.size() == 403);
  EXPECT_OK(::lseek(fd.get(), 0, SEEK_SET));
  EXPECT_ERRNO(EINVAL, ::syscall(SYS_getdents64, fd.get(), buffer, 20));
}

POSIX_CASE("big directory: filled and emptied again and again") {
  const std::string dir = place / "dir";
  NEED_OK(sys::mkdir(dir));
  for (int round = 0; round < 5; ++round) {
    fill(dir, 1500);
    CHECK(names_in(dir).size() == 1500);
    for (std::uint64_t i = 0; i < 1500; ++i) {
      REQUIRE(sys::unlink(dir + "/" + name_of_entry((i * 7) % 1500)) == 0);
    }
    CHECK(names_in(dir).empty());
  }
  EXPECT_OK(sys::rmdir(dir));
}

PMEMFS_CASE("big directory: the same cookies after a remount") {
  const std::string dir = place / "dir";
  NEED_OK(sys::mkdir(dir));
  fill(dir, 3000);
  const auto listing = [&] {
    const Stream stream = stream_of(dir);
    std::vector<std::pair<std::string, long>> entries;
    while (const dirent* entry = ::readdir(stream.get())) {
      entries.emplace_back(entry->d_name, entry->d_off);
    }
    return entries;
  };
  const auto before = listing();
  place.mount().remount();
  CHECK((listing() == before));
}

}  // namespace pmemfs::test
