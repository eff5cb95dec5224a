// Machines that map files while a property is tested, and what they may count on: as long as the
// kernel knows of a mapping its blocks are the file's, in their place, and nobody else's.
#pragma once

#include <map>
#include <random>
#include <set>
#include <string>

#include "windows_rig.hpp"

namespace pmemfs::test {

class WindowModel {
 public:
  // Of an inode: where its blocks lie, by their offsets in the file.
  using Mapped = std::map<InodeNo, std::map<std::uint64_t, std::uint64_t>>;

  explicit WindowModel(CoreRig& rig) : rig_(rig) {}

  // Maps a place of a file, or ends what is mapped of one: in the books alone, or in the kernel
  // too.
  void step(std::mt19937_64& rng, const std::string& file) {
    if (rng() % 3 != 0) {
      map(file, rng() % 2 * kFrame);
    } else if (!mapped_.empty()) {
      auto one = mapped_.begin();
      std::advance(one, static_cast<std::ptrdiff_t>(rng() % mapped_.size()));
      end(one->first, rng() % 2 == 0);
    }
  }
  [[nodiscard]] const Mapped& mapped() const { return mapped_; }
  // Machines live on. `before`: what they had mapped before the step in which it went.
  void power_was_cut(const Mapped& before) {
    booked_.clear();
    for (const auto& [ino, blocks] : mapped_) {
      if (!before.contains(ino)) {
        rig_.region().end_export(ino.value);
      }
    }
    mapped_ = before;
    std::erase_if(mapped_, [&](const auto& m) { return !rig_.region().exported(m.first.value); });
  }
  [[nodiscard]] int made() const { return made_; }

  [[nodiscard]] bool as_mapped() {
    std::map<std::uint64_t, InodeNo> owners;
    for (const auto& [ino, blocks] : mapped_) {
      for (const auto& [off, place] : blocks) {
        owners.emplace(place, ino);
      }
    }
    for (const InodeNo ino : files()) {
      const auto own = mapped_.find(ino);
      for (const auto& [off, place] : places(rig_, ino)) {
        const auto owner = owners.find(place);
        const bool moved =
            own != mapped_.end() && own->second.contains(off) && own->second.at(off) != place;
        if (moved || (owner != owners.end() && owner->second != ino)) {
          return false;
        }
      }
    }
    return true;
  }

 private:
  void map(const std::string& file, std::uint64_t off) {
    if (!rig_.exists(file)) {
      return;
    }
    const InodeNo ino = rig_.stat(file).ino;
    Machine machine(rig_);
    const int code = machine.map(ino, off);
    CHECK((code == 0 || code == ENXIO || code == ENOSPC));
    if (code != 0) {
      return;
    }
    ++made_;
    ++booked_[{ino, off}];
    for (const WindowPiece& piece : machine.pieces()) {
      for (std::uint64_t at = 0; at < piece.len; at += kBlock) {
        mapped_[ino][piece.file_off + at] = piece.fd_off + at;
      }
    }
  }
  void end(InodeNo ino, bool in_kernel) {
    for (auto at = booked_.lower_bound({ino, 0}); at != booked_.end() && at->first.first == ino;
         at = booked_.erase(at)) {
      for (int i = 0; i < at->second; ++i) {
        rig_.fs().unmapped_window(ino, at->first.second, kFrame);
      }
    }
    if (in_kernel) {
      rig_.region().end_export(ino.value);
      mapped_.erase(ino);
    }
    CHECK(rig_.fs().sync().ok());
  }
  // All that have names.
  std::set<InodeNo> files() {
    std::set<InodeNo> all;
    for (const char* letter : {"f", "d"}) {
      for (int i = 0; i < 20; ++i) {
        const std::string file = letter + std::to_string(i);
        if (rig_.exists(file)) {
          all.insert(rig_.stat(file).ino);
        }
      }
    }
    return all;
  }

  CoreRig& rig_;
  Mapped mapped_;
  std::map<std::pair<InodeNo, std::uint64_t>, int> booked_;  // in this daemon's books
  int made_ = 0;
};

}  // namespace pmemfs::test
