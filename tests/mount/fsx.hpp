#pragma once

// Random operations on one file, beside a model of it in memory; every read and size is compared.

#include <deque>
#include <string>

#include "support/mount_random.hpp"
#include "support/mount_sys.hpp"

namespace pmemfs::test {

// What the file at hand can and must refuse.
struct FsxRules {
  bool durable = false;        // shrinking is ETXTBSY, punching EOPNOTSUPP
  bool shared_mapping = true;  // else ENODEV
  bool zero_range = true;      // else not tried
};

class Fsx {
 public:
  static constexpr std::uint64_t kMaxSize = 600'000;

  // `path` exists and is empty.
  Fsx(std::string path, const FsxRules& rules, std::uint64_t seed);
  // Empty when all went as it should, else what did not, with the last operations.
  std::string run(std::uint64_t operations);

 private:
  struct Range {
    std::uint64_t off;
    std::uint64_t size;
    [[nodiscard]] off_t at() const { return static_cast<off_t>(off); }
    [[nodiscard]] off_t length() const { return static_cast<off_t>(size); }
  };

  void step();
  void read();
  void write();
  void append();
  void map_read();
  void map_write();
  void truncate();
  void allocate();
  void punch();
  void zero();
  void copy();
  void reopen();
  void check_all();

  Range any_range();       // within kMaxSize
  Range existing_range();  // within the file, maybe empty
  void note(const char* what, const Range& range);
  void expect(Errno expected, Errno found) const;
  void compare(const std::string& found, const Range& range) const;
  void store(const Range& range, const std::string& data);
  int handle();
  [[noreturn]] static void fail(const std::string& what);

  std::string path_;
  FsxRules rules_;
  Random random_;
  UniqueFd fd_;
  UniqueFd other_;  // a second handle, by turns
  std::string model_;
  std::uint64_t count_ = 0;
  std::deque<std::string> history_;
};

}  // namespace pmemfs::test
