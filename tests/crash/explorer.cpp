#include "crash/explorer.hpp"

#include <fmt/format.h>

#include <exception>

#include "crash/cutter.hpp"

namespace pmemfs::crash {
namespace {

std::string title(const Explorer::Prefix& prefix, const Operation& operation) {
  std::string text;
  for (const Operation* before : prefix) {
    text += before->name + "; ";
  }
  return text + operation.name;
}

}  // namespace

Figures& Figures::operator+=(const Figures& other) {
  workloads += other.workloads;
  cuts += other.cuts;
  states += other.states;
  second_states += other.second_states;
  violations.insert(violations.end(), other.violations.begin(), other.violations.end());
  return *this;
}

Explorer::Explorer(Placement placement, Limits limits, std::uint64_t seed)
    : placement_(placement), limits_(limits), seed_(seed), start_(make_start(placement)) {
  test::KeepAll all;
  World world(start_.crash(all));
  start_tree_ = read_tree(world);
}

void Explorer::explore(const Prefix& prefix, const Operation& operation) {
  ++figures_.workloads;
  test::KeepAll all;
  World world = decorator_ ? World(start_.crash(all), decorator_) : World(start_.crash(all));
  Tree before = start_tree_;
  Promises promises(before);
  for (const Operation* step : prefix) {
    step->run(world);
    Tree after = read_tree(world);
    promises = promises.after(*step, before, after);
    before = std::move(after);
  }
  const std::size_t known = figures_.violations.size();
  Cutter cutter(world, limits_, seed_, figures_);
  const int code = operation.run(world);
  cutter.finish();
  const Tree after = read_tree(world);
  const Promises now = code == 0 ? promises.after(operation, before, after) : promises;
  const Cut cut{operation, placement_, before, after, promises, now};
  for (const Found& found : cutter.found()) {
    if (const auto why = judge(found.tree, cut, found.returned)) {
      figures_.violations.push_back(found.where + ": " + *why);
    }
  }
  for (std::size_t i = known; i < figures_.violations.size(); ++i) {
    figures_.violations[i] = fmt::format("{} region, '{}', seed {}, {}",
                                         placement_ == Placement::kExtents ? "extents" : "directory",
                                         title(prefix, operation), seed_, figures_.violations[i]);
  }
}

}  // namespace pmemfs::crash
