// What a Directory keeps in DRAM: where names are, and where there is room for more.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace pmemfs::store {

// From the hash of a name to the positions of entries with that hash. Open addressing, 8 bytes a
// cell, at most 3 in 4 cells taken: 11 to 22 bytes an entry. Not thread-safe.
class DirIndex {
 public:
  // Room for `n` entries in all without growing.
  void reserve(std::size_t n);
  void insert(std::uint32_t hash, std::uint32_t position);  // position ≠ 0
  void erase(std::uint32_t hash, std::uint32_t position);
  void clear();

  // Calls f(position) for each entry with this hash until it returns true.
  template <typename F>
  void find(std::uint32_t hash, F&& f) const {
    if (cells_.empty()) {
      return;
    }
    for (std::size_t i = home(hash); cells_[i].position != 0; i = after(i)) {
      if (cells_[i].hash == hash && f(cells_[i].position)) {
        return;
      }
    }
  }

  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] std::size_t memory_bytes() const { return cells_.capacity() * sizeof(Cell); }

 private:
  struct Cell {
    std::uint32_t hash = 0;
    std::uint32_t position = 0;  // 0: empty (slot 0 of a block is its header)
  };

  // A crc of similar names is regular; the multiplication spreads it.
  [[nodiscard]] std::size_t home(std::uint32_t hash) const {
    return static_cast<std::size_t>(hash * 0x9E3779B97F4A7C15ULL >> shift_);
  }
  [[nodiscard]] std::size_t after(std::size_t i) const { return (i + 1) & (cells_.size() - 1); }
  void resize(std::size_t cells);
  void place(Cell cell);

  std::vector<Cell> cells_;  // a power of two of them, or none
  std::size_t size_ = 0;
  unsigned shift_ = 63;
};

// The longest run of free slots of each block, up to kMaxRun, with maxima over 64 and 4096 blocks:
// finding the first block with room looks at some 130 bytes, however large the directory.
// Not thread-safe.
class RoomMap {
 public:
  static constexpr std::size_t kNone = ~std::size_t{0};

  void push_back(std::uint8_t run);
  void set(std::size_t block, std::uint8_t run);
  void clear();
  // The first block whose run is at least `run`; kNone.
  [[nodiscard]] std::size_t find(std::uint8_t run) const;
  [[nodiscard]] std::size_t memory_bytes() const;

 private:
  static constexpr std::size_t kFanout = 64;
  static constexpr std::size_t kLevels = 3;

  std::vector<std::uint8_t> levels_[kLevels];
};

}  // namespace pmemfs::store
