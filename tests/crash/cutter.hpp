// Cuts the power at every step of an operation and looks at what the next mount finds.
//
// A cut is made before each fence and each call of the host, and after the operation has returned.
// At each, the states are those that the simulators allow: the region's lines that no fence has
// assured, and the host's changes that no fsync has covered, in product. All of them when there are
// few, else none of them, all of them and seeded samples (by chance, and whole runs); torn lines
// are always sampled. What lies
// between two fences needs no cuts of its own: it is among the states of the second.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "crash/run.hpp"

namespace pmemfs::crash {

// What a recovery found. Equal trees of one operation are kept once.
struct Found {
  Tree tree;
  bool returned = false;  // the operation had
  std::string where;      // for people: which cut, which state
};

// Watches a world from construction to finish(). Not thread-safe.
class Cutter {
 public:
  Cutter(World& world, const Limits& limits, std::uint64_t seed, Figures& figures);
  ~Cutter();
  Cutter(const Cutter&) = delete;
  Cutter& operator=(const Cutter&) = delete;

  // The operation has returned: the last cut.
  void finish();
  [[nodiscard]] const std::vector<Found>& found() const { return found_; }
  // Where there was nothing to find: no mount, unsound, another result after a second cut.
  [[nodiscard]] const std::vector<std::string>& failures() const { return failures_; }

 private:
  void watch(bool on);
  void cut(const char* before_what);
  void states_of_cut(const std::string& where);
  void sample(std::size_t nth, std::size_t choices, const std::string& where);
  void look(test::Chooser& chooser, const std::string& where);
  [[nodiscard]] Tree recover(Media media) const;
  Tree recover_with_cuts(Media media);
  void keep(Tree tree, const std::string& where);
  [[nodiscard]] std::uint64_t changes() const;

  World& world_;
  const Limits& limits_;
  std::uint64_t seed_;
  Figures& figures_;
  std::vector<Found> found_;
  std::vector<std::string> failures_;
  std::uint64_t host_calls_ = 0;
  std::uint64_t seen_changes_ = UINT64_MAX;
  std::size_t cuts_ = 0;
  std::size_t looked_ = 0;  // states of this cut
  bool returned_ = false;
};

}  // namespace pmemfs::crash
