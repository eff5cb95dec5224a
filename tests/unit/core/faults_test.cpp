// Every operation, where the space of the region ends at each of its allocations, and where each
// call of the host fails: it succeeds or nothing is changed, and nothing is lost.
#include <algorithm>

#include "fault_world.hpp"

namespace pmemfs::test {
namespace {

constexpr std::uint64_t kMostScattered = 40;  // blocks; what needs a run is refused for good

// Nothing is changed, and it was the fault: now it works.
void check_undone(FaultWorld& w, const FaultScenario& s, const CoreTree& before,
                  std::uint64_t unused) {
  CHECK(w.unused_blocks() == unused);
  const std::string difference = difference_of(before, tree_of(w));
  INFO(difference);
  CHECK(difference.empty());
  CHECK(s.act(w) == 0);
}

// Returns how often the operation did not succeed.
int starve_each(CoreRig::Data data, const FaultScenario& s, bool scattered) {
  for (std::uint64_t blocks = 0;; ++blocks) {
    FaultWorld w(data);
    w.open(s.open);
    INFO(s.name << ", blocks left: " << blocks << (scattered ? ", scattered" : ""));
    const CoreTree before = tree_of(w);
    const std::uint64_t unused = w.unused_blocks();
    w.starve(blocks, scattered);
    const int code = s.act(w);
    w.feed();
    if (code == 0) {
      w.check_sound();
      return static_cast<int>(blocks);
    }
    CHECK((code == ENOSPC || code == FaultWorld::kShort));
    if (code != FaultWorld::kShort) {
      check_undone(w, s, before, unused);
    }
    w.check_sound();
    if (scattered && blocks == kMostScattered) {
      return static_cast<int>(blocks);
    }
  }
}

}  // namespace

TEST_CASE("faults: no space at the n-th block of the region, and nothing is changed or leaks") {
  for (const CoreRig::Data data : {CoreRig::Data::kBacking, CoreRig::Data::kExtents}) {
    INFO((data == CoreRig::Data::kBacking ? "backing files" : "extents"));
    int refused = 0;
    for (const FaultScenario& s : fault_scenarios()) {
      refused += starve_each(data, s, false);
      if (!s.names_only) {  // whose inodes come by chunks: scattered blocks are none
        refused += starve_each(data, s, true);
      }
    }
    CHECK(refused > 100);
  }
}

namespace {

CoreTree tree_after(const FaultScenario& s, const std::function<int(FaultWorld&)>& act) {
  FaultWorld w(CoreRig::Data::kBacking);
  w.open(s.open);
  CHECK(act(w) == 0);
  return tree_of(w);
}

// What may be there after a call of the host failed, beside what was before. Data that the host has
// taken and could not sync, or tell about, is there.
std::vector<CoreTree> results_of(const FaultScenario& s) {
  std::vector<CoreTree> trees;
  if (!s.names_only && !s.undone) {
    trees.push_back(tree_after(s, s.act));
  }
  if (s.part) {
    trees.push_back(tree_after(s, s.part));
  }
  return trees;
}

// One call of the host fails. Returns whether there was such a call, and counts refusals.
bool fail_call(const FaultScenario& s, std::uint64_t nth, int fault,
               const std::vector<CoreTree>& results, int& refused) {
  FaultWorld w(CoreRig::Data::kBacking);
  w.open(s.open);
  const CoreTree before = tree_of(w);
  const std::uint64_t unused = w.unused_blocks();
  w.backing().forget_calls();
  w.backing().fail_nth(nth, fault);
  const int code = s.act(w);
  if (w.backing().calls().size() < nth) {
    CHECK(code == 0);
    return false;
  }
  INFO("kind of call: " << static_cast<int>(w.backing().calls()[nth - 1].op));
  if (code != 0) {
    ++refused;
    CHECK((code == fault || code == FaultWorld::kShort));
    if (std::count(results.begin(), results.end(), tree_of(w)) == 0) {
      check_undone(w, s, before, unused);
    }
  }
  w.check_sound();
  return true;
}

}  // namespace

TEST_CASE("faults: the n-th call of the host fails, all of an operation or nothing is done") {
  for (const int fault : {ENOSPC, EIO}) {
    int refused = 0;
    for (const FaultScenario& s : fault_scenarios()) {
      const std::vector<CoreTree> results = results_of(s);
      std::uint64_t nth = 0;
      for (bool more = true; more;) {
        ++nth;
        INFO(s.name << ", call of the host: " << nth << ", errno " << fault);
        more = fail_call(s, nth, fault, results, refused);
      }
    }
    CHECK(refused > 50);
  }
}

}  // namespace pmemfs::test
