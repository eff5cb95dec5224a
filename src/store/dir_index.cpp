#include "store/dir_index.hpp"

#include <algorithm>
#include <bit>

namespace pmemfs::store {
namespace {

constexpr std::size_t kFirstCells = 8;

}  // namespace

void DirIndex::resize(std::size_t cells) {
  std::vector<Cell> old(cells);
  old.swap(cells_);
  shift_ = 64 - static_cast<unsigned>(std::countr_zero(cells));
  for (const Cell& cell : old) {
    if (cell.position != 0) {
      place(cell);
    }
  }
}

void DirIndex::reserve(std::size_t n) {
  if (n * 4 > cells_.size() * 3) {
    resize(std::bit_ceil(std::max(kFirstCells, n * 4 / 3 + 1)));
  }
}

void DirIndex::place(Cell cell) {
  std::size_t i = home(cell.hash);
  while (cells_[i].position != 0) {
    i = after(i);
  }
  cells_[i] = cell;
}

void DirIndex::insert(std::uint32_t hash, std::uint32_t position) {
  reserve(size_ + 1);
  place({hash, position});
  ++size_;
}

// The cells after the hole move up where their home allows, so no tombstones pile up.
void DirIndex::erase(std::uint32_t hash, std::uint32_t position) {
  if (cells_.empty()) {
    return;
  }
  std::size_t hole = home(hash);
  while (cells_[hole].position != position) {
    if (cells_[hole].position == 0) {
      return;
    }
    hole = after(hole);
  }
  const std::size_t mask = cells_.size() - 1;
  for (std::size_t i = after(hole); cells_[i].position != 0; i = after(i)) {
    if (((i - home(cells_[i].hash)) & mask) >= ((i - hole) & mask)) {
      cells_[hole] = cells_[i];
      hole = i;
    }
  }
  cells_[hole] = Cell{};
  --size_;
}

void DirIndex::clear() {
  cells_ = {};
  size_ = 0;
}

void RoomMap::push_back(std::uint8_t run) {
  std::size_t i = levels_[0].size();
  for (auto& level : levels_) {
    if (i == level.size()) {
      level.push_back(run);
    } else {
      level[i] = std::max(level[i], run);
    }
    i /= kFanout;
  }
}

void RoomMap::set(std::size_t block, std::uint8_t run) {
  std::size_t i = block;
  for (auto& level : levels_) {
    if (level[i] == run) {
      return;
    }
    level[i] = run;
    // The maximum of the group this one is in.
    const std::size_t first = i / kFanout * kFanout;
    const std::size_t last = std::min(first + kFanout, level.size());
    for (std::size_t k = first; k < last; ++k) {
      run = std::max(run, level[k]);
    }
    i /= kFanout;
  }
}

void RoomMap::clear() {
  for (auto& level : levels_) {
    level = {};
  }
}

std::size_t RoomMap::find(std::uint8_t run) const {
  std::size_t at = 0;
  for (std::size_t l = kLevels; l-- > 0;) {
    const auto& level = levels_[l];
    const std::size_t last = l + 1 == kLevels ? level.size() : std::min(at + kFanout, level.size());
    while (at < last && level[at] < run) {
      ++at;
    }
    if (at == last) {
      return kNone;
    }
    if (l > 0) {
      at *= kFanout;
    }
  }
  return at;
}

std::size_t RoomMap::memory_bytes() const {
  std::size_t n = 0;
  for (const auto& level : levels_) {
    n += level.capacity();
  }
  return n;
}

}  // namespace pmemfs::store
