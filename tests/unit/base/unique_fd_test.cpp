#include "base/unique_fd.hpp"

#include <fcntl.h>

#include "harness/catch.hpp"

using pmemfs::base::UniqueFd;

namespace {

bool is_open(int fd) {
  return ::fcntl(fd, F_GETFD) >= 0;
}
int open_null() {
  return ::open("/dev/null", O_RDONLY | O_CLOEXEC);
}

}  // namespace

TEST_CASE("a UniqueFd closes what it owns, once") {
  int fd = -1;
  {
    const UniqueFd owner(open_null());
    REQUIRE(owner);
    fd = owner.get();
    CHECK(is_open(fd));
  }
  CHECK(!is_open(fd));
}

TEST_CASE("a UniqueFd is moved, replaced and released") {
  UniqueFd a(open_null());
  const int first = a.get();
  UniqueFd b(std::move(a));
  CHECK(b.get() == first);
  const int second = open_null();
  b.reset(second);
  CHECK(!is_open(first));
  UniqueFd c;
  CHECK(!c);
  c = std::move(b);
  CHECK(c.get() == second);
  const int released = c.release();
  CHECK(!c);
  CHECK(is_open(released));
  ::close(released);
}

TEST_CASE("closing keeps errno") {
  UniqueFd fd(open_null());
  errno = ENOTDIR;
  fd.reset();
  CHECK(errno == ENOTDIR);
}
