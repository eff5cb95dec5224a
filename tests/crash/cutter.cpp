#include "crash/cutter.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <memory>
#include <random>
#include <utility>

#include "crash/sound.hpp"

namespace pmemfs::crash {
namespace {

// How many states there are, and how many choices, while it picks the newest of each.
class Counter final : public test::Chooser {
 public:
  std::size_t pick(std::size_t n) override {
    product_ = std::min<std::size_t>(product_ * n, kMany);
    choices_ += n > 1 ? 1 : 0;
    return n - 1;
  }
  [[nodiscard]] std::size_t product() const { return product_; }
  [[nodiscard]] std::size_t choices() const { return choices_; }

 private:
  static constexpr std::size_t kMany = 1U << 20U;
  std::size_t product_ = 1;
  std::size_t choices_ = 0;
};

// Keeps or loses a run of the choices, and does the opposite with the others. Choices come in the
// order of their addresses: what is told apart so is a log from what it speaks of, a block from the
// one that refers to it.
class RunChooser final : public test::Chooser {
 public:
  RunChooser(std::uint64_t seed, std::size_t choices) {
    std::mt19937_64 rng(seed);
    keep_ = rng() % 2 == 0;
    first_ = rng() % choices;
    last_ = first_ + rng() % (choices - first_);
  }
  std::size_t pick(std::size_t n) override {
    if (n == 1) {
      return 0;
    }
    const bool inside = at_ >= first_ && at_ <= last_;
    ++at_;
    return inside == keep_ ? n - 1 : 0;
  }

 private:
  bool keep_;
  std::size_t first_;
  std::size_t last_;
  std::size_t at_ = 0;
};

// All are checked as recovery leaves them; of these, one is checked as the power cut left it, too.
constexpr std::uint64_t kCheckedRaw = 4;

}  // namespace

Cutter::Cutter(World& world, const Limits& limits, std::uint64_t seed, Figures& figures)
    : world_(world), limits_(limits), seed_(seed), figures_(figures) {
  watch(true);
}

Cutter::~Cutter() {
  watch(false);
}

void Cutter::watch(bool on) {
  const Media& media = world_.media();
  media.region->on_fence(on ? [this](test::SimRegion&) { cut("fence"); }
                            : std::function<void(test::SimRegion&)>());
  if (media.host) {
    media.host->on_call(on ? [this](const test::HostCall&) {
      cut("host call");
      ++host_calls_;
    }
                           : std::function<void(const test::HostCall&)>());
  }
}

void Cutter::finish() {
  watch(false);
  returned_ = true;
  seen_changes_ = UINT64_MAX;
  cut("return");
}

// Fences and flushes only take states away.
std::uint64_t Cutter::changes() const {
  const auto counts = world_.media().region->counts();
  return counts.stores + counts.streams + host_calls_;
}

void Cutter::cut(const char* before_what) {
  if (changes() == std::exchange(seen_changes_, changes())) {
    return;
  }
  ++figures_.cuts;
  looked_ = 0;
  states_of_cut(fmt::format("cut {} (before {})", cuts_++, before_what));
}

void Cutter::states_of_cut(const std::string& where) {
  Counter counter;
  (void)world_.media().crash(counter);
  if (counter.product() <= limits_.all) {
    test::ExhaustiveChooser all;
    std::size_t state = 0;
    do {
      look(all, fmt::format("{}, state {}", where, state++));
    } while (all.next());
  } else if (limits_.samples > 0 || (figures_.workloads + cuts_) % 2 == 0 ||
             counter.product() == 1) {
    test::KeepNone none;
    look(none, where + ", nothing kept");
  } else {
    sample(0, counter.choices(), where);
  }
  for (std::size_t i = 0; counter.product() > 1 && i < limits_.samples; ++i) {
    sample(i, counter.choices(), where);
  }
}

// A run, all of it, and then by chance and runs in turns.
void Cutter::sample(std::size_t nth, std::size_t choices, const std::string& where) {
  const std::uint64_t seed = seed_ + cuts_ * 1000 + nth;
  if (nth == 1) {
    test::KeepAll all;
    look(all, where + ", all kept");
  } else if (nth % 2 == 0 && nth > 0) {
    test::RandomChooser random(seed);
    look(random, fmt::format("{}, sample {}", where, seed));
  } else {
    RunChooser run(seed, choices);
    look(run, fmt::format("{}, run {}", where, seed));
  }
}

void Cutter::look(test::Chooser& chooser, const std::string& where) {
  ++figures_.states;
  try {
    Media media = world_.media().crash(chooser);
    const bool again = looked_++ < limits_.second;
    keep(again ? recover_with_cuts(std::move(media)) : recover(std::move(media)), where);
  } catch (const std::exception& failure) {
    failures_.push_back(where + ": " + failure.what());
  }
}

void Cutter::keep(Tree tree, const std::string& where) {
  const bool known = std::any_of(found_.begin(), found_.end(), [&](const Found& f) {
    return f.returned == returned_ && f.tree == tree;
  });
  if (!known) {
    found_.push_back({std::move(tree), returned_, where});
  }
}

Tree Cutter::recover(Media media) const {
  if (figures_.states % kCheckedRaw == 0) {
    test::KeepAll all;
    require_sound(media.crash(all));
  }
  World world(std::move(media));
  Tree tree = read_tree(world);
  require_sound(world.abandon());
  return tree;
}

// A second cut while it recovers changes nothing of what is found.
Tree Cutter::recover_with_cuts(Media media) {
  std::vector<Media> left;
  const test::SimRegion& region = *media.region;
  test::SimBackingDir* const host = media.host.get();
  std::uint64_t nth = 0;
  media.region->on_fence([&](test::SimRegion&) {
    const auto take = [&](test::Chooser&& chooser) {
      auto after = region.crash(chooser);
      left.push_back({std::move(after), host != nullptr ? host->crash(chooser) : nullptr});
    };
    take(test::KeepNone());
    take(test::KeepAll());
    take(test::RandomChooser(seed_ + nth++));
  });
  World world(std::move(media));
  world.media().region->on_fence({});
  Tree tree = read_tree(world);
  require_sound(world.abandon());
  const Tree expected = without_host_times(tree, world_.placement());
  for (Media& again : left) {
    ++figures_.second_states;
    const Tree other = without_host_times(recover(std::move(again)), world_.placement());
    if (const std::string text = difference(other, expected); !text.empty()) {
      throw std::runtime_error("a cut of the recovery changes what is found:\n" + text);
    }
  }
  return tree;
}

}  // namespace pmemfs::crash
