// Random operations on one file. PMEMFS_FSX_OPS lengthens the runs, PMEMFS_SEED repeats one.

#include "mount/fsx.hpp"

#include <linux/falloc.h>

#include <algorithm>

#include "support/mount_fixture.hpp"

namespace pmemfs::test {
namespace {

constexpr std::uint64_t kOperations = 2500;

bool has_zero_range(const std::string& path) {
  make_file(path, "x");
  return ::fallocate(open_file(path, O_RDWR).get(), FALLOC_FL_ZERO_RANGE, 0, 1) == 0;
}

// In a guest that is so if it has a window: tests/vm/guest knows which has.
bool maps_durable(const Place& place) {
  if (place.kind() != Kind::kGuest) {
    return place.kind() == Kind::kDirectory;
  }
  const std::string path = place / "durable-probe";
  make_file(path, "x");
  NEED_OK(sys::setxattr(path, "user.pmemfs.mmap_durable", "1"));
  std::string mapping;
  REQUIRE(sys::getxattr(path, "user.pmemfs.mapping", mapping) > 0);
  return mapping != "refused";
}

void run_fsx(const std::string& path, const FsxRules& rules) {
  const std::uint64_t operations = number_from("PMEMFS_FSX_OPS", kOperations);
  const std::uint64_t seed = Random::any_seed();
  for (std::uint64_t done = 0; done < operations; done += kOperations) {
    INFO("repeat with PMEMFS_SEED=" << seed + done << " PMEMFS_FSX_OPS=" << operations);
    const std::string name = path + std::to_string(done);
    make_file(name);
    if (rules.durable) {
      NEED_OK(sys::setxattr(name, "user.pmemfs.mmap_durable", "1"));
    }
    Fsx fsx(name, rules, seed + done);
    const std::string failure = fsx.run(std::min(operations - done, kOperations));
    INFO(failure);
    REQUIRE(failure.empty());
    note_progress();
    NEED_OK(sys::unlink(name));
  }
}

}  // namespace

TEST_CASE("fsx: it finds what is wrong") {
  // The file's rules are not what the tester is told: it must complain soon.
  const std::string path = scratch() + "/ordinary";
  make_file(path);
  FsxRules rules;
  rules.durable = true;
  rules.zero_range = false;
  CHECK_FALSE(Fsx(path, rules, 1).run(200).empty());
}

POSIX_CASE("fsx: an ordinary file") {
  FsxRules rules;
  rules.zero_range = has_zero_range(place / "probe");
  run_fsx(place / "file", rules);
}

PMEMFS_CASE("fsx: a durable file") {
  FsxRules rules;
  rules.durable = true;
  rules.shared_mapping = maps_durable(place);
  run_fsx(place / "file", rules);
}

}  // namespace pmemfs::test
