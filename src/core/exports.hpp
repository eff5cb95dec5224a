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
  // One more mapping of the range, in which a host file of `size` bytes has no holes.
  void add(InodeNo ino, Range range, std::uint64_t size);
  // One less. After the last of a file that waits to be settled.
  void remove(InodeNo ino, Range range);
  [[nodiscard]] bool any(InodeNo ino) const;
  // What of the range is mapped: ascending, apart from each other.
  [[nodiscard]] std::vector<Range> mapped(InodeNo ino, Range range) const;
  [[nodiscard]] std::uint64_t bytes() const;  // mapped now, by how many ever

  // Of host files, which have no holes in what is mapped (window_holes.hpp): what of it, up to
  // `to`, nobody has filled yet. As mapped().
  [[nodiscard]] std::vector<Range> unfilled(InodeNo ino, std::uint64_t to) const;
  // The file has at least, or exactly, `size` bytes now, and no holes there in what is mapped.
  void grown(InodeNo ino, std::uint64_t size);
  void resized(InodeNo ino, std::uint64_t size);

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
    std::uint64_t longest = 0;                    // no range has more bytes
    // Up to here there are no holes; never beyond the end of the file.
    std::uint64_t filled = 0;

    [[nodiscard]] std::vector<Range> parts(Range range) const;
  };

  mutable std::mutex mutex_;
  std::unordered_map<InodeNo, File> files_;               // all of them mapped
  std::multiset<std::pair<InodeNo, std::uint64_t>> cut_;  // with their sizes to be
  std::set<InodeNo> waiting_;
};

}  // namespace pmemfs::core
