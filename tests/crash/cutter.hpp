// The cuts of one run of one operation, and what was found after each.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "crash/explorer.hpp"

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

 private:
  void watch(bool on);
  void cut(const char* before_what);
  void states_of_cut(const std::string& where);
  void look(test::Chooser& chooser, const std::string& where);
  Tree recover(Media media, const std::string& where);
  Tree recover_with_cuts(Media media, const std::string& where);
  void keep(Tree tree, const std::string& where);
  [[nodiscard]] std::uint64_t changes() const;

  World& world_;
  const Limits& limits_;
  std::uint64_t seed_;
  Figures& figures_;
  std::vector<Found> found_;
  std::uint64_t host_calls_ = 0;
  std::uint64_t seen_changes_ = UINT64_MAX;
  std::size_t cuts_ = 0;
  std::size_t looked_ = 0;  // states of this cut
  bool returned_ = false;
};

}  // namespace pmemfs::crash
