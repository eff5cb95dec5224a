#include "crash/run.hpp"

#include <fmt/format.h>

#include <utility>

#include "crash/cutter.hpp"
#include "crash/sound.hpp"

namespace pmemfs::crash {

Run::Run(Media media, const Limits& limits, std::uint64_t seed, Figures& figures,
         HostDecorator decorator)
    : limits_(limits), seed_(seed), figures_(figures), decorator_(std::move(decorator)) {
  mount(std::move(media));
  promises_ = Promises(tree_);
}

void Run::mount(Media media) {
  world_ = decorator_ && media.host ? std::make_unique<World>(std::move(media), decorator_)
                                    : std::make_unique<World>(std::move(media));
  tree_ = read_tree(*world_);
}

void Run::violated(const std::string& what) {
  figures_.violations.push_back(fmt::format(
      "{} region, seed {}, '{}', {}",
      world_->placement() == Placement::kExtents ? "extents" : "directory", seed_, done_, what));
}

void Run::advance(const Operation& operation, int code, Tree after) {
  if (code == 0) {
    promises_ = promises_.after(operation, tree_, after);
  }
  tree_ = std::move(after);
}

int Run::step(const Operation& operation) {
  done_ += operation.name + "; ";
  const int code = operation.run(*world_);
  advance(operation, code, read_tree(*world_));
  return code;
}

void Run::step_with_cuts(const Operation& operation) {
  done_ += operation.name;
  Cutter cutter(*world_, limits_, seed_, figures_);
  const int code = operation.run(*world_);
  cutter.finish();
  const Tree after = read_tree(*world_);
  const Promises now = code == 0 ? promises_.after(operation, tree_, after) : promises_;
  const Cut cut{operation, world_->placement(), tree_, after, promises_, now};
  for (const std::string& failure : cutter.failures()) {
    violated(failure);
  }
  for (const Found& found : cutter.found()) {
    if (const auto why = judge(found.tree, cut, found.returned)) {
      violated(found.where + ": " + *why);
    }
  }
  done_ += "; ";
  advance(operation, code, after);
}

void Run::cut_power(test::Chooser& chooser) {
  ++figures_.states;
  const Placement placement = world_->placement();
  Media left = world_->media().crash(chooser);
  const Tree before = std::move(tree_);
  done_ += "power cut; ";
  mount(std::move(left));
  require_sound(world_->media());
  const Operation nothing{.name = "power cut", .run = {}};
  const Cut cut{nothing, placement, before, before, promises_, promises_};
  if (const auto why = judge(tree_, cut, true)) {
    violated(*why);
  }
  promises_ = promises_.after_power_cut(tree_);
}

void Run::remount() {
  done_ += "remount; ";
  const Tree before = std::move(tree_);
  mount(world_->unmount());
  const Tree found = without_host_times(tree_, world_->placement());
  if (const auto text = difference(found, without_host_times(before, world_->placement()));
      !text.empty()) {
    violated("a remount changes what is found:\n" + text);
  }
  promises_ = Promises(tree_);
}

}  // namespace pmemfs::crash
