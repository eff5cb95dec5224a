// Extended attributes of all namespaces.

#include <set>

#include "support/mount_fixture.hpp"

namespace pmemfs::test {
namespace {

constexpr long kTmpfsMagic = 0x01021994;
constexpr std::size_t kMaxValue = 65'536;

// A local filesystem of our oracles that stores large values; ext4 holds about 4 KiB in all.
bool stores_large(const Place& place) {
  return place.is_pmemfs() || place.is_plain(kTmpfsMagic);
}

}  // namespace

POSIX_CASE("xattr: set, get, list and remove in each namespace") {
  make_file(place / "file");
  NEED_OK(sys::mkdir(place / "dir"));
  for (const char* target : {"file", "dir"}) {
    for (const std::string& name :
         {std::string("user.a"), std::string("trusted.b"), std::string("security.c")}) {
      INFO(name << " on a " << target);
      EXPECT_OK(sys::setxattr(place / target, name, "value"));
      CHECK(xattr_of(place / target, name) == "value");
      EXPECT_OK(sys::setxattr(place / target, name, "longer value"));
      CHECK(xattr_of(place / target, name) == "longer value");
    }
    CHECK(xattr_names_of(place / target) ==
          std::vector<std::string>{"security.c", "trusted.b", "user.a"});
    EXPECT_OK(sys::removexattr(place / target, "trusted.b"));
    CHECK(xattr_names_of(place / target) == std::vector<std::string>{"security.c", "user.a"});
    EXPECT_ERRNO(ENODATA, sys::getxattr(place / target, "trusted.b"));
    EXPECT_ERRNO(ENODATA, sys::removexattr(place / target, "trusted.b"));
  }
}

POSIX_CASE("xattr: CREATE and REPLACE") {
  make_file(place / "file");
  EXPECT_ERRNO(ENODATA, sys::setxattr(place / "file", "user.a", "1", XATTR_REPLACE));
  EXPECT_OK(sys::setxattr(place / "file", "user.a", "1", XATTR_CREATE));
  EXPECT_ERRNO(EEXIST, sys::setxattr(place / "file", "user.a", "2", XATTR_CREATE));
  CHECK(xattr_of(place / "file", "user.a") == "1");
  EXPECT_OK(sys::setxattr(place / "file", "user.a", "2", XATTR_REPLACE));
  CHECK(xattr_of(place / "file", "user.a") == "2");
  EXPECT_ERRNO(EINVAL, sys::setxattr(place / "file", "user.a", "3", 4));
}

POSIX_CASE("xattr: buffers too small, and asking for the size") {
  make_file(place / "file");
  NEED_OK(sys::setxattr(place / "file", "user.a", "value"));
  const std::string path = place / "file";
  std::string buffer(16, '\0');
  CHECK(::getxattr(path.c_str(), "user.a", nullptr, 0) == 5);
  EXPECT_ERRNO(ERANGE, ::getxattr(path.c_str(), "user.a", buffer.data(), 4));
  CHECK(::getxattr(path.c_str(), "user.a", buffer.data(), 5) == 5);
  CHECK(::listxattr(path.c_str(), nullptr, 0) == 7);
  EXPECT_ERRNO(ERANGE, ::listxattr(path.c_str(), buffer.data(), 6));
  CHECK(::listxattr(path.c_str(), buffer.data(), 7) == 7);
  CHECK(std::string_view(buffer.c_str()) == "user.a");
}

POSIX_CASE("xattr: names that are not possible") {
  make_file(place / "file");
  const std::string longest = "user." + std::string(250, 'n');
  EXPECT_OK(sys::setxattr(place / "file", longest, "v"));
  CHECK(xattr_of(place / "file", longest) == "v");
  EXPECT_ERRNO(ERANGE, sys::setxattr(place / "file", longest + "n", "v"));
  EXPECT_ERRNO(ERANGE, sys::setxattr(place / "file", "", "v"));
  EXPECT_ERRNO(EINVAL, sys::setxattr(place / "file", "user.", "v"));
  for (const char* name : {"noname", "foreign.name", "system.name", "User.a"}) {
    INFO(name);
    EXPECT_ERRNO(EOPNOTSUPP, sys::setxattr(place / "file", name, "v"));
    EXPECT_ERRNO(EOPNOTSUPP, sys::getxattr(place / "file", name));
    EXPECT_ERRNO(EOPNOTSUPP, sys::removexattr(place / "file", name));
  }
  EXPECT_OK(sys::setxattr(place / "file", "user.\xff odd\n=", "v"));
  EXPECT_OK(sys::setxattr(place / "file", "user.Case", "1"));
  EXPECT_OK(sys::setxattr(place / "file", "user.case", "2"));
  CHECK(xattr_of(place / "file", "user.Case") == "1");
  CHECK(xattr_names_of(place / "file").size() == 4);
}

POSIX_CASE("xattr: user names are for files and directories only") {
  NEED_OK(sys::symlink("nowhere", place / "link"));
  NEED_OK(sys::mknod(place / "fifo", S_IFIFO | 0644U));
  NEED_OK(sys::mknod(place / "socket", S_IFSOCK | 0644U));
  for (const char* name : {"link", "fifo"}) {
    INFO(name);
    EXPECT_ERRNO(EPERM, sys::setxattr(place / name, "user.a", "v"));
    EXPECT_ERRNO(ENODATA, sys::getxattr(place / name, "user.a"));
    EXPECT_OK(sys::setxattr(place / name, "trusted.a", "v"));
    EXPECT_OK(sys::setxattr(place / name, "security.a", "v"));
    CHECK(xattr_names_of(place / name).size() == 2);
    CHECK(xattr_of(place / name, "trusted.a") == "v");
  }
}

POSIX_CASE("xattr: who may") {
  make_file(place / "file", "", 0644);
  NEED_OK(sys::setxattr(place / "file", "user.a", "v"));
  NEED_OK(sys::setxattr(place / "file", "trusted.a", "v"));
  EXPECT_OK_AS(kAlice, sys::getxattr(place / "file", "user.a"));
  EXPECT_ERRNO_AS(kAlice, EACCES, sys::setxattr(place / "file", "user.a", "w"));
  EXPECT_ERRNO_AS(kAlice, EACCES, sys::removexattr(place / "file", "user.a"));
  EXPECT_ERRNO_AS(kAlice, EPERM, sys::setxattr(place / "file", "trusted.a", "w"));
  EXPECT_ERRNO_AS(kAlice, EPERM, sys::removexattr(place / "file", "trusted.a"));
  EXPECT_ERRNO_AS(kAlice, ENODATA, sys::getxattr(place / "file", "trusted.a"));
  EXPECT_ERRNO_AS(kAlice, EPERM, sys::setxattr(place / "file", "security.a", "w"));
  NEED_OK(sys::chmod(place / "file", 0600));
  EXPECT_ERRNO_AS(kAlice, EACCES, sys::getxattr(place / "file", "user.a"));
  NEED_OK(sys::lchown(place / "file", kAlice.uid, kAlice.gid));
  EXPECT_OK_AS(kAlice, sys::setxattr(place / "file", "user.a", "w"));
  // In a sticky directory that is not one's own, even with write permission.
  NEED_OK(sys::mkdir(place / "sticky"));
  NEED_OK(sys::chmod(place / "sticky", 01777));
  EXPECT_ERRNO_AS(kAlice, EPERM, sys::setxattr(place / "sticky", "user.a", "v"));
}

POSIX_CASE("xattr: trusted names are listed for root alone") {
  make_file(place / "file");
  NEED_OK(sys::setxattr(place / "file", "user.a", "v"));
  NEED_OK(sys::setxattr(place / "file", "trusted.a", "v"));
  CHECK(xattr_names_of(place / "file").size() == 2);
  const auto count = [&] {
    return Errno{static_cast<int>(xattr_names_of(place / "file").size())};
  };
  CHECK(as_user(kAlice, count) == Errno{1});
}

POSIX_CASE("xattr: values of every size up to 64 KiB") {
  make_file(place / "file");
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{1}, std::size_t{255}, std::size_t{256}, std::size_t{1000},
        std::size_t{3000}, std::size_t{4050}, std::size_t{4096}, std::size_t{4097},
        std::size_t{10'000}, std::size_t{32'768}, kMaxValue - 1, kMaxValue}) {
    if (size > 3000 && !stores_large(place)) {
      break;
    }
    INFO("size " << size);
    EXPECT_OK(sys::setxattr(place / "file", "user.big", pattern(size, size)));
    CHECK((xattr_of(place / "file", "user.big") == pattern(size, size)));
  }
  EXPECT_ERRNO(E2BIG, sys::setxattr(place / "file", "user.big", std::string(kMaxValue + 1, 'x')));
  EXPECT_OK(sys::setxattr(place / "file", "user.big", "small again"));
  CHECK(xattr_of(place / "file", "user.big") == "small again");
  EXPECT_OK(sys::setxattr(place / "file", "user.zero", std::string("a\0b", 3)));
  CHECK(xattr_of(place / "file", "user.zero") == std::string("a\0b", 3));
}

