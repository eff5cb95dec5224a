// The books of what windows of virtual machines map, in this mount. What the kernel knows beyond
// them, of VMMs that this daemon has lost sight of too, is asked by the gate (gate.hpp).
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/range.hpp"
#include "pmemfs/types.hpp"

namespace pmemfs::core {

// Thread-safe; its mutex is taken last.
class Exports {
 public:
  // One more mapping of the range.
  void add(InodeNo ino, Range range, bool writable);
  // One less. After the last of a file that waits to be settled.
  void remove(InodeNo ino, Range range, bool writable);
  [[nodiscard]] bool any(InodeNo ino) const;
  // What is mapped writable, each range once: ascending by begin; they may overlap.
  [[nodiscard]] std::vector<Range> writable(InodeNo ino) const;
  [[nodiscard]] std::uint64_t bytes() const;  // mapped now, by how many ever

  // Between these what lies beyond the file's end to be is unmapped.
  void begin_cut(InodeNo ino, std::uint64_t size);
  void end_cut(InodeNo ino, std::uint64_t size);
  [[nodiscard]] bool is_cut(InodeNo ino) const;
  [[nodiscard]] bool is_cut(InodeNo ino, std::uint64_t off) const;  // there, or before

  // Files whose mappings may be gone, but for those of which any() is true: once the kernel says so
  // their blocks are free to move and to go (windows.hpp).
  void wait(InodeNo ino);
  void settled(InodeNo ino);
  [[nodiscard]] std::vector<InodeNo> waiting() const;
  [[nodiscard]] bool empty() const;  // nothing is mapped, nothing waits

 private:
  struct File {
    std::map<std::uint64_t, std::uint64_t> ends;  // of ranges by begin
    std::multiset<std::uint64_t> mapped;          // begins
    std::multiset<std::uint64_t> writable;        // of these
  };

  mutable std::mutex mutex_;
  std::unordered_map<InodeNo, File> files_;               // all of them mapped
  std::multiset<std::pair<InodeNo, std::uint64_t>> cut_;  // with their sizes to be
  std::set<InodeNo> waiting_;
};

}  // namespace pmemfs::core
