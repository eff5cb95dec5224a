// Locks: POSIX, open file description, flock; and leases.

#include <sys/file.h>

#include "support/mount_fixture.hpp"

namespace pmemfs::test {
namespace {

struct flock range(short type, off_t start, off_t length) {
  struct flock lock {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = start;
  lock.l_len = length;
  return lock;
}

int lock(int fd, int command, short type, off_t start = 0, off_t length = 0) {
  struct flock wanted = range(type, start, length);
  return ::fcntl(fd, command, &wanted);
}

}  // namespace

POSIX_CASE("locks: POSIX locks between processes, by range") {
  make_file(place / "file", "x");
  const UniqueFd fd = open_file(place / "file", O_RDWR);
  NEED_OK(lock(fd.get(), F_SETLK, F_WRLCK, 10, 10));
  const auto elsewhere = [&](short type, off_t start, off_t length) {
    return in_child([&] {
      const UniqueFd own = open_file(place / "file", O_RDWR);
      return error_of(lock(own.get(), F_SETLK, type, start, length));
    });
  };
  CHECK(elsewhere(F_RDLCK, 0, 10) == Errno{});
  CHECK(elsewhere(F_RDLCK, 0, 11) == Errno{EAGAIN});
  CHECK(elsewhere(F_WRLCK, 19, 1) == Errno{EAGAIN});
  CHECK(elsewhere(F_WRLCK, 20, 0) == Errno{});
  NEED_OK(lock(fd.get(), F_SETLK, F_RDLCK, 10, 10));
  CHECK(elsewhere(F_RDLCK, 10, 10) == Errno{});
  CHECK(elsewhere(F_WRLCK, 10, 10) == Errno{EAGAIN});
  const pid_t holder = ::getpid();
  CHECK(in_child([&] {
          const UniqueFd own = open_file(place / "file", O_RDWR);
          struct flock query = range(F_WRLCK, 0, 0);
          if (::fcntl(own.get(), F_GETLK, &query) < 0) {
            return Errno{errno};
          }
          return Errno{query.l_type == F_RDLCK && query.l_pid == holder && query.l_start == 10 ? 0
                                                                                               : 1};
        }) == Errno{});
  // Closing any handle of the file drops the process's locks: POSIX's trap.
  static_cast<void>(open_file(place / "file", O_RDONLY));
  CHECK(elsewhere(F_WRLCK, 0, 0) == Errno{});
}

POSIX_CASE("locks: a waiter gets the lock when the holder lets go") {
  make_file(place / "file");
  const UniqueFd fd = open_file(place / "file", O_RDWR);
  NEED_OK(lock(fd.get(), F_SETLK, F_WRLCK));
  const Turnstile ready;
  Child waiter([&] {
    const UniqueFd own = open_file(place / "file", O_RDWR);
    ready.let_pass();
    return error_of(lock(own.get(), F_SETLKW, F_WRLCK));
  });
  CHECK(ready.wait_for_turn());
  NEED_OK(lock(fd.get(), F_SETLK, F_UNLCK));
  CHECK(waiter.wait() == Errno{});
}

POSIX_CASE("locks: open file description locks belong to the handle") {
  make_file(place / "file");
  const UniqueFd one = open_file(place / "file", O_RDWR);
  UniqueFd two = open_file(place / "file", O_RDWR);
  NEED_OK(lock(two.get(), F_OFD_SETLK, F_WRLCK, 0, 100));
  EXPECT_ERRNO(EAGAIN, lock(one.get(), F_OFD_SETLK, F_RDLCK, 50, 1));
  EXPECT_OK(lock(one.get(), F_OFD_SETLK, F_RDLCK, 100, 1));
  EXPECT_ERRNO(EAGAIN, lock(one.get(), F_SETLK, F_WRLCK, 50, 1));
  two.reset();
  EXPECT_OK(lock(one.get(), F_OFD_SETLK, F_WRLCK, 0, 0));
}

POSIX_CASE("locks: flock") {
  make_file(place / "file");
  const UniqueFd one = open_file(place / "file", O_RDONLY);
  UniqueFd two = open_file(place / "file", O_RDONLY);
  EXPECT_OK(::flock(one.get(), LOCK_SH));
  EXPECT_OK(::flock(two.get(), LOCK_SH | LOCK_NB));
  EXPECT_ERRNO(EAGAIN, ::flock(two.get(), LOCK_EX | LOCK_NB));
  EXPECT_OK(::flock(one.get(), LOCK_UN));
  EXPECT_OK(::flock(two.get(), LOCK_EX | LOCK_NB));
  CHECK(in_child([&] {
          const UniqueFd own = open_file(place / "file", O_RDONLY);
          return error_of(::flock(own.get(), LOCK_SH | LOCK_NB));
        }) == Errno{EAGAIN});
  two.reset();
  EXPECT_OK(::flock(one.get(), LOCK_EX | LOCK_NB));
  const UniqueFd dir = open_file(place.path(), O_RDONLY | O_DIRECTORY);
  EXPECT_OK(::flock(dir.get(), LOCK_EX | LOCK_NB));
}

POSIX_CASE("locks: they go with a process that is killed") {
  make_file(place / "file");
  const Turnstile locked;
  Child holder([&] {
    const UniqueFd own = open_file(place / "file", O_RDWR);
    if (lock(own.get(), F_SETLK, F_WRLCK) < 0 || ::flock(own.get(), LOCK_EX) < 0) {
      return Errno{errno};
    }
    locked.let_pass();
    ::pause();
    return Errno{};
  });
  REQUIRE(locked.wait_for_turn());
  const UniqueFd fd = open_file(place / "file", O_RDWR);
  EXPECT_ERRNO(EAGAIN, lock(fd.get(), F_SETLK, F_WRLCK));
  EXPECT_ERRNO(EAGAIN, ::flock(fd.get(), LOCK_EX | LOCK_NB));
  holder.kill();
  EXPECT_OK(lock(fd.get(), F_SETLKW, F_WRLCK));
  EXPECT_OK(::flock(fd.get(), LOCK_EX));
}

}  // namespace pmemfs::test
