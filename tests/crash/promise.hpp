// What must be found after a power cut.
//
// On regions with data in extents the rule is short: what was before the operation or what is after
// it, nothing between, and once it has returned only the latter. Data that is overwritten in place
// may be found byte by byte as before or after, until the operation returns.
//
// Backing files follow fsync: the host may lose any part of what it was not asked to keep. Each
// byte must then be one that the file had at that place since it was last synced (or zero, where
// the file did not reach at some time since), so that nobody sees another file's bytes. What is
// exact nevertheless: names and attributes; files that were synced; durable files, whose stores
// through mappings are on media at once and which never get shorter; and a file that replaced a
// synced one.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "crash/operation.hpp"
#include "crash/tree.hpp"

namespace pmemfs::crash {

// One backing file's content since it was last synced.
struct History {
  std::vector<std::string> versions;  // in order of time; the last is what programs see
  bool synced = false;                // was it ever
  std::uint64_t least = 0;            // bytes that it must have at least

  [[nodiscard]] bool allows(const std::string& content) const;
};

class Promises {
 public:
  Promises() = default;
  // Everything in `tree` is on media.
  explicit Promises(const Tree& tree);

  // What holds once `operation` has returned, which made `after` of `before`.
  [[nodiscard]] Promises after(const Operation& operation, const Tree& before,
                               const Tree& after) const;
  // What was found after a power cut is on media, whether somebody had asked for it or not.
  [[nodiscard]] Promises after_power_cut(const Tree& found) const;
  // What may be found of the file's content.
  [[nodiscard]] const History& of(const Entry& entry) const;

 private:
  using Key = std::pair<std::uint64_t, std::uint64_t>;  // inode and generation
  static Key key(const Entry& e) { return {e.ino, e.generation}; }
  void settle(const Entry& e);
  void note_content(const Entry& e);
  void note_store(const Operation::Store& store, const Tree& before, const Tree& after);
  void note_replacement(const Tree& before, const Tree& after);

  std::map<Key, History> files_;
};

// An operation and a cut in it.
struct Cut {
  const Operation& operation;
  Placement placement;
  const Tree& before;
  const Tree& after;
  const Promises& old_promises;  // before it
  const Promises& new_promises;  // once it has returned
};

// What two mounts of the same media must agree on: the simulated host makes its files anew.
Tree without_host_times(Tree tree, Placement placement);

// Why `found` must not be found after the cut: one line and the differences; nothing when it may.
// `returned`: the operation had.
std::optional<std::string> judge(const Tree& found, const Cut& cut, bool returned);

}  // namespace pmemfs::crash
