#pragma once

// Runs a piece of a test in a child process, under another user's ids or with limits of its own.

#include <functional>
#include <vector>

#include "support/mount_sys.hpp"

namespace pmemfs::test {

struct User {
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups = {};  // supplementary
};

inline const User kAlice{2001, 2001};
inline const User kBob{2002, 2002};

// Runs `body` in a child and hands its result over; a child that dies gives kSignalled + signal.
// Assertions are of no use in `body`: return Errno{…} instead.
Errno in_child(const std::function<Errno()>& body);

// The same with all ids and groups of `user` and no capability.
Errno as_user(const User& user, const std::function<Errno()>& body);

// A child that runs beside the test until it returns or is killed; `wait` is for its result.
class Child {
 public:
  explicit Child(const std::function<Errno()>& body);
  ~Child();  // kills it
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  [[nodiscard]] pid_t pid() const { return pid_; }
  Errno wait();
  void kill();

 private:
  pid_t pid_ = -1;
};

// A count of bytes that pass between processes: parent and child take turns with it.
class Turnstile {
 public:
  Turnstile();
  void let_pass() const;       // wakes one waiter, now or later
  bool wait_for_turn() const;  // false when nobody came within 30 s

 private:
  UniqueFd read_;
  UniqueFd write_;
};

}  // namespace pmemfs::test

#define EXPECT_ERRNO_AS(user, expected, ...)                                                \
  CHECK(pmemfs::test::as_user(user, [&] { return pmemfs::test::error_of(__VA_ARGS__); }) == \
        pmemfs::test::Errno{expected})
#define EXPECT_OK_AS(user, ...) EXPECT_ERRNO_AS(user, 0, __VA_ARGS__)