POSIX_CASE("xattr: several large values on one file") {
  if (!stores_large(place)) {
    return;
  }
  make_file(place / "file");
  for (std::uint64_t i = 0; i < 8; ++i) {
    EXPECT_OK(
        sys::setxattr(place / "file", "user.v" + std::to_string(i), pattern(kMaxValue - i, i)));
  }
  EXPECT_OK(sys::removexattr(place / "file", "user.v3"));
  EXPECT_OK(sys::setxattr(place / "file", "user.v5", pattern(100, 55)));
  for (std::uint64_t i = 0; i < 8; ++i) {
    if (i != 3) {
      const std::string expected = i == 5 ? pattern(100, 55) : pattern(kMaxValue - i, i);
      CHECK((xattr_of(place / "file", "user.v" + std::to_string(i)) == expected));
    }
  }
}

POSIX_CASE("xattr: many names on one file") {
  const int count = stores_large(place) ? 1000 : 40;
  make_file(place / "file");
  std::set<std::string> expected;
  for (int i = 0; i < count; ++i) {
    const std::string name = "user.attribute-number-" + std::to_string(i);
    NEED_OK(sys::setxattr(place / "file", name, std::to_string(i)));
    expected.insert(name);
  }
  const auto check = [&] {
    const std::vector<std::string> names = xattr_names_of(place / "file");
    CHECK((std::set<std::string>(names.begin(), names.end()) == expected));
    CHECK(names.size() == expected.size());
  };
  check();
  for (int i = 0; i < count; i += 2) {
    const std::string name = "user.attribute-number-" + std::to_string(i);
    NEED_OK(sys::removexattr(place / "file", name));
    expected.erase(name);
  }
  check();
  for (int i = 1; i < count; i += 2) {
    REQUIRE(xattr_of(place / "file", "user.attribute-number-" + std::to_string(i)) ==
            std::to_string(i));
  }
}

