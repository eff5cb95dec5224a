// The oracle of the power cuts must be able to say no: a worker's tree on an ordinary filesystem,
// then something in it is missing or other than it was said to be.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <filesystem>
#include <set>

#include "base/unique_fd.hpp"
#include "harness/catch.hpp"
#include "support/temp_dir.hpp"
#include "vm/cuts/check.hpp"
#include "vm/cuts/perform.hpp"

namespace pmemfs::vm {
namespace {

constexpr Who kWho{7, 1};

// The first name of a file that is durable or not, with data; "" when there is none.
std::string file_in(const State& state, bool durable) {
  for (const auto& [name, node] : state) {
    if (node->type == Node::Type::kFile && node->durable == durable && node->cells.size() > 4) {
      return name;
    }
  }
  return {};
}

// After some hundred operations, when there are files of both kinds.
std::uint64_t chosen_number() {
  State state = state_after(kWho, 300);
  std::uint64_t number = 300;
  while (file_in(state, true).empty() || file_in(state, false).empty()) {
    apply_to_model(next_operation(kWho, ++number, state), state);
  }
  return number;
}

const std::uint64_t kOperations = chosen_number();

// A worker's folder after so many operations.
class Tree {
 public:
  explicit Tree(std::uint64_t operations) {
    const mode_t before = ::umask(0);
    for (std::uint64_t i = 1; i <= operations; ++i) {
      const Operation op = next_operation(kWho, i, state_);
      apply_to_model(op, state_);
      perform(path(), kWho, op, state_, Medium::kDirectory);
      seen_.insert(op.action);
    }
    ::umask(before);
  }
  [[nodiscard]] std::string path() const { return dir_.path(); }
  [[nodiscard]] const std::set<Action>& seen() const { return seen_; }
  [[nodiscard]] Verdict verdict(std::uint64_t done) const {
    const Finding finding = check(path(), kWho, done);
    UNSCOPED_INFO(finding.why);
    return finding.verdict;
  }
  [[nodiscard]] std::string some_file(bool durable) const {
    return path() + "/" + file_in(state_, durable);
  }

 private:
  test::TempDir dir_{test::kTmpfs};
  State state_;
  std::set<Action> seen_;
};

void need_user_xattrs() {
  const test::TempDir dir(test::kTmpfs);
  if (::setxattr(dir.path().c_str(), "user.v", "1", 1, 0) != 0) {
    PMEMFS_SKIP("needs user.* attributes on /dev/shm (Linux 6.6)");
  }
}

// The number of the first operation of a kind.
std::uint64_t first_of(Action action) {
  State state;
  for (std::uint64_t i = 1;; ++i) {
    const Operation op = next_operation(kWho, i, state);
    if (op.action == action && (action != Action::kWrite || op.count > 2)) {
      return i;
    }
    apply_to_model(op, state);
  }
}

}  // namespace

TEST_CASE("oracle: what was done is found, and so is one more") {
  need_user_xattrs();
  const Tree tree(kOperations);
  CHECK(tree.seen().size() == 16);  // every action
  CHECK(tree.verdict(kOperations) == Verdict::kBefore);
  CHECK(tree.verdict(kOperations - 1) == Verdict::kAfter);
}

TEST_CASE("oracle: an operation that was said to be done and is not there is wrong") {
  need_user_xattrs();
  const Tree tree(kOperations);
  for (std::uint64_t claimed = kOperations + 1; claimed < kOperations + 40; ++claimed) {
    INFO(claimed);
    CHECK(tree.verdict(claimed) == Verdict::kWrong);
  }
}

TEST_CASE("oracle: an operation beyond the one under way is wrong") {
  need_user_xattrs();
  CHECK(Tree(kOperations).verdict(kOperations - 2) == Verdict::kWrong);
}

TEST_CASE("oracle: a lost name, byte, flag, mode or attribute is wrong, and a name too many") {
  need_user_xattrs();
  const auto wrong_after = [](bool durable, auto harm) {
    const Tree tree(kOperations);
    harm(tree.some_file(durable));
    CHECK(tree.verdict(kOperations) == Verdict::kWrong);
  };
  for (const bool durable : {false, true}) {
    wrong_after(durable, [](const std::string& path) { REQUIRE(::unlink(path.c_str()) == 0); });
    wrong_after(durable, [](const std::string& path) { REQUIRE(::chmod(path.c_str(), 01) == 0); });
    wrong_after(durable,
                [](const std::string& path) { REQUIRE(::truncate(path.c_str(), 65) == 0); });
    wrong_after(durable, [](const std::string& path) {
      REQUIRE(::setxattr(path.c_str(), "user.v", "other", 5, 0) == 0);
    });
    wrong_after(durable, [](const std::string& path) {
      const base::UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
      REQUIRE(::pwrite(fd.get(), "!", 1, 100) == 1);
    });
    wrong_after(durable, [](const std::string& path) {
      REQUIRE(::symlink("x", (path + "too-many").c_str()) == 0);
    });
  }
  wrong_after(true, [](const std::string& path) {
    REQUIRE(::removexattr(path.c_str(), "user.pmemfs.mmap_durable") == 0);
  });
}

TEST_CASE("oracle: data that was under way may be there by words, and is done again") {
  need_user_xattrs();
  const std::uint64_t number = first_of(Action::kWrite);
  State state = state_after(kWho, number - 1);
  const Operation op = next_operation(kWho, number, state);
  apply_to_model(op, state);
  const Node& file = *state.at(op.path);
  const std::string bytes = content_of(kWho, file.cells, op.first, op.count);
  const Tree tree(number - 1);
  const std::string path = tree.path() + "/" + op.path;
  {
    const base::UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    REQUIRE(::pwrite(fd.get(), bytes.data(), 72, static_cast<off_t>(op.first * kCell)) == 72);
    CHECK(tree.verdict(number - 1) == Verdict::kBetween);
    CHECK(tree.verdict(number) == Verdict::kWrong);
    REQUIRE(::pwrite(fd.get(), "?", 1, static_cast<off_t>(op.first * kCell + 9)) == 1);
    CHECK(tree.verdict(number - 1) == Verdict::kWrong);
  }
  perform(tree.path(), kWho, op, state, Medium::kDirectory);
  CHECK(tree.verdict(number - 1) == Verdict::kAfter);
}

TEST_CASE("oracle: a folder that was not made yet is the state before the first operation") {
  const Finding none = check("/nowhere/at-all", kWho, 0);
  CHECK(none.verdict == Verdict::kBefore);
  CHECK(check("/nowhere/at-all", kWho, kOperations).verdict == Verdict::kWrong);
}

}  // namespace pmemfs::vm
