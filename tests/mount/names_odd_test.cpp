// Names at the limits: length, bytes, depth.

#include <set>

#include "support/mount_fixture.hpp"

namespace pmemfs::test {

POSIX_CASE("odd names: 255 bytes, all operations") {
  const std::string longest(255, 'n');
  const std::string other = std::string(254, 'n') + "m";
  make_file(place / longest, "long");
  NEED_OK(sys::mkdir(place / other));
  CHECK(content_of(place / longest) == "long");
  EXPECT_OK(sys::rename(place / longest, place / (other + "/" + longest)));
  EXPECT_OK(sys::link(place / (other + "/" + longest), place / longest));
  CHECK(names_in(place.path()) == std::vector<std::string>{other, longest});
  EXPECT_ERRNO(ENAMETOOLONG, sys::open(place / (longest + "n"), O_RDONLY));
  EXPECT_ERRNO(ENAMETOOLONG, sys::access(place / (longest + "n"), F_OK));
  EXPECT_OK(sys::symlink("x", place / std::string(255, 's')));
}

POSIX_CASE("odd names: every byte but slash and zero") {
  std::set<std::string> expected;
  for (int byte = 1; byte < 256; ++byte) {
    if (byte == '/') {
      continue;
    }
    const std::string name = std::string(1, static_cast<char>(byte)) + "x";
    make_file(place / name, name);
    expected.insert(name);
  }
  const std::vector<std::string> found = names_in(place.path());
  CHECK((std::set<std::string>(found.begin(), found.end()) == expected));
  for (const std::string& name : expected) {
    CHECK((content_of(place / name) == name));
  }
}

POSIX_CASE("odd names: what looks alike is not the same") {
  // Case, trailing dots and blanks, both forms of é, an overlong encoding, invalid UTF-8.
  const std::vector<std::string> names{
      "name", "Name",  "NAME",        "name.",        "name ",    " name",    "...",
      ".. ",  "-name", "caf\xc3\xa9", "cafe\xcc\x81", "\xc0\xae", "\xff\xfe", "a\nb"};
  for (const std::string& name : names) {
    make_file(place / name, name);
  }
  CHECK(names_in(place.path()).size() == names.size());
  for (const std::string& name : names) {
    CHECK((content_of(place / name) == name));
  }
  EXPECT_OK(sys::unlink(place / "Name"));
  CHECK(exists(place / "name"));
  CHECK_FALSE(exists(place / "Name"));
}

POSIX_CASE("odd names: names that share a long prefix") {
  const std::string prefix(248, 'p');
  for (int i = 0; i < 500; ++i) {
    make_file(place / (prefix + std::to_string(i)));
  }
  CHECK(names_in(place.path()).size() == 500);
  for (int i = 0; i < 500; i += 2) {
    NEED_OK(sys::unlink(place / (prefix + std::to_string(i))));
  }
  CHECK(names_in(place.path()).size() == 250);
  CHECK(exists(place / (prefix + "1")));
  CHECK_FALSE(exists(place / (prefix + "2")));
}

POSIX_CASE("odd names: a tree deeper than a path is long") {
  const auto build = [&] {
    if (sys::chdir(place.path()) < 0) {
      return Errno{errno};
    }
    const std::string step(200, 'd');
    for (int depth = 0; depth < 60; ++depth) {
      if (sys::mkdir(step) < 0 || sys::chdir(step) < 0) {
        return Errno{errno};
      }
    }
    return error_of(sys::open("bottom", O_CREAT | O_RDWR));
  };
  CHECK(in_child(build) == Errno{});
  const auto climb = [&] {
    if (sys::chdir(place.path()) < 0) {
      return Errno{errno};
    }
    const std::string step(200, 'd');
    for (int depth = 0; depth < 60; ++depth) {
      if (sys::chdir(step) < 0) {
        return Errno{errno};
      }
    }
    if (sys::access("bottom", F_OK) < 0) {
      return Errno{errno};
    }
    for (int depth = 0; depth < 60; ++depth) {
      if (sys::chdir("..") < 0) {
        return Errno{errno};
      }
    }
    struct stat st {};
    return sys::lstat(".", st) == 0 && st.st_ino == inode_of(place.path()) ? Errno{}
                                                                           : Errno{ESTALE};
  };
  CHECK(in_child(climb) == Errno{});
}

POSIX_CASE("odd names: readdir after each change shows exactly what is there") {
  std::set<std::string> expected;
  for (int i = 0; i < 300; ++i) {
    const std::string name = "e" + std::to_string(i * 7919 % 1000);
    if (i % 3 == 2 && !expected.empty()) {
      NEED_OK(sys::unlink(place / *expected.begin()));
      expected.erase(expected.begin());
    }
    if (expected.insert(name).second) {
      make_file(place / name);
    }
    if (i % 10 == 0) {
      const std::vector<std::string> found = names_in(place.path());
      REQUIRE((std::set<std::string>(found.begin(), found.end()) == expected));
    }
  }
}

}  // namespace pmemfs::test