PMEMFS_CASE("xattr: a list that no caller could take is E2BIG, never cut") {
  make_file(place / "file");
  const std::string tail(240, 'n');
  int set = 0;
  while (set < 400 &&
         sys::setxattr(place / "file", "user." + std::to_string(1000 + set) + tail, "v") == 0) {
    ++set;
  }
  const ssize_t listed = ::listxattr((place / "file").c_str(), nullptr, 0);
  if (listed < 0) {
    CHECK(errno == E2BIG);
  } else {
    CHECK(listed == set * 250);  // the later ones were refused
  }
}

POSIX_CASE("xattr: through a handle, and through a symlink") {
  make_file(place / "file");
  NEED_OK(sys::symlink("file", place / "link"));
  const UniqueFd fd = open_file(place / "file", O_RDONLY);
  EXPECT_OK(::fsetxattr(fd.get(), "user.a", "v", 1, 0));
  CHECK(::setxattr((place / "link").c_str(), "user.b", "w", 1, 0) == 0);
  CHECK(xattr_names_of(place / "file") == std::vector<std::string>{"user.a", "user.b"});
  CHECK(xattr_names_of(place / "link").empty());
  EXPECT_OK(::fremovexattr(fd.get(), "user.b"));
  CHECK(::flistxattr(fd.get(), nullptr, 0) == 7);
}

POSIX_CASE("xattr: they go with the inode") {
  make_file(place / "a");
  NEED_OK(sys::setxattr(place / "a", "user.x", "v"));
  NEED_OK(sys::link(place / "a", place / "b"));
  NEED_OK(sys::rename(place / "a", place / "c"));
  CHECK(xattr_of(place / "b", "user.x") == "v");
  NEED_OK(sys::unlink(place / "b"));
  NEED_OK(sys::unlink(place / "c"));
  make_file(place / "a");
  CHECK(xattr_names_of(place / "a").empty());
}

}  // namespace pmemfs::test
